"""Settings and state of `talkalike align loop`: each round has a folder under the runs, with how far it came.

No torch. A round is written after each of its parts, so that one that was cut off goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from talkalike.alignment.heldout_prompts import ReplySources
from talkalike.alignment.judged import Judgements
from talkalike.alignment.preference_values import PreferenceEvent
from talkalike.alignment.reward_values import RewardEvent
from talkalike.alignment.rl_values import RLEvent
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.workspace.files import read_json, write_json
from talkalike.workspace.run_folder import RunFolder

ROUND_FILE = "round.json"
FINISHED = "finished"
REWARD_RUN, CANDIDATE_RUN = "reward", "candidate"  # a round's two trainings; their folders' names end in these
_FORMERLY = {REWARD_RUN: "taste", CANDIDATE_RUN: "practice"}  # what the folders of earlier versions end in
_DIGITS = 16  # of a judgement's hash

Via = Literal["rl", "raft", "dpo", "ipo", "kto"]
RewardKind = Literal["linear", "adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """Settings of a round. An unfinished round with the same settings is continued."""

    via: Via = "rl"  # the method; rl and raft need a reward model, the others learn from the judgements directly
    steps: int = 14  # of reinforcement learning
    minutes: float = 10.0  # of reinforcement learning, at most
    epochs: float = 2.0  # passes over the judgements
    bursts: float = 0.5  # share of the prompts that are answered by whole replies, the others by single messages
    max_tokens: int = 64  # of what is sampled
    kl: float = 0.2  # coefficient of the KL penalty, at least
    kl_target: float = 0.75  # KL per sample that the coefficient steers to; 0: it stays as it is
    wins: float = 0.75  # share of pairs the candidate is to be expected to win; no more of the change is kept
    reward_kind: RewardKind = "linear"  # the reward model: fitted on frozen features, or an adapter that is trained
    lr: float | None = None  # learning rate of the candidate; None: by method
    reward_lr: float = 1e-3  # learning rate of the reward model
    pairs: int = 20  # held-out prompts of the blind comparison
    judges: str = "human"  # whose judgements: human, ai, all
    name: str | None = None  # of the candidate; None: the double's, with -aligned
    seed: int = 0  # of everything that is drawn
    anyway: bool = False  # also where the judgements do not show what is liked

    @property
    def needs_reward(self) -> bool:
        """Whether the method learns from its own replies, which a reward model scores."""
        return self.via in {"rl", "raft"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: from judgements to a candidate beside the present double.

    `used`: hashes of all judgements it was trained on; `new`: how many of them no earlier round had used. `state`:
    running (begun, perhaps cut off), stopped, or finished.
    """

    id: str  # of its folder
    present: str  # the double that is to be made better
    candidate: str
    reward: str  # the reward model's name; empty where the judgements move the double directly
    digest: str  # of the judgements
    used: tuple[str, ...]
    new: int
    options: LoopConfig = field(default_factory=LoopConfig)
    state: str = "running"
    seconds: float = 0.0
    took: Mapping[str, float] = field(default_factory=dict)  # of them, by part: reward, candidate, checks, pairs
    ended: str = ""  # how the training of the candidate ended
    checks: Mapping[str, Any] = field(default_factory=dict)
    batch: int | None = None  # of blind pairs
    pairs: int = 0

    def save(self, runs: Path) -> Round:
        """Writes the round to its folder, in one step, and returns it."""
        (runs / self.id).mkdir(parents=True, exist_ok=True)
        write_json(runs / self.id / ROUND_FILE, dataclasses.asdict(self))
        return self

    def run(self, runs: Path, part: str) -> RunFolder:
        """The folder of one of its trainings, which an earlier version may have begun."""
        earlier = runs / f"{self.id}-{_FORMERLY[part]}"
        return RunFolder(earlier if earlier.is_dir() else runs / f"{self.id}-{part}")

    def add_time(self, part: str, since: float) -> Round:
        """The round with the time that a part of it took since then; times of a part that was interrupted add up."""
        seconds = round(time.monotonic() - since, 1)
        took = {**self.took, part: round(self.took.get(part, 0.0) + seconds, 1)}
        return dataclasses.replace(self, took=took, seconds=round(self.seconds + seconds, 1))

    def continues(self, other: Round) -> bool:
        """Whether this round is unfinished and has the settings of the other."""
        same = (self.present, self.digest, self.options) == (other.present, other.digest, other.options)
        return self.state != FINISHED and same


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelKnown:
    """The round needs no new reward model: this one was trained on the same judgements."""

    name: str


TrainingEvent = RewardEvent | RLEvent | PreferenceEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSources:
    """What a round uses: the workspace and its models (`replies`), and how models are trained here."""

    replies: ReplySources
    adapter: AdapterSettings  # what is trained of a model
    dtype: str = "auto"
    device: str = "auto"


def read_rounds(runs: Path) -> list[Round]:
    """All rounds, oldest first; a file that cannot be read is none."""
    found = []
    for file in sorted(runs.glob(f"*/{ROUND_FILE}")):
        fields: dict[str, Any] = read_json(file) or {}
        try:
            took = {
                CANDIDATE_RUN if part == _FORMERLY[CANDIDATE_RUN] else part: spent
                for part, spent in fields.get("took", {}).items()
            }
            read = {"used": tuple(fields["used"]), "options": LoopConfig(**fields["options"]), "took": took}
            found.append(Round(**{**fields, **read}))
        except (TypeError, KeyError, AttributeError):
            continue
    return found


def fingerprints(judgements: Judgements) -> tuple[str, ...]:
    """A hash for each judgement; one that its judge changed has another."""
    records = (repr(record).encode() for record in judgements.records)
    return tuple(sorted(hashlib.sha256(record).hexdigest()[:_DIGITS] for record in records))


def count_unused(prints: Iterable[str], earlier: Iterable[Round]) -> int:
    """How many of these judgements no finished round has used."""
    known = {one for each in earlier if each.state == FINISHED for one in each.used}
    return sum(one not in known for one in prints)
