"""What the recipes over judgements share: what is learned from, and the loop with its looks and checkpoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import nn

from talkalike.alignment.feedback_loop import FeedbackSums, Objective, feedback_steps, steps_in_all
from talkalike.alignment.feedback_values import FeedbackConfig, FeedbackEvaluated, FeedbackStarted, FeedbackStep
from talkalike.alignment.judged import OPINION, Gathered, Judgements, remarks
from talkalike.alignment.judged_parts import EncodedParts
from talkalike.errors import UserError
from talkalike.models.roles import Roles
from talkalike.training.loop import Progress
from talkalike.training.memory import memory_told
from talkalike.training.run import TrainingRun, refuse_divergence
from talkalike.workspace.cards import Catalog


@dataclass(slots=True, kw_only=True)
class FeedbackProgress(Progress):
    """Where a training on judgements stands."""

    evaluated: int = 0  # looks at the held-out judgements


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMaterial:
    """What a training on judgements has to learn from."""

    judgements: Judgements
    gathered: Gathered
    parts: EncodedParts
    catalog: Catalog

    @property
    def about(self) -> dict[str, Any]:
        """What the card says of it."""
        return {"judgements": self.judgements.digest, "judges": len(self.judgements.judges)}

    @property
    def left_out(self) -> dict[str, int]:
        """How much is not learned from, by reason."""
        left_out = {**self.judgements.left_out, **self.gathered.left_out}
        return left_out | ({"replies that are too long": self.parts.too_long} if self.parts.too_long else {})

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know before trusting the result."""
        told = remarks(self.judgements, self.gathered, known_models=[card.name for card in self.catalog.cards()])
        if not self.parts.heldout:
            told.append("Too few contexts were judged to hold some out: nothing tells how good this is.")
        return tuple(told)


def memory_errors(row_tokens: int) -> AbstractContextManager[None]:
    """Turns running out of memory into a sentence."""
    hint = f"Lower row_tokens (now {row_tokens}) or the batch, or stand on a smaller model."
    return memory_told("The training ran out of memory.", hint=hint)


def begin(
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
        steps=steps_in_all(len(train), config.loop),
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


def learn(
    training: TrainingRun[FeedbackProgress],
    config: FeedbackConfig,
    objective: Objective,
    members: Sequence[Sequence[nn.Parameter]],
    *,
    measure: Callable[[], FeedbackSums],
    should_stop: Callable[[], bool],
) -> Iterator[FeedbackStep | FeedbackEvaluated]:
    """Learns and yields what happens; where it is stopped before its end (see `ended`), it leaves a checkpoint."""
    progress = training.progress
    if progress.evaluated == 0:
        yield look(training, measure())
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
            yield look(training, measure())
        if step.done < 1 and should_stop():
            training.checkpoint()
            return
        training.checkpoint_in_time()


def ended(training: TrainingRun[FeedbackProgress], config: FeedbackConfig, material: JudgedMaterial) -> str:
    """How `learn` ended: "finished" or "stopped"."""
    return "finished" if training.progress.step >= steps_in_all(len(material.parts.train), config.loop) else "stopped"


def look(training: TrainingRun[FeedbackProgress], tally: FeedbackSums) -> FeedbackEvaluated:
    """What was measured on the held-out judgements, recorded."""
    found = evaluated(training, tally)
    training.progress.evaluated += 1
    training.record(
        found.step,
        heldout_loss=found.heldout_loss,
        heldout_accuracy=found.accuracy,
        heldout_margin=found.margin,
    )
    return found


def evaluated(training: TrainingRun[FeedbackProgress], tally: FeedbackSums) -> FeedbackEvaluated:
    """What was measured on the held-out judgements."""
    return FeedbackEvaluated(
        step=training.progress.step,
        heldout_loss=tally.mean_loss if tally.judgements else math.nan,
        accuracy=tally.accuracy,
        margin=tally.mean_margin,
    )
