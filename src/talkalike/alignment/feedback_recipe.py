"""What the recipes over judgements have in common: metrics, checkpoints, resuming, and the order of events."""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from torch import nn

from talkalike.alignment.feedback_loop import Objective, feedback_steps
from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackSettings, FeedbackStep
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.adapters import Trainable
from talkalike.training import checkpoints
from talkalike.training.loop import Progress
from talkalike.training.memory import memory_told
from talkalike.workspace.cards import Card
from talkalike.workspace.run_folder import RunFolder


class FeedbackRecipe(ABC):
    """The parts of one training that live as long as it does. Heirs set the attributes named here."""

    objective: Objective
    members: Sequence[Sequence[nn.Parameter]]
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator

    def __init__(self, run: RunFolder, loop: FeedbackSettings, *, evaluations: int) -> None:
        self.run, self.loop, self.evaluations = run, loop, evaluations
        self.progress = Progress()
        self.evaluated = 0

    @property
    @abstractmethod
    def trainable(self) -> Trainable:
        """All that is trained, as the run's folder keeps it."""

    @abstractmethod
    def evaluate(self) -> FeedbackEvaluated:
        """Looks at the held-out judgements."""

    def learn(
        self, should_stop: Callable[[], bool], *, checkpoint_minutes: float
    ) -> Generator[FeedbackStep | FeedbackEvaluated, None, str]:
        """Learns and yields what happens; returns "finished", or "stopped" with a checkpoint written."""
        if self.evaluated == 0:
            yield self._look()
        saved_at = time.monotonic()
        for step in feedback_steps(
            self.objective,
            self.members,
            optimizer=self.optimizer,
            settings=self.loop,
            accelerator=self.accelerator,
            progress=self.progress,
        ):
            self._record(step)
            yield step
            if step.done * self.evaluations >= self.evaluated:
                yield self._look()
            if step.done < 1 and should_stop():
                self.checkpoint()
                return "stopped"
            if time.monotonic() - saved_at > 60 * checkpoint_minutes:
                self.checkpoint()
                saved_at = time.monotonic()
        return "finished"

    def checkpoint(self) -> None:
        """Writes all that a resumed training needs."""
        if not self.accelerator.is_main_process:
            return
        state = {**dataclasses.asdict(self.progress), "evaluated": self.evaluated}
        checkpoints.save_checkpoint(self.run, self.trainable, self.optimizer, state)

    def resume(self, digest: str) -> None:
        """Goes on from the newest checkpoint. Raises UserError if the judgements are not those it began with."""
        if self.run.description().get("judgements") not in {None, digest}:
            raise UserError(
                "The judgements are not those this training began with.",
                hint="Resume with the same file, or start a new training.",
            )
        state = checkpoints.load_checkpoint(self.run, self.trainable, self.optimizer)
        if state is not None:
            self.evaluated = state.pop("evaluated")
            self.progress = Progress(**state)
            if self.accelerator.is_main_process:
                self.run.forget_after(self.progress.step)

    def _look(self) -> FeedbackEvaluated:
        found = self.evaluate()
        self.evaluated += 1
        told = {"heldout_loss": found.heldout_loss, "heldout_accuracy": found.accuracy, "heldout_margin": found.margin}
        if self.accelerator.is_main_process:
            self.run.record(step=found.step, **{name: number(value) for name, value in told.items()})
        return found

    def _record(self, step: FeedbackStep) -> None:
        if not math.isfinite(step.loss):
            raise TalkalikeError(
                f"The loss became {step.loss} in step {step.index}: the training diverged.",
                hint="Lower the learning rate (--lr), then start again.",
            )
        values = {name: number(value) for name, value in dataclasses.asdict(step).items() if name != "index"}
        if not self.accelerator.is_main_process:
            return
        self.run.record(step=step.index, **values, total_seconds=round(self.progress.seconds, 3))


def memory_errors(row_tokens: int) -> AbstractContextManager[None]:
    """Turns running out of memory into a sentence."""
    hint = f"Lower row_tokens (now {row_tokens}) or the batch, or stand on a smaller model."
    return memory_told("The training ran out of memory.", hint=hint)


def lineage(card: Card, *, whole: bool = False) -> tuple[str, ...]:
    """The parents of what is made from this model (`whole`: as a model that stands on nothing), oldest first.

    An adapter's first parent is what its weights stand on; where that is a double, its own card tells the rest.
    """
    return (*card.parents, card.name) if whole or card.kind == "adapter" else (card.name,)


def number(value: float) -> float | None:
    """None instead of NaN, which JSON does not have."""
    return value if math.isfinite(value) else None
