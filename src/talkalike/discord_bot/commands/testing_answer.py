"""One case of /test: answered through the pipeline, recorded, scored and posted."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat import scenario_scores as scoring
from talkalike.chat.context import Item, Seen
from talkalike.chat.engines import Voice
from talkalike.chat.history import ChannelTalk
from talkalike.chat.options import Resolved
from talkalike.chat.pipeline import Finished, MessageDone, Pipeline, Started, Text
from talkalike.chat.scenario_scores import Score
from talkalike.chat.scenarios import Case
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY
from talkalike.discord_bot.commands.testing_report import Result
from talkalike.errors import TalkalikeError
from talkalike.store import replies
from talkalike.store.replies import Beginning, ReplyState

if TYPE_CHECKING:
    from talkalike.discord_bot.client import BotClient

SEED = 1  # where none is set: two runs of the same model then differ by what was changed alone
LONGEST_POST = 1900


@dataclass(slots=True, kw_only=True)
class Task:
    """One case on its way. `post_to` is where its reply goes, `trigger_id` what it answers on record."""

    scenario: str
    case: Case
    items: tuple[Item, ...]
    post_to: discord.abc.Messageable | None
    channel_id: int
    server_id: int
    trigger_id: int
    thread: bool = False


@dataclass(slots=True)
class Answer:
    """What the model said."""

    messages: list[str] = field(default_factory=list)
    first_seconds: float | None = None
    seconds: float | None = None
    tokens: int = 0
    problem: str = ""
    seen: Seen | None = None


async def answer_task(
    client: BotClient, task: Task, voice: Voice, options: Resolved, *, by: int
) -> tuple[Result, int | None]:
    """One case: said, recorded, posted and scored. An engine that fails is a result as well."""
    store = client.services.store
    sampling = options.sampling()
    sampling = replace(sampling, seed=SEED if sampling.seed is None else sampling.seed)
    beginning = Beginning(
        trigger_id=task.trigger_id,
        channel_id=task.channel_id,
        server_id=task.server_id,
        thread=task.thread,
        asker_id=by,
        model=voice.model,
        sampling=asdict(sampling),
        again=True,
        test=True,
    )
    reply_id = await store.run(replies.begin, beginning)
    answer = Answer()
    state = ReplyState.FAILED
    try:
        engine = await client.services.engines.open(voice.model)
        pipeline = Pipeline(engine, sampling=sampling, budget=options.value("budget_tokens"))
        talk = ChannelTalk(id=f"test-{task.channel_id}", double=voice.speaker, items=task.items)
        await _listen(pipeline, talk, answer)
        state = ReplyState.DONE if answer.messages else ReplyState.SILENT
    except TalkalikeError as error:
        answer.problem = str(error)
    finally:
        if reply_id is not None:
            end: dict[str, Any] = {"tokens": answer.tokens, "seconds": answer.seconds or 0.0}
            end |= {"first_seconds": answer.first_seconds, "problem": answer.problem}
            await store.run(replies.end, reply_id, state, **end)
    score = Score(
        likeness=scoring.likeness(answer.messages, task.case.reference),
        relevance=None,
        violations=scoring.violations("\n".join(answer.messages), task.case),
        answered=bool(answer.messages),
        first_seconds=answer.first_seconds,
        seconds=answer.seconds,
    )
    result = Result(
        scenario=task.scenario,
        case=task.case.name,
        prompt=task.case.prompt,
        reply=tuple(answer.messages),
        problem=answer.problem,
        score=score,
    )
    result.link = await _post(client, task, result, reply_id)
    return result, reply_id


async def _post(client: BotClient, task: Task, result: Result, reply_id: int | None) -> str:
    """The reply as a message, recorded so that the next run can delete it; its link, "" where it was not posted."""
    if task.post_to is None or reply_id is None:
        return ""
    text = neutralise("\n".join(result.reply))[:LONGEST_POST]
    try:
        sent = await task.post_to.send(text, embed=result.embed(), allowed_mentions=NOBODY, silent=True)
    except (discord.Forbidden, discord.NotFound) as error:
        result.problem = result.problem or f"not posted: {error.text}"
        return ""
    await client.services.store.run(replies.sent, reply_id, sent.id, text, 0)
    return sent.jump_url


async def _listen(pipeline: Pipeline, talk: ChannelTalk, answer: Answer) -> None:
    """Fills `answer` as the model writes."""
    began = time.perf_counter()
    async with aclosing(pipeline.reply(talk, reactions=False)) as events:
        async for event in events:
            match event:
                case Started(seen=seen):
                    answer.seen = seen
                case Text() if answer.first_seconds is None:
                    answer.first_seconds = time.perf_counter() - began
                case MessageDone(text=text):
                    answer.messages.append(text)
                case Finished(tokens=tokens):
                    answer.tokens = tokens
    answer.seconds = time.perf_counter() - began
