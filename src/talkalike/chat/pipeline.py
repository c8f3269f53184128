"""One reply, from the conversation's state to a stream of events every face can show.

    pipeline = Pipeline(engine, sampling=Sampling(), budget=1500)
    conversation.say("anna", "hi")
    async with aclosing(pipeline.reply(conversation)) as events:
        async for event in events: ...

What people saw is what was said. Each finished message of the burst enters the history as a turn of its own; a message
that is broken off (the face closed the events, the task was cancelled, the engine failed) enters it with exactly the
text that was handed out in `Text` events. A reaction is a message of its own kind: it comes whole, as `Reacted`, and a
face puts it on the message before it. A face that shows whole messages only asks for `whole_messages`: then there
are no `Text` events, and a broken-off message was never seen and leaves no trace.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from talkalike.chat.context import Seen, select
from talkalike.chat.conversation import Talk
from talkalike.engine.protocol import Engine, Finish, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import SIGN, emoji_of, plain
from talkalike.examples.render import Turn

BEGIN_TOKENS = 4  # some forms open every prompt with a token or two of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyStarted:
    """The first event: whose voice answers, and what it sees of the conversation."""

    speaker: str
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The next bit of message `index` of the burst."""

    index: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDone:
    """Message `index` is complete and stands in the history under `message_id`. Blank messages are left out."""

    index: int
    text: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reacted:
    """Message `index` of the burst is a reaction, and stands in the history as one."""

    index: int
    emoji: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFinished:
    """The last event of a reply that said something. `tokens` were written, those of replies that were thrown away
    included, as far as the engine tells."""

    reason: Finish
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """The last event of a reply that said nothing: the model chose not to speak."""


ReplyEvent = ReplyStarted | Text | MessageDone | Reacted | ReplyFinished | Silence


class Pipeline:
    """Turns a conversation into the double's next burst. Stateless but for its parts; safe to share between faces.

    `budget`: tokens of the conversation that the model sees, at most; None: all that fit beside the reply.
    """

    def __init__(self, engine: Engine, *, sampling: Sampling, budget: int | None) -> None:
        if budget is not None and budget <= 0:
            raise UserError(f"The context budget is {budget:,} tokens.", hint="Choose a positive number, such as 1500.")
        self.engine = engine
        self.sampling = sampling
        self.budget = budget

    async def reply(
        self,
        conversation: Talk,
        *,
        sampling: Sampling | None = None,
        whole_messages: bool = False,
        reactions: bool = True,
    ) -> AsyncGenerator[ReplyEvent, None]:
        """The double's next burst: `ReplyStarted`, then the messages, then one of `ReplyFinished` and `Silence`.

        `reactions`: False where the face cannot show them; they are then left out as if they had not been made.
        Replies of one conversation wait for each other. Closing the generator cancels the reply and frees the engine's
        slot; use `contextlib.aclosing`, since a loop that is merely left keeps the conversation locked.
        Raises UserError where no prompt fits the model, TalkalikeError when the engine fails.
        """
        async with conversation.lock:
            speaker = conversation.double
            sampling, seen = self._look(conversation, sampling or self.sampling)
            conversation.seen = seen
            prompt = Prompt(turns=seen.turns, speaker=speaker, conversation=conversation.id)
            burst = _Burst(conversation, speaker, reactions=reactions)
            began = time.perf_counter()
            yield ReplyStarted(speaker=speaker, seen=seen)
            try:
                async with _closing(self.engine.stream(prompt, sampling)) as pieces:
                    async for piece in pieces:
                        if piece.message != burst.index and (done := burst.close_message()):
                            yield done
                        text = burst.add(piece)
                        if text and not whole_messages:
                            yield Text(index=piece.message, text=text)
                if burst.finish is None:
                    raise TalkalikeError("The reply broke off before its end.", hint="Ask again.")
                if done := burst.close_message():
                    yield done
            finally:
                if not whole_messages:
                    burst.break_off()
            if burst.messages:
                yield ReplyFinished(reason=burst.finish, tokens=burst.tokens, seconds=time.perf_counter() - began)
            else:
                yield Silence()

    def see(self, conversation: Talk) -> Seen:
        """What a reply would see now. Raises UserError where no prompt fits the model."""
        return self._look(conversation, self.sampling)[1]

    def _look(self, conversation: Talk, sampling: Sampling) -> tuple[Sampling, Seen]:
        sampling, budget = self._divide_context(conversation.double, sampling)
        items, start = conversation.items(), conversation.prompt_start
        return sampling, select(items, budget=budget, count_tokens=self.engine.count_tokens, start=start)

    def _divide_context(self, speaker: str, sampling: Sampling) -> tuple[Sampling, int]:
        """The reply's part of the model's context (its longest length, at most half), and the prompt's part."""
        length = self.engine.context_length
        longest = min(sampling.max_tokens, length // 2)
        opening = self.engine.count_tokens((Turn(speaker, ""),))[0]
        prompt_tokens = length - longest - opening - BEGIN_TOKENS
        if prompt_tokens <= 0:
            raise UserError(
                f"The model '{self.engine.name}' has a context of {length:,} tokens, too little for a reply.",
                hint="Lower the reply's longest length (max tokens), or choose a model with a longer context.",
            )
        limit = prompt_tokens if self.budget is None else min(self.budget, prompt_tokens)
        return replace(sampling, max_tokens=longest), limit


class _Burst:
    """The messages written so far; puts each into the history when it is complete.

    What may become a reaction is held back until it is one (its message ends) or cannot be one any more.
    """

    def __init__(self, conversation: Talk, speaker: str, *, reactions: bool) -> None:
        self._conversation = conversation
        self._speaker = speaker
        self._reactions = reactions
        self._held = ""
        self._text = ""
        self.index = 0
        self.messages = 0
        self.tokens = 0
        self.finish: Finish | None = None

    def add(self, piece: Piece) -> str:
        """Takes a piece; returns the text that is certain to be words now."""
        self.index = piece.message
        self.tokens += len(piece.token_ids) + piece.discarded
        self.finish = piece.finish or self.finish
        text = self._held + piece.text
        if not self._text and (text == SIGN or emoji_of(text)):
            self._held = text
            return ""
        self._held, text = "", plain(text)
        self._text += text
        return text

    def close_message(self) -> MessageDone | Reacted | None:
        text, self._text = self._text, ""
        held, self._held = self._held, ""
        emoji = emoji_of(held)
        if emoji and self._reactions:
            self.messages += 1
            self._conversation.say(self._speaker, held)
            return Reacted(index=self.index, emoji=emoji)
        if not text.strip():
            return None
        self.messages += 1
        message_id = self._conversation.say(self._speaker, text)
        return MessageDone(index=self.index, text=text, message_id=message_id)

    def break_off(self) -> None:
        """Keeps what was handed out of a message that will not be completed. Nobody saw a reaction that was held."""
        self._held = ""
        self.close_message()


@asynccontextmanager
async def _closing(pieces: AsyncIterator[Piece]) -> AsyncIterator[AsyncIterator[Piece]]:
    """Closes an engine's iterator at the end of the block, where it can be closed (`aclosing` demands that it can)."""
    try:
        yield pieces
    finally:
        aclose = getattr(pieces, "aclose", None)
        if aclose is not None:
            await aclose()
