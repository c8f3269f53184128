"""A reply as people on Discord see it: its messages with the buttons under the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from talkalike.discord_bot.asking import UNREACHABLE
from talkalike.discord_bot.deliver import DeliveryLostError, Shown
from talkalike.store.recording import Sent


class Buttons(Protocol):
    """What sits under a reply while it is written, and when it is done."""

    judging: bool

    def while_written(self) -> None: ...

    def when_done(self) -> Self: ...


class Showing(Protocol):
    """`deliver.Delivery`, or `redo.Rewrite` in the place of an earlier reply."""

    @property
    def begun(self) -> bool: ...

    @property
    def shown(self) -> Sequence[Shown]: ...

    async def text(self, index: int, chunk: str) -> None: ...

    async def message_done(self, index: int, text: str, *, last: bool = ...) -> list[int]: ...

    async def reaction(self, emoji: str) -> bool: ...

    async def finish(self, *, view: Any = ...) -> None: ...

    async def abort(self, note: str = ..., *, view: Any = ...) -> None: ...


class ReplyDisplay:
    """A `replying.writing.Display`. `buttons` sit under the last message: taking them away again would mark it as
    edited. `replaces`: an earlier reply stands there, with buttons of its own.
    """

    def __init__(self, showing: Showing, buttons: Buttons, *, replaces: bool) -> None:
        self._showing = showing
        self._buttons = buttons
        self._replaces = replaces
        self._exchange = replaces  # the buttons that stand there are not those of the end
        self._told: list[int] = []

    @property
    def begun(self) -> bool:
        """Somebody may have seen some of it."""
        return self._showing.begun

    @property
    def message_ids(self) -> tuple[int, ...]:
        """Its messages, as far as they are known to be complete, in order."""
        return tuple(self._told)

    def posted(self) -> frozenset[int]:
        """All of its messages that people can see."""
        return frozenset(self._told) | {one.message_id for one in self._showing.shown}

    def start(self, speaker: str) -> None:
        """People see who it is."""

    async def text(self, index: int, chunk: str) -> None:
        """The next bit of a message."""
        await self._showing.text(index, chunk)

    async def message_done(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """The last message has its buttons at once; one that was shown while it was written has `Cancel`."""
        already = sum(one.index == index for one in self._showing.shown)
        self._buttons.when_done()
        sent = await self._showing.message_done(index, text, last=last)
        self._buttons.while_written()
        self._exchange = not last or self._replaces or len(sent) == already
        self._told += sent
        return [
            Sent(message_id=message_id, text="" if number else text, index=index)
            for number, message_id in enumerate(sent)
        ]

    async def reaction(self, index: int, emoji: str) -> bool:
        """On the message that is answered."""
        return await self._showing.reaction(emoji)

    async def finish(self) -> None:
        """The reply is complete."""
        try:
            await self._showing.finish(**({"view": self._buttons.when_done()} if self._exchange else {}))
        except UNREACHABLE as error:
            raise DeliveryLostError(f"Discord could not be reached: {error}") from error

    async def abort(self) -> Sequence[Sent]:
        """What people saw of it by now is the reply."""
        await self._showing.abort("", view=self._buttons.when_done())
        untold = [one for one in self._showing.shown if one.message_id not in self._told]
        self._told += [one.message_id for one in untold]
        return [Sent(message_id=one.message_id, text=one.text, index=one.index) for one in untold]
