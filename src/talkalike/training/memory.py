"""A training's memory: freed blocks are kept between two steps, and running out of it becomes a UserError."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

from talkalike.errors import UserError

# From glibc's malloc.h. The values are ints there, so two gigabytes is the most that can be said.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 2**30
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc")


def keep_freed_memory() -> None:
    """Lets every step reuse the memory of the one before: without it a CPU step spends a fifth on page faults.

    The process keeps its peak memory until it ends. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE - 1)


@contextlib.contextmanager
def explain_out_of_memory(what: str, *, hint: str) -> Iterator[None]:
    """Turns running out of memory, which torch reports in several ways, into this UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        text = str(problem).lower()
        if not isinstance(problem, MemoryError) and not any(words in text for words in _OUT_OF_MEMORY):
            raise
        raise UserError(what, hint=hint) from None
