"""The whole `align loop` on the bundled sample: does a taste become a double that somebody with that taste prefers?

A scripted judge with a known taste compares pairs of the double's own replies through the store's real judging path
(the queue of a batch, orders drawn, choices stored). `talkalike align loop` learns from exactly that. The same judge
then looks at the blind pairs: candidate beside present double, in held-out moments that nobody trained on or judged.

    python bench/align_loop.py --workspace DIR [--judgements 200] [--double NAME] [-- --minutes 6 ...]

Works on a copy of the workspace; makes the sample's double where it has none. What stands behind -- goes to the loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talkalike.alignment.heldout_prompts import ModelArm, answer_prompts, choose_prompts
from talkalike.cli.demo import sample_folders
from talkalike.cli.engines import reply_sources
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.examples.heldout import load_replies
from talkalike.examples.opening import examples_of
from talkalike.store.judging import items, judges, pairs, serving, voting
from talkalike.store.judging.judgement_values import Choice, JudgedReply, Side
from talkalike.store.judging.outcomes import outcome
from talkalike.store.judging.statistics import wilson
from talkalike.store.store import Store, open_store
from talkalike.workspace.cards import Card

SPEAKER = "Juno Marwick"
PERSONAL = re.compile(r"\b(i|i'm|im|ill|ive|id|my|me|you|u|ur|your|youre)\b")
Taste = Callable[[Sequence[str]], float]


def personal(messages: Sequence[str]) -> float:
    """A taste: the share of the messages that speak of itself or to the other, instead of about things."""
    return sum(bool(PERSONAL.search(text.casefold())) for text in messages) / max(1, len(messages))


def wordy(messages: Sequence[str]) -> float:
    """Another: no bare "ok"; from twelve words on it is all the same. Against the sample's manner, who is brief."""
    return min(12, len(" ".join(messages).split()))


TASTES: dict[str, Taste] = {"personal": personal, "wordy": wordy}


