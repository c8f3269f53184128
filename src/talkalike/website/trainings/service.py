"""What the page needs of the rest of the program, which the command line hands in when the site starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training that somebody wants. Empty, or None: as it is without saying anything."""

    name: str
    examples: str
    method: str = ""
    base: str = ""
    minutes: float | None = None
    epochs: float | None = None
    learning_rate: float | None = None


class Trainings(Protocol):
    """Programs that train, and the mark of the model that serves."""

    def train(self, recipe: Recipe, run: str) -> Sequence[str]:
        """The words of the command that trains by this recipe into the folder `runs/<run>`."""
        ...

    def resume(self, model: str) -> Sequence[str]:
        """The words of the command that goes on with the newest unfinished training of this model."""
        ...

    def serving(self) -> str | None:
        """The model that answers where none is named; None where nobody chose one."""
        ...

    def promote(self, model: str, by: str) -> None:
        """Makes it the one that answers. Raises UserError for a model that cannot be used."""
        ...
