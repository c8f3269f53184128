"""Moments that were kept back from training, and what several models say in them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from talkalike.cli.output import progress
from talkalike.cli.talking import load_engine, sampling_of
from talkalike.cli.workspace import Workspace
from talkalike.engine.protocol import Engine
from talkalike.errors import UserError
from talkalike.evaluation.generate import GenerationSettings, generate_replies
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.reactions import words_of
from talkalike.examples.render import Turn
from talkalike.workspace.cards import Card

TURNS = 12  # of each moment, for the models and for friends alike
SHORTEST = 8  # characters of a real reply: nobody can tell one "ok" from another
LONGEST_REPLY = 96  # tokens, for every arm alike
CONTEXT_TOKENS = 2048
AT_ONCE = 16  # replies written together


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArm:
    """A model that is asked: "double", "base", ...; `lead` stands before every context."""

    name: str
    card: Card
    lead: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessArm:
    """Who answers the moments. `name` is "double", "base" or "prompted"; `lead` stands before every context."""

    name: str
    model: str
    engine: Engine
    fingerprint: str
    lead: tuple[Turn, ...] = ()


async def answers(
    opened: Workspace, arms: Sequence[ModelArm], moments: Sequence[ReferenceReply], *, seed: int, quiet: bool
) -> list[tuple[GuessArm, list[tuple[str, ...]]]]:
    """What each arm says in each moment. One model is in memory at a time; what was said before is not said again."""
    sampling = sampling_of(opened)
    found: list[tuple[GuessArm, list[tuple[str, ...]]]] = []
    for wanted in arms:
        settings = GenerationSettings(
            sampling=replace(sampling, seed=seed, max_tokens=min(sampling.max_tokens, LONGEST_REPLY)),
            context_tokens=CONTEXT_TOKENS,
            concurrency=AT_ONCE,
            cache_folder=opened.catalog().path(wanted.card.name) / "moments",
        )
        engine = await asyncio.to_thread(load_engine, opened, wanted.card)
        arm = GuessArm(
            name=wanted.name,
            model=wanted.card.name,
            engine=engine,
            fingerprint=f"{wanted.card.name} {wanted.card.created}",
            lead=wanted.lead,
        )
        try:
            with progress(f"{arm.model} ({arm.name}) answers", quiet=quiet) as advance:
                found.append((arm, await answer(arm, moments, settings, told=advance)))
        finally:
            await engine.close()
    return found


async def answer(
    arm: GuessArm,
    moments: Sequence[ReferenceReply],
    settings: GenerationSettings,
    *,
    told: Callable[[int, int], object],
) -> list[tuple[str, ...]]:
    """What the arm says in each moment: words only, without empty messages; () where it says nothing."""
    asked = [replace(moment, context=(*arm.lead, *moment.context)) for moment in moments]
    written = await generate_replies(
        arm.engine,
        asked,
        settings,
        fingerprint=f"{arm.fingerprint} {arm.name}",
        progress=lambda done, total: (told(done, total), None)[1],
    )
    return [tuple(text.strip() for text in words_of(reply.messages) if text.strip()) for reply in written]


def choose_moments(replies: Sequence[ReferenceReply], speaker: str, count: int, *, seed: int) -> list[ReferenceReply]:
    """`count` moments of the speaker with a real reply of some length, each with the end of its context.

    A smaller `count` takes the first of them. Raises UserError where there is none.
    """
    fit = [
        replace(reply, context=reply.context[-TURNS:])
        for reply in replies
        if reply.speaker == speaker and len("".join(reply.words).strip()) >= SHORTEST
    ]
    if not fit:
        raise UserError(
            f"No held-out moment with a reply of {speaker} can be asked about.",
            hint=f"It takes replies of at least {SHORTEST} characters. Import more chats, prepare and train again.",
        )
    return random.Random(seed).sample(fit, len(fit))[:count]


def examples_of(opened: Workspace, card: Card) -> ExampleSet:
    """The examples that the double was trained on. UserError where they were prepared anew since."""
    examples = opened.example_set(card.examples)
    if examples.manifest.hash != card.examples_hash:
        raise UserError(
            f"The examples '{card.examples}' were prepared anew since '{card.name}' was trained: what is held out now "
            "may have been trained on.",
            hint="Train again, then make the blind test with that model.",
        )
    return examples