def command(root: Path, *arguments: object) -> dict[str, Any]:
    """What a command of ours tells as JSON; its progress goes to the terminal."""
    line = [sys.executable, "-m", "talkalike.cli.main", *map(str, arguments), "-w", str(root), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
    return found


def double_of(root: Path, wanted: str, minutes: float) -> Card:
    """The double that is to be made better; trained on the bundled sample where there is none."""
    opened = open_workspace(root)
    if not wanted and opened.catalog().newest_double() is None:
        command(root, "import", *sample_folders())
        command(root, "prepare", "-s", SPEAKER, "--no-estimate")
        command(root, "train", "--minutes", minutes)
    card = opened.catalog().card(wanted) if wanted else opened.catalog().newest_double()
    assert card is not None
    return card


def put_pairs(opened: Workspace, store: Store, card: Card, *, count: int, seed: int) -> tuple[int, int]:
    """(a batch, its pairs): two different replies of the double to each of `count` moments of the training part."""
    train = load_replies(examples_of(opened.examples, card), "train")
    moments = choose_prompts(train, card.speakers[0], count, seed=seed)
    arm = ModelArm(name="a", card=card)
    sources = reply_sources(opened)
    said = [asyncio.run(answer_prompts(sources, [arm], moments, 1000 * (seed + n)))[0][1] for n in (1, 2)]

    def put() -> tuple[int, int]:
        batch, made = pairs.make_batch(f"two replies of {card.name}", seed=seed), 0
        for moment, one, other in zip(moments, *said, strict=True):
            if one and other and one != other:
                context = tuple((turn.speaker, turn.text) for turn in moment.context)
                ids = [
                    items.put_item(
                        JudgedReply(context=context, speaker=moment.speaker, messages=words, model=card.name, origin="")
                    )
                    for words in (one, other)
                ]
                pairs.make_pair(ids[0], ids[1], batch)
                made += 1
        return batch, made

    return store.call(put)


def judge(store: Store, batch: int, taste: Taste, *, most: int | None = None) -> dict[str, int]:
    """Judges a batch as the website does, one pair after the other; how often each answer was given."""
    judge_id = store.call(judges.guest).id
    store.call(judges.set_consent, judge_id, True)
    given: dict[str, int] = {}
    while most is None or sum(given.values()) < most:
        view = store.call(serving.next_pair, judge_id, batch)
        if view is None:
            break
        left, right = taste(view.left.messages), taste(view.right.messages)
        choice = Choice.TIE if left == right else Side.LEFT if left > right else Side.RIGHT
        store.call(voting.compare, view.id, judge_id, choice, face="web", repeat=view.repeat)
        given[choice.value] = given.get(choice.value, 0) + 1
    return given


def blind(root: Path, store: Store, done: dict[str, Any], taste: Taste, draws: int) -> dict[str, Any]:
    """How the candidate did under the taste: in the loop's own batch, and with further draws of the same moments."""
    batches = [done["batch"]]
    for seed in range(101, 100 + draws):  # another than the loop's
        options = ("--model", done["model"], "--against", done["present"], "--prompts", 50, "--seed", seed)
        batches.append(command(root, "judgements", "pairs", *options)["id"])
    wins = losses = ties = 0
    for batch in batches:
        judge(store, batch, taste)
        found = store.call(outcome, batch, done["model"])
        wins, losses, ties = wins + found.wins, losses + found.losses, ties + found.ties
    share = wilson(wins, wins + losses)
    interval = [share.low and round(share.low, 3), share.high and round(share.high, 3)]
    told = {"wins": wins, "losses": losses, "ties": ties, "n": wins + losses}
    return {**told, "share": share.share and round(share.share, 3), "wilson_95": interval, "batches": len(batches)}


def measured(root: Path, options: argparse.Namespace, loop_options: Sequence[str]) -> dict[str, Any]:
    """The whole run, in a workspace of its own."""
    opened, taste = open_workspace(root), TASTES[options.taste]
    start = time.perf_counter()
    card = double_of(root, options.double, options.train_minutes)
    trained = time.perf_counter() - start
    with open_store(database_url(opened)) as store:
        batch, made = put_pairs(opened, store, card, count=round(options.judgements * 1.2), seed=7)
        given = judge(store, batch, taste, most=options.judgements)
    start = time.perf_counter()
    done = command(root, "align", "loop", "--model", card.name, "--pairs", 50, *loop_options)
    loop_seconds = time.perf_counter() - start
    with open_store(database_url(opened)) as store:
        won = blind(root, store, done, taste, options.draws)
    scores = done["scores"]
    checks = scores["checks"]
    both = {name: [checks[f"{name}_before"], checks[name]] for name in checks if f"{name}_before" in checks}
    both |= {name: [scores[f"{name}_before"], scores[name]] for name in scores if f"{name}_before" in scores}
    before, after = both.get("likeness", [None, None])
    reward = opened.catalog().card(done["reward"]).scores if done["reward"] else {}
    return {
        "taste": options.taste,
        "judged_pairs": made,
        "judgements": given,
        "double_seconds": round(trained, 1),
        "loop_minutes": round(loop_seconds / 60, 2),
        "minutes": {part: round(seconds / 60, 2) for part, seconds in done["took"].items()},
        "reward_model": {name: reward.get(name) for name in ("accuracy", "heldout_pairs", "length_correlation")},
        "ended": done["ended"],
        "steps": scores.get("steps"),
        "blind": won,
        "likeness_kept": round(after / before, 3) if before else None,
        "before_and_after": both,
    }


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a base, and perhaps a double of the sample")
    parser.add_argument("--double", default="", help="which; default: the newest")
    parser.add_argument("--judgements", type=int, default=200)
    parser.add_argument("--taste", choices=TASTES, default="personal")
    parser.add_argument("--train-minutes", type=float, default=3.0, help="of the double, where there is none")
    parser.add_argument("--draws", type=int, default=2, help="of replies in the held-out moments of the comparison")
    options, loop_options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(shutil.copytree(options.workspace, Path(scratch) / "workspace"))
        print(json.dumps(measured(root, options, [each for each in loop_options if each != "--"])))


if __name__ == "__main__":
    main()
