"""What the website does for one reply (`replying.session.Face`): the branch it answers, those who follow, the store.

Each reply is a task that goes on when every reader has left, and that readers can follow (`LIVE`). Belongs to one event
loop; views reach it through `async def`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from talkalike.chat.conversation import Talk
from talkalike.chat.engines import Engines
from talkalike.chat.looking import Onlooker
from talkalike.chat.pipeline import Pipeline
from talkalike.engine.protocol import EngineBusyError, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import readable
from talkalike.replying.queue import Followers, WaitingLine
from talkalike.replying.session import OngoingReply, ReplySession
from talkalike.replying.writing import ReplyInputs, ReplyOutcome
from talkalike.store import usage
from talkalike.store.judging import items
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.judging.judges import JudgeRow
from talkalike.store.recording import Ending, ReplyState, Sent, record_of
from talkalike.store.store import Store
from talkalike.store.talking import conversations, messages
from talkalike.store.talking.values import BurstPart, MessageRow, Tree
from talkalike.website.chat.pictures import look_at
from talkalike.website.chat.talk import Branch, SeenPictures, branch_of, context_of, options_of

ORIGIN = "web"
MOST_AT_ONCE = 3  # replies of one visitor that are written or wait
SAVE_EACH = 1.0  # seconds between writes of a message that is still being written
BUSY = "The model is busy with other people. Try again in a moment."
SHUT_DOWN = "The site was shut down while this reply was being written."

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class WebReply:
    """One reply, which is in the store already, with nothing in it."""

    store: Store
    engines: Engines
    judge: JudgeRow
    reply_id: int
    conversation_id: int
    owner: str
    model: str
    onlooker: Onlooker | None = None
    followers: Followers = field(default_factory=Followers)
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def place(self) -> int:
        """One reply at a time in a conversation."""
        return self.conversation_id

    @property
    def answers(self) -> int:
        """Each reply answers a message of its own branch."""
        return self.reply_id

    async def admit(self) -> bool:
        """Budgets were looked at before it was begun."""
        return True

    async def claim(self) -> int:
        """It was begun with what it answers."""
        return self.reply_id

    def open_journal(self, reply_id: int) -> WebJournal:
        """The journal that keeps the reply in its conversation."""
        return WebJournal(self)

    async def show_place(self, reply_id: int, position: Callable[[int], int | None]) -> None:
        """Those who follow are told that another reply comes first."""
        self.followers.tell("wait")

    async def still_allowed(self) -> bool:
        """It is their own conversation."""
        return True

    async def prepare(self, reply_id: int) -> ReplyInputs | None:
        """Reads the branch, and opens the model; None where the conversation was deleted meanwhile."""
        speaker = next((one.speaker for one in self.engines.voices() if one.model == self.model), "the double")
        said = await self.store.run(self._path)
        seen = await look_at(
            [picture for row in said for picture in row.pictures],
            onlooker=self.onlooker,
            store=self.store,
            owner=self.owner,
            conversation_id=self.conversation_id,
        )
        engine = await self.engines.open(self.model)
        branch = await self.store.run(self._branch, speaker, SeenPictures(seen, engine.count_tokens))
        if branch is None:
            return None
        self.sampling = branch.sampling
        return ReplyInputs(
            pipeline=Pipeline(engine, sampling=branch.sampling, budget=branch.budget),
            talk=branch.talk,
            display=WebDisplay(self.followers),
            record=partial(record_of, words=readable),
            reactions=branch.reactions,
        )

    async def on_written(self, talk: Talk) -> None:
        """The next reply reads the whole branch anew."""

    async def on_failure(self, error: TalkalikeError) -> str:
        """It stands where the reply would."""
        return BUSY if isinstance(error, EngineBusyError) else str(error)

    def on_lost(self, *, seen: bool) -> str:
        """It stays broken off, for the visitor to ask again."""
        return SHUT_DOWN

    async def on_ended(self, outcome: ReplyOutcome) -> None:
        """Tells the browsers that follow that the reply has ended."""
        self.followers.tell("end", state=outcome.state.value)

    def _path(self) -> list[MessageRow]:
        """Runs in the store's thread: the messages up to what is answered, as they are now."""
        tree = Tree(messages.all_of(self.conversation_id))
        reply = tree.get(self.reply_id)
        return [] if reply is None else list(tree.path(reply.parent))

    def _branch(self, speaker: str, seen: SeenPictures) -> Branch | None:
        """Runs in the store's thread: the branch up to what is answered; None where it was deleted meanwhile."""
        conversation = conversations.get(self.owner, self.conversation_id)
        path = self._path()
        if conversation is None or not path:
            return None
        return branch_of(conversation, path, double=speaker, options=options_of(conversation), seen=seen)


