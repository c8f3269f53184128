"""Time and identity: a clock that tests can move, and Discord's snowflakes, which carry the time of their making."""

from __future__ import annotations

import time
from datetime import UTC, datetime

DISCORD_EPOCH_MS = 1_420_070_400_000


class Clock:
    """Wall clock in seconds since 1970. `advance` moves it ahead, so that the 15 minutes of a token pass at once."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class Snowflakes:
    """64-bit ids: milliseconds since Discord's epoch << 22, then a counter. Unique and rising within one world."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        candidate = (int(self._clock.now() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last = max(candidate, self._last + 1)
        return self._last


def seconds_of(snowflake: int) -> float:
    """When a snowflake was made, in seconds since 1970."""
    return ((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000


def iso(seconds: float | None) -> str | None:
    """The form Discord writes times in."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
