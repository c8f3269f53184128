"""What the tests of judging on Discord share: a reply to judge, presses by several people, and what is kept."""

from __future__ import annotations

import asyncio
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
from talkalike.store.judging import comparisons, items, judgements, judges
from talkalike.store.judging.judgement_values import Scale, Type
from talkalike.store.judging.judgements import JudgementRow

EVERYTHING = ["left", "right", "tie", "both_bad", "skip"]
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
    reply_id = await play.bot.conversations.respond(asked)
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


async def form(play, member, message, reply_id):
    """The form, opened by the button."""
    shown = await member.click(message, custom_id=f"talkalike:judge:{reply_id}")
    assert shown.modal is not None, shown.response and shown.response.content
    return shown


async def attached(result) -> str:
    [file] = result.response.attachments
    return (await file.read()).decode()


def pair_of(message) -> int:
    return int(buttons(message)[0][0].split(":")[2])


async def vote(play, member, message, what):
    return await press(play, member, message, f"talkalike:pair:{pair_of(message)}:{what}")


def choice(play, member, pair_id):
    """What somebody said, as the store has it, by side."""

    def read():
        rows = judgements.of_pair(pair_id, judges.of_discord(member.id).id)
        return comparisons.opinion_of(pair_id, rows[0].judge_id) if rows else None

    return play.store.call(read)


async def offered(play, every=1):
    """A pair in the channel."""
    told = play.text(
        await play.anna.slash(play.general, "judge compare-channel set", first="ada-2", second="ada-3", every=every)
    )
    assert told.startswith("Done"), told
    return await pair_after_reply(play) if every == 1 else None


async def pair_after_reply(play, member=None):
    """The pair that is offered after one more reply; it is written while nobody waits for it."""
    message, _ = await answered(play, member)
    return await until(lambda: next((one for one in play.general.history() if one.id > message.id), None))


async def until(found):
    for _ in range(250):
        if result := found():
            return result
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")
