"""The bot's requests to Discord that people see: at the channel's pace, harmless, and in words where they fail.

`Pace` and `send` serve all of them, an `Outbox` one reply. What Discord answers with "slow down" discord.py waits out;
nothing is retried here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import discord

from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.markers import notice
from talkalike.replying.writing import NotShownError

CANNOT_REFER = 160002  # no right to read the history, and so none to reply to a message of it
INVALID = 50035


async def send(
    channel: discord.abc.Messageable, text: str | None, *, reference: discord.MessageReference | None, **options: Any
) -> discord.Message:
    """Pings nobody. Where Discord does not take the reference, it goes without it. Raises what discord.py does."""
    options["allowed_mentions"] = discord.AllowedMentions.none()
    if reference is not None:
        try:
            return await channel.send(text, reference=reference, **options)
        except discord.HTTPException as error:
            if error.code != CANNOT_REFER and not (error.code == INVALID and "message_reference" in error.text):
                raise
            if (file := options.get("file")) is not None:
                file.reset()
    return await channel.send(text, **options)


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


if TYPE_CHECKING:
    from discord.abc import MessageableChannel

TYPING_SECONDS = 8.0  # Discord shows "is typing" for ten
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, CLOSED_DM = 10003, 10008, 50007  # Discord's codes
DELETED = {
    UNKNOWN_CHANNEL: "The channel was deleted while the reply was written.",
    UNKNOWN_MESSAGE: "The reply was deleted while it was written.",
}

T = TypeVar("T")


class DeliveryLostError(NotShownError):
    """A reply could not be shown, or not to its end.

    `passing`: Discord had trouble of its own, and later it may work again. `refused`: Discord did not want this
    request. `gone`: there is nothing left to write to.
    """

    def __init__(
        self, what: str, *, hint: str = "", passing: bool = False, refused: bool = False, gone: bool = False
    ) -> None:
        super().__init__(what, hint=hint)
        self.passing = passing
        self.refused = refused
        self.gone = gone


@dataclass(slots=True)
class Post:
    """A Discord message of ours, and the text we gave it last."""

    message: discord.Message
    text: str


class Outbox:
    """The requests of one delivery, in words where they fail; knows which message carries the buttons."""

    def __init__(
        self,
        channel: MessageableChannel,
        pace: Pace,
        *,
        reference: discord.Message | None,
        view: discord.ui.View | None,
    ) -> None:
        self._channel = channel
        self._pace = pace
        self._answered = reference
        self._reference = reference.to_reference(fail_if_not_exists=False) if reference is not None else None
        self._view = view
        self._last: Post | None = None
        self._buttons: Post | None = None
        self._old_buttons: Post | None = None
        self._next_typing = 0.0
        self.begun = False  # something may have been seen
        self.gone = False  # nothing can be shown in the channel any more

    def until_typing(self) -> float:
        return self._next_typing - time.monotonic()

    def until_streamed_edit(self) -> float:
        return self._pace.until_streamed_edit(self._channel.id)

    async def turn_to_send(self) -> None:
        await self._pace.turn_to_send(self._channel.id)

    async def turn_to_edit(self) -> None:
        await self._pace.turn_to_edit(self._channel.id)

    async def type(self) -> None:
        """A courtesy: where it fails, the message itself will tell."""
        self._next_typing = time.monotonic() + TYPING_SECONDS
        await self._try(self._type())

    async def _type(self) -> None:
        await self._channel.typing()

    async def post(self, text: str, *, buttons: bool, file: discord.File | None) -> Post:
        options: dict[str, Any] = {}
        if buttons and self._view is not None:
            options["view"] = self._view
        if file is not None:
            options["file"] = file
        self.begun = True
        message = await self._request(send(self._channel, text or None, reference=self._reference, **options))
        self._reference = None
        self._last = Post(message, text)
        if self._buttons is not None:
            self._old_buttons = self._buttons
        self._buttons = self._last if "view" in options else None
        return self._last

    async def remove_old_buttons(self) -> None:
        """Takes the buttons from the message that was the last one before."""
        if self._old_buttons is not None:
            post, self._old_buttons = self._old_buttons, None
            await self.turn_to_edit()
            await self._try(post.message.edit(view=None, allowed_mentions=discord.AllowedMentions.none()))

    async def edit(self, post: Post, text: str) -> None:
        await self._request(post.message.edit(content=text, allowed_mentions=discord.AllowedMentions.none()))
        post.text = text

    async def delete(self, post: Post, *, before: Post | None) -> None:
        """Takes the last message back, which leaves the one `before` as the last."""
        await self._request(post.message.delete())
        self._last = before
        if self._buttons is post:
            self._buttons = None
            if before is not None:
                await self.change_view(self._view)
                self._buttons = before

    async def change_view(self, view: discord.ui.View | None) -> None:
        """Replaces the buttons under the last message."""
        if self._last is None or (view is None and self._buttons is None):
            return
        await self.turn_to_edit()
        await self._try(self._last.message.edit(view=view, allowed_mentions=discord.AllowedMentions.none()))

    async def react(self, emoji: str) -> bool:
        if self._answered is None:
            return False
        self.begun = True
        return await self._try(self._answered.add_reaction(emoji))

    async def note(self, note: str) -> None:
        """A line about the reply, not of it."""
        await self.turn_to_send()
        await self._try(send(self._channel, notice(neutralise(note)), reference=self._reference, silent=True))

    async def _try(self, request: Coroutine[Any, Any, Any]) -> bool:
        try:
            await self._request(request)
        except DeliveryLostError:
            return False
        return True

    async def _request(self, request: Coroutine[Any, Any, T]) -> T:
        try:
            return await _in_words(request)
        except DeliveryLostError as error:
            self.gone = self.gone or error.gone
            raise


async def _in_words(request: Coroutine[Any, Any, T]) -> T:
    """Awaits one request of discord.py. Raises DeliveryLostError with words for whatever keeps it from succeeding."""
    try:
        return await request
    except discord.Forbidden as error:
        if error.code == CLOSED_DM:
            raise DeliveryLostError(
                "This person takes no direct messages from me.",
                hint="Their privacy settings on Discord decide that, for each server they share with the bot.",
                refused=True,
            ) from error
        raise DeliveryLostError(
            "Discord does not let me write here any more.",
            hint="Give the bot the permissions to see this channel, send messages and attach files in it.",
            refused=True,
        ) from error
    except discord.NotFound as error:
        what = DELETED.get(error.code, f"Discord does not find what the reply needs ({error.text or error.code}).")
        raise DeliveryLostError(what, gone=error.code == UNKNOWN_CHANNEL) from error
    except discord.HTTPException as error:
        if error.status >= 500:
            what = f"Discord has trouble of its own (error {error.status})."
            raise DeliveryLostError(what, hint="Ask again in a minute.", passing=True) from error
        raise DeliveryLostError(f"Discord refused the message: {error.text or error.status}.", refused=True) from error
    except (aiohttp.ClientError, OSError) as error:
        raise DeliveryLostError(
            "The connection to Discord broke.", hint="The bot connects again by itself; ask again then.", passing=True
        ) from error
    except RuntimeError as error:
        if str(error) != "Session is closed":  # what aiohttp says when the bot is shutting down
            raise
        raise DeliveryLostError("The bot was shut down while the reply was written.", gone=True) from error
