"""From a folder on disk to a model in memory: bases, whole models and adapters in PEFT's format. Safetensors only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from talkalike.errors import UserError
from talkalike.models import palm as palm  # registers our own architecture with transformers
from talkalike.models.adapter_config import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_config
from talkalike.models.lora_pairs import SOFT_PROMPT_KEY, read_pairs
from talkalike.models.merging import StoredWeights, check_fits, does_not_fit, merge_pairs
from talkalike.models.placement import is_spread, spread_map
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.models.quantize import keep_unpacked, quantization_config, stored_quantization
from talkalike.models.quiet import quiet_transformers
from talkalike.models.tokenizer import load_tokenizer, vocabulary_hash
from talkalike.workspace.cards import Card, Catalog

_DEFAULT_CONTEXT = 2048  # for models that state no limit (T5's relative positions)

quiet_transformers()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to use: in eval mode, on its device, adapters merged into the weights or, where they cannot be
    (quantised or spread bases), beside them."""

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    soft_prompt_PD: Tensor | None = None  # prompt tuning: P embeddings that stand before every conversation
    speakers: tuple[str, ...] = ()
    context_length: int
    is_encoder_decoder: bool = False


def load_network(
    folder: Path, *, dtype: torch.dtype, device: torch.device, quantize: str = "none", spread: bool = False
) -> PreTrainedModel:
    """The plain network of a base or whole model, in eval mode. Raises UserError if the folder holds none.

    `spread`: what does not fit the device may lie on other GPUs, in memory or on the disk (`models.placement`).
    """
    few_bits = quantization_config(folder, quantize, dtype=dtype, device=device)
    with _explain_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        places = spread_map(folder, loader, config, dtype=dtype, device=device, quantize=quantize) if spread else None
        options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
        if few_bits is not None or places is not None or getattr(config, "quantization_config", None):
            options |= {"quantization_config": few_bits, "device_map": places or {"": device}}
            network = loader.from_pretrained(folder, config=config, **options).eval()
            if dtype is not torch.bfloat16:
                keep_unpacked(network)
            return cast(PreTrainedModel, network)
        network = loader.from_pretrained(folder, config=config, **options)
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


def load_for_inference(
    folder: Path, *, catalog: Catalog, dtype: str = "auto", device: str = "auto", quantize: str = "none"
) -> LoadedModel:
    """The base, whole model or adapter in `folder`, ready to talk; an adapter's base is looked up in the catalog."""
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    card = catalog.card(folder.name) if catalog.exists(folder.name) and catalog.path(folder.name) == folder else None
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    base_folder = adapter_base(folder, card, catalog) if is_adapter else folder
    placing = _Placing(dtype=chosen_dtype, device=chosen_device, quantize=quantize, spread=device == "auto")
    soft_prompt_PD = None
    if is_adapter:
        network, soft_prompt_PD = _load_adapted(folder, base_folder, placing)
    else:
        network = placing.load(folder)
    config = cast(Any, network.config)
    tokenizer = load_tokenizer(base_folder)
    learned_in = card.settings.get("vocabulary") if is_adapter and card is not None else None
    if card is not None and learned_in and learned_in != vocabulary_hash(tokenizer):
        raise UserError(
            f"'{card.name}' was trained in another vocabulary than that of '{card.base}' as it is now.",
            hint="Put back the base that it was trained on, or train the double again on this one.",
        )
    return LoadedModel(
        name=folder.name,
        model=network,
        tokenizer=tokenizer,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placing:
    """In which format and where a network is held."""

    dtype: torch.dtype
    device: torch.device
    quantize: str
    spread: bool

    def load(self, folder: Path) -> PreTrainedModel:
        return load_network(folder, dtype=self.dtype, device=self.device, quantize=self.quantize, spread=self.spread)


def _load_adapted(folder: Path, base_folder: Path, placing: _Placing) -> tuple[PreTrainedModel, Tensor | None]:
    """The base with the adapter in it, and the soft prompt where the adapter is one.

    A plain low-rank update is added weight by weight; others are merged by PEFT, in float32, and rounded once. Where
    the base is quantised or spread, updates stay beside its layers.
    """
    with _explain_load_errors(folder):
        config, pairs = adapter_config(folder), read_pairs(folder)
        if config.get("peft_type") == "PROMPT_TUNING":
            soft_prompt_PD = load_file(folder / ADAPTER_WEIGHTS)[SOFT_PROMPT_KEY]
            network = placing.load(base_folder)
            if soft_prompt_PD.shape[1] != network.get_input_embeddings().weight.shape[1]:
                raise does_not_fit(folder, base_folder)
            return network, soft_prompt_PD.to(placing.device, placing.dtype)
    few_bits = placing.quantize != "none" or bool(stored_quantization(base_folder))
    with _explain_load_errors(base_folder), StoredWeights.open(base_folder) as stored:
        by_weight = pairs is not None and stored.have(pairs)
        exact = placing if by_weight or few_bits else replace(placing, dtype=torch.float32)
        network = exact.load(base_folder)
        if pairs is not None:
            check_fits(pairs, network, folder=folder, base_folder=base_folder)
        beside = few_bits or is_spread(network)
        if pairs is not None and by_weight and not beside:
            merge_pairs(network, pairs, stored)
            return network, None
    if pairs is not None and beside:
        # PEFT, which that module imports, costs a second that a base does not need
        from talkalike.models.role_lora import attach_beside

        attach_beside(network, pairs, dtype=placing.dtype)
        return network, None
    if is_spread(network):
        raise UserError(
            f"The adapter {folder} is no plain LoRA, and its base does not fit one device here.",
            hint="Set quantize = '4bit' in [model], or use a machine with more memory.",
        )
    wrapped = _wrap_by_peft(network, folder, base_folder)
    keep_unpacked(network)
    adapted = wrapped.get_base_model() if few_bits else wrapped.merge_and_unload().to(dtype=placing.dtype)
    return cast(PreTrainedModel, adapted.eval()), None


def _wrap_by_peft(network: PreTrainedModel, folder: Path, base_folder: Path) -> Any:
    from peft import PeftModel  # imported here: it costs a second that a base does not need

    with _explain_load_errors(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a property by its old name
        try:
            return PeftModel.from_pretrained(network, str(folder), is_trainable=False)
        except (RuntimeError, ValueError) as problem:
            if isinstance(problem, RuntimeError) and "size mismatch" not in str(problem):
                raise
            raise does_not_fit(folder, base_folder) from None
