"""How fast a base trains on this machine, and in how much memory: a few real steps on random tokens, measured once and
saved in its folder."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.models.footprint import FIRST_STEP, TrainingPlan, estimate, read_shape
from talkalike.models.load import load_network
from talkalike.models.memory import memory_in_use, peak_memory, reset_peak_memory
from talkalike.models.packed import Row, pack
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.training.loop import accumulate, make_accelerator, make_optimizer
from talkalike.training.memory import keep_freed_memory
from talkalike.training.values import LoopSettings
from talkalike.workspace.cards import Catalog
from talkalike.workspace.files import mapping_of, number_of, read_json, write_json

_FILE = "speed.json"  # in the base's folder
_DOCUMENTS, _LENGTH, _LOSS_SHARE = 2, 512, 0.25
MEASURED_TOKENS = _DOCUMENTS * _LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How a base is held: the settings `dtype`, `device` and `quantize`."""

    dtype: str = "auto"
    device: str = "auto"
    quantize: str = "none"

    @property
    def key(self) -> str:
        """What it was measured as on this machine."""
        bits = "" if self.quantize == "none" else f" {self.quantize}"
        return f"{platform.node()} {self.device} {self.dtype}{bits}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpeed:
    """What LoRA training of a base gets through here, and the memory of a step of MEASURED_TOKENS.

    `peak_bytes`: as measured (0 where nobody says), `estimated_bytes`: as reckoned before (0 where that cannot be).
    """

    tokens_per_second: float
    peak_bytes: int
    estimated_bytes: int


def training_speed(catalog: Catalog, base: str, how: Precision, *, say: Callable[[str], object]) -> TrainingSpeed:
    """Training speed and memory of a base in the catalog, here and held so."""
    known = known_speed(catalog, base, how)
    if known is not None:
        return known
    say(f"Measuring how fast {base} trains here (once).")
    speed = measure(catalog, base, how)
    file = catalog.path(base) / _FILE
    found = {
        "tokens_per_second": round(speed.tokens_per_second, 1),
        "peak_bytes": speed.peak_bytes,
        "estimated_bytes": speed.estimated_bytes,
    }
    write_json(file, {**(read_json(file) or {}), how.key: found})
    return speed


def known_speed(catalog: Catalog, base: str, how: Precision) -> TrainingSpeed | None:
    """What was measured before; None where nothing was."""
    found = mapping_of(read_json(catalog.path(base) / _FILE) or {}, how.key)
    speed = number_of(found, "tokens_per_second")
    if speed is None:
        return None
    peak, reckoned = number_of(found, "peak_bytes") or 0, number_of(found, "estimated_bytes") or 0
    return TrainingSpeed(tokens_per_second=speed, peak_bytes=int(peak), estimated_bytes=int(reckoned))


def measure(catalog: Catalog, base: str, how: Precision) -> TrainingSpeed:
    """Tokens (context included) per second that LoRA training of `base` gets through here, after one warm-up step."""
    device = choose_device(how.device)
    dtype = choose_dtype(how.dtype, device)
    accelerator = make_accelerator(device, dtype)
    before = _start_measuring(device)
    network = load_network(catalog.path(base), dtype=dtype, device=device, quantize=how.quantize)
    trainable = make_trainable(network, AdapterSettings(), seed=0)
    optimizer = make_optimizer(trainable, LoopSettings(learning_rate=0.0))
    row = _random_row(int(network.get_input_embeddings().weight.shape[0]), device)
    accumulate(trainable, [row], accelerator)
    optimizer.step()  # with it, all that a step keeps is there
    start = time.perf_counter()
    accumulate(trainable, [row], accelerator)  # reading the loss waits for the device
    seconds = time.perf_counter() - start
    shape = read_shape(catalog.path(base))
    plan = TrainingPlan(
        row=MEASURED_TOKENS,
        document=_LENGTH,
        learned=_LOSS_SHARE,
        half=dtype is not torch.float32,
        quantize=how.quantize,
        device=device.type,
    )
    reckoned = estimate(shape, plan) if shape is not None else None
    return TrainingSpeed(
        tokens_per_second=MEASURED_TOKENS / seconds,
        peak_bytes=torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_memory() or 0,
        estimated_bytes=reckoned.total - reckoned.program + before if reckoned is not None else 0,
    )


def _start_measuring(device: torch.device) -> int:
    """Forgets earlier peaks; returns the bytes that the program has by itself."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    keep_freed_memory()
    reset_peak_memory()
    return (memory_in_use() or 0) + FIRST_STEP


def _random_row(vocabulary: int, device: torch.device) -> Row:
    rng = np.random.default_rng(0)
    ids = [rng.integers(vocabulary // 2, vocabulary, size=_LENGTH).astype(np.int32) for _ in range(_DOCUMENTS)]
    masks = [rng.random(_LENGTH) < _LOSS_SHARE for _ in range(_DOCUMENTS)]
    return pack(ids, masks, device)