class WebDisplay:
    """A reply as a list of events, which browsers follow."""

    def __init__(self, followers: Followers) -> None:
        self._followers = followers
        self._open: dict[int, str] = {}  # messages that are still being written
        self.begun = False

    def start(self, speaker: str) -> None:
        """Tells the browsers that follow whose reply begins."""
        self._followers.tell("start", speaker=speaker)

    async def add_text(self, index: int, chunk: str) -> None:
        """The next bit of a message."""
        self.begun = True
        self._open[index] = self._open.get(index, "") + chunk
        self._followers.tell("text", index=index, text=chunk)

    async def finish_message(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """The message as it finally reads."""
        self.begun = True
        self._open.pop(index, None)
        self._followers.tell("message", index=index, text=text)
        return [Sent(message_id=0, text=text, index=index)]

    async def add_reaction(self, index: int, emoji: str) -> bool:
        """In the place of a message."""
        self.begun = True
        self._open.pop(index, None)
        self._followers.tell("reaction", index=index, emoji=emoji)
        return True

    async def finish(self) -> None:
        """The end is told once it is stored."""

    async def abort(self) -> Sequence[Sent]:
        """What is there of a message that was still being written."""
        left, self._open = self._open, {}
        return [Sent(message_id=0, text=text, index=index) for index, text in left.items() if text.strip()]


class WebJournal:
    """What becomes of a reply, in its conversation: written at least each second while it grows."""

    def __init__(self, reply: WebReply) -> None:
        self._reply = reply
        self._parts: dict[int, BurstPart] = {}
        self._record: Mapping[str, Any] = {}
        self._speaker = ""
        self._saved_at = 0.0
        self._saving: list[asyncio.Task[None]] = []

    def note_seen(self, speaker: str, seen: Mapping[str, Any]) -> None:
        """The model begins to write. Not awaited: it does not wait for the disk."""
        self._speaker, self._record = speaker, seen
        reply = self._reply
        begun = partial(messages.note_begun, reply.reply_id, speaker=speaker, model=reply.model)
        self._save(partial(begun, seen=seen, sampling=asdict(reply.sampling)))

    def note_text(self, index: int, chunk: str) -> None:
        """The next bit of a message."""
        self._parts[index] = BurstPart(text=self._parts.get(index, BurstPart()).text + chunk)
        if time.monotonic() - self._saved_at > SAVE_EACH:
            self._save_said()

    def note_sent(self, sent: Sent) -> None:
        """A message as it is shown."""
        self._parts[sent.index] = BurstPart(text=sent.text)
        self._save_said()

    def note_reaction(self, index: int, emoji: str) -> None:
        """An emoji in the place of a message."""
        self._parts[index] = BurstPart(emoji=emoji)
        self._save_said()

    def stop(self) -> None:
        """Does nothing: the end, which comes next, tells all."""

    async def settle(self) -> None:
        """Everything that was begun is written."""
        for result in await asyncio.gather(*self._saving, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("A part of reply %s was not stored.", self._reply.reply_id, exc_info=result)
        self._saving = []

    async def end(self, ending: Ending) -> None:
        """The end, what it cost, and the reply as one that can be judged."""
        await self.settle()
        await self._reply.store.run(self._store_end, ending)

    @property
    def _said(self) -> tuple[BurstPart, ...]:
        parts = [part for _, part in sorted(self._parts.items())]
        return tuple(part for part in parts if part.emoji or part.text.strip())

    def _save_said(self) -> None:
        self._saved_at = time.monotonic()
        self._save(partial(messages.progress, self._reply.reply_id, self._said))

    def _save(self, function: Callable[[], None]) -> None:
        self._saving.append(asyncio.get_running_loop().create_task(self._reply.store.run(function)))

    def _store_end(self, ending: Ending) -> None:
        reply, item_id = self._reply, None
        words = tuple(part.text for part in self._said if part.text.strip())
        if ending.state is ReplyState.DONE and words:
            told = JudgedReply(
                context=context_of(self._record),
                speaker=self._speaker,
                messages=words,
                model=reply.model,
                sampling=asdict(reply.sampling),
                origin=ORIGIN,
            )
            item_id = items.put_item(told, author=reply.judge.id, may_train=reply.judge.consent)
        messages.end(reply.reply_id, ending, self._said, item_id=item_id)
        if ending.spent_on is not None:
            who = usage.on_website(reply.judge.id)
            usage.spend(who, None, replies=1, tokens=ending.charge, day=ending.spent_on)


class Live:
    """All replies being written in this process; of one conversation one at a time."""

    def __init__(self) -> None:
        # Visitors' own limits and the engine's line bound what is written at once.
        self.session: ReplySession[WebReply] = ReplySession(WaitingLine())

    def get(self, reply_id: int) -> OngoingReply[WebReply] | None:
        """The reply, while it is being written."""
        return next((one for one in self._all() if one.id == reply_id), None)

    def of_conversation(self, conversation_id: int) -> list[OngoingReply[WebReply]]:
        """Those that are written or wait, in order."""
        found = [one for one in self._all() if one.face.conversation_id == conversation_id]
        return sorted(found, key=lambda one: one.face.reply_id)

    def count(self, owner: str) -> int:
        """How many replies to somebody are written or wait."""
        return sum(one.face.owner == owner for one in self._all())

    def require_room(self, owner: str) -> None:
        """Raises UserError where somebody has as many replies under way as one may."""
        if self.count(owner) >= MOST_AT_ONCE:
            raise UserError(
                "The double is still busy with what you said before.",
                hint="Wait until it has answered, or stop it. Nothing of what you wrote just now was sent.",
            )

    def start(self, face: WebReply) -> OngoingReply[WebReply]:
        """Starts to write the reply, in line with others."""
        reply = OngoingReply(face=face, id=face.reply_id)
        self.session.start(reply)
        return reply

    def _all(self) -> list[OngoingReply[WebReply]]:
        """Until their end is in the store."""
        return [*self.session.replies, *self.session.ending]

    async def stop(self, reply: OngoingReply[WebReply]) -> None:
        """Ends it; what was written stays. Returns when its end is in the store."""
        await self.session.stop(reply, ReplyState.CANCELLED)


async def stream(followers: Followers, after: int = 0) -> AsyncGenerator[bytes, None]:
    """The events from number `after` on as server-sent events, until the last one."""
    async for fresh in followers.follow(after):
        yield b"".join(sse(one.number, one.name, one.data) for one in fresh) or b": still there\n\n"


def sse(number: int, name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so the data is one line."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


LIVE = Live()
