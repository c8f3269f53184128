"""What lets a text model see with its own weights, on disk: eye.safetensors with eye.json, and a card beside them.

The model that it was trained before stays as it is, so the same adapter may be hung before another one of the same
width: a double on that base, or an instruct model.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.adapters import disk_errors
from talkalike.models.eyes.adapter import SeeingAdapter, Shape, make_adapter
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.gated import GatedShape
from talkalike.workspace.files import write_json
from talkalike.workspace.rebuilding import read_as

WEIGHTS_FILE, ABOUT_FILE = "eye.safetensors", "eye.json"
KIND = "eye"  # on its card


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeAbout:
    """What is known of an adapter: its sizes, the encoder whose grids it takes, and the base it was trained before.

    `vocabulary`: hash of the base's. `end`: the token that ends a chunk. `prompt`: what stands between picture and
    answer.
    """

    connector: ConnectorShape | None = None
    gated: GatedShape | None = None
    encoder: str
    base: str
    vocabulary: str
    end: int
    prompt: str

    @property
    def shape(self) -> Shape:
        """Its sizes, of whichever kind it is."""
        found = self.connector or self.gated
        assert found is not None
        return found


def save_adapter(adapter: SeeingAdapter, about: EyeAbout, folder: Path) -> None:
    """Writes both files; the folder must exist."""
    tensors: dict[str, Tensor] = {name: t.detach().cpu().contiguous() for name, t in adapter.state_dict().items()}
    with disk_errors():
        save_file(tensors, folder / WEIGHTS_FILE)
    write_json(folder / ABOUT_FILE, dataclasses.asdict(about))


def load_adapter(folder: Path) -> tuple[SeeingAdapter, EyeAbout]:
    """What `save_adapter` wrote, frozen. Raises UserError where it is missing or damaged."""
    hint = "Train it again: talkalike train --eye …"
    if not (folder / ABOUT_FILE).is_file():
        raise UserError(f"{folder} holds no eye that was trained here.", hint=hint)
    about = read_as(EyeAbout, folder / ABOUT_FILE, hint=hint)
    if (about.connector is None) == (about.gated is None):
        raise UserError(f"{folder / ABOUT_FILE} does not say what kind of eye it is.", hint=hint)
    adapter = make_adapter(about.shape)
    try:
        adapter.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError, RuntimeError) as problem:
        raise UserError(f"The eye in {folder} cannot be opened.", hint=hint) from problem
    return adapter.eval().requires_grad_(False), about


def check_width(about: EyeAbout, network: PreTrainedModel, name: str) -> None:
    """Raises UserError where the adapter cannot be hung before this network, called `name`."""
    config: Any = network.config
    fits = config.hidden_size == about.shape.width
    if fits and about.gated is not None:
        fits = config.num_hidden_layers == about.gated.layers
    if not fits:
        raise UserError(
            f"The eye that was trained before '{about.base}' does not fit '{name}': their sizes differ.",
            hint=f"Choose a model that was made from '{about.base}', or train an eye for this one.",
        )
