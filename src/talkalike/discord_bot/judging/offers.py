"""In channels an admin chose, two models' answers are offered for a blind comparison after every so many replies.

Both are written anew: nobody can tell from the reply, or from "Why?", which model is behind which.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import discord

from talkalike.chat.engines import Voice
from talkalike.chat.options import two_models
from talkalike.discord_bot.answer import Answer
from talkalike.discord_bot.commands.gate import NOBODY
from talkalike.discord_bot.judging import alternatives, comparison_view
from talkalike.errors import TalkalikeError, UserError
from talkalike.replying.writing import ReplyOutcome
from talkalike.store import replies
from talkalike.store.judging import comparisons
from talkalike.store.replies import ReplyState

if TYPE_CHECKING:
    from talkalike.discord_bot.client import BotClient

_log = logging.getLogger(__name__)


class Offers:
    """Counts the replies of each channel since the start, and offers a pair when enough were given."""

    def __init__(self, client: BotClient) -> None:
        self._client = client
        self._replies: Counter[int] = Counter()

    async def on_reply_ended(self, answer: Answer, outcome: ReplyOutcome) -> None:
        """After every reply; those that failed do not count."""
        if outcome.state is not ReplyState.DONE or answer.reply_id is None:
            return
        try:
            facts = await self._client.places.facts(answer.where)
            models = two_models(facts.options.value("compare_models"))
            if models and self._due(answer.where.channel_id, facts.options.value("compare_every")):
                await self._offer(answer, models)
        except (TalkalikeError, discord.HTTPException) as error:
            _log.warning("No pair was offered in channel %s: %s", answer.where.channel_id, error)

    def _due(self, channel_id: int, every: int) -> bool:
        self._replies[channel_id] += 1
        if self._replies[channel_id] < every:
            return False
        del self._replies[channel_id]
        return True

    async def _offer(self, answer: Answer, models: tuple[str, ...]) -> None:
        row = await self._client.store.run(replies.by_id, answer.reply_id or 0)
        if row is None or not row.messages:
            return
        one, other = two_voices(self._client, models)
        first = await alternatives.write(self._client, row, one, where=answer.where, by=answer.asker.id)
        second = await alternatives.write(self._client, row, other, where=answer.where, by=answer.asker.id)
        if first.messages == second.messages:
            return
        shown = await self._client.store.run(comparisons.both, row, first, second, speaker=one.speaker)
        message = comparison_view.message_of(shown)
        await answer.trigger.channel.send(
            content=comparison_view.headline(shown), silent=True, allowed_mentions=NOBODY, **message
        )


def two_voices(client: BotClient, models: tuple[str, ...]) -> tuple[Voice, Voice]:
    """The two models. Raises UserError where one is not there, or they are doubles of different people."""
    one, other = alternatives.find_two_voices(client, *models)
    if one.speaker != other.speaker:
        raise UserError(
            f"{one.model} speaks as {one.speaker} and {other.model} as {other.speaker}: which sounds more like one "
            "person could not be asked.",
            hint="Choose two models of the same person.",
        )
    return one, other
