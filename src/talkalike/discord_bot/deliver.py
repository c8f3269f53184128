"""Shows one reply in a Discord channel: a burst of messages, each whole (or, if it takes long, while it is written),
split and made safe.

    delivery = Delivery(channel, pace=pace, reference=message, view=buttons, stream=True)
    try:
        await delivery.add_text(0, "hel")            # for every Text event
        ids = await delivery.finish_message(0, "hello", last=True)  # for every MessageDone event
        await delivery.finish()
    except DeliveryLostError as error: ...       # the channel is gone; `delivery.shown` tells what people saw
    finally:
        await delivery.abort()                   # does nothing after `finish`

One task per message does all its requests, so that whoever calls may be cancelled at any moment without a message that
was sent and is known to nobody.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.markup import cover_open_spoiler
from talkalike.chat.splitting import MAX_PARTS, neutralise, parts
from talkalike.discord_bot.markers import unsigned
from talkalike.discord_bot.outbox import DeliveryLostError, Outbox, Pace, Post

if TYPE_CHECKING:
    from discord.abc import MessageableChannel

FILE_NAME = "reply.txt"
__all__ = ["Delivery", "DeliveryLostError", "ShownPart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPart:
    """One Discord message of the reply: of which message of the burst (from 0), and its text as people see it."""

    index: int
    message_id: int
    text: str


class Delivery:
    """One reply on its way into one channel. `reference` is the message it answers, which reactions go to as well.

    `view` holds the reply's buttons, which sit under its last message. `upload_cap` in bytes, besides the server's own.
    """

    def __init__(
        self,
        channel: MessageableChannel,
        *,
        pace: Pace,
        reference: discord.Message | None,
        view: discord.ui.View | None,
        stream: bool,
        upload_cap: int | None = None,
    ) -> None:
        self._outbox = Outbox(channel, pace, reference=reference, view=view)
        self._pace = pace
        self._stream = stream
        own = channel.guild.filesize_limit if channel.guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        self._upload_cap = min(own, upload_cap) if upload_cap is not None else own
        self._writers: list[_Writer] = []
        self._closed = False

    @property
    def begun(self) -> bool:
        """Somebody may have seen some of it: something was sent, or is being sent."""
        return self._outbox.begun

    @property
    def shown(self) -> tuple[ShownPart, ...]:
        """What people see of the reply at this moment, in order; also right after it was lost or aborted."""
        return tuple(
            ShownPart(index=writer.index, message_id=post.message.id, text=post.text)
            for writer in self._writers
            for post in writer.posts
        )

    async def add_text(self, index: int, chunk: str) -> None:
        """The next bit of message `index`. Returns at once; raises DeliveryLostError when nothing more can be shown."""
        (await self._writer(index)).add(chunk)

    async def finish_message(self, index: int, text: str, *, last: bool = True) -> list[int]:
        """Shows message `index` as it finally reads; the ids of the Discord messages it became, none for blank text.

        `last`: none comes after it, so that the buttons go under it. Taking them away again would be an edit.
        Raises DeliveryLostError, in words for a person, when Discord does not take it.
        """
        writer = await self._writer(index)
        await writer.end(text, last=last)
        return [post.message.id for post in writer.posts]

    async def add_reaction(self, emoji: str) -> bool:
        """Reacts to the message that is answered; whether Discord took it (it knows the emoji, and allows it)."""
        return await self._outbox.react(emoji)

    async def finish(self, *, view: discord.ui.View | Any | None = discord.utils.MISSING) -> None:
        """The reply is complete. With `view`, the buttons under its last message are replaced (None: removed)."""
        if self._closed:
            return
        if self._writers:
            await self._writers[-1].end()
        self._closed = True
        if view is not discord.utils.MISSING:
            await self._outbox.change_view(view)

    async def abort(self, *, view: discord.ui.View | Any | None = discord.utils.MISSING) -> None:
        """Breaks the reply off: what is shown gets the last words that were handed over, nothing new is shown.

        Raises nothing: there may be no channel left. Does nothing after `finish`.
        """
        if self._closed:
            return
        self._closed = True
        if self._writers:
            await self._writers[-1].break_off()
        if view is not discord.utils.MISSING and not self._outbox.gone:
            await self._outbox.change_view(view)

    async def _writer(self, index: int) -> _Writer:
        if self._closed:
            raise DeliveryLostError("The reply had been closed already.")
        if self._writers:
            writer = self._writers[-1]
            if writer.index == index:
                return writer
            await writer.end()  # a blank message is never done
        writer = _Writer(index, self._outbox, self._pace, stream=self._stream, upload_cap=self._upload_cap)
        self._writers.append(writer)
        return writer


class _Writer:
    """One message of the burst, which may become several Discord messages."""

    def __init__(self, index: int, outbox: Outbox, pace: Pace, *, stream: bool, upload_cap: int) -> None:
        self.index = index
        self.posts: list[Post] = []
        self._outbox = outbox
        self._pace = pace
        self._stream = stream
        self._upload_cap = upload_cap
        self._text = ""
        self._fresh = False  # there is text that was not shown yet
        self._begun_at: float | None = None  # when its first words came
        self._buttons = True
        self._ended = False
        self._aborted = False
        self._nap: asyncio.Task[None] | None = None
        self._wakes_for_text = False
        self._lost: DeliveryLostError | None = None
        self._task = asyncio.create_task(self._write(), name="talkalike-delivery")

    def add(self, chunk: str) -> None:
        if self._lost is not None:
            raise self._lost
        self._text += chunk
        if not self._fresh and self._text.strip():
            self._fresh = True
            self._begun_at = self._begun_at or time.monotonic()
            if self._wakes_for_text:
                self._wake()

    async def end(self, text: str | None = None, *, last: bool = True) -> None:
        """Ends the message, with `text` where it is given, and waits until it is shown."""
        if text is not None and not self._ended:
            self._text, self._buttons = text, last
        await self._join()
        if self._lost is not None:
            raise self._lost

    async def break_off(self) -> None:
        self._aborted = True
        await self._join()

    async def _join(self) -> None:
        self._ended = True
        self._wake()
        await asyncio.wait({self._task})  # unlike `await task`, leaves the task alone when the caller is cancelled
        self._task.result()

    async def _write(self) -> None:
        try:
            if not self._ended:
                await self._sleep(self._pace.grace)
            self._wakes_for_text = self._stream
            while not self._ended:
                await self._step()
            if not self._aborted:
                await self._show_whole()
            elif self.posts:
                await self._show(self._first_parts()[: len(self.posts)])
        except DeliveryLostError as error:
            self._lost = error

    async def _step(self) -> None:
        """Shows that the double is typing when that is due, then the newest text when that is polite."""
        streams = self._stream and self._fresh
        until_first = max(0.0, (self._begun_at or 0.0) + self._pace.whole - time.monotonic()) if not self.posts else 0.0
        starts = streams and not self.posts and until_first <= 0.0  # the words say it better than "is typing"
        if not starts and self._outbox.until_typing() <= 0.0:
            await self._outbox.type()
        wait = self._outbox.until_typing()
        if streams:
            until_edit = self._outbox.until_streamed_edit() if self.posts else until_first
            if until_edit <= 0.0:
                self._fresh = False
                await self._show_progress()
                return
            wait = min(wait, until_edit)
        if not self._ended:
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Waits, but not beyond `_wake`."""
        self._nap = asyncio.create_task(asyncio.sleep(seconds))
        try:
            await asyncio.wait({self._nap})
        finally:
            self._wake()

    def _wake(self) -> None:
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None

    def _first_parts(self) -> list[str]:
        """The parts that may be shown as messages, and one more where there are too many."""
        complete = self._ended and not self._aborted
        text = unsigned(neutralise(self._text if complete else cover_open_spoiler(self._text)))
        return [part.strip() for part in itertools.islice(parts(text), MAX_PARTS + 1)]

    async def _show_progress(self) -> None:
        try:
            await self._show(self._first_parts()[:MAX_PARTS], booked=bool(self.posts))
        except DeliveryLostError as error:
            if not error.passing or not self.posts:
                raise
            self._fresh = True  # the next edit is due anyway, and shows this text too

    async def _show_whole(self) -> None:
        wanted = self._first_parts()
        if len(wanted) <= MAX_PARTS:
            await self._show(wanted)
            return
        await self._show(wanted[: max(1, len(self.posts))], last=False)
        try:
            await self._post("", buttons=self._buttons, file=_text_file(self._text, self._upload_cap))
        except DeliveryLostError as error:
            if not error.refused:
                raise
            await self._show(wanted[:MAX_PARTS])
            await self._outbox.note("The rest of this reply is too long for messages, and files are not allowed here.")

    async def _show(self, wanted: list[str], *, last: bool = True, booked: bool = False) -> None:
        """Makes the posts read as `wanted`, with no more requests than that takes. `booked`: the first edit's turn."""
        for post, text in zip(self.posts, wanted, strict=False):
            if post.text != text:
                if not booked:
                    await self._outbox.turn_to_edit()
                booked = False
                await self._outbox.edit(post, text)
        while len(self.posts) > len(wanted):
            post = self.posts.pop()
            await self._outbox.delete(post, before=self.posts[-1] if self.posts else None)
        for number in range(len(self.posts), len(wanted)):
            await self._post(wanted[number], buttons=last and self._buttons and number == len(wanted) - 1)

    async def _post(self, text: str, *, buttons: bool, file: discord.File | None = None) -> None:
        await self._outbox.turn_to_send()
        if not self._aborted:
            self.posts.append(await self._outbox.post(text, buttons=buttons, file=file))
            await self._outbox.remove_old_buttons()


def _text_file(text: str, cap: int) -> discord.File:
    data = text.encode()
    if len(data) > cap:
        ending = f"\n[The file may have {cap:,} bytes; the reply had {len(data):,}.]\n".encode()
        data = data[: max(0, cap - len(ending))].decode(errors="ignore").encode() + ending
    return discord.File(io.BytesIO(data), filename=FILE_NAME)
