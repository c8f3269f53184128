"""What tests run in a process of its own: `python judging_child.py votes|rates URL FROM TO ITEMS...`.

Judges number FROM to TO judge everything once: "votes" compares pairs, "rates" rates items. Each judgement is printed
as "judge thing value" once it was acknowledged.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from talkalike.store.judging import judgements, voting
from talkalike.store.judging.judgement_values import Choice, Scale
from talkalike.store.store import Store, open_store

CHOICES = (Choice.A, Choice.B, Choice.TIE, Choice.BOTH_BAD)
THREADS = 4


def choice_of(judge_id: int, pair_id: int) -> Choice:
    """What this judge says about this pair."""
    return CHOICES[(judge_id * 7 + pair_id) % 4]


def value_of(judge_id: int, item_id: int) -> int:
    """How this judge rates this item."""
    return 1 + (judge_id * 3 + item_id) % 5


def judge_all(store: Store, what: str, judge_id: int, things: list[int]) -> None:
    """One judge's judgements, one after another."""
    for thing in things:
        if what == "rates":
            value = value_of(judge_id, thing)
            store.call(judgements.rate, thing, judge_id, Scale.HELPFUL, value, face="web")
            print(f"{judge_id} {thing} {value}\n", end="", flush=True)
        else:
            choice = choice_of(judge_id, thing)
            store.call(voting.compare, thing, judge_id, choice, face="web")
            print(f"{judge_id} {thing} {choice.value}\n", end="", flush=True)


def main() -> None:
    """Says "ready" and waits for a line on its input first, so that several start together."""
    what, url, first, last, *numbers = sys.argv[1:]
    things = [int(number) for number in numbers]
    stores = [open_store(url) for _ in range(THREADS)]
    print("ready", flush=True)
    sys.stdin.readline()
    judges = range(int(first), int(last))
    with ThreadPoolExecutor(THREADS) as threads:
        done = [
            threads.submit(judge_all, stores[n % THREADS], what, judge_id, things) for n, judge_id in enumerate(judges)
        ]
        for each in done:
            each.result()
    for store in stores:
        store.close()


if __name__ == "__main__":
    main()
