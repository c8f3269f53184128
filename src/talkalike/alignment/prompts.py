"""Prompts of RL training: what was said before each reply of the chosen speakers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.fitting import newest_that_fit
from talkalike.examples.render import Renderer, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPrompt:
    """What was said, and who is to reply. `ids` ends with the speaker's header.

    `going_on`: the tokens by which the speaker goes on with another message, once the marker closed one.
    """

    ids: tuple[int, ...]
    going_on: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    speaker: str = ""


def reply_prompts(examples: ExampleSet, renderer: Renderer, *, max_tokens: int) -> list[ReplyPrompt]:
    """`prompts_in` the training part: held-out conversations are kept for measuring.

    UserError if there is none.
    """
    prompts = list(prompts_in(examples, "train", renderer, max_tokens=max_tokens))
    if not prompts:
        raise UserError(
            f"The examples '{examples.manifest.name}' have no reply to anybody that fits {max_tokens} tokens.",
            hint="Prepare more conversations, or allow longer prompts.",
        )
    return prompts


def prompts_in(examples: ExampleSet, split: str, renderer: Renderer, *, max_tokens: int) -> Iterator[ReplyPrompt]:
    """One prompt for each reply to somebody else; the oldest turns are left out where it would be too long."""
    for document in examples.documents(split):
        for index, turn in enumerate(document.turns):
            if index == 0 or not document.learn[index] or document.turns[index - 1].speaker == turn.speaker:
                continue
            turns = newest_turns(document.turns[:index], turn.speaker, renderer, max_tokens)
            if turns:
                yield reply_prompt(turns, turn.speaker, renderer)


def reply_prompt(turns: tuple[Turn, ...], speaker: str, renderer: Renderer) -> ReplyPrompt:
    """The prompt after which the speaker replies to these turns."""
    return ReplyPrompt(
        ids=tuple(renderer.prompt(turns, speaker)),
        going_on=(*renderer.closing_ids[1:], *renderer.header(speaker)),
        turns=turns,
        speaker=speaker,
    )


def prompts_of_step(count: int, step: int, *, prompts: int, seed: int) -> list[int]:
    """Which prompts a step uses: every prompt once before any comes again, each time in a new order."""
    first, last = step * prompts, (step + 1) * prompts
    rounds = range(first // count, (last - 1) // count + 1)
    orders = {turn: np.random.default_rng((seed, turn)).permutation(count) for turn in rounds}
    return [int(orders[place // count][place % count]) for place in range(first, last)]


def newest_turns(turns: tuple[Turn, ...], speaker: str, renderer: Renderer, max_tokens: int) -> tuple[Turn, ...]:
    """The newest of the turns with which the prompt has at most so many tokens."""
    token_budget = max_tokens - len(renderer.begin_ids) - len(renderer.header(speaker))
    return newest_that_fit(turns, token_budget, renderer.count_tokens)
