"""What the bot, not the double, has to tell: problems, used-up budgets, places in the line. Quietly, and not twice.

A notice is a text with a fixed last line and never enters a context. Where Discord does not take one, that is noted in
the log: a notice is never worth an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

import discord

from talkalike.discord_bot.asking import UNREACHABLE
from talkalike.discord_bot.markers import notice
from talkalike.discord_bot.outbox import send
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError
from talkalike.errors import TalkalikeError
from talkalike.replying.queue import LineFullError
from talkalike.replying.writing import today

QUIET_SECONDS = 300.0  # one line about a problem per channel in that time; then only a sign
# Other errors may name files and addresses, which are nobody's business in a channel.
FOR_EVERYBODY = (LineFullError, EngineBusyError, ContextTooLongError)
SIGN = "⚠️"
PATIENCE = 2.0  # seconds in the line before the place is shown
PLACE_SECONDS = 4.0  # between two looks at the place
REMEMBERED = 5_000

_log = logging.getLogger(__name__)


class Notices:
    """Posts each notice once. Belongs to one event loop. `cancel_button` makes the button under a place in the line."""

    def __init__(self, cancel_button: Callable[[int], discord.ui.View]) -> None:
        self._cancel_button = cancel_button
        self._troubles: OrderedDict[Hashable, float] = OrderedDict()
        self._said_today: OrderedDict[Hashable, None] = OrderedDict()

    async def report(self, trigger: discord.Message, error: TalkalikeError) -> None:
        """Posts what went wrong; for some minutes after that, only a sign under the message."""
        if await self.report_once(trigger, error):
            return
        try:
            await trigger.add_reaction(SIGN)
        except UNREACHABLE as refused:
            _log.info("A warning sign was not taken by Discord: %s", refused)

    async def report_once(self, trigger: discord.Message, error: TalkalikeError) -> bool:
        """Posts what went wrong, unless a line about a problem was posted lately; then it returns False."""
        now, channel_id = time.monotonic(), trigger.channel.id
        last = self._troubles.get(channel_id)
        if last is not None and now - last < QUIET_SECONDS:
            return False
        _remember(self._troubles, channel_id, now)
        why = str(error) if isinstance(error, FOR_EVERYBODY) else "Something failed on my side; `/status` tells more."
        await self.say(trigger, f"I can't answer right now. {why}")
        return True

    async def say_once_a_day(self, trigger: discord.Message, topic: str, words: str) -> None:
        """Says something about a topic to a person, at most once a day in each channel."""
        key = (topic, trigger.channel.id, trigger.author.id, today())
        if key not in self._said_today:
            _remember(self._said_today, key, None)
            await self.say(trigger, words)

    async def say(self, trigger: discord.Message, words: str) -> discord.Message | None:
        """Posts a notice that refers to a message."""
        try:
            reference = trigger.to_reference(fail_if_not_exists=False)
            return await send(trigger.channel, notice(words), reference=reference, silent=True)
        except UNREACHABLE as error:
            _log.info("A notice was not taken by Discord: %s", error)
            return None

    async def show_place(self, trigger: discord.Message, reply_id: int, position: Callable[[int], int | None]) -> None:
        """Tells the place in the line, and when it changes. Cancel it when the wait is over: the notice goes then."""
        shown: discord.Message | None = None
        last = 0
        try:
            await asyncio.sleep(PATIENCE)
            while place := position(reply_id):
                if place != last:
                    last = place
                    shown = await self._update_place(trigger, reply_id, place, shown)
                await asyncio.sleep(PLACE_SECONDS)
        finally:
            if shown is not None:
                await _delete(shown)

    async def _update_place(
        self, trigger: discord.Message, reply_id: int, place: int, shown: discord.Message | None
    ) -> discord.Message | None:
        words = "You are next in the line." if place == 1 else f"You are number {place} in the line."
        try:
            if shown is not None:
                return await shown.edit(content=notice(words))
            view = self._cancel_button(reply_id)
            return await send(trigger.channel, notice(words), reference=None, view=view, silent=True)
        except UNREACHABLE as error:
            _log.info("The place in the line could not be shown: %s", error)
            return shown


async def _delete(message: discord.Message) -> None:
    try:
        await message.delete()
    except UNREACHABLE as error:
        _log.info("A notice could not be removed: %s", error)


def _remember(kept: OrderedDict, key: Hashable, value: object) -> None:  # type: ignore[type-arg]  # of either kind
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
