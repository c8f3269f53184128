"""Text in pictures, read by the library rapidocr (the extra `eye`), whose models are in its wheel."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = "small-eye-1"
LEAST_SURE = 0.6  # of a line, by the reader
_LONGEST = 400  # characters that are kept

Read = Callable[[NDArray[np.uint8]], str]


def can_read() -> bool:
    """Whether the library is installed. Does not import it."""
    return importlib.util.find_spec("rapidocr") is not None


def small_eye_name() -> str:
    """Under which the small eye's words are kept: they are others where it reads."""
    return f"{VERSION}-reading" if can_read() else VERSION


def open_reader() -> Read | None:
    """Reads the text in (height, width, 3) pixels, its lines joined by " / "; None where the library is missing.

    Takes a second to open. What is returned may be called from one thread at a time.
    """
    if not can_read():
        return None
    # an extra, and half a second
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "critical", "EngineConfig.onnxruntime.intra_op_num_threads": 1})

    def read(seen: NDArray[np.uint8]) -> str:
        found: Any = engine(np.ascontiguousarray(seen[:, :, ::-1]), use_cls=False)  # it takes blue first
        lines = zip(found.txts or (), found.scores or (), strict=True)
        words = " / ".join(text.strip() for text, sure in lines if sure >= LEAST_SURE and _means_something(text))
        return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"

    return read


def _means_something(text: str) -> bool:
    return sum(sign.isalnum() for sign in text) >= 2
