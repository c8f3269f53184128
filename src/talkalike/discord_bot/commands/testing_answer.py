"""One case of /test: answered as every reply is (`replying.session.Face`), scored and posted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import discord

from talkalike.chat import scenario_scores as scoring
from talkalike.chat.context import ContextItem
from talkalike.chat.conversation import Talk
from talkalike.chat.engines import Engines, Voice
from talkalike.chat.history import ChannelTalk
from talkalike.chat.pipeline import Pipeline
from talkalike.chat.scenario_scores import Score
from talkalike.chat.scenarios import Case
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY
from talkalike.discord_bot.commands.testing_report import Result
from talkalike.engine.protocol import Sampling
from talkalike.errors import TalkalikeError
from talkalike.replying.session import OngoingReply, ReplySession
from talkalike.replying.writing import ReplyInputs, ReplyJournal, ReplyOutcome
from talkalike.store import replies
from talkalike.store.recording import ReplyRecord, ReplyState, Sent, record
from talkalike.store.replies import Beginning
from talkalike.store.store import Store

LONGEST_POST = 1900
SHUT_DOWN = "The bot was shut down while the case was answered."


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseHere:
    """A case and the place where it is answered. `post_to` is where its reply goes, `trigger_id` what it answers on
    record.
    """

    scenario: str
    case: Case
    items: tuple[ContextItem, ...]
    post_to: discord.abc.Messageable | None
    channel_id: int
    server_id: int
    trigger_id: int
    thread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HowAnswered:
    """What all cases of a run have in common."""

    store: Store
    engines: Engines
    voice: Voice
    sampling: Sampling
    budget: int | None
    by: int


@dataclass(slots=True, eq=False)
class CaseReply:
    """The reply to one case; `messages` are what the model said. Nobody sees it before it is scored, nothing of what
    the model saw is kept, and no budget pays for it.
    """

    case: CaseHere
    how: HowAnswered
    begun: bool = False
    messages: list[str] = field(default_factory=list)

    # ------------------------------------------------------------------------------------- replying.session.Face
    @property
    def place(self) -> int:
        """One reply at a time in a channel."""
        return self.case.channel_id

    @property
    def answers(self) -> tuple[int, str, str]:
        """The case and its run."""
        return self.case.trigger_id, self.case.scenario, self.case.case.name

    async def admit(self) -> bool:
        """Always true: whoever began the run may test."""
        return True

    async def claim(self) -> int | None:
        """Cases under one report answer the same message, so each is a further attempt."""
        case, how = self.case, self.how
        beginning = Beginning(
            trigger_id=case.trigger_id,
            channel_id=case.channel_id,
            server_id=case.server_id,
            thread=case.thread,
            asker_id=how.by,
            model=how.voice.model,
            sampling=asdict(how.sampling),
            again=True,
            test=True,
        )
        return await how.store.run(replies.begin, beginning)

    def open_journal(self, reply_id: int) -> ReplyJournal:
        """Notes what becomes of the reply in the table of replies."""
        return ReplyJournal(self.how.store, reply_id)

    async def show_place(self, reply_id: int, position: Callable[[int], int | None]) -> None:
        """Does nothing: nobody waits for a single case."""

    async def still_allowed(self) -> bool:
        """Always true: a run that has begun goes on."""
        return True

    async def prepare(self, reply_id: int) -> ReplyInputs:
        """Opens the model and builds the case's conversation. Raises TalkalikeError."""
        case, how = self.case, self.how
        engine = await how.engines.open(how.voice.model)
        return ReplyInputs(
            pipeline=Pipeline(engine, sampling=how.sampling, budget=how.budget),
            talk=ChannelTalk(id=f"test-{case.channel_id}", double=how.voice.speaker, items=case.items),
            display=self,
            reactions=False,
        )

    async def on_written(self, talk: Talk) -> None:
        """Does nothing: the next case has a context of its own."""

    async def on_failure(self, error: TalkalikeError) -> str:
        """Keeps the error as the result of the case."""
        return str(error)

    def on_lost(self, *, seen: bool) -> str:
        """Says that the bot was shut down: the case is not answered again."""
        return SHUT_DOWN

    async def on_ended(self, outcome: ReplyOutcome) -> None:
        """Does nothing: whoever waits for the task goes on."""

    # ----------------------------------------------------------------------------------- replying.writing.Display
    def start(self, speaker: str) -> None:
        """Does nothing: the report says who speaks."""

    async def add_text(self, index: int, chunk: str) -> None:
        """Does nothing: only whole messages count."""

    async def finish_message(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """Keeps the message for the score; nobody has seen it yet."""
        self.messages.append(text)
        return ()

    async def add_reaction(self, index: int, emoji: str) -> bool:
        """Shows no reaction: there are none in a test."""
        return False

    async def finish(self) -> None:
        """Does nothing: the reply is posted once it is scored."""

    async def abort(self) -> Sequence[Sent]:
        """Does nothing: a message that was broken off does not count."""
        return ()


async def answer_case(session: ReplySession[CaseReply], case: CaseHere, how: HowAnswered) -> tuple[Result, int | None]:
    """One case: said, recorded, scored and posted; the result, and the reply's id."""
    reply = OngoingReply(face=CaseReply(case, how))
    session.start(reply)
    await reply.wait()
    messages, outcome = reply.face.messages, reply.outcome
    whole = outcome.state in (ReplyState.DONE, ReplyState.SILENT)
    score = Score(
        likeness=scoring.likeness(messages, case.case.reference),
        relevance=None,
        violations=scoring.violations("\n".join(messages), case.case),
        answered=bool(messages),
        first_seconds=outcome.first_seconds,
        seconds=outcome.seconds if whole else None,
    )
    result = Result(
        scenario=case.scenario,
        case=case.case.name,
        prompt=case.case.prompt,
        reply=tuple(messages),
        problem=outcome.ending().problem,
        score=score,
    )
    if case.post_to is not None and reply.id is not None:
        result.link = await _post(how.store, case.post_to, result, reply.id)
    return result, reply.id


async def _post(store: Store, post_to: discord.abc.Messageable, result: Result, reply_id: int) -> str:
    """The reply as a message, recorded so that the next run can delete it; its link, "" where it was not posted."""
    text = neutralise("\n".join(result.reply))[:LONGEST_POST]
    try:
        sent = await post_to.send(text, embed=result.embed(), allowed_mentions=NOBODY, silent=True)
    except (discord.Forbidden, discord.NotFound) as error:
        result.problem = result.problem or f"not posted: {error.text}"
        return ""
    posted = Sent(message_id=sent.id, text=text, index=0)
    await store.together(record, ReplyRecord(reply_id=reply_id, sent=(posted,)))
    return sent.jump_url
