"""How many replies a channel may have within a minute, whoever or whatever asked for them."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

MINUTE = 60.0
REMEMBERED = 2_000  # channels


class Rate:
    """When the last replies of each channel began."""

    def __init__(self) -> None:
        self._begun_at: OrderedDict[int, deque[float]] = OrderedDict()

    def until_next(self, channel_id: int, each_minute: int) -> float:
        """Seconds until the channel may have another reply; 0.0 counts that one."""
        begun = self._begun_at.setdefault(channel_id, deque())
        self._begun_at.move_to_end(channel_id)
        if len(self._begun_at) > REMEMBERED:
            self._begun_at.popitem(last=False)
        now = time.monotonic()
        while begun and begun[0] <= now - MINUTE:
            begun.popleft()
        if len(begun) >= each_minute:
            return max(begun[0] + MINUTE - now, 0.001)
        begun.append(now)
        return 0.0
