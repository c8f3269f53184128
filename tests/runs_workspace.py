"""A workspace with runs, models and examples, and programs that stand in for training, for tests of pages."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from talkalike.errors import UserError
from talkalike.jobs import job
from talkalike.jobs.job import Job
from talkalike.website.runs.service import Alignment, Recipe

TRAINER = """
import json, pathlib, signal, sys, time
folder, model = pathlib.Path(sys.argv[1]), sys.argv[2]
about = {"model": model, "examples": "mira", "settings": {"base": "tiny", "adapter": {"method": "lora"}}}
def describe(state):
    (folder / "run.json").write_text(json.dumps({**about, "state": state}))
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
describe("running")
print("Training", model, flush=True)
step = 0
while not asked:
    step += 1
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "loss": 3 / step + 1, "seconds": step / 50, "tokens": 10}) + "\\n")
        if step % 10 == 1:
            file.write(json.dumps({"step": step, "heldout_loss": 3 / step + 1.5, "seconds": step / 50}) + "\\n")
    print("step", step, flush=True)
    time.sleep(0.02)
print("Saved.", flush=True)
describe("stopped")
"""


PROMPTS = (
    ("are you coming?", "yes", "yes!", "yes, at <eight>"),
    ("which train", "dunno", "the early one", "the early one, as always"),
)


def write(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


CHECKS = {
    "likeness_before": 1.0,
    "likeness": 0.98,
    "told_apart_before": 0.72,
    "told_apart": 0.84,
    "distinct_2_before": 0.89,
    "distinct_2": 0.77,
    "copied_before": 0.0,
    "copied": 0.0,
    "expected_wins": 0.73,
    "expected_wins_low": 0.66,
    "expected_wins_high": 0.8,
}


def add_card(
    root: Path,
    name: str,
    *,
    parents: Sequence[str] = (),
    likeness: float | None = None,
    heldout: float = 2.91,
    checks: Mapping[str, float] | None = None,
    **values: Any,
) -> None:
    """A model: a base where it has no parents, a candidate of a round where there are `checks`."""
    scores: dict[str, Any] = {"heldout_loss": heldout, "heldout_loss_before": 3.4} if parents else {}
    if likeness is not None:
        scores["likeness"] = {"value": likeness, "low": likeness - 0.1, "high": likeness + 0.08, "replies": 120}
        scores["likeness"] |= {"bits_per_character": 2.31, "bits_per_character_base": 2.64}
    if checks is not None:
        scores |= {"strength": 0.55, "checks": dict(checks)}
    card = {
        "name": name,
        "kind": "adapter" if parents else "base",
        "created": "2026-11-01T10:00:00+00:00",
        "method": "lora" if parents else "",
        "parents": list(parents),
        "speakers": ["Mira"] if parents else [],
        "scores": scores,
    }
    write(root / "models" / name / "card.json", card | values)


def add_examples(root: Path, name: str = "mira", base: str = "tiny") -> None:
    manifest = {"name": name, "speakers": ["Mira"], "base": base, "train": {"learned": 1234}}
    write(root / "examples" / name / "manifest.json", manifest)


def add_run(
    root: Path, name: str, *, state: str = "finished", steps: int = 80, start: float = 3.6, **values: Any
) -> Path:
    """A run that lies in the workspace: its name ends in a date."""
    folder = root / "runs" / name
    about = {"model": name.rpartition("-")[0].rpartition("-")[0], "state": state, "examples": "mira"}
    settings = {
        "base": "tiny",
        "adapter": {"method": "lora"},
        "loop": {"learning_rate": 1e-3, "minutes": 9.0, "seed": 0},
    }
    write(folder / "run.json", {**about, "settings": settings, **values})
    lines = []
    for step in range(steps + 1):
        loss = 2.4 + (start - 2.4) * math.exp(-step / 30)
        if step % 10 == 0:
            lines.append({"step": step, "heldout_loss": loss + 0.15, "seconds": step * 4.0})
        if step:
            noise = 0.35 * math.sin(step * 12.9898) * math.cos(step * 3.1)
            lines.append({"step": step, "loss": loss + noise, "seconds": step * 4.0, "tokens": 1900})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def add_rl_measurements(run: Path, *, steps: int, prompts: Sequence[Sequence[str]] = PROMPTS) -> None:
    """What RL training measures. `prompts`: a held-out prompt, and the reply to it after each of some steps."""
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for step in range(1, steps + 1):
            values = {
                "step": step,
                "reward": 0.2 + step / 2 / steps,
                "kl_k1": 3 * step / steps,
                "total_seconds": step * 9.0,
            }
            values |= {"distinct_2": 0.8 - step / 8 / steps, "length": 7 + 3 * math.sin(step)}
            file.write(json.dumps(values) + "\n")
    times = len(prompts[0]) - 1
    with (run / "replies.jsonl").open("w", encoding="utf-8") as file:
        for number in range(times):
            said = [
                {"prompt": prompt[0], "speaker": "Mira", "text": prompt[1 + number], "reward": 0.2 + number / 10}
                for prompt in prompts
            ]
            file.write(json.dumps({"step": steps * number // (times - 1), "replies": said}) + "\n")


class FakeRunCommands:
    """`RunCommands` whose program counts until it is told to stop."""

    def __init__(self, root: Path, *, program: str = TRAINER) -> None:
        self.root = root
        self.asked: list[Recipe | Alignment] = []
        self.chosen: str | None = None
        self._program = program

    def train(self, recipe: Recipe, run: str) -> Sequence[str]:
        self.asked.append(recipe)
        return (sys.executable, "-c", self._program, str(self.root / "runs" / run), recipe.name)

    def align(self, wanted: Alignment, run: str) -> Sequence[str]:
        self.asked.append(wanted)
        return (sys.executable, "-c", self._program, str(self.root / "runs" / run), wanted.name)

    def resume(self, model: str) -> Sequence[str]:
        folder = sorted((self.root / "runs").glob(f"{model}-*"))[-1]
        return (sys.executable, "-c", self._program, str(folder), model)

    def serving(self) -> str | None:
        return self.chosen

    def promote(self, model: str, by: str) -> None:
        if model == "broken":
            raise UserError("'broken' stands on 'nothing', which is not here.", hint="Fetch its base first.")
        self.chosen = model


def fill(root: Path) -> None:
    """Something of everything."""
    add_examples(root)
    add_examples(root, "two-friends")
    add_card(root, "tiny")
    add_card(root, "mira-1", parents=("tiny",), likeness=0.42)
    add_card(root, "mira-2", parents=("tiny",), likeness=0.61, method="dora")
    add_card(root, "mira-2-aligned", parents=("tiny", "mira-2"), likeness=0.66, kind="adapter", checks=CHECKS)
    add_card(root, "orphan", parents=("deleted-base",))
    add_run(root, "mira-1-20261101-100000")
    add_run(root, "mira-2-20261102-113000", start=3.1, steps=120)
    add_run(root, "mira-3-20261103-090000", state="stopped", steps=33, start=4.0)
    reward = add_run(root, "mira-2-aligned-20261104-090000", kind="rl", steps=20)
    add_rl_measurements(reward, steps=20)


def jobs_in(runs: Path) -> list[Job]:
    """The jobs in the folders right below this one."""
    return [found for path in runs.glob("*/job.json") if (found := job.status(path.parent))]
