"""The small eye's network with random weights, as it lies in a workspace: its features still tell colours apart."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from talkalike.models.eyes.lite0 import WEIGHTS_FILE, Lite0


def random_small_eye(folder: Path) -> Path:
    """Writes it to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file({name: t.contiguous() for name, t in Lite0().state_dict().items()}, folder / WEIGHTS_FILE)
    return folder
