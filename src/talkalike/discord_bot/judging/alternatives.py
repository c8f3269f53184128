"""Other answers to what a reply answered: the model sees exactly what that reply saw."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from talkalike.chat.engines import Voice
from talkalike.chat.options import refusal
from talkalike.chat.permissions import ChatPlace
from talkalike.engine.collecting import Collected, collect
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.reactions import words_of
from talkalike.examples.render import Turn
from talkalike.replying.writing import today
from talkalike.store import usage
from talkalike.store.judging.comparisons import Written
from talkalike.store.replies import ReplyRow

if TYPE_CHECKING:
    from talkalike.discord_bot.client import BotClient

_SEEDS = 2**53
_NAMES = frozenset(field.name for field in fields(Sampling))


def find_voice(client: BotClient, model: str) -> Voice:
    """The model's voice. Raises UserError where it is not there."""
    voices = {voice.model: voice for voice in client.engines.voices()}
    if model not in voices:
        raise UserError(f"There is no model '{model[:100]}'.", hint=f"There is: {', '.join(voices) or 'none at all'}.")
    return voices[model]


def find_two_voices(client: BotClient, first: str, second: str) -> tuple[Voice, Voice]:
    """Two models to be compared. Raises UserError where one is not there, or they are the same."""
    voices = find_voice(client, first), find_voice(client, second)
    if first == second:
        raise UserError("That is the same model twice.", hint="Choose two different ones.")
    return voices


def other_voice(voices: Sequence[Voice], row: ReplyRow, speaker: str) -> Voice:
    """Another model in the same voice; the reply's own model where there is no other. Raises UserError without any."""
    same = [voice for voice in voices if voice.speaker == speaker]
    others = [voice for voice in same if voice.model != row.model]
    if not same:
        raise UserError(
            f"There is no model left that speaks as {speaker or 'the person'}, so there is nothing to compare with."
        )
    return random.choice(others or same)


async def write(client: BotClient, row: ReplyRow, voice: Voice, *, where: ChatPlace, by: int) -> Written:
    """Lets the model answer what the reply answered, on the budget of whoever asked for it.

    Raises UserError where the budget is used up or the model says nothing, TalkalikeError where it fails; nothing was
    stored then.
    """
    facts = await client.places.facts(where, by)
    if words := refusal(facts.options.budget(), facts.used):
        raise UserError(words)
    turns = tuple(Turn(turn["speaker"], turn["text"]) for turn in row.seen.get("kept", ()) if not turn["forgotten"])
    if not turns:
        raise UserError("I no longer know what that reply answered.", hint="Choose a newer one.")
    sampling = _sampling(row.sampling)
    if voice.model == row.model:
        sampling = replace(sampling, seed=random.randrange(_SEEDS))  # the same seed would say the same
    began = time.monotonic()
    reply = await answer(client, voice, turns, sampling)
    messages = tuple(text for text in words_of(reply.messages) if text.strip())
    await client.store.run(usage.spend, by, where.server_id, replies=1, tokens=reply.tokens, day=today())
    if not messages:
        raise UserError("The other answer was silence, so there is nothing to compare.", hint="Try again.")
    return Written(
        model=voice.model,
        sampling=asdict(sampling),
        messages=messages,
        tokens=reply.tokens,
        seconds=time.monotonic() - began,
    )


async def answer(client: BotClient, voice: Voice, turns: tuple[Turn, ...], sampling: Sampling) -> Collected:
    """What the model says to these turns alone. Raises TalkalikeError where it fails."""
    engine = await client.engines.open(voice.model)
    return await collect(engine, Prompt(turns=turns, speaker=voice.speaker), sampling)


def _sampling(stored: Mapping[str, Any]) -> Sampling:
    """As it was; values that an older version stored and this one does not know are left out."""
    return Sampling(**{name: value for name, value in stored.items() if name in _NAMES})
