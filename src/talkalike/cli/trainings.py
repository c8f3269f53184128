"""What the website's page "Trainings" asks of this program: the commands that train, and the model that serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from talkalike.models import serving

if TYPE_CHECKING:
    from talkalike.cli.workspace import Workspace
    from talkalike.website.trainings.service import Recipe


class WorkspaceTrainings:
    """`talkalike.website.trainings.service.Trainings` over a workspace."""

    def __init__(self, opened: Workspace) -> None:
        self._opened = opened

    def train(self, recipe: Recipe, run: str) -> Sequence[str]:
        """The command line of a training by this recipe, into the folder of its job."""
        options = {
            "--name": recipe.name,
            "--examples": recipe.examples,
            "--base": recipe.base,
            "--method": recipe.method,
            "--minutes": recipe.minutes,
            "--epochs": recipe.epochs,
            "--lr": recipe.learning_rate,
            "--run": run,
        }
        given = [(option, str(value)) for option, value in options.items() if value not in ("", None)]
        return (*self._program("train"), *(word for pair in given for word in pair))

    def resume(self, model: str) -> Sequence[str]:
        """The command line that goes on with it."""
        return (*self._program("train"), "--resume", "--name", model)

    def serving(self) -> str | None:
        """The promoted model."""
        return serving.serving_model(self._opened.models)

    def promote(self, model: str, by: str) -> None:
        """Promotes it."""
        serving.promote(self._opened.models, model, by)

    def _program(self, command: str) -> tuple[str, ...]:
        program = (sys.executable, "-m", "talkalike.cli.main")
        return (*program, command, "--workspace", str(self._opened.root))
