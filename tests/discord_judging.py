"""What the tests of judging on Discord share: a reply to judge, presses by several people, restarts, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from discord_commands import VOICES, Stage, stage
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.discord_bot.bot import Double
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import replies
from talkalike.store.judging import items, judgements, judges
from talkalike.store.judging.judgement_values import Scale, Type
from talkalike.store.judging.judgements import JudgementRow

TWIN = Voice(model="ada-3", speaker="Ada", base="tiny")  # another model in the same voice as ada-2


@asynccontextmanager
async def judged_stage(tmp_path: Any, *, twin: Any = (("hi from the twin",),), **options: Any) -> Any:
    """The usual stage with a third model that speaks as Ada."""
    async with stage(tmp_path, **options) as play:
        engines = {**play.engines, TWIN.model: ScriptedEngine(twin, name=TWIN.model)}
        play.engines = engines
        play.bot.services.engines = OpenEngines(engines=engines, described=(*VOICES, TWIN))
        yield play


async def answered(play: Stage, member: Any = None, text: str = "what is for tea?") -> tuple[Any, int]:
    """The last message of a reply of the double, and the reply's id."""
    asked = await (member or play.vic).send(play.general, text)
    reply_id = await play.bot.converser.respond(asked)
    await play.env.settle()
    row = play.store.call(replies.by_id, reply_id)
    messages = {one.id: one for one in play.general.history()}
    return messages[row.messages[-1].message_id], reply_id


async def restart(play: Stage) -> None:
    """Another process with the same store."""
    play.bot = Double(play.bot.services, describe=False)
    await play.env.restart_bot(play.bot)


async def press(play: Stage, member: Any, message: Any, custom_id: str) -> str:
    """Presses a button; what the one who pressed was told, which nobody else sees."""
    return play.text(await member.click(message, custom_id=custom_id))


async def thumb(play: Stage, member: Any, message: Any, reply_id: int, way: str) -> str:
    return await press(play, member, message, f"talkalike:rate:{reply_id}:{way}")


def said(play: Stage, member: Any, reply_id: int) -> tuple[JudgementRow, ...]:
    """What somebody says about a reply, as the store has it."""

    def read() -> tuple[JudgementRow, ...]:
        return judgements.of_item(items.of_reply(reply_id), judges.of_discord(member.id).id)

    return play.store.call(read)


def sounds(play: Stage, member: Any, reply_id: int) -> int | None:
    """Somebody's rating of how much it sounds like the person."""
    return next((row.value for row in said(play, member, reply_id) if row.scale is Scale.SOUNDS_LIKE_ME), None)


def correction(play: Stage, member: Any, reply_id: int) -> str:
    return next((row.text for row in said(play, member, reply_id) if row.type is Type.CORRECTION), "")


def buttons(message: Any) -> list[list[str]]:
    """The buttons' ids under a message, row by row."""
    return [[item.custom_id for item in row.children] for row in message.components]


def prompts(play: Stage, model: str) -> Sequence[Prompt]:
    return play.engines[model].prompts


def without(play: Stage, model: str) -> None:
    """A model disappears."""
    voices = tuple(voice for voice in play.bot.services.engines.voices() if voice.model != model)
    play.bot.services.engines = replace(play.bot.services.engines, described=voices)
