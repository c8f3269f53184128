"""Pairs for judging, as a batch on the website's page "Judge": two models side by side, or one model's own replies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from talkalike.alignment.heldout_prompts import ModelArm, ReplySources, answer_prompts, choose_prompts, draw_replies
from talkalike.alignment.text_features import different_pairs
from talkalike.examples.heldout import ReferenceReply, load_replies
from talkalike.examples.opening import examples_of
from talkalike.examples.reactions import readable
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.store import Store
from talkalike.workspace.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBatch:
    """A batch of pairs that was made. `left_out`: prompts to which the two said the same, or one of them nothing."""

    id: int
    pairs: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _PromptPair:
    """Two different replies to a prompt, each with its model. `spread`: how much there is to learn from it, 0 to 1."""

    prompt: ReferenceReply
    replies: tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]
    spread: float = 0.0


async def make_pairs(
    sources: ReplySources, store: Store, cards: tuple[Card, Card], *, count: int, seed: int = 0
) -> MadeBatch:
    """Lets two models reply to prompts of the first one's speaker that nobody trained on, and makes pairs of them.

    Raises UserError where the examples changed since the first was trained, or hold no fitting prompt.
    """
    first, second = cards
    heldout = load_replies(examples_of(sources.paths.examples, first), "heldout")
    prompts = choose_prompts(heldout, first.speakers[0], count, seed=seed)
    arms = [ModelArm(name="a", card=first), ModelArm(name="b", card=second)]
    (_, ours), (_, others) = await answer_prompts(sources, arms, prompts, seed)
    found = [
        _PromptPair(prompt=prompt, replies=((first.name, one), (second.name, other)))
        for prompt, one, other in zip(prompts, ours, others, strict=True)
        if one and other and one != other
    ]
    # Judges read the batch's name: it says what is compared, and not whom. The models are part of each pair's key.
    alike = len(prompts) - len(found)
    return await store.run(_store, f"{len(prompts)} held-out prompts", "held out", found, alike, seed)


async def make_own_pairs(
    sources: ReplySources, store: Store, card: Card, *, count: int, replies: int = 4, seed: int = 0
) -> MadeBatch:
    """Lets a model reply several times to prompts it was trained on; the two that differ most become a pair, then two
    of the others.

    What people say of these is what the model learns from: its held-out prompts stay for measuring. Raises UserError
    where the examples changed since it was trained.
    """
    train = load_replies(examples_of(sources.paths.examples, card), "train")
    prompts = choose_prompts(train, card.speakers[0], count, seed=seed)
    arm = ModelArm(name="own", card=card)
    drawn = await draw_replies(sources, arm, prompts, [1000 * seed + number for number in range(replies)])
    said = [[reply for reply in to_prompt if reply] for to_prompt in zip(*drawn, strict=True)]
    chosen = different_pairs([["\n".join(messages) for messages in replies] for replies in said])
    found = [
        _PromptPair(
            prompt=prompt,
            replies=((card.name, replies[one]), (card.name, replies[other])),
            spread=math.tanh(distance / 2),
        )
        for prompt, replies, pairs in zip(prompts, said, chosen, strict=True)
        for one, other, distance in pairs
    ]
    alike = sum(not pairs for pairs in chosen)
    return await store.run(_store, f"{len(prompts)} prompts to learn from", "to learn from", found, alike, seed)


def _store(name: str, origin: str, found: Sequence[_PromptPair], alike: int, seed: int) -> MadeBatch:
    from talkalike.store.judging import items, pairs  # Django: a command's help does not wait for it

    batch = pairs.make_batch(name, seed=seed)
    for pair in found:
        context = tuple((turn.speaker, readable(turn.text)) for turn in pair.prompt.context)
        speaker = pair.prompt.speaker
        first, second = (
            items.put_item(JudgedReply(context=context, speaker=speaker, messages=messages, model=model, origin=origin))
            for model, messages in pair.replies
        )
        pairs.make_pair(first, second, batch, spread=pair.spread)
    return MadeBatch(id=batch, pairs=len(found), left_out=alike)
