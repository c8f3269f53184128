"""Held-out prompts: places in conversations that nothing was trained on, and what several models reply. No torch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from talkalike.alignment.values import ReplySample
from talkalike.engine.protocol import Engine, Sampling
from talkalike.errors import UserError
from talkalike.evaluation.generate import Generated, GenerationSettings, generate_replies
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.reactions import words_of
from talkalike.examples.render import Turn
from talkalike.workspace.cards import Card
from talkalike.workspace.paths import WorkspacePaths

TURNS = 12  # of each prompt, for the models and for friends alike
SHORTEST = 8  # characters of a real reply: a bare "ok" could be anybody's
LONGEST_REPLY = 96  # tokens, for every model alike
CONTEXT_TOKENS = 2048
AT_ONCE = 16  # replies written together
_CACHE = "moments"  # in the model's folder; so called since the first version, whose replies are found again

OnProgress = Callable[[int, int, str], object]
"""Called with how much is done, of how much, and with what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArm:
    """A model that replies. `name` is "double", "base", "prompted", …; `lead` stands before every prompt."""

    name: str
    card: Card
    lead: tuple[Turn, ...] = ()

    @property
    def model(self) -> str:
        return self.card.name


Answers = list[tuple[ModelArm, list[tuple[str, ...]]]]
"""Each arm with its replies to the prompts, each reply a tuple of messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySources:
    """How models are asked for their replies. `open_engine` loads a model, which is closed again here."""

    paths: WorkspacePaths
    open_engine: Callable[[Card], Engine]
    sampling: Sampling
    on_progress: OnProgress = lambda done, total, doing: None


async def answer_prompts(
    sources: ReplySources, arms: Sequence[ModelArm], prompts: Sequence[ReferenceReply], seed: int
) -> Answers:
    """What each arm replies to each prompt: words only, without empty messages; () where it says nothing.

    One model is in memory at a time; replies are cached in its folder.
    """
    return [(arm, (await draw_replies(sources, arm, prompts, [seed]))[0]) for arm in arms]


async def draw_replies(
    sources: ReplySources, arm: ModelArm, prompts: Sequence[ReferenceReply], seeds: Sequence[int]
) -> list[list[tuple[str, ...]]]:
    """What one arm replies to each prompt, once for each seed; as for `answer_prompts`. The model is loaded once."""
    limit = min(sources.sampling.max_tokens, LONGEST_REPLY)
    asked = [replace(prompt, context=(*arm.lead, *prompt.context)) for prompt in prompts]

    def on_progress(done: int, total: int) -> None:
        sources.on_progress(done, total, f"{arm.model} ({arm.name}) answers")

    engine = await asyncio.to_thread(sources.open_engine, arm.card)
    try:
        drawn = []
        for seed in seeds:
            settings = GenerationSettings(
                sampling=replace(sources.sampling, seed=seed, max_tokens=limit),
                context_tokens=CONTEXT_TOKENS,
                concurrency=AT_ONCE,
                cache_folder=sources.paths.catalog().path(arm.model) / _CACHE,
            )
            fingerprint = f"{arm.model} {arm.card.created} {arm.name}"
            written = await generate_replies(engine, asked, settings, fingerprint=fingerprint, progress=on_progress)
            drawn.append([words_said(reply) for reply in written])
    finally:
        await engine.close()
    return drawn


def words_said(reply: Generated) -> tuple[str, ...]:
    """A reply's messages with words; () where it says nothing."""
    return tuple(text.strip() for text in words_of(reply.messages) if text.strip())


def reply_samples_of(prompts: Sequence[ReferenceReply], said: Sequence[Sequence[str]]) -> list[ReplySample]:
    """Replies to these prompts as a reward reads them."""
    both = zip(prompts, said, strict=True)
    return [ReplySample.of_messages(messages, prompt.context, prompt.speaker) for prompt, messages in both]


def pairs_that_differ(
    first: Sequence[ReplySample], second: Sequence[ReplySample]
) -> list[tuple[ReplySample, ReplySample]]:
    """The pairs that people would be shown: both say something, and not the same."""
    return [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one.text and other.text and one.text != other.text
    ]


def choose_prompts(replies: Sequence[ReferenceReply], speaker: str, count: int, *, seed: int) -> list[ReferenceReply]:
    """`count` places where the speaker really replied at some length, each with the end of its context.

    A smaller `count` takes the first of them. Raises UserError where there is none.
    """
    fit = [
        replace(reply, context=reply.context[-TURNS:])
        for reply in replies
        if reply.speaker == speaker and len("".join(reply.words).strip()) >= SHORTEST
    ]
    if not fit:
        raise UserError(
            f"No held-out prompt has a reply of {speaker} that is long enough.",
            hint=f"It takes replies of at least {SHORTEST} characters. Import more chats, prepare and train again.",
        )
    return random.Random(seed).sample(fit, len(fit))[:count]
