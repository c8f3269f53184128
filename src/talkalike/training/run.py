"""One training and its folder: settings, metrics, checkpoints, and the card of the model that comes out.

Every recipe has one beside its loop. Where several processes train together, the main one alone writes.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor

from talkalike.errors import TalkalikeError, UserError
from talkalike.models.adapters import Trainable
from talkalike.training.checkpoints import checkpoint_tensors, restore_tensors, save_tensors
from talkalike.training.loop import Progress
from talkalike.workspace.cards import Card
from talkalike.workspace.rebuilding import rebuild
from talkalike.workspace.run_folder import RunFolder

_TENSORS = "tensors.safetensors"  # in a checkpoint
P = TypeVar("P", bound=Progress)


@dataclass(slots=True, kw_only=True)
class TrainingRun(Generic[P]):
    """`about` is what `run.json` says beside the settings; `progress` is the state that a checkpoint keeps."""

    folder: RunFolder
    config: Any  # a dataclass with a `name` and `checkpoint_minutes`
    about: Mapping[str, Any]
    trainable: Trainable
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    progress: P
    _saved_at: float = field(default_factory=time.monotonic)

    @property
    def writes(self) -> bool:
        """Whether this process writes to the folder."""
        return self.accelerator.is_main_process

    def describe(self, state: str) -> None:
        """Writes the settings and the state of the run."""
        if self.writes:
            about = {"model": self.config.name, **self.about, "state": state}
            self.folder.describe({**about, "settings": dataclasses.asdict(self.config)})

    def record(self, step: int, **values: object) -> None:
        """Adds a line to the metrics; NaN, which JSON does not have, becomes none."""
        if self.writes:
            self.folder.record(step=step, **{name: finite_or_none(value) for name, value in values.items()})

    def keep_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Keeps these values of the trained tensors as the best so far."""
        if self.writes:
            save_tensors(self.folder.best_file, tensors)

    def best(self) -> dict[str, Tensor]:
        """What `keep_best` kept; nothing where there is none."""
        return load_file(self.folder.best_file) if self.folder.best_file.is_file() else {}

    def checkpoint(self, best: Mapping[str, Tensor] | None = None) -> None:
        """Keeps all that a resumed training needs, and the best so far; older checkpoints go once it is complete."""
        if best:
            self.keep_best(best)
        if self.writes:
            folder = self.folder.new_checkpoint(self.progress.step)
            save_tensors(folder / _TENSORS, checkpoint_tensors(self.trainable, self.optimizer))
            self.folder.complete_checkpoint(folder, dataclasses.asdict(self.progress))
        self._saved_at = time.monotonic()

    def checkpoint_in_time(self, best: Mapping[str, Tensor] | None = None) -> None:
        """Writes a checkpoint where the last one is older than `checkpoint_minutes`."""
        if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
            self.checkpoint(best)

    def resume(self) -> bool:
        """Goes on from the newest checkpoint; False where there is none."""
        found = self.folder.newest_checkpoint()
        if found is None:
            return False
        folder, state = found
        self.progress = rebuild(type(self.progress), state, file=folder, hint="Start a new training instead.")
        restore_tensors(self.trainable, self.optimizer, load_file(folder / _TENSORS))
        if self.writes:
            self.folder.forget_after(self.progress.step)
        return True

    def count_minutes(self, minutes: float | None, *, ending: float) -> None:
        """Records what everything before the first step took, and how many seconds the end will take.

        Raises UserError where no time is left for a single step.
        """
        progress = self.progress
        progress.seconds += time.monotonic() - self.folder.began
        if progress.step:
            return
        progress.loading, progress.ending = progress.seconds, ending
        if not progress.has_time(0.0, minutes):
            self.end_in_vain()
            raise UserError(
                f"{minutes:g} minutes are over before the first step: loading the model and measuring it took "
                f"{progress.loading:.0f} seconds, and {ending:.0f} are needed at the end.",
                hint="No model was made. Give it more --minutes.",
            )

    def end_in_vain(self) -> None:
        """Records that going on would end in the same way: nothing came of it, and there is nothing to resume."""
        if self.writes:
            self.folder.describe({**self.folder.description(), "state": "failed", "in_vain": True})
            self.folder.drop_checkpoints()

    def card(self, *, scores: Mapping[str, Any], settings: Mapping[str, Any] | None = None, **origin: Any) -> Card:
        """The card of what came out; `origin` are its other fields, `settings` go beyond those of the run."""
        spent = {"steps": self.progress.step, "training_seconds": round(self.progress.seconds, 1)}
        return Card(
            name=self.config.name,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            settings={**dataclasses.asdict(self.config), **(settings or {})},
            scores={**scores, **spent},
            **origin,
        )

    def finish(self, reason: str) -> None:
        """Records how it ended. A "stopped" run can be resumed; any other needs no checkpoint any more."""
        self.describe("stopped" if reason == "stopped" else "finished")
        if self.writes and reason != "stopped":
            self.folder.drop_checkpoints()


def finite_or_none(value: object) -> object:
    """None instead of a number that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def refuse_divergence(step: int, loss: float) -> None:
    """Raises TalkalikeError where the loss is not finite."""
    if not math.isfinite(loss):
        raise TalkalikeError(
            f"The loss became {loss} in step {step}: the training diverged.",
            hint="Lower the learning rate (--lr), then start again.",
        )
