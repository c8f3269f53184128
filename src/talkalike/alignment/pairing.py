"""Pairs for judging, as a batch on the website's page "Judge": two models side by side, or one model's own replies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from talkalike.alignment.heldout_prompts import Answers, ModelArm, ReplySources, answer_prompts, choose_prompts
from talkalike.alignment.text_features import most_different
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
    return await store.run(_store, prompts, await answer_prompts(sources, arms, prompts, seed), seed)


async def make_own_pairs(
    sources: ReplySources, store: Store, card: Card, *, count: int, replies: int = 4, seed: int = 0
) -> MadeBatch:
    """Lets a model reply several times to prompts it was trained on; the two that differ most become a pair.

    What people say of these is what the model learns from: its held-out prompts stay for measuring. Raises UserError
    where the examples changed since it was trained.
    """
    train = load_replies(examples_of(sources.paths.examples, card), "train")
    prompts = choose_prompts(train, card.speakers[0], count, seed=seed)
    arm = ModelArm(name="own", card=card)
    drawn = [await answer_prompts(sources, [arm], prompts, 1000 * seed + number) for number in range(replies)]
    said = [[answers[0][1][index] for answers in drawn if answers[0][1][index]] for index in range(len(prompts))]
    return await store.run(_store_own, card.name, prompts, said, seed)


def _store_own(
    model: str, prompts: Sequence[ReferenceReply], said: Sequence[Sequence[tuple[str, ...]]], seed: int
) -> MadeBatch:
    from talkalike.store.judging import items, pairs  # Django: a command's help does not wait for it

    batch = pairs.make_batch(f"{len(prompts)} prompts to learn from", seed=seed)
    chosen = most_different([["\n".join(messages) for messages in replies] for replies in said])
    made = 0
    for prompt, replies, two in zip(prompts, said, chosen, strict=True):
        if two is None:
            continue
        ids = [
            items.put_item(
                JudgedReply(
                    context=tuple((turn.speaker, readable(turn.text)) for turn in prompt.context),
                    speaker=prompt.speaker,
                    messages=replies[place],
                    model=model,
                    origin="to learn from",
                )
            )
            for place in two[:2]
        ]
        pairs.make_pair(ids[0], ids[1], batch, spread=math.tanh(two[2] / 2))
        made += 1
    return MadeBatch(id=batch, pairs=made, left_out=len(prompts) - made)


def _store(prompts: Sequence[ReferenceReply], said: Answers, seed: int) -> MadeBatch:
    from talkalike.store.judging import items, pairs  # Django: a command's help does not wait for it

    # Judges read the name: it says what is compared, and not whom. The models are part of each pair's key.
    batch = pairs.make_batch(f"{len(prompts)} held-out prompts", seed=seed)
    left_out = 0
    for index, prompt in enumerate(prompts):
        one, two = (written[index] for _, written in said)
        if not one or not two or one == two:
            left_out += 1
            continue
        context = tuple((turn.speaker, readable(turn.text)) for turn in prompt.context)
        ids = [
            items.put_item(
                JudgedReply(
                    context=context, speaker=prompt.speaker, messages=written[index], model=arm.model, origin="held out"
                )
            )
            for arm, written in said
        ]
        pairs.make_pair(ids[0], ids[1], batch)
    return MadeBatch(id=batch, pairs=len(prompts) - left_out, left_out=left_out)
