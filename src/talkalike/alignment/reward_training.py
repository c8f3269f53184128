"""The recipe of the reward model: judgements become a model of what people like.

`train_reward` is a generator of what happens, like the supervised recipe. Comparisons, corrections (somebody's own
words against the double's) and ratings are learned jointly; ties and skips say nothing here and are counted.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from talkalike.alignment.feedback_loop import make_optimizer, steps_per_epoch
from talkalike.alignment.feedback_recipe import FeedbackRecipe, lineage, memory_errors
from talkalike.alignment.feedback_values import FeedbackEvaluated
from talkalike.alignment.judged import Gathered, Judgements, gather, nothing_to_learn, remarks
from talkalike.alignment.judged_parts import all_too_long, divide, encoded
from talkalike.alignment.reward_model import RewardForm, RewardModel
from talkalike.alignment.reward_objective import RewardObjective, scored
from talkalike.alignment.reward_report import RewardReport, reward_report
from talkalike.alignment.reward_values import RewardConfig, RewardEvent, RewardFinished, RewardStarted
from talkalike.errors import UserError
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import write_atomically
from talkalike.workspace.run_folder import RunFolder


class _Recipe(FeedbackRecipe):
    """The parts of one training that live as long as it does."""

    def __init__(self, config: RewardConfig, catalog: Catalog, judgements: Judgements, run: RunFolder) -> None:
        super().__init__(run, config.loop, evaluations=config.evaluations)
        self.config, self.catalog, self.judgements = config, catalog, judgements
        self.reference = catalog.card(config.reference)
        gathered = gather(judgements)
        if not (gathered.pairs or gathered.ratings):
            raise nothing_to_learn(judgements, gathered)
        self.remarks = remarks(judgements, gathered, known_models=[card.name for card in catalog.cards()])
        self.roles = Roles.open(
            catalog.path(config.reference), catalog=catalog, device=config.device, dtype=config.dtype
        )
        self.accelerator = make_accelerator(self.roles.device, self.roles.dtype)
        self.model = RewardModel(self.roles, self._form(gathered), seed=config.loop.seed)
        parts = divide(gathered.contexts, heldout=config.heldout, seed=config.loop.seed)
        renderer, room = self.model.renderer, self.model.form.max_tokens
        (self.train, long), (self.heldout, heldout_long) = (
            encoded([c for c in part if c.pairs or c.ratings], renderer, max_tokens=room)
            for part in (parts.train, parts.heldout)
        )
        self.left_out = {**judgements.left_out, **gathered.left_out}
        if long + heldout_long:
            self.left_out["replies that are too long"] = long + heldout_long
        if not self.train:
            raise all_too_long(room)
        if not self.heldout:
            self.remarks.append("Too few contexts were judged to hold some out: nothing tells how good this is.")
        self.objective, self.measured = (
            RewardObjective(self.model, part, centring=config.centring, row_tokens=config.loop.row_tokens)
            for part in (self.train, self.heldout)
        )
        members = range(config.members)
        self.members = [list(self.model.parameters(member).values()) for member in members]
        adapters = [p for member in members for p in self.roles.parameters(self.model.names[member]).values()]
        heads = [p for head in self.model.heads for p in head.parameters()]
        self.optimizer = make_optimizer([(adapters, config.loop.learning_rate), (heads, config.head_rate)])

    @property
    def trainable(self) -> Trainable:
        named = {f"{m}.{n}": p for m in range(self.config.members) for n, p in self.model.parameters(m).items()}
        return Trainable(network=self.roles.network, parameters=named, settings=self.config.adapter)

    def started(self) -> RewardStarted:
        return RewardStarted(
            step=self.progress.step,
            steps=max(1, round(self.config.loop.epochs * steps_per_epoch(len(self.train), self.config.loop))),
            pairs=sum(len(context.pairs) for context in self.train),
            ratings=sum(len(context.ratings) for context in self.train),
            heldout_pairs=sum(len(context.pairs) for context in self.heldout),
            heldout_ratings=sum(len(context.ratings) for context in self.heldout),
            trained_parameters=self.trainable.trained,
            left_out=self.left_out,
            remarks=tuple(self.remarks),
            dtype=str(self.roles.dtype).removeprefix("torch."),
            device=str(self.roles.device),
        )

    def evaluate(self) -> FeedbackEvaluated:
        tally = self.measured.measure()
        loss = tally.mean_loss if tally.judgements else math.nan
        step, accuracy, margin = self.progress.step, tally.accuracy, tally.mean_margin
        return FeedbackEvaluated(step=step, heldout_loss=loss, accuracy=accuracy, margin=margin)

    def finish(self, reason: str) -> RewardFinished:
        heldout, train = scored(self.model, self.heldout), scored(self.model, self.train)
        report = reward_report(heldout, [*train, *heldout], pair_scale=self.config.pair_scale)
        card = self._card(report)
        if not self.accelerator.is_main_process:
            return RewardFinished(reason=reason, card=card, report=report, seconds=self.progress.seconds)
        told = json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.run.path / "report.json", told)
        if reason != "stopped":
            self.model.save(self.catalog.path(self.config.name))
            self.catalog.save_card(card)
        self.describe(reason)
        if reason != "stopped":
            self.run.drop_checkpoints()
        return RewardFinished(reason=reason, card=card, report=report, seconds=self.progress.seconds)

    def _form(self, gathered: Gathered) -> RewardForm:
        config = self.config
        scales = {scale for context in gathered.contexts for _, scale, _ in context.ratings}
        scales |= {config.pair_scale} if gathered.pairs else set()
        weights = {scale: weight for scale, weight in config.weights.items() if scale in scales and weight > 0}
        if config.weights and not weights:
            raise UserError(
                f"Nobody judged any of the scales that are asked for ({', '.join(config.weights)}).",
                hint=f"There are judgements about: {', '.join(sorted(scales))}.",
            )
        return RewardForm(
            reference=config.reference,
            scales=tuple(sorted(scales)),
            weights=weights or dict.fromkeys(sorted(scales), 1.0),
            pair_scale=config.pair_scale,
            members=config.members,
            max_tokens=min(config.max_tokens, self.roles.loaded.context_length),
            adapter=config.adapter,
        )

    def _card(self, report: RewardReport) -> Card:
        config, reference = self.config, self.reference
        scores: dict[str, Any] = {
            "accuracy": report.accuracy.share,
            "accuracy_low": report.accuracy.low,
            "accuracy_high": report.accuracy.high,
            "heldout_pairs": report.accuracy.n,
            "accuracy_at_equal_length": report.length_matched.share,
            "calibration_error": report.calibration_error,
            "rating_error": report.rating_error,
            "length_correlation": report.length_correlation,
        }
        scores = {name: None if value is None else round(value, 4) for name, value in scores.items()}
        calibration: dict[str, list[tuple[float, float, int]]] = {}  # what it said, what was so, of how many
        for each in report.calibration:
            point = (round(each.predicted, 3), round(each.actual, 3), each.n)
            calibration.setdefault(each.kind, []).append(point)
        scores |= {"calibration": calibration} if calibration else {}
        about = {"judgements": self.judgements.digest, "judges": len(self.judgements.judges), "pairs": 0, "ratings": 0}
        about |= {"pairs": sum(len(c.pairs) for c in self.train), "ratings": sum(len(c.ratings) for c in self.train)}
        return Card(
            name=config.name,
            kind="reward",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            method=config.adapter.method,
            parents=lineage(reference),
            speakers=reference.speakers,
            settings={**dataclasses.asdict(config), "learned_from": about},
            seed=config.loop.seed,
            scores={**scores, "steps": self.progress.step, "training_seconds": round(self.progress.seconds, 1)},
            fictional=reference.fictional,
        )

    def describe(self, state: str) -> None:
        if not self.accelerator.is_main_process:
            return
        about: dict[str, Any] = {"model": self.config.name, "kind": "reward", "state": state}
        self.run.describe({**about, "judgements": self.judgements.digest, "settings": dataclasses.asdict(self.config)})


def train_reward(
    config: RewardConfig,
    *,
    catalog: Catalog,
    judgements: Judgements,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RewardEvent]:
    """Trains and yields events; `should_stop` is asked after every step. Raises UserError if nothing can be learned."""
    if config.members < 1:
        raise UserError("A reward model has at least one member.", hint="Set --members to 1 or more.")
    if catalog.exists(config.name):
        raise UserError(f"There is a model '{config.name}' already.", hint="Choose another --name.")
    with memory_errors(config.loop.row_tokens):
        recipe = _Recipe(config, catalog, judgements, run)
        if resume:
            recipe.resume(judgements.digest)
        recipe.describe("running")
        yield recipe.started()
        reason = yield from recipe.learn(should_stop, checkpoint_minutes=config.checkpoint_minutes)
        yield recipe.finish(reason)
