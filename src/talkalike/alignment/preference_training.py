"""The recipe of the preference losses: judgements move a double directly, without a reward model in between.

`train_on_preferences` is a generator of what happens, like the other recipes. DPO, IPO and SimPO learn from pairs
(comparisons, and corrections as edited > original); KTO from single replies that are called good or bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from talkalike.alignment.feedback_loop import make_optimizer
from talkalike.alignment.feedback_recipe import (
    FeedbackProgress,
    JudgedMaterial,
    begin_training,
    end_reason,
    evaluation_of,
    memory_errors,
    train_on_judgements,
)
from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackFinished
from talkalike.alignment.guard_rails import GuardRails, ReplySettings, scores_before_and_after
from talkalike.alignment.judged import Judgements, gather, nothing_to_learn
from talkalike.alignment.judged_parts import encode_parts
from talkalike.alignment.lineage import lineage, save_aligned
from talkalike.alignment.preference_objective import (
    POLICY,
    LossSettings,
    PreferenceObjective,
    ReferenceLogprobs,
    with_opinions,
    with_pairs,
)
from talkalike.alignment.preference_values import PreferenceConfig, PreferenceEvent
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.render import Renderer
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.training.run import TrainingRun
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceSources:
    """The training data. `cache`: a folder for the reference's log-probabilities; `examples`: to measure the loss on
    real replies, before and after.
    """

    catalog: Catalog
    judgements: Judgements
    cache: Path
    examples: ExampleSet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of a training. `heldout`: the losses on what is held out; `before`: what `guard` measured first."""

    double: Card
    material: JudgedMaterial
    objective: PreferenceObjective
    heldout: PreferenceObjective
    guard: GuardRails | None
    before: dict[str, float]


def train_on_preferences(
    config: PreferenceConfig,
    sources: PreferenceSources,
    *,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[PreferenceEvent]:
    """Trains and yields events; `should_stop` is asked after every step. Raises UserError if nothing can be learned."""
    if sources.catalog.exists(config.name):
        raise UserError(f"There is a model '{config.name}' already.", hint="Choose another --name.")
    with memory_errors(config.loop.row_tokens):
        parts, training = _load(config, sources, run)
        yield begin_training(training, config, parts.material, roles=parts.objective.roles, resume=resume)
        members = [list(training.trainable.parameters.values())]
        measure = partial(parts.heldout.measure, batch=config.loop.batch)
        for event in train_on_judgements(
            training, config, parts.objective, members, measure=measure, should_stop=should_stop
        ):
            if isinstance(event, FeedbackEvaluated):
                _record_replies(training, parts)
            yield event
        yield _finish(config, sources, parts, training, evaluation_of(training, measure()))


def _load(
    config: PreferenceConfig, sources: PreferenceSources, run: RunFolder
) -> tuple[_Parts, TrainingRun[FeedbackProgress]]:
    catalog, judgements = sources.catalog, sources.judgements
    double, gathered = catalog.card(config.double), gather(judgements)
    chosen = with_opinions if config.loss == "kto" else with_pairs
    usable = [context for context in map(chosen, gathered.contexts) if context.pairs or context.ratings]
    if not usable:
        raise nothing_to_learn(judgements, gathered)
    roles = Roles.open(catalog.path(config.double), catalog=catalog, device=config.device, dtype=config.dtype)
    accelerator = make_accelerator(roles.device, roles.dtype)
    roles.network.eval()
    roles.add(POLICY, config.policy, seed=config.loop.seed)
    encoded = encode_parts(
        usable,
        Renderer(roles.loaded.tokenizer),
        max_tokens=min(config.max_tokens, roles.loaded.context_length),
        heldout=config.heldout,
        seed=config.loop.seed,
    )
    losses = LossSettings(
        loss=config.loss,
        beta=config.chosen_beta,
        gamma=config.gamma,
        weights=config.weights,
        row_tokens=config.loop.row_tokens,
    )
    reference = ReferenceLogprobs(roles, sources.cache)
    guard = (
        GuardRails(roles, POLICY, sources.examples, accelerator, settings=ReplySettings()) if sources.examples else None
    )
    parts = _Parts(
        double=double,
        material=JudgedMaterial(judgements=judgements, gathered=gathered, parts=encoded, catalog=catalog),
        objective=PreferenceObjective(roles, encoded.train, losses, reference),
        heldout=PreferenceObjective(roles, encoded.heldout, losses, reference),
        guard=guard,
        before=guard.measure() if guard else {},
    )
    examples = {"examples": sources.examples.manifest.name} if sources.examples else {}
    parameters = roles.parameters(POLICY)
    return parts, TrainingRun(
        folder=run,
        config=config,
        about={"kind": "dpo", "judgements": judgements.digest, **examples},
        trainable=Trainable(network=roles.network, parameters=parameters, settings=config.policy),
        optimizer=make_optimizer([(list(parameters.values()), config.loop.learning_rate)]),
        accelerator=accelerator,
        progress=FeedbackProgress(),
    )


def _record_replies(training: TrainingRun[FeedbackProgress], parts: _Parts) -> None:
    if parts.guard and training.writes:
        training.folder.record_replies(training.progress.step, parts.guard.example_replies())


def _finish(
    config: PreferenceConfig,
    sources: PreferenceSources,
    parts: _Parts,
    training: TrainingRun[FeedbackProgress],
    measured: FeedbackEvaluated,
) -> FeedbackFinished:
    double, material = parts.double, parts.material
    reason = end_reason(training, config, material)
    _record_replies(training, parts)
    scores: dict[str, Any] = {"accuracy": measured.accuracy, "margin": measured.margin}
    scores |= {"preference_loss": measured.heldout_loss}
    scores = {name: None if math.isnan(value) else round(value, 4) for name, value in scores.items()}
    scores |= scores_before_and_after(parts.before, parts.guard.measure()) if parts.guard else {}
    about = {**material.about, "corrections": material.parts.corrections}
    about |= {"learned_from": sum(context.judgements for context in material.parts.train)}
    card = training.card(
        kind="adapter",
        method=config.policy.method,
        parents=lineage(double),
        speakers=double.speakers,
        examples=double.examples,
        examples_hash=double.examples_hash,
        settings={"beta": config.chosen_beta, "judgements": about},
        seed=config.loop.seed,
        scores=scores,
        fictional=double.fictional,
    )
    if reason != "stopped" and training.writes:
        card = save_aligned(parts.objective.roles, POLICY, card, double=double, catalog=sources.catalog)
    training.finish(reason)
    return FeedbackFinished(reason=reason, card=card, seconds=training.progress.seconds)
