"""A training that goes on from an earlier one: its adapter, or its whole network, as the first state."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from talkalike.errors import UserError
from talkalike.models.adapter_config import ADAPTER_WEIGHTS
from talkalike.models.adapters import Trainable
from talkalike.models.load import load_network
from talkalike.models.lora_pairs import SOFT_PROMPT_KEY


def start_from(trainable: Trainable, folder: Path) -> None:
    """Puts the weights of the model in `folder` into the network. Raises UserError where they do not fit."""
    if trainable.peft_model is not None or trainable.soft_prompt_PD is not None:
        stored = _stored(folder)
        if trainable.soft_prompt_PD is not None:
            expected = {SOFT_PROMPT_KEY: trainable.soft_prompt_PD.detach()}
        else:
            expected = dict(get_peft_model_state_dict(trainable.peft_model))
        _check(expected, stored, folder)
        if trainable.soft_prompt_PD is not None:
            trainable.soft_prompt_PD.data.copy_(stored[SOFT_PROMPT_KEY])
        else:
            set_peft_model_state_dict(trainable.peft_model, stored)
        return
    network = load_network(folder, dtype=torch.float32, device=trainable.network.device)
    earlier, ours = network.state_dict(), trainable.network.state_dict()
    _check(ours, earlier, folder)
    with torch.no_grad():
        for name, value in ours.items():
            value.copy_(earlier[name])


def _stored(folder: Path) -> dict[str, Tensor]:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"'{folder.name}' is no adapter, so an adapter cannot be trained from it.",
            hint=f"Train on it as a base instead: talkalike train --base {folder.name}",
        )
    return load_file(folder / ADAPTER_WEIGHTS)


def _check(expected: dict[str, Tensor], stored: dict[str, Tensor], folder: Path) -> None:
    """Names and shapes have to be the same: another rank, or other layers, would be trained halfway."""
    if {name: each.shape for name, each in expected.items()} != {name: each.shape for name, each in stored.items()}:
        raise UserError(
            f"The weights of '{folder.name}' do not fit this training: other layers or another rank.",
            hint="Start from the base: leave out --start.",
        )
