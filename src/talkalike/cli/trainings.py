"""What the website's page "Trainings" asks of this program: the commands that train, and the model that serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from talkalike.cli.workspace import Workspace
from talkalike.website.trainings.service import Alignment, Recipe
from talkalike.workspace import serving


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
        return (*self._program("train"), *_words(options))

    def align(self, wanted: Alignment, run: str) -> Sequence[str]:
        """The command line of an alignment, into the folder of its job."""
        options: dict[str, object] = {"--name": wanted.name, "--model": wanted.double, "--run": run}
        if wanted.kind == "rl":
            options |= {"--reward": wanted.reward, "--steps": wanted.steps}
        else:
            options |= {"--epochs": wanted.epochs, "--judges": wanted.judges}
        return (*self._program("align", wanted.kind), *_words(options))

    def resume(self, model: str) -> Sequence[str]:
        """The command line that goes on with it."""
        return (*self._program("train"), "--resume", "--name", model)

    def serving(self) -> str | None:
        """The promoted model."""
        return serving.serving_model(self._opened.models)

    def promote(self, model: str, by: str) -> None:
        """Promotes it."""
        serving.promote(self._opened.models, model, by)

    def _program(self, *command: str) -> tuple[str, ...]:
        program = (sys.executable, "-m", "talkalike.cli.main")
        return (*program, *command, "--workspace", str(self._opened.root))


def _words(options: Mapping[str, object]) -> Iterator[str]:
    """The options that were given, as the command line has them."""
    for option, value in options.items():
        if value not in ("", None):
            yield from (option, str(value))
