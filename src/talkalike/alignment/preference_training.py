"""The recipe of the preference losses: judgements move a double directly, without a reward model in between.

`align_preferences` is a generator of what happens, like the other recipes. DPO, IPO and SimPO learn from pairs
(comparisons, and corrections as edited > original); KTO from single replies that are called good or bad.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkalike.alignment.feedback_loop import make_optimizer, steps_per_epoch
from talkalike.alignment.feedback_recipe import FeedbackRecipe, lineage, memory_errors, number
from talkalike.alignment.feedback_values import FeedbackEvaluated
from talkalike.alignment.guard_rails import GuardRails, Replies, noted
from talkalike.alignment.judged import JudgedContext, Judgements, gather, nothing_to_learn, remarks
from talkalike.alignment.judged_parts import EncodedContext, all_too_long, divide, encoded
from talkalike.alignment.preference_objective import (
    POLICY,
    LossSettings,
    PreferenceObjective,
    ReferenceLogprobs,
    with_opinions,
    with_pairs,
)
from talkalike.alignment.preference_values import (
    PreferenceConfig,
    PreferenceEvent,
    PreferenceFinished,
    PreferenceStarted,
)
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.render import Renderer
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder


class _Recipe(FeedbackRecipe):
    """The parts of one training that live as long as it does."""

    def __init__(
        self,
        config: PreferenceConfig,
        catalog: Catalog,
        judgements: Judgements,
        run: RunFolder,
        examples: ExampleSet | None,
        cache: Path,
    ) -> None:
        super().__init__(run, config.loop, evaluations=config.evaluations)
        self.config, self.catalog, self.judgements, self.examples = config, catalog, judgements, examples
        self.double = catalog.card(config.double)
        gathered = gather(judgements)
        chosen = with_opinions if config.loss == "kto" else with_pairs
        usable = [context for context in map(chosen, gathered.contexts) if context.pairs or context.ratings]
        if not usable:
            raise nothing_to_learn(judgements, gathered)
        self.remarks = remarks(judgements, gathered, known_models=[card.name for card in catalog.cards()])
        self.left_out = {**judgements.left_out, **gathered.left_out}
        self.corrections = sum(context.corrections for context in usable)
        self.roles = Roles.open(catalog.path(config.double), catalog=catalog, device=config.device, dtype=config.dtype)
        self.accelerator = make_accelerator(self.roles.device, self.roles.dtype)
        self.roles.network.eval()
        self.roles.add(POLICY, config.policy, seed=config.loop.seed)
        self.renderer = Renderer(self.roles.loaded.tokenizer)
        parts = divide(usable, heldout=config.heldout, seed=config.loop.seed)
        reference = ReferenceLogprobs(self.roles, cache)
        self.train, self.heldout = self._encoded(parts.train), self._encoded(parts.heldout)
        self.objective, self.measured = (
            PreferenceObjective(self.roles, part, self._loss_settings(), reference)
            for part in (self.train, self.heldout)
        )
        if not self.train:
            raise all_too_long(min(config.max_tokens, self.roles.loaded.context_length))
        if not self.heldout:
            self.remarks.append("Too few contexts were judged to hold some out: nothing tells how good this is.")
        self.members = [list(self.roles.parameters(POLICY).values())]
        self.optimizer = make_optimizer([(self.members[0], config.loop.learning_rate)])
        self.guard = self._guard()
        self.before = self.guard.look() if self.guard else {}

    @property
    def trainable(self) -> Trainable:
        return Trainable(
            network=self.roles.network, parameters=self.roles.parameters(POLICY), settings=self.config.policy
        )

    def started(self) -> PreferenceStarted:
        return PreferenceStarted(
            step=self.progress.step,
            steps=max(1, round(self.loop.epochs * steps_per_epoch(len(self.train), self.loop))),
            judgements=_judged(self.train),
            heldout=_judged(self.heldout),
            corrections=self.corrections,
            trained_parameters=self.trainable.trained,
            left_out=self.left_out,
            remarks=tuple(self.remarks),
            dtype=str(self.roles.dtype).removeprefix("torch."),
            device=str(self.roles.device),
        )

    def evaluate(self) -> FeedbackEvaluated:
        tally = self.measured.measure(batch=self.loop.batch)
        if self.guard and self.accelerator.is_main_process:
            self.run.record_replies(self.progress.step, self.guard.shown())
        return FeedbackEvaluated(
            step=self.progress.step,
            heldout_loss=tally.mean_loss if tally.judgements else math.nan,
            accuracy=tally.accuracy,
            margin=tally.mean_margin,
        )

    def finish(self, reason: str) -> PreferenceFinished:
        card = self._card(self.evaluate())
        if not self.accelerator.is_main_process:
            return PreferenceFinished(reason=reason, card=card, seconds=self.progress.seconds)
        if reason != "stopped":
            folder = self.catalog.path(self.config.name)
            kind = self.roles.save(POLICY, folder, base=self.catalog.address(lineage(self.double)[0]))
            card = dataclasses.replace(card, kind=kind, parents=lineage(self.double, whole=kind == "full"))
            self.catalog.save_card(card)
        self.describe(reason)
        if reason != "stopped":
            self.run.drop_checkpoints()
        return PreferenceFinished(reason=reason, card=card, seconds=self.progress.seconds)

    def describe(self, state: str) -> None:
        if not self.accelerator.is_main_process:
            return
        about: dict[str, Any] = {"model": self.config.name, "kind": "dpo", "state": state}
        about |= {"judgements": self.judgements.digest}
        about |= {"examples": self.examples.manifest.name} if self.examples is not None else {}
        self.run.describe({**about, "settings": dataclasses.asdict(self.config)})

    def _encoded(self, contexts: Sequence[JudgedContext]) -> list[EncodedContext]:
        room = min(self.config.max_tokens, self.roles.loaded.context_length)
        made, too_long = encoded(contexts, self.renderer, max_tokens=room)
        if too_long:
            key = "replies that are too long"
            self.left_out[key] = self.left_out.get(key, 0) + too_long
        return made

    def _loss_settings(self) -> LossSettings:
        config = self.config
        return LossSettings(
            loss=config.loss,
            beta=config.chosen_beta,
            gamma=config.gamma,
            weights=config.weights,
            row_tokens=config.loop.row_tokens,
        )

    def _guard(self) -> GuardRails | None:
        """What measures the double on conversations that nobody was trained on."""
        if self.examples is None:
            return None
        return GuardRails(self.roles, POLICY, self.examples, self.accelerator, replies=Replies())

    def _card(self, measured: FeedbackEvaluated) -> Card:
        config, double = self.config, self.double
        scores: dict[str, Any] = {"accuracy": measured.accuracy, "margin": measured.margin}
        scores |= {"preference_loss": measured.heldout_loss}
        scores = {name: None if number(value) is None else round(value, 4) for name, value in scores.items()}
        scores |= noted(self.before, self.guard.look()) if self.guard else {}
        about = {"judgements": self.judgements.digest, "judges": len(self.judgements.judges)}
        about |= {"learned_from": _judged(self.train), "corrections": self.corrections}
        return Card(
            name=config.name,
            kind="adapter",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            method=config.policy.method,
            parents=lineage(double),
            speakers=double.speakers,
            examples=double.examples,
            examples_hash=double.examples_hash,
            settings={**dataclasses.asdict(config), "beta": config.chosen_beta, "judgements": about},
            seed=config.loop.seed,
            scores={**scores, "steps": self.progress.step, "training_seconds": round(self.progress.seconds, 1)},
            fictional=double.fictional,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceSources:
    """What is learned from. `cache`: a folder for the reference's log-probabilities; `examples`: to measure the loss on
    real replies, before and after.
    """

    catalog: Catalog
    judgements: Judgements
    cache: Path
    examples: ExampleSet | None = None


def align_preferences(
    config: PreferenceConfig,
    sources: PreferenceSources,
    *,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[PreferenceEvent]:
    """Aligns and yields events; `should_stop` is asked after every step. Raises UserError if nothing can be learned."""
    catalog, judgements = sources.catalog, sources.judgements
    if catalog.exists(config.name):
        raise UserError(f"There is a model '{config.name}' already.", hint="Choose another --name.")
    with memory_errors(config.loop.row_tokens):
        recipe = _Recipe(config, catalog, judgements, run, sources.examples, sources.cache)
        if resume:
            recipe.resume(judgements.digest)
        recipe.describe("running")
        yield recipe.started()
        reason = yield from recipe.learn(should_stop, checkpoint_minutes=config.checkpoint_minutes)
        yield recipe.finish(reason)


def _judged(contexts: Sequence[EncodedContext]) -> int:
    return sum(context.judgements for context in contexts)
