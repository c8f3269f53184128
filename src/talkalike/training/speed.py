"""How fast a base trains on this machine: a few real steps on random tokens, measured once and saved in its folder."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import numpy as np

from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.models.load import load_network
from talkalike.models.packed import pack
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.training.loop import accumulate, make_accelerator
from talkalike.workspace.cards import Catalog
from talkalike.workspace.files import read_json, write_json

_FILE = "speed.json"  # in the base's folder
_DOCUMENTS, _LENGTH, _LOSS_SHARE = 2, 512, 0.25


def tokens_per_second(catalog: Catalog, base: str, dtype: str, device: str, *, say: Callable[[str], object]) -> float:
    """Training speed of a base in the catalog, here and with this device and number format."""
    file = catalog.path(base) / _FILE
    key = f"{platform.node()} {device} {dtype}"
    known = read_json(file) or {}
    if isinstance(known.get(key), float):
        return float(known[key])
    say(f"Measuring how fast {base} trains here (once).")
    speed = measure(catalog, base, dtype, device)
    write_json(file, {**known, key: round(speed, 1)})
    return speed


def measure(catalog: Catalog, base: str, dtype: str, device: str) -> float:
    """Tokens (context included) per second that LoRA training of `base` gets through here, after one warm-up step."""
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    accelerator = make_accelerator(chosen_device, chosen_dtype)
    network = load_network(catalog.path(base), dtype=chosen_dtype, device=chosen_device)
    trainable = make_trainable(network, AdapterSettings(), seed=0)
    rng = np.random.default_rng(0)
    vocabulary = int(network.get_input_embeddings().weight.shape[0])
    ids = [rng.integers(vocabulary // 2, vocabulary, size=_LENGTH).astype(np.int32) for _ in range(_DOCUMENTS)]
    masks = [rng.random(_LENGTH) < _LOSS_SHARE for _ in range(_DOCUMENTS)]
    row = pack(ids, masks, chosen_device)
    accumulate(trainable, [row], accelerator)
    start = time.perf_counter()
    accumulate(trainable, [row], accelerator)  # reading the loss waits for the device
    return _DOCUMENTS * _LENGTH / (time.perf_counter() - start)
