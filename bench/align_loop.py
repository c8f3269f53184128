"""The whole `align loop`: do judgements become a double that whoever gave them prefers, and does it every time?

A scripted judge with a known preference judges pairs of the double's own replies as the website's judges do: those of
`talkalike judgements ask`, sorted anew by `judgements sort` after the first 40 and 100. `talkalike align loop` learns
from exactly that. The same judge then looks at the blind pairs: candidate beside present double, to held-out prompts
that nobody trained on or judged. Each seed trains a double of its own and draws its own pairs.

    python bench/align_loop.py --workspace DIR [--seeds 0 1 2] [--judges personal questions wordy] [-- --steps 12 ...]

Works on copies of the workspace, which needs a base. A row a run, then the median and the range over all of them. What
stands behind -- goes to the loop: `-- --via dpo --epochs 6` compares the methods.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from talkalike.cli.demo import sample_folders
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.store.judging import judges, serving, voting
from talkalike.store.judging.judgement_values import Choice, Side
from talkalike.store.judging.outcomes import outcome
from talkalike.store.judging.statistics import wilson
from talkalike.store.store import Store, open_store
from talkalike.workspace.cards import Card

SPEAKER = "Juno Marwick"
SORT_AFTER = (40, 100)  # judgements
BLIND = 50  # held-out prompts of the blind comparison
PERSONAL = re.compile(r"\b(i|i'm|im|ill|ive|id|my|me|you|u|ur|your|youre)\b")
QUESTION = re.compile(
    r"^(?:(?:so|and|but|ok|okay|wait|oh|hey|lol|haha|btw|also|um|well|hm+)[,. ]+)*"
    r"(?:whats?|what's|why|hows?|how's|when|wheres?|where's|whos?|who's|which|are|is|can|could|would|will|wanna|"
    r"have|has|should|(?:do|does|did)(?! not)|u|r)\b",
    re.IGNORECASE,
)  # many people write questions without a sign
Preference = Callable[[Sequence[str]], float]


def personal(messages: Sequence[str]) -> float:
    """The share of the messages that speak of oneself or to the other, instead of about things."""
    return sum(bool(PERSONAL.search(text.casefold())) for text in messages) / max(1, len(messages))


def questions(messages: Sequence[str]) -> float:
    """The share of the messages that ask something."""
    return sum("?" in text or bool(QUESTION.match(text.strip())) for text in messages) / max(1, len(messages))


def wordy(messages: Sequence[str]) -> float:
    """No bare "ok": from twelve words on it is all the same. The sample's speaker is briefer than that."""
    return min(12, len(" ".join(messages).split()))


JUDGES: dict[str, Preference] = {"personal": personal, "questions": questions, "wordy": wordy}


def command(root: Path, *arguments: object, seed: int = 0) -> dict[str, Any]:
    """What a command of ours tells as JSON; its progress goes to the terminal."""
    line = [sys.executable, "-m", "talkalike.cli.main", *map(str, arguments), "-w", str(root), "--json"]
    environment = {**os.environ, "TALKALIKE_TRAIN_SEED": str(seed)}
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def train_double(root: Path, options: argparse.Namespace, seed: int) -> str:
    """A double with this seed; its name."""
    command(root, "import", *(options.chats or sample_folders()))
    command(root, "prepare", "-s", options.speaker, "--no-estimate")
    limit = ("--epochs", options.epochs) if options.epochs else ("--minutes", options.train_minutes)
    return str(command(root, "train", *limit, seed=seed)["model"])


def judge(store: Store, batch: int, preference: Preference, *, most: int | None = None) -> dict[str, int]:
    """Judges a batch as the website does, one pair after the other; how often each answer was given."""
    judge_id = store.call(judges.guest).id
    store.call(judges.set_consent, judge_id, True)
    given: dict[str, int] = {}
    while most is None or sum(given.values()) < most:
        view = store.call(serving.next_pair, judge_id, batch)
        if view is None:
            break
        left, right = preference(view.left.messages), preference(view.right.messages)
        choice = Choice.TIE if left == right else Side.LEFT if left > right else Side.RIGHT
        store.call(voting.compare, view.id, judge_id, choice, face="web", repeat=view.repeat)
        given[choice.value] = given.get(choice.value, 0) + 1
    return given


def judge_to_learn(root: Path, model: str, preference: Preference, *, count: int, seed: int) -> dict[str, int]:
    """So many judgements of the double's own replies, the queue sorted anew on the way; how each was given."""
    asked = ("--model", model, "--prompts", max(40, round(1.2 * count)), "--seed", seed)
    batch = command(root, "judgements", "ask", *asked)["id"]
    given: dict[str, int] = {}
    stages = [*(after for after in SORT_AFTER if after < count), count]
    for before, after in zip([0, *stages], stages, strict=False):
        if before:
            command(root, "judgements", "sort")
        with open_store(database_url(open_workspace(root))) as store:
            for choice, times in judge(store, batch, preference, most=after - before).items():
                given[choice] = given.get(choice, 0) + times
    return given


