"""A small world to judge in: replies of several models, pairs, judges. For tests of the store's judging."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talkalike.store.judging import items, judges, pairs, voting
from talkalike.store.judging.judgement_values import Comparison, JudgedReply
from talkalike.store.store import Store

SAMPLING = {"temperature": 0.7, "top_p": 0.95, "seed": 3}


def reply(number: int = 0, model: str = "double", **changes: Any) -> JudgedReply:
    """What that model said to the context of that number."""
    values: dict[str, Any] = {
        "context": (("Anna", f"question {number} 🐈"), ("Ben", "hm,\nreally?")),
        "speaker": "Ben",
        "messages": (f"answer {number} of {model}", "  second\u2028line"),
        "model": model,
        "sampling": SAMPLING,
        "origin": "web",
    }
    return JudgedReply(**(values | changes))


def put(store: Store, number: int = 0, model: str = "double", **changes: Any) -> int:
    """The item of `reply`."""
    return store.call(items.put_item, reply(number, model, **changes))


def paired(store: Store, number: int, batch_id: int | None, models: tuple[str, str] = ("base", "double")) -> int:
    """A pair of what two models said to the same context."""
    return store.call(pairs.make_pair, put(store, number, models[0]), put(store, number, models[1]), batch_id)


def batch_of(store: Store, count: int, *, seed: int = 7, name: str = "first") -> tuple[int, list[int]]:
    """A batch and its pairs."""
    batch_id = store.call(pairs.make_batch, name, seed=seed)
    return batch_id, [paired(store, number, batch_id) for number in range(count)]


def judge(store: Store, *, consent: bool = True) -> int:
    """A new judge."""
    made = store.call(judges.guest)
    if consent:
        store.call(judges.set_consent, made.id, True)
    return made.id


def views(store: Store, judge_id: int, batch_id: int, vote: Any) -> Iterator[Comparison]:
    """Every pair the judge gets, judged by `vote(view)` after it was yielded."""
    from talkalike.store.judging import serving

    while (view := store.call(serving.next_pair, judge_id, batch_id)) is not None:
        yield view
        store.call(voting.compare, view.id, judge_id, vote(view), face="web", repeat=view.repeat)


def counts(store: Store) -> dict[str, Any]:
    """Every count that is kept beside the judgements."""

    def read() -> dict[str, Any]:
        from talkalike.store.judging import models

        return {
            "tally": sorted(models.Tally.objects.filter(count__gt=0).values_list("type", "value", "first", "count")),
            "agreement": sorted(models.Agreement.objects.filter(count__gt=0).values_list("scale", "votes", "count")),
            "pairs": list(models.Pair.objects.order_by("id").values_list("votes", "judged", "missing")),
            "scores": sorted(
                models.ItemScore.objects.filter(count__gt=0).values_list("item_id", "scale", "kind", "count", "mean")
            ),
        }

    return store.call(read)


def everybody() -> list[judges.JudgeRow]:
    """Everybody who judges, in the order in which they came."""
    from talkalike.store.judging import models

    return [judges.row_of(row) for row in models.Judge.objects.order_by("id")]
