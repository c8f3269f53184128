"""Lets the model write one reply: the pipeline's events go to those who follow it, and into the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from django.utils import timezone

from talkalike.chat.engines import Engines
from talkalike.chat.pipeline import Finished, MessageDone, Pipeline, Reacted, ReplyEvent, Silence, Started, Text
from talkalike.engine.protocol import EngineBusyError, Sampling
from talkalike.errors import TalkalikeError
from talkalike.store import usage
from talkalike.store.judging import items
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.judging.judges import JudgeRow
from talkalike.store.recording import Ending, ReplyState
from talkalike.store.store import Store
from talkalike.store.talking import conversations, messages
from talkalike.store.talking.values import Part, Tree
from talkalike.website.chat.live import LiveReply
from talkalike.website.chat.talk import Prepared, context_of, options_of, prepare, record_of

ORIGIN = "web"
SAVE_EACH = 1.0  # seconds between writes of a message that is still being written
UNEXPECTED = "Something went wrong on our side; it was written to the site's log."
SHUT_DOWN = "The site was shut down while this was written."

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Writing:
    """One reply, from the branch it answers to its end in the store. Call it once, as a task."""

    store: Store
    engines: Engines
    judge: JudgeRow
    reply_id: int
    conversation_id: int
    owner: str
    model: str
    _parts: dict[int, Part] = field(default_factory=dict)
    _record: dict[str, object] = field(default_factory=dict)
    _sampling: Sampling = field(default_factory=Sampling)
    _speaker: str = ""
    _ending: Ending = field(default_factory=lambda: Ending(state=ReplyState.FAILED, problem=UNEXPECTED))
    _tokens: int = 0
    _saved_at: float = 0.0
    _saving: list[asyncio.Task[None]] = field(default_factory=list)

    async def __call__(self, live: LiveReply) -> None:
        """Writes the reply; however it ends, its end is in the store."""
        try:
            await self._write(live)
        except asyncio.CancelledError:
            if not live.stopped:
                self._ending = Ending(state=ReplyState.LOST, problem=SHUT_DOWN)
                raise
            self._ending = Ending(state=ReplyState.CANCELLED)
        except EngineBusyError:
            self._ending = Ending(
                state=ReplyState.FAILED, problem="The model is busy with other people. Try again in a moment."
            )
        except TalkalikeError as error:
            self._ending = Ending(state=ReplyState.FAILED, problem=str(error))
        finally:
            await self._end()
            live.tell("end", state=self._ending.state.value)

    async def _write(self, live: LiveReply) -> None:
        await live.turn()
        if live.stopped:
            raise asyncio.CancelledError
        speaker = next((one.speaker for one in self.engines.voices() if one.model == self.model), "the double")
        prepared = await self.store.run(self._prepared, speaker)
        if prepared is None:
            return  # it was deleted meanwhile
        engine = await self.engines.open(self.model)
        pipeline = Pipeline(engine, sampling=prepared.sampling, budget=prepared.budget)
        self._sampling = prepared.sampling
        began = time.monotonic()
        async with aclosing(pipeline.reply(prepared.talk, reactions=prepared.reactions)) as events:
            async for event in events:
                self._take(event, live, began)

    def _prepared(self, speaker: str) -> Prepared | None:
        """Runs in the store's thread: the branch up to what is answered, as it is now."""
        conversation = conversations.get(self.owner, self.conversation_id)
        tree = Tree(messages.all_of(self.conversation_id))
        reply = tree.get(self.reply_id)
        if conversation is None or reply is None:
            return None
        return prepare(conversation, tree.path(reply.parent), double=speaker, options=options_of(conversation))

    def _take(self, event: ReplyEvent, live: LiveReply, began: float) -> None:
        match event:
            case Started(speaker=speaker, seen=seen):
                self._speaker, self._record = speaker, record_of(seen)
                live.tell("start", speaker=speaker)
                # Not awaited: the model does not wait for the disk.
                self._save(self._begun)
            case Text(index=index, text=text):
                self._tokens += 1  # about; the engine's own count comes at the end
                before = self._parts.get(index, Part()).text
                self._parts[index] = Part(text=before + text)
                live.tell("text", index=index, text=text)
                if time.monotonic() - self._saved_at > SAVE_EACH:
                    self._save_said()
            case MessageDone(index=index, text=text):
                self._parts[index] = Part(text=text)
                live.tell("message", index=index, text=text)
                self._save_said()
            case Reacted(index=index, emoji=emoji):
                self._parts[index] = Part(emoji=emoji)
                live.tell("reaction", index=index, emoji=emoji)
                self._save_said()
            case Finished(tokens=tokens, seconds=seconds):
                self._tokens = tokens
                self._ending = Ending(state=ReplyState.DONE, seconds=seconds)
            case Silence():
                self._ending = Ending(state=ReplyState.SILENT, seconds=time.monotonic() - began)

    @property
    def _said(self) -> tuple[Part, ...]:
        parts = [part for _, part in sorted(self._parts.items())]
        return tuple(part for part in parts if part.emoji or part.text.strip())

    def _begun(self) -> None:
        messages.begun(
            self.reply_id,
            speaker=self._speaker,
            model=self.model,
            seen=self._record,
            sampling=asdict(self._sampling),
        )

    def _save_said(self) -> None:
        self._saved_at = time.monotonic()
        self._save(partial(messages.progress, self.reply_id, self._said))

    def _save(self, function: Callable[[], None]) -> None:
        self._saving.append(asyncio.get_running_loop().create_task(self.store.run(function)))

    async def _end(self) -> None:
        """Everything that was begun is written, then the end, and the reply as one that can be judged."""
        for result in await asyncio.gather(*self._saving, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("A part of reply %s was not stored.", self.reply_id, exc_info=result)
        await self.store.run(self._store_end)

    def _store_end(self) -> None:
        item_id = None
        words = tuple(part.text for part in self._said if part.text.strip())
        if self._ending.state is ReplyState.DONE and words:
            told = JudgedReply(
                context=context_of(self._record),
                speaker=self._speaker,
                messages=words,
                model=self.model,
                sampling=asdict(self._sampling),
                origin=ORIGIN,
            )
            item_id = items.put_item(told, author=self.judge.id, may_train=self.judge.consent)
        messages.end(self.reply_id, replace(self._ending, tokens=self._tokens), self._said, item_id=item_id)
        if self._tokens or self._ending.state is ReplyState.DONE:
            who = usage.on_website(self.judge.id)
            usage.spend(who, None, replies=1, tokens=self._tokens, day=timezone.now().date())
