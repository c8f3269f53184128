"""The one thread that computes. Replies are generators that ask for forward passes; those that ask together share one.

A reply advances only when somebody waits for its next piece, so what nobody reads is never computed. Between two shared
passes new replies may join, and cancelled ones leave.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from talkalike.engine.passes import Pass

GATHER_SHARE = 0.15  # of a pass's duration: how long the next pass waits for the other replies' readers
GATHER_SECONDS = 0.01

Work = Generator[Any, Tensor | None, None]
"""Yields a Pass and is sent its logits, or yields a result for whoever waits."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Somebody waits for the next result of this work."""

    work: Work
    answer: Future[Any]


class Worker:
    """Advances work in a thread of its own; `run` computes the logits of several passes at once."""

    def __init__(self, run: Callable[[Sequence[Pass]], list[Tensor]]) -> None:
        self._run_passes = run
        self._changed = threading.Condition()
        self._asked: deque[_Asked] = deque()
        self._leaving: deque[Work] = deque()
        self._members = 0
        self._closed = False
        self._pass_seconds = 0.0
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)

    def start(self, work: Work) -> Work:
        """Counts the work among those that a shared pass waits for; `leave` must follow."""
        with self._changed:
            if not self._thread.ident:
                self._thread.start()
            self._members += 1
        return work

    def next(self, work: Work) -> Future[Any]:
        answer: Future[Any] = Future()
        with self._changed:
            if self._closed:
                answer.cancel()
            else:
                self._asked.append(_Asked(work, answer))
                self._changed.notify()
        return answer

    def leave(self, work: Work) -> None:
        """Closes the work, after the pass that may be running."""
        with self._changed:
            self._members -= 1
            self._leaving.append(work)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the pass that may be running; whoever waits gets a cancellation."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident:
            self._thread.join()

    def _loop(self) -> None:
        waiting: list[tuple[_Asked, Pass]] = []
        with torch.inference_mode():
            while True:
                asked, leaving = self._take(busy=bool(waiting))
                waiting = [each for each in waiting if all(each[0].work is not work for work in leaving)]
                for work in leaving:
                    work.close()
                if self._closed:
                    break
                for one in asked:
                    self._advance(one, None, waiting)
                if waiting:
                    waiting = self._pass(waiting)
        for one in [*self._asked, *(each for each, _ in waiting)]:
            one.answer.cancel()

    def _take(self, *, busy: bool) -> tuple[list[_Asked], list[Work]]:
        """What came in. Idle: waits for it, and then a little for the readers of the replies that run together."""
        with self._changed:
            if not busy:
                self._changed.wait_for(lambda: self._asked or self._leaving or self._closed)
                window = min(GATHER_SECONDS, GATHER_SHARE * self._pass_seconds)
                self._changed.wait_for(lambda: len(self._asked) >= self._members or self._closed, timeout=window)
            asked, leaving = list(self._asked), list(self._leaving)
            self._asked.clear()
            self._leaving.clear()
        gone = {id(work) for work in leaving}
        return [one for one in asked if id(one.work) not in gone], leaving

    def _pass(self, waiting: list[tuple[_Asked, Pass]]) -> list[tuple[_Asked, Pass]]:
        """One shared pass; returns those who want another one before they have a result."""
        began = time.perf_counter()
        following: list[tuple[_Asked, Pass]] = []
        try:
            logits = self._run_passes([each for _, each in waiting])
        except Exception as failure:  # noqa: BLE001  # handed to everybody who waits for this pass
            for one, _ in waiting:
                one.work.close()
                one.answer.set_exception(failure)
            return following
        for (one, _), rows_RV in zip(waiting, logits, strict=True):
            self._advance(one, rows_RV, following)
        self._pass_seconds = time.perf_counter() - began
        return following

    def _advance(self, one: _Asked, sent: Tensor | None, waiting: list[tuple[_Asked, Pass]]) -> None:
        """To its next result or its next pass. Its reader may be gone: then `leave` is on its way."""
        try:
            came = one.work.send(sent)
        except BaseException as failure:  # noqa: BLE001  # handed to whoever waits
            one.answer.set_exception(failure if not isinstance(failure, StopIteration) else RuntimeError("it ended"))
            return
        if isinstance(came, Pass):
            waiting.append((one, came))
        elif not one.answer.cancelled():
            one.answer.set_result(came)
