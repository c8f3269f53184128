"""How fast the bot may write in each channel, so that Discord never has to slow it down."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict, deque


class _Channel:
    """The times that are booked in one channel, some of them yet to come; in seconds of the monotonic clock."""

    __slots__ = ("edits", "next_edit", "sends")

    def __init__(self, each: int) -> None:
        self.sends: deque[float] = deque(maxlen=each)
        self.edits: deque[float] = deque(maxlen=each)
        self.next_edit = 0.0

    def busy_until(self) -> float:
        return max(self.next_edit, *(booked[-1] for booked in (self.sends, self.edits) if booked), 0.0)


class Pace:
    """Shared by all deliveries: turns to send and to edit, per channel. Forgets a channel once nothing is booked there.

    Streamed edits keep `edit_seconds` (and up to `jitter` more, so that channels drift apart) from the channel's last
    edit or message; `each` messages and as many edits fit into any `window` seconds. `grace` is how long a message is
    written before "is typing" shows. One that takes longer than `whole` from its first word on is shown while it is
    written, if that is wanted; all others come whole, as a person's do, and are never edited. All in seconds.
    """

    def __init__(
        self,
        *,
        edit_seconds: float = 1.2,
        jitter: float = 0.3,
        each: int = 5,
        window: float = 5.0,
        grace: float = 0.3,
        whole: float = 3.0,
    ) -> None:
        self.edit_seconds = edit_seconds
        self.jitter = jitter
        self.each = each
        self.window = window
        self.grace = grace
        self.whole = whole
        self._channels: OrderedDict[int, _Channel] = OrderedDict()  # the one used last at the end

    def __len__(self) -> int:
        """How many channels are remembered."""
        return len(self._channels)

    async def turn_to_send(self, channel_id: int) -> None:
        """Returns when a message may be sent. Those who wait are served in order; who gives up loses the turn only."""
        channel = self._channel(channel_id)
        await asyncio.sleep(self._book(channel, channel.sends))

    async def turn_to_edit(self, channel_id: int) -> None:
        """Returns when an edit that cannot be left out (the last words of a message) may be made."""
        channel = self._channel(channel_id)
        await asyncio.sleep(self._book(channel, channel.edits))

    def until_streamed_edit(self, channel_id: int) -> float:
        """Seconds until an edit that merely shows progress is polite; 0.0 books it."""
        channel, now = self._channel(channel_id), time.monotonic()
        wait = max(channel.next_edit, self._free_from(channel.edits)) - now
        if wait > 0:
            return wait
        self._book(channel, channel.edits)
        return 0.0

    def _book(self, channel: _Channel, booked: deque[float]) -> float:
        now = time.monotonic()
        turn = max(now, self._free_from(booked))
        booked.append(turn)
        # Jitter needs no secrecy.
        channel.next_edit = max(channel.next_edit, turn + self.edit_seconds + random.uniform(0.0, self.jitter))
        return turn - now

    def _free_from(self, booked: deque[float]) -> float:
        return booked[0] + self.window if len(booked) == self.each else 0.0

    def _channel(self, channel_id: int) -> _Channel:
        channel = self._channels.get(channel_id)
        if channel is None:
            channel = self._channels[channel_id] = _Channel(self.each)
        self._channels.move_to_end(channel_id)
        long_ago = time.monotonic() - self.window
        while True:
            oldest_id, oldest = next(iter(self._channels.items()))
            if oldest is channel or oldest.busy_until() >= long_ago:
                return channel
            del self._channels[oldest_id]
