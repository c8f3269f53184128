"""What the page needs of the rest of the program, which the command line hands in when the site starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run to start. Empty, or None: the default."""

    name: str
    examples: str
    method: str = ""
    base: str = ""
    minutes: float | None = None
    epochs: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A training run on judgements to start. `kind`: "reward", "rl" or "dpo", as `talkalike align` has them.

    `reward` and `steps` are for "rl", `epochs` and `judges` ("human", "ai", "all") for the others. None: the default.
    """

    name: str
    kind: str
    double: str
    reward: str = ""
    steps: int | None = None
    epochs: float | None = None
    judges: str = ""


class RunCommands(Protocol):
    """The commands that start and resume training runs, and the choice of the model in use."""

    def train(self, recipe: Recipe, run: str) -> Sequence[str]:
        """The command line that trains by this recipe into the folder `runs/<run>`."""
        ...

    def align(self, wanted: Alignment, run: str) -> Sequence[str]:
        """The command line of a training on judgements, or with a reward, into the folder `runs/<run>`."""
        ...

    def resume(self, model: str) -> Sequence[str]:
        """The command line that resumes the newest unfinished run of this model."""
        ...

    def serving(self) -> str | None:
        """The model that answers where none is named; None where nobody chose one."""
        ...

    def promote(self, model: str, by: str) -> None:
        """Makes it the one that answers. Raises UserError for a model that cannot be used."""
        ...
