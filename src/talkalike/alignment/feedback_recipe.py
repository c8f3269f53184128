"""What the recipes over judgements share: the training data, and the loop with its evaluations and checkpoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import nn

from talkalike.alignment.feedback_loop import FeedbackSums, Objective, feedback_steps, total_steps
from talkalike.alignment.feedback_values import FeedbackConfig, FeedbackEvaluated, FeedbackStarted, FeedbackStep
from talkalike.alignment.judged import OPINION, GatheredJudgements, Judgements, remarks
from talkalike.alignment.judged_parts import EncodedParts
from talkalike.errors import UserError
from talkalike.models.roles import Roles
from talkalike.training.loop import Progress
from talkalike.training.memory import explain_out_of_memory
from talkalike.training.run import TrainingRun, refuse_divergence
from talkalike.workspace.cards import Catalog


@dataclass(slots=True, kw_only=True)
class FeedbackProgress(Progress):
    """The progress of a training on judgements."""

    evaluated: int = 0  # how often the held-out judgements were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMaterial:
    """The data of a training on judgements."""

    judgements: Judgements
    gathered: GatheredJudgements
    parts: EncodedParts
    catalog: Catalog

    @property
    def about(self) -> dict[str, Any]:
        """What the card says about the judgements."""
        return {"judgements": self.judgements.digest, "judges": len(self.judgements.judges)}

    @property
    def left_out(self) -> dict[str, int]:
        """How many judgements and replies are left out, by reason."""
        left_out = {**self.judgements.left_out, **self.gathered.left_out}
        return left_out | ({"replies that are too long": self.parts.too_long} if self.parts.too_long else {})

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know before trusting the result."""
        found = remarks(self.judgements, self.gathered, known_models=[card.name for card in self.catalog.cards()])
        if not self.parts.heldout:
            found.append("Too few contexts were judged to hold some out: nothing tells how good this is.")
        return tuple(found)


def memory_errors(row_tokens: int) -> AbstractContextManager[None]:
    """Turns running out of memory into a UserError that says what to lower."""
    hint = f"Lower row_tokens (now {row_tokens}) or the batch, or choose a smaller model."
    return explain_out_of_memory("The training ran out of memory.", hint=hint)


def begin_training(
    training: TrainingRun[FeedbackProgress],
    config: FeedbackConfig,
    material: JudgedMaterial,
    *,
    roles: Roles,
    resume: bool,
) -> FeedbackStarted:
    """Begins or resumes. Raises UserError if the judgements are not those that a resumed training began with."""
    if resume:
        if training.folder.description().get("judgements") not in {None, material.judgements.digest}:
            raise UserError(
                "The judgements are not those this training began with.",
                hint="Resume with the same file, or start a new training.",
            )
        training.resume()
    training.describe("running")
    train, heldout = material.parts.train, material.parts.heldout
    scales = [scale for context in train for _, scale, _ in context.ratings]
    return FeedbackStarted(
        step=training.progress.step,
        steps=total_steps(len(train), config.loop),
        pairs=sum(len(context.pairs) for context in train),
        ratings=sum(scale != OPINION for scale in scales),
        opinions=scales.count(OPINION),
        heldout=sum(context.judgements for context in heldout),
        heldout_pairs=sum(len(context.pairs) for context in heldout),
        corrections=material.parts.corrections,
        trained_parameters=training.trainable.trained,
        left_out=material.left_out,
        remarks=material.remarks,
        dtype=str(roles.dtype).removeprefix("torch."),
        device=str(roles.device),
    )


def train_on_judgements(
    training: TrainingRun[FeedbackProgress],
    config: FeedbackConfig,
    objective: Objective,
    members: Sequence[Sequence[nn.Parameter]],
    *,
    measure: Callable[[], FeedbackSums],
    should_stop: Callable[[], bool],
) -> Iterator[FeedbackStep | FeedbackEvaluated]:
    """Trains and yields what happens; where it is stopped before its end (see `end_reason`), it leaves a checkpoint."""
    progress = training.progress
    if progress.evaluated == 0:
        yield record_evaluation(training, measure())
    for step in feedback_steps(
        objective,
        members,
        optimizer=training.optimizer,
        settings=config.loop,
        accelerator=training.accelerator,
        progress=progress,
    ):
        refuse_divergence(step.index, step.loss)
        values = {name: value for name, value in dataclasses.asdict(step).items() if name != "index"}
        training.record(step.index, **values, total_seconds=round(progress.seconds, 3))
        yield step
        if step.done * config.evaluations >= progress.evaluated:
            yield record_evaluation(training, measure())
        if step.done < 1 and should_stop():
            training.checkpoint()
            return
        training.checkpoint_in_time()


def end_reason(training: TrainingRun[FeedbackProgress], config: FeedbackConfig, material: JudgedMaterial) -> str:
    """How `train_on_judgements` ended: "finished" or "stopped"."""
    return "finished" if training.progress.step >= total_steps(len(material.parts.train), config.loop) else "stopped"


def record_evaluation(training: TrainingRun[FeedbackProgress], tally: FeedbackSums) -> FeedbackEvaluated:
    """Records what was measured on the held-out judgements, and returns it."""
    found = evaluation_of(training, tally)
    training.progress.evaluated += 1
    training.record(
        found.step,
        heldout_loss=found.heldout_loss,
        heldout_accuracy=found.accuracy,
        heldout_margin=found.margin,
    )
    return found


def evaluation_of(training: TrainingRun[FeedbackProgress], tally: FeedbackSums) -> FeedbackEvaluated:
    """What was measured on the held-out judgements."""
    return FeedbackEvaluated(
        step=training.progress.step,
        heldout_loss=tally.mean_loss if tally.judgements else math.nan,
        accuracy=tally.accuracy,
        margin=tally.mean_margin,
    )
