"""The recipe of the reward model: judgements become a model of what people like.

`train_reward` is a generator of what happens, like the supervised recipe. Comparisons, corrections (somebody's own words
against the double's) and ratings are learned jointly; ties and skips say nothing here and are counted.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from talkalike.alignment.feedback_loop import (
    FeedbackSettings,
    FeedbackStep,
    Tally,
    feedback_steps,
    make_optimizer,
    reply_rows,
    steps_per_epoch,
)
from talkalike.alignment.judged import Gathered, Judgements, gather, remarks
from talkalike.alignment.judged_parts import EncodedContext, divide, encoded
from talkalike.alignment.reward_model import (
    RewardForm,
    RewardModel,
    expected_ratings,
    pair_losses,
    rating_losses,
)
from talkalike.alignment.reward_report import RewardReport, Scored, reward_report
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.adapters import AdapterSettings, Trainable
from talkalike.models.catalog import Card, Catalog
from talkalike.models.roles import Roles
from talkalike.training.loop import Progress
from talkalike.training.run_folder import RunFolder

# Of AdamW. The head is new in any case; adapters take ten times the rate of whole weights (TRL RewardConfig: 1e-4).
LEARNING_RATES = {"lora": 1e-4, "last-n": 3e-5, "full": 1e-5}
HEAD_RATE = 5e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """One training of a reward model."""

    name: str  # of the model that comes out
    reference: str  # the double (or base) it stands on
    loop: FeedbackSettings
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    head_rate: float = HEAD_RATE
    members: int = 1  # of an ensemble
    pair_scale: str = "sounds_like_me"  # what comparisons are about
    weights: dict[str, float] = field(default_factory=dict)  # of the scales in the value; empty: all alike
    centring: float = 0.01  # arXiv:2312.09244, TRL
    heldout: float = 0.2  # share of the contexts
    evaluations: int = 4  # of the held-out loss, over the training
    max_tokens: int = 1024
    dtype: str = "auto"
    device: str = "auto"
    checkpoint_minutes: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardStarted:
    """The training begins (or goes on at `step`). `remarks`: sentences to tell before the result is trusted."""

    step: int
    steps: int
    pairs: int
    ratings: int
    heldout_pairs: int
    heldout_ratings: int
    trained_parameters: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardEvaluated:
    """On the held-out judgements: mean loss in nats, share of pairs in the right order (NaN without pairs)."""

    step: int
    heldout_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFinished:
    """The model is in the catalog, unless it was stopped (and can be resumed)."""

    reason: str
    card: Card
    report: RewardReport
    seconds: float


RewardEvent = RewardStarted | FeedbackStep | RewardEvaluated | RewardFinished


class RewardObjective:
    """Ratings by cross-entropy and pairs by Bradley-Terry on one head; the mean over the judgements of a batch."""

    def __init__(self, model: RewardModel, contexts: Sequence[EncodedContext], config: RewardConfig) -> None:
        self.model, self.contexts, self.config = model, contexts, config

    def accumulate(self, member: int, indices: Sequence[int]) -> Tally:
        """Adds the gradients of the batch's mean loss."""
        count = max(1, sum(self.contexts[index].judgements for index in indices))
        return self._go_through(member, indices, divisor=count)

    def measure(self) -> Tally:
        """Sums over all contexts and members, without gradients."""
        total = Tally()
        with torch.no_grad():
            for member in range(len(self.model.names)):
                total.add(self._go_through(member, range(len(self.contexts)), divisor=None))
        return total

    def _go_through(self, member: int, indices: Sequence[int], *, divisor: int | None) -> Tally:
        tally = Tally()
        device = self.model.roles.device
        for row in reply_rows(
            self.contexts, indices, row_tokens=self.config.loop.row_tokens, device=device, after_last=True
        ):
            tally.tokens += row.tokens
            pairs, ratings = self._judgements(row.contexts, row.starts)
            if not pairs and not ratings:
                continue
            logits = self.model.logits(member, row)
            losses = []
            if ratings:
                reply, scale, value = torch.tensor(ratings, device=device).T
                losses.append(rating_losses(logits[reply, scale], value))
            if pairs:
                place = self.model.form.scales.index(self.config.pair_scale)
                better, worse = torch.tensor(pairs, device=device).T
                expected_N = expected_ratings(logits[:, place])
                losses.append(pair_losses(expected_N[better], expected_N[worse], centring=self.config.centring))
                gap = (expected_N[better] - expected_N[worse]).detach()
                tally.right += float((gap > 0).sum() + 0.5 * (gap == 0).sum())
            loss = torch.cat(losses).sum()
            if divisor is not None:
                (loss / divisor).backward()
            tally.add(Tally(loss=float(loss.detach()), judgements=len(pairs) + len(ratings), pairs=len(pairs)))
        return tally

    def _judgements(
        self, contexts: Sequence[int], starts: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
        """Of a row, by places in it."""
        scales = self.model.form.scales
        pairs, ratings = [], []
        for index, start in zip(contexts, starts, strict=True):
            context = self.contexts[index]
            pairs += [(start + better, start + worse) for better, worse in context.pairs]
            ratings += [(start + reply, scales.index(scale), value) for reply, scale, value in context.ratings]
        return pairs, ratings


class _Recipe:
    """The parts of one training that live as long as it does."""

    def __init__(self, config: RewardConfig, catalog: Catalog, judgements: Judgements, run: RunFolder) -> None:
        self.config, self.catalog, self.judgements, self.run = config, catalog, judgements, run
        self.reference = catalog.card(config.reference)
        gathered = gather(judgements)
        _require(gathered, judgements)
        self.remarks = remarks(judgements, gathered, known_models=[card.name for card in catalog.cards()])
        self.roles = Roles.open(
            catalog.path(config.reference), catalog=catalog, device=config.device, dtype=config.dtype
        )
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
            raise UserError("All judged replies are too long.", hint=f"Allow more than {room} tokens.")
        if not self.heldout:
            self.remarks.append("Too few contexts were judged to hold some out: nothing tells how good this is.")
        self.objective = RewardObjective(self.model, self.train, config)
        self.measured = RewardObjective(self.model, self.heldout, config)
        members = range(config.members)
        self.parameters = [list(self.model.parameters(member).values()) for member in members]
        adapters = [p for member in members for p in self.roles.parameters(self.model.names[member]).values()]
        heads = [p for head in self.model.heads for p in head.parameters()]
        self.optimizer = make_optimizer([(adapters, config.loop.learning_rate), (heads, config.head_rate)])
        self.progress = Progress()
        self.evaluated = 0

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

    def evaluate(self) -> RewardEvaluated:
        tally = self.measured.measure()
        self.evaluated += 1
        loss = tally.mean_loss if tally.judgements else math.nan
        found = RewardEvaluated(step=self.progress.step, heldout_loss=loss, accuracy=tally.accuracy)
        self.run.record(step=found.step, heldout_loss=_number(loss), heldout_accuracy=_number(found.accuracy))
        return found

    def record(self, step: FeedbackStep) -> None:
        if not math.isfinite(step.loss):
            raise TalkalikeError(
                f"The loss became {step.loss} in step {step.index}: the training diverged.",
                hint="Lower the learning rate (--lr), then start again.",
            )
        values = {name: _number(value) for name, value in dataclasses.asdict(step).items() if name != "index"}
        self.run.record(step=step.index, **values, total_seconds=round(self.progress.seconds, 3))

    def checkpoint(self) -> None:
        state = {**dataclasses.asdict(self.progress), "evaluated": self.evaluated}
        self.run.save_checkpoint(self.trainable, self.optimizer, state)

    def resume(self) -> None:
        state = self.run.load_checkpoint(self.trainable, self.optimizer)
        if state is not None:
            self.evaluated = state.pop("evaluated")
            self.progress = Progress(**state)
            self.run.forget_after(self.progress.step)

    def finish(self, reason: str) -> RewardFinished:
        heldout, train = self._scored(self.heldout), self._scored(self.train)
        report = reward_report(heldout, [*train, *heldout], pair_scale=self.config.pair_scale)
        card = self._card(report)
        if reason != "stopped":
            self.model.save(self.catalog.path(self.config.name))
            self.catalog.save_card(card)
        self.describe(reason)
        if reason != "stopped":
            self.run.drop_checkpoints()
        return RewardFinished(reason=reason, card=card, report=report, seconds=self.progress.seconds)

    def _scored(self, contexts: Sequence[EncodedContext]) -> list[Scored]:
        scores = iter(self.model.scores([sample for context in contexts for sample in context.samples]))
        made = []
        for context in contexts:
            own = [next(scores) for _ in context.samples]
            made.append(
                Scored(
                    context=context,
                    values=[score.value for score in own],
                    spreads=[score.spread for score in own],
                    by_scale=[score.by_scale for score in own],
                )
            )
        return made

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
        about = {"judgements": self.judgements.digest, "judges": len(self.judgements.judges), "pairs": 0, "ratings": 0}
        about |= {"pairs": sum(len(c.pairs) for c in self.train), "ratings": sum(len(c.ratings) for c in self.train)}
        below = (
            (*reference.parents, reference.name)
            if reference.kind == "adapter"
            else (
                reference.name,
                *reference.parents,
            )
        )
        return Card(
            name=config.name,
            kind="reward",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            method=config.adapter.method,
            parents=below,
            speakers=reference.speakers,
            settings={**dataclasses.asdict(config), "learned_from": about},
            seed=config.loop.seed,
            scores={**scores, "steps": self.progress.step, "training_seconds": round(self.progress.seconds, 1)},
            fictional=reference.fictional,
        )

    def describe(self, state: str) -> None:
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
    recipe = _Recipe(config, catalog, judgements, run)
    if resume:
        if run.description().get("judgements") not in {None, judgements.digest}:
            raise UserError(
                "The judgements are others than those this training began with.",
                hint="Resume with the same file, or start a new training.",
            )
        recipe.resume()
    recipe.describe("running")
    yield recipe.started()
    if recipe.evaluated == 0:
        yield recipe.evaluate()
    saved_at, reason = time.monotonic(), "finished"
    for step in feedback_steps(
        recipe.objective,
        recipe.parameters,
        count=len(recipe.train),
        optimizer=recipe.optimizer,
        settings=config.loop,
        progress=recipe.progress,
    ):
        recipe.record(step)
        yield step
        if step.done * config.evaluations >= recipe.evaluated:
            yield recipe.evaluate()
        if should_stop() and step.done < 1:
            reason = "stopped"
            break
        if time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
            recipe.checkpoint()
            saved_at = time.monotonic()
    if reason == "stopped":
        recipe.checkpoint()
    yield recipe.finish(reason)


def _require(gathered: Gathered, judgements: Judgements) -> None:
    """Raises UserError where no judgement says anything about what is better."""
    if gathered.pairs or gathered.ratings:
        return
    reasons = {**judgements.left_out, **gathered.left_out}
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "they are flags only"
    raise UserError(
        f"No judgement says which reply is better: {why}.",
        hint="Compare or rate some more replies; ties and contradictions teach nothing.",
    )


def _number(value: float) -> float | None:
    return value if not isinstance(value, float) or math.isfinite(value) else None
