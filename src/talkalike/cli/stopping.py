"""Ctrl-C during a training: it is asked to stop, and saves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from talkalike.cli.output import say


@contextmanager
def polite_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, or SIGTERM, asks to stop after the step; a second Ctrl-C interrupts at once.

    SIGTERM never does: a computer that shuts down, and the keeper of a job, may send both.
    """
    asked: set[int] = set()

    def ask(number: int, _frame: object) -> None:
        if number == signal.SIGINT and number in asked:
            raise KeyboardInterrupt
        if not asked:
            say("Stopping after this step, then saving (Ctrl-C again: at once) …")
        asked.add(number)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
