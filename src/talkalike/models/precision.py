"""Which device and number format to compute in: decided by a short timing on the hardware, not by its name."""

from __future__ import annotations

import functools
import time

import torch

from talkalike.errors import UserError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_GAIN_WORTH_TAKING = 1.15
_PRODUCT = (512, 576, 1536)  # the sizes of the matrices that are timed


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to compute on; `auto` takes CUDA, then Apple's MPS, then the CPU. UserError if it is not there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as problem:
        first_line = str(problem).strip().split("\n")[0]
        raise UserError(f"The device '{wanted}' cannot be used: {first_line}.", hint="Set device = 'auto'.") from None
    return torch.device(wanted)


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The format of weights and activations; `auto` is bfloat16 where this device is faster in it, else float32."""
    if wanted != "auto":
        if wanted not in _DTYPES:
            raise UserError(f"Unknown dtype '{wanted}'.", hint=f"Choose auto, {', '.join(_DTYPES)}.")
        return _DTYPES[wanted]
    return torch.bfloat16 if bfloat16_gain(device) >= _GAIN_WORTH_TAKING else torch.float32


@functools.cache
def bfloat16_gain(device: torch.device) -> float:
    """How many times faster this device multiplies in bfloat16 than in float32 (a fraction of a second)."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return 0.0

    try:
        return _product_seconds(device, torch.float32) / _product_seconds(device, torch.bfloat16)
    except RuntimeError:  # a back end without bfloat16 kernels
        return 0.0


def free_on_gpu(device: torch.device) -> int | None:
    """Bytes free on a GPU with a memory of its own; None for any other device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def multiplications_per_second(device: str, *, half: bool) -> float:
    """How many numbers this device multiplies and adds in a second, in products of a small base's matrices."""
    seconds = _product_seconds(torch.device(device), torch.bfloat16 if half else torch.float32)
    rows, width, inner = _PRODUCT
    return rows * width * inner / seconds


def _product_seconds(device: torch.device, dtype: torch.dtype) -> float:
    rows, width, inner = _PRODUCT
    left_MK = torch.ones(rows, width, dtype=dtype, device=device)
    right_KN = torch.ones(width, inner, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        product = left_MK @ right_KN
        product[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return best
