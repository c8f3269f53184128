"""From a folder on disk to a model in memory: bases, whole models and adapters in PEFT's format. Safetensors only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from talkalike.errors import UserError
from talkalike.models import palm as palm  # registers our own architecture with transformers
from talkalike.models.adapter_config import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_config
from talkalike.models.lora_pairs import SOFT_PROMPT_KEY, read_pairs
from talkalike.models.merging import StoredWeights, merge_pairs
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.models.tokenizer import load_tokenizer
from talkalike.workspace.cards import Card, Catalog

_DEFAULT_CONTEXT = 2048  # for models that state no limit (T5's relative positions)

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to use: in eval mode, on its device, adapters merged into the weights."""

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    soft_prompt_PD: Tensor | None = None  # prompt tuning: P embeddings that stand before every conversation
    speakers: tuple[str, ...] = ()
    context_length: int
    is_encoder_decoder: bool = False


def load_network(folder: Path, *, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The plain network of a base or whole model, in eval mode. Raises UserError if the folder holds none."""
    with _explain_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        network = loader.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    return cast(PreTrainedModel, network.to(device).eval())


@contextmanager
def _explain_load_errors(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise for an incomplete or damaged folder into a UserError."""
    try:
        yield
    except SafetensorError as problem:
        raise UserError(
            f"The weights in {folder} are damaged or cut off ({problem}).",
            hint="Delete that folder, then fetch or train the model again.",
        ) from None
    except (OSError, ValueError, KeyError) as problem:
        first_line = str(problem).strip().split("\n")[0][:200]
        raise UserError(
            f"{folder} is not a model that can be loaded: {first_line}",
            hint="A model folder holds config.json, tokenizer.json and weights as *.safetensors; an adapter's folder, "
            f"{ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}.",
        ) from None


def load_for_inference(folder: Path, *, catalog: Catalog, dtype: str = "auto", device: str = "auto") -> LoadedModel:
    """The base, whole model or adapter in `folder`, ready to talk; an adapter's base is looked up in the catalog."""
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    card = catalog.card(folder.name) if catalog.exists(folder.name) and catalog.path(folder.name) == folder else None
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    base_folder = adapter_base(folder, card, catalog) if is_adapter else folder
    soft_prompt_PD = None
    if is_adapter:
        network, soft_prompt_PD = _load_adapted(folder, base_folder, dtype=chosen_dtype, device=chosen_device)
    else:
        network = load_network(folder, dtype=chosen_dtype, device=chosen_device)
    config = cast(Any, network.config)
    return LoadedModel(
        name=folder.name,
        model=network,
        tokenizer=load_tokenizer(base_folder),
        soft_prompt_PD=soft_prompt_PD,
        speakers=card.speakers if card else (),
        context_length=int(getattr(config, "max_position_embeddings", None) or _DEFAULT_CONTEXT),
        is_encoder_decoder=bool(config.is_encoder_decoder),
    )


def adapter_base(folder: Path, card: Card | None, catalog: Catalog) -> Path:
    """The folder of an adapter's base: by its card, else by PEFT's own field. UserError if missing."""
    if card is not None:
        if catalog.exists(card.base):
            return catalog.path(card.base)
        raise UserError(f"'{card.name}' needs the base '{card.base}', which is gone.", hint="Fetch the base again.")
    named = str(adapter_config(folder).get("base_model_name_or_path") or "")
    for candidate in (Path(named), catalog.root / Path(named).name, catalog.root / Path(named).name.lower()):
        if named and (candidate / "config.json").is_file():
            return candidate
    raise UserError(f"The adapter {folder} needs the base '{named}', which is not here.", hint="Fetch that base first.")


def _load_adapted(
    folder: Path, base_folder: Path, *, dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, Tensor | None]:
    """The base with the adapter merged in, and the soft prompt where the adapter is one.

    A plain low-rank update is added weight by weight. Others are merged by PEFT, in float32, and rounded once.
    """
    with _explain_load_errors(folder):
        config, pairs = adapter_config(folder), read_pairs(folder)
        if config.get("peft_type") == "PROMPT_TUNING":
            soft_prompt_PD = load_file(folder / ADAPTER_WEIGHTS)[SOFT_PROMPT_KEY]
            return load_network(base_folder, dtype=dtype, device=device), soft_prompt_PD.to(device, dtype)
    with _explain_load_errors(base_folder), StoredWeights.open(base_folder) as stored:
        if pairs is not None and stored.have(pairs):
            network = load_network(base_folder, dtype=dtype, device=device)
            merge_pairs(network, pairs, stored)
            return network, None
    from peft import PeftModel  # imported here: it costs a second that a base does not need

    network = load_network(base_folder, dtype=torch.float32, device=device)
    with _explain_load_errors(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a property by its old name
        wrapped: Any = PeftModel.from_pretrained(network, str(folder), is_trainable=False)
        return cast(PreTrainedModel, wrapped.merge_and_unload().to(dtype=dtype).eval()), None
