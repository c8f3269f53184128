"""The recipe of the reward model: judgements become a model of what people prefer.

`train_reward` is a generator of what happens, like the supervised recipe. Comparisons, corrections (somebody's own
words against the double's) and ratings are learned jointly; ties and skips say nothing here and are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from talkalike.alignment.feedback_loop import make_optimizer
from talkalike.alignment.feedback_recipe import (
    FeedbackProgress,
    JudgedMaterial,
    begin_training,
    end_reason,
    memory_errors,
    train_on_judgements,
)
from talkalike.alignment.judged import GatheredJudgements, Judgements, gather, nothing_to_learn
from talkalike.alignment.judged_parts import encode_parts
from talkalike.alignment.lineage import lineage
from talkalike.alignment.reward_model import RewardForm, RewardModel
from talkalike.alignment.reward_objective import RewardObjective, score_contexts
from talkalike.alignment.reward_report import report_scores, reward_report
from talkalike.alignment.reward_values import RewardConfig, RewardEvent, RewardFinished
from talkalike.errors import UserError
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.training.run import TrainingRun
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import write_json
from talkalike.workspace.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of a training. `heldout`: the losses on what is held out."""

    reference: Card
    model: RewardModel
    material: JudgedMaterial
    objective: RewardObjective
    heldout: RewardObjective


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
        parts, training = _load(config, catalog, judgements, run)
        model = parts.model
        yield begin_training(training, config, parts.material, roles=model.roles, resume=resume)
        members = [list(model.parameters(member).values()) for member in range(config.members)]
        yield from train_on_judgements(
            training, config, parts.objective, members, measure=parts.heldout.measure, should_stop=should_stop
        )
        yield _finish(config, catalog, parts, training)


def _load(
    config: RewardConfig, catalog: Catalog, judgements: Judgements, run: RunFolder
) -> tuple[_Parts, TrainingRun[FeedbackProgress]]:
    reference, gathered = catalog.card(config.reference), gather(judgements)
    if not (gathered.pairs or gathered.ratings):
        raise nothing_to_learn(judgements, gathered)
    roles = Roles.open(catalog.path(config.reference), catalog=catalog, device=config.device, dtype=config.dtype)
    accelerator = make_accelerator(roles.device, roles.dtype)
    model = RewardModel(roles, _form(config, gathered, roles.loaded.context_length), seed=config.loop.seed)
    encoded = encode_parts(
        gathered.contexts,
        model.renderer,
        max_tokens=model.form.max_tokens,
        heldout=config.heldout,
        seed=config.loop.seed,
    )
    objective, heldout = (
        RewardObjective(model, part, centring=config.centring, row_tokens=config.loop.row_tokens)
        for part in (encoded.train, encoded.heldout)
    )
    material = JudgedMaterial(judgements=judgements, gathered=gathered, parts=encoded, catalog=catalog)
    parts = _Parts(reference=reference, model=model, material=material, objective=objective, heldout=heldout)
    named = {f"{m}.{name}": p for m in range(config.members) for name, p in model.parameters(m).items()}
    adapters = [p for name in model.names for p in roles.parameters(name).values()]
    heads = [p for head in model.heads for p in head.parameters()]
    return parts, TrainingRun(
        folder=run,
        config=config,
        about={"kind": "reward", "judgements": judgements.digest},
        trainable=Trainable(network=roles.network, parameters=named, settings=config.adapter),
        optimizer=make_optimizer([(adapters, config.loop.learning_rate), (heads, config.head_rate)]),
        accelerator=accelerator,
        progress=FeedbackProgress(),
    )


def _form(config: RewardConfig, gathered: GatheredJudgements, context_length: int) -> RewardForm:
    scales = {scale for context in gathered.contexts for _, scale, _ in context.ratings}
    scales |= {config.pair_scale} if gathered.pairs else set()
    weights = {scale: weight for scale, weight in config.weights.items() if scale in scales and weight > 0}
    if config.weights and not weights:
        raise UserError(
            f"Nobody judged any of the scales that were asked for ({', '.join(config.weights)}).",
            hint=f"There are judgements about: {', '.join(sorted(scales))}.",
        )
    return RewardForm(
        reference=config.reference,
        scales=tuple(sorted(scales)),
        weights=weights or dict.fromkeys(sorted(scales), 1.0),
        pair_scale=config.pair_scale,
        members=config.members,
        max_tokens=min(config.max_tokens, context_length),
        adapter=config.adapter,
    )


def _finish(
    config: RewardConfig, catalog: Catalog, parts: _Parts, training: TrainingRun[FeedbackProgress]
) -> RewardFinished:
    reference, material = parts.reference, parts.material
    heldout, train = (
        score_contexts(parts.model, material.parts.heldout),
        score_contexts(parts.model, material.parts.train),
    )
    report = reward_report(heldout, [*train, *heldout], pair_scale=config.pair_scale)
    reason = end_reason(training, config, material)
    about = {"pairs": sum(len(context.pairs) for context in material.parts.train)}
    about |= {"ratings": sum(len(context.ratings) for context in material.parts.train)}
    card = training.card(
        kind="reward",
        method=config.adapter.method,
        parents=lineage(reference),
        speakers=reference.speakers,
        settings={"learned_from": {**material.about, **about}},
        seed=config.loop.seed,
        scores=report_scores(report),
        fictional=reference.fictional,
    )
    if training.writes:
        write_json(training.folder.path / "report.json", dataclasses.asdict(report))
        if reason != "stopped":
            parts.model.save(catalog.path(config.name))
            catalog.save_card(card)
    training.finish(reason)
    return RewardFinished(reason=reason, card=card, report=report, seconds=training.progress.seconds)
