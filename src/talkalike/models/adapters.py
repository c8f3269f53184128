"""What of a model is trained: LoRA, DoRA, everything, the last N layers, or a soft prompt. PEFT's formats on disk."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from peft.utils import TaskType
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from talkalike.errors import UserError
from talkalike.models.adapter_config import ADAPTER_WEIGHTS
from talkalike.models.adapter_settings import METHODS, AdapterSettings, refuse_quantized
from talkalike.models.eyes.adapter import SeeingAdapter
from talkalike.models.forward import attention
from talkalike.models.lora_pairs import SOFT_PROMPT_KEY
from talkalike.models.quantize import few_bits, keep_unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """A network with the tensors that are trained, in float32 whatever the frozen rest is kept in."""

    network: PreTrainedModel  # called for logits; adapters sit inside it
    parameters: dict[str, nn.Parameter]
    settings: AdapterSettings
    soft_prompt_PD: nn.Parameter | None = None
    peft_model: nn.Module | None = None
    eye: SeeingAdapter | None = None  # lets the network see the pictures in a row

    @property
    def trained(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters.values())


def make_trainable(network: PreTrainedModel, settings: AdapterSettings, *, seed: int) -> Trainable:
    """Freezes the network but for what the method trains. The starting adapter changes no output (soft prompts do)."""
    if bits := few_bits(network):
        refuse_quantized(settings.method, bits)
        keep_unpacked(network)
    torch.manual_seed(seed)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    peft_model: nn.Module | None = None
    soft_prompt: nn.Parameter | None = None
    if settings.method in {"lora", "dora"}:
        config = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=settings.rank,
            lora_alpha=2 * settings.rank,
            target_modules="all-linear",
            use_dora=settings.method == "dora",
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in network.modules()),  # GPT-2's layers
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a property by its old name
            warnings.filterwarnings(
                "ignore", "The following (rank|alpha)_pattern keys"
            )  # experts that are no linear layers
            peft_model = cast(nn.Module, get_peft_model(network, config))
    elif settings.method == "full":
        network.requires_grad_(True)
    elif settings.method == "last-n":
        for block in last_blocks(network, settings.last_layers):
            block.requires_grad_(True)
    elif settings.method == "prompt":
        soft_prompt = _start_soft_prompt(network, settings.prompt_length)
    else:
        raise UserError(f"Unknown training method '{settings.method}'.", hint=f"Choose one of {', '.join(METHODS)}.")
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    if soft_prompt is not None:
        parameters[SOFT_PROMPT_KEY] = soft_prompt
    return Trainable(
        network=network, parameters=parameters, settings=settings, soft_prompt_PD=soft_prompt, peft_model=peft_model
    )


def recompute_layers(network: PreTrainedModel, name: str) -> None:
    """Lets a training keep each layer's input alone and compute the rest of it again when it is needed.

    Raises UserError for a network that cannot; `name` is what it is called there.
    """
    if not getattr(network, "supports_gradient_checkpointing", False):
        raise UserError(
            f"'{name}' is a {type(network).__name__}, whose layers cannot be computed twice.",
            hint="Set gradient_checkpointing = false in [train], and lower row_tokens in [train] to save memory.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it got another name; older versions have this one alone
        network.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": partial(_attending_again, network)}
        )


def _attending_again(network: PreTrainedModel) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For a layer's first pass nothing; for its second, after the forward pass is over, the way it attends now."""
    return nullcontext(), attention(network, network.config._attn_implementation)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns safetensors' own error for a failed write into the OSError it is (a full disk, say)."""
    try:
        yield
    except SafetensorError as problem:
        code = re.search(r"os error (\d+)", str(problem))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from None


def save_trained(trainable: Trainable, folder: Path, *, base: str, dtype: torch.dtype) -> None:
    """Writes the model as others can load it: PEFT's adapter format, or a whole model with weights in `dtype`.

    `base`: what an adapter's base is found by, a hub's id or a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with disk_errors():
        _save(trainable, folder, base, dtype)


def _save(trainable: Trainable, folder: Path, base: str, dtype: torch.dtype) -> None:
    if trainable.peft_model is not None:
        peft_model = cast(Any, trainable.peft_model)
        peft_model.peft_config["default"].base_model_name_or_path = base
        peft_model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty template; our card says more
    elif trainable.soft_prompt_PD is not None:
        _save_soft_prompt(trainable, folder, base)
    else:
        state = {name: value.to(dtype) for name, value in trainable.network.state_dict().items()}
        trainable.network.save_pretrained(str(folder), state_dict=state, safe_serialization=True)


def last_blocks(network: PreTrainedModel, count: int) -> list[nn.Module]:
    """The last transformer blocks and every norm after them, found by the numbered module list all models have."""
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and re.search(r"(^|\.)(layers|h|block|blocks)$", name)
    ]
    if not lists:
        raise UserError("This model's blocks were not found.", hint="Choose another method than last-n.")
    name, blocks = max(lists, key=lambda pair: len(pair[1]))
    if not 1 <= count <= len(blocks):
        raise UserError(f"The model has {len(blocks)} layers, so {count} cannot be trained.", hint="Lower last_layers.")
    parent = network.get_submodule(name.rpartition(".")[0])
    norms = [module for child, module in parent.named_children() if "norm" in child or child == "ln_f"]
    return [*list(blocks)[-count:], *norms]


def _start_soft_prompt(network: PreTrainedModel, length: int) -> nn.Parameter:
    """Embeddings of random vocabulary tokens: a better start than noise (Lester et al., arXiv:2104.08691)."""
    embeddings_VD = cast(Tensor, cast(Any, network.get_input_embeddings()).weight)
    picked_P = torch.randint(0, len(embeddings_VD), (length,))
    return nn.Parameter(embeddings_VD[picked_P.to(embeddings_VD.device)].detach().clone().float())


def _save_soft_prompt(trainable: Trainable, folder: Path, base: str) -> None:
    config = cast(Any, trainable.network.config)
    assert trainable.soft_prompt_PD is not None
    PromptTuningConfig(
        task_type=TaskType.CAUSAL_LM,
        num_virtual_tokens=trainable.settings.prompt_length,
        token_dim=config.hidden_size,
        num_transformer_submodules=1,
        num_attention_heads=config.num_attention_heads,
        num_layers=config.num_hidden_layers,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    save_file({SOFT_PROMPT_KEY: trainable.soft_prompt_PD.detach().cpu().contiguous()}, folder / ADAPTER_WEIGHTS)
