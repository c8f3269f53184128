"""Judged contexts divided into a part to learn from and a held-out part, and turned into tokens. No torch.

Nothing of a conversation that is learned from is ever measured on: two contexts that share a stretch of messages are
taken for one conversation and stay together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from talkalike.alignment.judged import JudgedContext
from talkalike.alignment.prompts import newest_turns
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSplit:
    """Contexts to learn from, and to measure on. `by`: what was kept together ("conversation", or only "context")."""

    train: tuple[JudgedContext, ...]
    heldout: tuple[JudgedContext, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedContext:
    """A judged context with its replies in tokens; numbers are places in `samples`."""

    samples: tuple[ReplySample, ...]
    pairs: tuple[tuple[int, int], ...]
    ratings: tuple[tuple[int, str, int], ...]
    bad: tuple[int, ...]
    soft: Mapping[tuple[int, int], float] = field(default_factory=dict)  # of pairs that are less than certain

    @property
    def shares(self) -> list[float]:
        """How likely each pair's better reply is better: 1 where people said so."""
        return [self.soft.get(pair, 1.0) for pair in self.pairs]

    @property
    def tokens(self) -> int:
        """Tokens of the context once and of all its replies."""
        return len(self.samples[0].prompt_ids) + sum(len(sample.reply_ids) for sample in self.samples)

    @property
    def judgements(self) -> int:
        """The number of pairs and ratings."""
        return len(self.pairs) + len(self.ratings)


def split_contexts(contexts: Sequence[JudgedContext], *, heldout: float, seed: int) -> ContextSplit:
    """Whole conversations are held out until about a share `heldout` of the contexts is.

    Where all belong together (one long conversation, everybody says "hi"), only equal contexts are kept together.
    """
    wanted, by = round(heldout * len(contexts)), "conversation"
    chosen = _choose_heldout(contexts, group_by_conversation(contexts), wanted, seed)
    if 2 * len(chosen) < wanted:
        by, chosen = "context", _choose_heldout(contexts, _group_equal(contexts), wanted, seed)
    return ContextSplit(
        train=tuple(context for index, context in enumerate(contexts) if index not in chosen),
        heldout=tuple(context for index, context in enumerate(contexts) if index in chosen),
        by=by,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedParts:
    """The training part and the held-out part, in tokens. `corrections` are replies in somebody's own words."""

    train: list[EncodedContext]
    heldout: list[EncodedContext]
    too_long: int  # replies that are left out
    corrections: int


def encode_parts(
    contexts: Sequence[JudgedContext], renderer: Renderer, *, max_tokens: int, heldout: float, seed: int
) -> EncodedParts:
    """Splits the contexts and encodes them. Raises UserError where nothing is left to learn from."""
    parts = split_contexts(contexts, heldout=heldout, seed=seed)
    train, train_long = encode_contexts(_with_judgements(parts.train), renderer, max_tokens=max_tokens)
    heldout_part, heldout_long = encode_contexts(_with_judgements(parts.heldout), renderer, max_tokens=max_tokens)
    if not train:
        raise UserError(
            "All judged replies are too long.",
            hint=f"The longest that can be learned from have {max_tokens // 2:,} tokens. Judge shorter ones.",
        )
    return EncodedParts(
        train=train,
        heldout=heldout_part,
        too_long=train_long + heldout_long,
        corrections=sum(context.corrections for context in contexts),
    )


def _with_judgements(contexts: Sequence[JudgedContext]) -> list[JudgedContext]:
    return [context for context in contexts if context.pairs or context.ratings]


def encode_contexts(
    contexts: Sequence[JudgedContext], renderer: Renderer, *, max_tokens: int
) -> tuple[list[EncodedContext], int]:
    """The contexts in tokens, at most `max_tokens` with the longest reply; and how many replies were too long.

    Old turns are left out where there are too many; a reply may take up half of the tokens.
    """
    made, too_long = [], 0
    for context in contexts:
        replies = [reply_ids(messages, context.speaker, renderer) for messages in context.replies]
        kept = [index for index, ids in enumerate(replies) if len(ids) <= max_tokens // 2]
        too_long += len(replies) - len(kept)
        context = only_replies(context, kept)
        if not (context.pairs or context.ratings or context.bad):
            continue
        turns = tuple(Turn(speaker, text) for speaker, text in context.turns)
        turns = newest_turns(turns, context.speaker, renderer, max_tokens - max(len(replies[index]) for index in kept))
        prompt = tuple(renderer.prompt(turns, context.speaker))
        samples = tuple(
            ReplySample(
                prompt_ids=prompt,
                reply_ids=tuple(replies[index]),
                text="\n".join(messages),
                prompt_turns=turns,
                speaker=context.speaker,
            )
            for index, messages in zip(kept, context.replies, strict=True)
        )
        pairs, ratings, bad = context.pairs, context.ratings, context.bad
        made.append(EncodedContext(samples=samples, pairs=pairs, ratings=ratings, bad=bad, soft=context.soft))
    return made, too_long


def reply_ids(messages: Sequence[str], speaker: str, renderer: Renderer) -> list[int]:
    """The tokens after the speaker's header: messages as turns of their own, the last up to its closing marker."""
    ids: list[int] = []
    for index, text in enumerate(renderer.encode_texts(list(messages))):
        ids += (renderer.closing_ids + renderer.header(speaker) if index else []) + text
    return [*ids, renderer.stop_id]


def only_replies(context: JudgedContext, kept: Sequence[int]) -> JudgedContext:
    """The context with these replies only."""
    place = {old: new for new, old in enumerate(kept)}
    return replace(
        context,
        replies=tuple(context.replies[index] for index in kept),
        pairs=tuple((place[a], place[b]) for a, b in context.pairs if a in place and b in place),
        ratings=tuple((place[r], scale, value) for r, scale, value in context.ratings if r in place),
        bad=tuple(place[index] for index in context.bad if index in place),
        soft={(place[a], place[b]): share for (a, b), share in context.soft.items() if a in place and b in place},
    )


def group_by_conversation(contexts: Sequence[JudgedContext]) -> list[list[int]]:
    """Places of contexts that share two messages in a row, or begin alike where one has no more than that."""
    leader = list(range(len(contexts)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    first_with: dict[object, int] = {}
    short = {context.turns for context in contexts if len(context.turns) < 2}
    for index, context in enumerate(contexts):
        keys: list[object] = list(zip(context.turns, context.turns[1:], strict=False))
        keys += [context.turns[:1]] if context.turns[:1] in short else []
        for key in keys:
            leader[find(index)] = find(first_with.setdefault(key, index))
    groups: dict[int, list[int]] = {}
    for index in range(len(contexts)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _group_equal(contexts: Sequence[JudgedContext]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for index, context in enumerate(contexts):
        groups.setdefault(context.turns, []).append(index)
    return list(groups.values())


def _choose_heldout(contexts: Sequence[JudgedContext], groups: list[list[int]], wanted: int, seed: int) -> set[int]:
    chosen: set[int] = set()
    for group in sorted(groups, key=lambda group: _digest(seed, contexts[group[0]])):
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    return chosen


def _digest(seed: int, context: JudgedContext) -> str:
    return hashlib.sha256(repr((seed, context.turns, context.speaker)).encode()).hexdigest()
