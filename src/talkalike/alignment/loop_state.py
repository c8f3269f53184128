"""What `talkalike align loop` remembers: each round's own folder under the runs, with what it used and how far it came.

No torch. A round is written after each of its parts, so that one that was cut off goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkalike.alignment.judged import Judgements
from talkalike.workspace.files import write_atomically

ROUND_FILE = "round.json"
FINISHED = "finished"
_DIGITS = 16  # of a judgement's hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: from judgements to a candidate beside the present double.

    `used`: hashes of all judgements it learned from, `new` how many of them no earlier round had used. `state`:
    running (begun, perhaps cut off), stopped, or finished.
    """

    id: str  # of its folder
    present: str  # the double that is to be made better
    candidate: str
    reward: str  # the reward model's name; empty where the judgements move the double directly
    digest: str  # of the judgements
    used: tuple[str, ...]
    new: int
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = "running"
    seconds: float = 0.0
    took: Mapping[str, float] = field(default_factory=dict)  # of them, by part: reward, practice, checks, pairs
    ended: str = ""  # how the training of the candidate ended
    checks: Mapping[str, Any] = field(default_factory=dict)
    batch: int | None = None  # of blind pairs
    pairs: int = 0

    def save(self, runs: Path) -> None:
        """Writes it, in one step."""
        folder = runs / self.id
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ROUND_FILE, json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    def goes_on(self, other: Round) -> bool:
        """Whether this round was cut off and wanted what the other one wants."""
        same = (self.present, self.digest, dict(self.options)) == (other.present, other.digest, dict(other.options))
        return self.state != FINISHED and same


def rounds(runs: Path) -> list[Round]:
    """All rounds, oldest first; a file that cannot be read is none."""
    found = []
    for file in sorted(runs.glob(f"*/{ROUND_FILE}")):
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            found.append(Round(**{**fields, "used": tuple(fields["used"])}))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found


def fingerprints(judgements: Judgements) -> tuple[str, ...]:
    """A hash for each judgement; one that its judge changed has another."""
    records = (repr(record).encode() for record in judgements.records)
    return tuple(sorted(hashlib.sha256(record).hexdigest()[:_DIGITS] for record in records))


def unused(prints: Iterable[str], earlier: Iterable[Round]) -> int:
    """How many of these judgements no finished round has used."""
    known = {one for each in earlier if each.state == FINISHED for one in each.used}
    return sum(one not in known for one in prints)
