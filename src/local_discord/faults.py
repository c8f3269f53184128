"""Trouble on request: what a bot must survive, made to happen when a test (or a curious person) says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

DEFAULT_UPLOAD_CAP = 10 * 1024 * 1024


@dataclass(slots=True)
class Fault:
    """Strikes requests "METHOD /path" (the path below /api/v10, or of an attachment) matching a shell pattern, `times`
    times."""

    pattern: str
    times: int
    status: int
    retry_after: float = 0.0
    everywhere: bool = False  # a global rate limit
    after: bool = False  # the request is carried out, and only its answer is lost
    delay: float = 0.0
    garbage: bool = False  # an answer, but none that the API knows
    cut: bool = False  # the line goes dead


class Faults:
    """`upload_cap` in bytes per file. `message_limit` (requests, seconds) per channel, None for no limit.

    `mute_heartbeats`: the gateway goes on but acknowledges no heartbeat (a zombie connection).
    """

    def __init__(self) -> None:
        self.upload_cap = DEFAULT_UPLOAD_CAP
        self.message_limit: tuple[int, float] | None = (5, 5.0)
        self.mute_heartbeats = False
        self._waiting: list[Fault] = []
        self._droppers: list[Callable[[str, int | None, int], int]] = []

    def rate_limit(
        self, route_pattern: str, times: int = 1, retry_after: float = 1.0, *, everywhere: bool = False
    ) -> None:
        """429 with `retry_after` seconds. Patterns are like "POST /channels/*/messages"."""
        self._waiting.append(Fault(route_pattern, times, 429, retry_after=retry_after, everywhere=everywhere))

    def fail(self, route_pattern: str, status: int = 502, times: int = 1, *, after: bool = False) -> None:
        """Answers with that status. `after`: only after the request has taken effect, as when an answer gets lost."""
        self._waiting.append(Fault(route_pattern, times, status, after=after))

    def delay(self, route_pattern: str, seconds: float, times: int = 1) -> None:
        """Answers these requests correctly, but after so many seconds."""
        self._waiting.append(Fault(route_pattern, times, 0, delay=seconds))

    def garble(self, route_pattern: str, times: int = 1) -> None:
        """Answers with something else than the API promises."""
        self._waiting.append(Fault(route_pattern, times, 200, garbage=True))

    def cut(self, route_pattern: str, times: int = 1) -> None:
        """Closes the connection instead of answering."""
        self._waiting.append(Fault(route_pattern, times, 0, cut=True))

    def clear(self) -> None:
        self._waiting.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault due for this request, used up by one; None for none."""
        request = f"{method} {path}"
        for fault in self._waiting:
            if fnmatchcase(request, fault.pattern):
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return None

    # ---------------------------------------------------------------------------------------------------- gateway
    def on_drop(self, dropper: Callable[[str, int | None, int], int]) -> None:
        """The gateway says here how it is to be dropped: (how, bot, close code) -> connections hit."""
        self._droppers.append(dropper)

    def forget_drop(self, dropper: Callable[[str, int | None, int], int]) -> None:
        self._droppers.remove(dropper)

    def drop_gateway(self, bot_id: int | None = None, *, code: int = 4000, abrupt: bool = False) -> int:
        """Closes gateway connections (of one bot or of all); `abrupt` cuts the line without a word. The sessions stay
        and can be resumed. Returns how many were hit."""
        return self._drop("abort" if abrupt else "close", bot_id, code)

    def ask_to_reconnect(self, bot_id: int | None = None) -> int:
        """Op 7: the client is to reconnect and resume."""
        return self._drop("reconnect", bot_id, 0)

    def invalidate_sessions(self, bot_id: int | None = None, *, resumable: bool = False) -> int:
        """Op 9. Not resumable: the sessions are gone, and what the client missed is lost to it."""
        return self._drop("invalidate", bot_id, int(resumable))

    def _drop(self, how: str, bot_id: int | None, code: int) -> int:
        return sum(dropper(how, bot_id, code) for dropper in self._droppers)