def compare_blindly(
    root: Path, model: str, present: str, preference: Preference, *, draws: int, seed: int
) -> dict[str, Any]:
    """How a model does with this judge beside the present double: several draws of replies to held-out prompts."""
    wins = losses = ties = 0
    options = ("--model", model, "--against", present, "--prompts", BLIND)
    seeds = [seed, *range(101, 100 + draws)]
    batches = [command(root, "judgements", "pairs", *options, "--seed", one)["id"] for one in seeds]
    with open_store(database_url(open_workspace(root))) as store:
        for batch in batches:
            judge(store, batch, preference)
            found = store.call(outcome, batch, model)
            wins, losses, ties = wins + found.wins, losses + found.losses, ties + found.ties
    share = wilson(wins, wins + losses)
    interval = [share.low and round(share.low, 3), share.high and round(share.high, 3)]
    told = {"wins": wins, "losses": losses, "ties": ties, "n": wins + losses}
    return {**told, "share": share.share and round(share.share, 3), "wilson_95": interval}


def candidate_of(workspace: Workspace) -> Card:
    """The newest candidate that a round of the loop left."""
    return max(
        (card for card in workspace.catalog().cards() if card.settings.get("round")), key=lambda one: one.created
    )


def run_once(
    root: Path, model: str, name: str, *, seed: int, options: argparse.Namespace, loop_options: Sequence[str]
) -> dict[str, Any]:
    """One double, one judge: judgements, the loop, the blind comparison."""
    preference = JUDGES[name]
    given = judge_to_learn(root, model, preference, count=options.judgements, seed=seed)
    start = time.perf_counter()
    done = command(root, "align", "loop", "--model", model, "--pairs", BLIND, "--seed", seed, *loop_options)
    minutes = (time.perf_counter() - start) / 60
    won = compare_blindly(root, done["model"], model, preference, draws=options.draws, seed=seed)
    scores, checks = done["scores"], done["scores"]["checks"]
    both = {
        key: [found[f"{key}_before"], found[key]]
        for found in (scores, checks)
        for key in found
        if f"{key}_before" in found
    }
    before, after = both.get("likeness", [None, None])
    reward = open_workspace(root).catalog().card(done["reward"]).scores if done["reward"] else {}
    return {
        "judge": name,
        "seed": seed,
        "model": done["model"],
        "judgements": given,
        "blind": won,
        "expected": [checks.get(f"expected_wins{ending}") for ending in ("", "_low", "_high")],
        "likeness_kept": round(after / before, 3) if before else None,
        "loop_minutes": round(minutes, 2),
        "minutes": {part: round(seconds / 60, 2) for part, seconds in done["took"].items()},
        "reward_model": {key: reward.get(key) for key in ("accuracy", "heldout_pairs", "calibration_error")},
        "ended": done["ended"],
        "steps": scores.get("steps"),
        "before_and_after": both,
    }


def rows(options: argparse.Namespace, loop_options: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each seed and judge."""
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            trained = Path(shutil.copytree(options.workspace, Path(scratch) / "trained"))
            model = options.double or train_double(trained, options, seed)
            seconds = time.perf_counter() - start
            for name in options.judges:
                root = Path(shutil.copytree(trained, (options.keep or Path(scratch)) / f"{name}-{seed}"))
                present = model
                for number in range(1, options.rounds + 1):
                    row = run_once(root, present, name, seed=seed, options=options, loop_options=loop_options)
                    yield {**row, "round": number, "double_seconds": round(seconds, 1)}
                    present = row["model"]
                if options.keep is None:
                    shutil.rmtree(root)


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median and the range of what matters."""
    told: dict[str, Any] = {"runs": len(found)}
    shares = [row["blind"]["share"] for row in found if row["blind"]["share"] is not None]
    told["below_half"] = sum((row["blind"]["wilson_95"][0] or 0) < 0.5 for row in found)
    kept = [row["likeness_kept"] for row in found if row["likeness_kept"] is not None]
    ties = [row["judgements"].get("tie", 0) / max(1, sum(row["judgements"].values())) for row in found]
    measures = {"share": shares, "likeness_kept": kept, "ties": ties, "minutes": [row["loop_minutes"] for row in found]}
    for name, values in measures.items():
        told[name] = [round(pick(values), 3) for pick in (statistics.median, min, max)] if values else None
    return told


def main() -> None:
    """Prints a JSON document for each run, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a base, and the double that is named")
    parser.add_argument("--double", default="", help="take this one, instead of training one for each seed")
    parser.add_argument("--chats", type=Path, nargs="*", default=[], help="what to import; default: the sample")
    parser.add_argument("--speaker", default=SPEAKER)
    parser.add_argument("--judgements", type=int, default=200)
    parser.add_argument("--judges", choices=JUDGES, nargs="+", default=["personal"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--train-minutes", type=float, default=3.0, help="of each double")
    parser.add_argument("--epochs", type=float, default=0.0, help="of each double, instead of minutes")
    parser.add_argument(
        "--rounds", type=int, default=1, help="of judging and learning; each candidate is the next double"
    )
    parser.add_argument("--keep", type=Path, help="leave the workspaces in this folder")
    parser.add_argument("--draws", type=int, default=2, help="of replies to the held-out prompts of the comparison")
    options, loop_options = parser.parse_known_args()
    found = []
    for row in rows(options, [each for each in loop_options if each != "--"]):
        print(json.dumps(row), flush=True)
        found.append(row)
    print(json.dumps({"summary": summary(found)}))


if __name__ == "__main__":
    main()
