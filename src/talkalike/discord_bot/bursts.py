"""Waits for the end of what people are saying: each further message, and their typing, moves the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import discord

LONGEST = 4  # times the wait, and at least...
AT_LEAST = 8.0  # seconds: after that long a burst counts as ended, whether it has or not

Key = tuple[int, int]  # the channel, and who addressed the double there; 0 for whoever speaks in an open channel


@dataclass(slots=True, eq=False)
class _Burst:
    messages: dict[int, discord.Message]
    wait: float
    timer: asyncio.TimerHandle
    latest: asyncio.TimerHandle  # ends it in any case

    @property
    def newest(self) -> discord.Message:
        return self.messages[max(self.messages)]

    def cancel(self) -> None:
        self.timer.cancel()
        self.latest.cancel()


class Bursts:
    """Calls `on_end(key, message)` with the newest message of each burst. Belongs to one event loop."""

    def __init__(self, on_end: Callable[[Key, discord.Message], None]) -> None:
        self._on_end = on_end
        self._bursts: dict[Key, _Burst] = {}
        self._closed = False

    def add(self, key: Key, message: discord.Message, *, wait: float) -> None:
        """Adds a message to its burst, or begins one; once closed, it does nothing."""
        if self._closed:
            return
        burst = self._bursts.get(key)
        if burst is None:
            latest = self._timer(key, max(AT_LEAST, LONGEST * wait))
            self._bursts[key] = _Burst({message.id: message}, wait, self._timer(key, wait), latest)
            return
        burst.messages[message.id] = message
        burst.wait = wait
        self._restart(key, burst)

    def on_typing(self, channel_id: int, user_id: int) -> None:
        """Begins the wait again if the one who types is being waited for."""
        for key, burst in self._bursts.items():
            if key[0] == channel_id and burst.newest.author.id == user_id:
                self._restart(key, burst)

    def is_waiting(self, key: Key) -> bool:
        """True while that burst goes on."""
        return key in self._bursts

    def on_edit(self, message: discord.Message) -> None:
        """Takes the new wording of a message."""
        for burst in self._bursts.values():
            if message.id in burst.messages:
                burst.messages[message.id] = message

    def on_delete(self, message_id: int) -> None:
        """Removes a deleted message; a burst without messages ends."""
        for key, burst in tuple(self._bursts.items()):
            burst.messages.pop(message_id, None)
            if not burst.messages:
                self._bursts.pop(key).cancel()

    def cancel(self, message_id: int, user_id: int) -> None:
        """Ends the burst of a message whose author wants no answer."""
        for key, burst in tuple(self._bursts.items()):
            if message_id in burst.messages and burst.messages[message_id].author.id == user_id:
                self._bursts.pop(key).cancel()

    def forget(self, channel_id: int) -> None:
        """Stops waiting in a channel that is gone."""
        for key in [key for key in self._bursts if key[0] == channel_id]:
            self._bursts.pop(key).cancel()

    def close(self) -> None:
        """Ends all waiting, for good, without calling anybody."""
        self._closed = True
        for burst in self._bursts.values():
            burst.cancel()
        self._bursts.clear()

    def _restart(self, key: Key, burst: _Burst) -> None:
        burst.timer.cancel()
        burst.timer = self._timer(key, burst.wait)

    def _timer(self, key: Key, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._end, key)

    def _end(self, key: Key) -> None:
        burst = self._bursts.pop(key, None)
        if burst is not None:
            burst.cancel()
            self._on_end(key, burst.newest)
