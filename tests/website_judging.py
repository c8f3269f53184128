"""Pairs to judge for tests of the judge page: replies of two models to the same messages, in a batch."""

from __future__ import annotations

from talkalike.store.judging import items, judgements, judges, pairs, serving
from talkalike.store.judging.judgement_values import JudgedReply, Side

MODELS = ("anna-3", "base")


def stored(number: int, model: str, *, messages: tuple[str, ...] = (), turns: int = 3) -> int:
    """A reply of the model to the messages of that number."""
    context = tuple((("Ben", "Cleo")[i % 2], f"Question {number}, line {i + 1}?") for i in range(turns))
    said = messages or (
        f"Reply {number} by {'the one' if model == MODELS[0] else 'the other'}.",
        "And a second message!",
    )
    return items.put_item(JudgedReply(context=context, speaker="Anna", messages=said, model=model, origin="web"))


def make_batch(count: int, *, name: str = "First tries", seed: int = 7) -> int:
    """An open batch of pairs between the two models."""
    batch = pairs.make_batch(name, seed=seed)
    for number in range(count):
        pairs.make_pair(stored(number, MODELS[0]), stored(number, MODELS[1]), batch)
    return batch


def vote(batch: int, winner: str, times: int) -> None:
    """A judge who takes that model's reply in so many pairs of the batch."""
    judge = judges.guest()
    for _ in range(times):
        view = serving.next_pair(judge.id, batch)
        assert view is not None
        side = Side.LEFT if items.model_of(view.left.item_id) == winner else Side.RIGHT
        judgements.compare(view.pair_id, judge.id, side, face="web", repeat=view.repeat)
