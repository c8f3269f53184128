"""Where a base lies that is larger than one device: on several GPUs, in memory and on the disk, by accelerate's map.

A base that fits its device is never spread: each crossing from one device to another costs time.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.footprint import read_shape, weight_bytes
from talkalike.models.memory import available_memory, stored_numbers

_log = logging.getLogger(__name__)
_FOR_WEIGHTS = 0.9  # of what is free; the rest is for what is computed

Places = dict[str, Any]
"""Names of modules, and the device of each: the number of a GPU, "cpu" or "disk"."""


def free_memory(device: torch.device) -> dict[int | str, int]:
    """Bytes free for weights on each GPU of this kind and in memory ("cpu")."""
    free: dict[int | str, int] = {}
    if device.type == "cuda":
        free |= {number: torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())}
    memory = available_memory()
    return {**free, "cpu": memory if memory is not None else 2**62}


def spread_map(
    folder: Path, loader: Any, config: Any, *, dtype: torch.dtype, device: torch.device, quantize: str
) -> Places | None:
    """Where each part of the base in `folder` lies, where it does not fit `device`; None where it does.

    `loader` and `config`: transformers' class and configuration of it. Raises UserError where a quantised base does
    not fit the GPUs: those layers cannot be computed elsewhere.
    """
    if device.type not in {"cuda", "cpu"}:
        return None
    free = {place: int(_FOR_WEIGHTS * count) for place, count in free_memory(device).items()}
    shape, numbers = read_shape(folder), stored_numbers(folder)
    needed = weight_bytes(shape, dtype.itemsize, quantize) if shape else numbers * dtype.itemsize
    first = 0 if device.type == "cuda" else "cpu"
    if needed <= free[first]:
        return None
    from accelerate import infer_auto_device_map, init_empty_weights  # half a second that is seldom needed

    with init_empty_weights():
        empty = loader.from_config(config, dtype=dtype)
    empty.tie_weights()
    places = cast(
        Places,
        infer_auto_device_map(
            empty,
            max_memory={place: int(count * numbers * dtype.itemsize / max(1, needed)) for place, count in free.items()},
            no_split_module_classes=list(empty._no_split_modules or ()),
            dtype=dtype,
        ),
    )
    used = Counter(str(place) for place in places.values())
    if next(iter(places.values()), "disk") == "disk":
        raise UserError(
            f"Not even the first part of {folder.name} fits this machine's memory.",
            hint="Close other programs, or choose a smaller base: talkalike advise base",
        )
    if quantize != "none" and (used["disk"] or (used["cpu"] and device.type == "cuda")):
        raise UserError(
            f"{folder.name} does not fit this machine's memory even with quantize = '{quantize}'.",
            hint="Choose a smaller base: `talkalike advise base` names those that fit.",
        )
    shares = ", ".join(f"{count} on {_in_words(place)}" for place, count in sorted(used.items()))
    slow = ", which is many times slower" if used["disk"] or (used["cpu"] and device.type == "cuda") else ""
    _log.warning("%s does not fit %s alone. Its parts are spread: %s%s.", folder.name, device, shares, slow)
    return places


def is_spread(network: PreTrainedModel) -> bool:
    """Whether the network's parts lie on several devices."""
    return len(_places(network)) > 1


def refuse_offloaded(network: PreTrainedModel, name: str) -> None:
    """Raises UserError where parts of a network that is to be trained lie elsewhere than on devices that compute."""
    places = _places(network)
    if len(places) > 1 and places & {"cpu", "disk"}:
        raise UserError(
            f"'{name}' does not fit this machine: it can talk here, slowly, but not be trained.",
            hint="Set quantize = '4bit' in [model], or choose a smaller base: talkalike advise base",
        )


def execution_device(module: nn.Module) -> torch.device:
    """Where a layer is computed; its weights may lie elsewhere in between."""
    hook: Any = getattr(module, "_hf_hook", None)
    place = getattr(hook, "execution_device", None)
    weight: Any = module.weight
    return weight.device if place is None else torch.device(place)


def _places(network: PreTrainedModel) -> set[int | str]:
    return set(getattr(network, "hf_device_map", {}).values())


def _in_words(place: str) -> str:
    return {"cpu": "the processor", "disk": "the disk"}.get(place, f"GPU {place}")
