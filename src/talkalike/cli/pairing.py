"""Pairs for judging: two models in the same held-out moments, as a batch on the website's page "Judge"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talkalike.cli.moments import GuessArm, ModelArm, answers, choose_moments, examples_of
from talkalike.cli.workspace import Workspace
from talkalike.examples.heldout import ReferenceReply, load_replies
from talkalike.examples.reactions import readable
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.store import Store
from talkalike.workspace.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBatch:
    """A batch of pairs that was made. `left_out`: moments in which the two said the same, or one of them nothing."""

    id: int
    pairs: int
    left_out: int


async def make_pairs(
    opened: Workspace, store: Store, cards: tuple[Card, Card], *, moments: int, seed: int = 0, quiet: bool = False
) -> MadeBatch:
    """Lets two models answer moments of the first one's speaker that nobody trained on, and makes pairs of them.

    Raises UserError where the examples changed since the first was trained, or hold no fitting moment.
    """
    first, second = cards
    chosen = choose_moments(load_replies(examples_of(opened, first), "heldout"), first.speakers[0], moments, seed=seed)
    arms = [ModelArm(name="a", card=first), ModelArm(name="b", card=second)]
    said = await answers(opened, arms, chosen, seed=seed, quiet=quiet)
    return await store.run(_store, chosen, said, seed)


def _store(
    moments: Sequence[ReferenceReply], said: Sequence[tuple[GuessArm, Sequence[tuple[str, ...]]]], seed: int
) -> MadeBatch:
    from talkalike.store.judging import items, pairs  # Django: the help does not wait for it

    # Judges read the name: it says what is compared, and not whom. The models are part of each pair's key.
    batch = pairs.make_batch(f"{len(moments)} held-out prompts", seed=seed)
    left_out = 0
    for index, moment in enumerate(moments):
        one, two = (written[index] for _, written in said)
        if not one or not two or one == two:
            left_out += 1
            continue
        context = tuple((turn.speaker, readable(turn.text)) for turn in moment.context)
        ids = [
            items.put_item(
                JudgedReply(
                    context=context, speaker=moment.speaker, messages=written[index], model=arm.model, origin="held out"
                )
            )
            for arm, written in said
        ]
        pairs.make_pair(ids[0], ids[1], batch)
    return MadeBatch(id=batch, pairs=len(moments) - left_out, left_out=left_out)
