"""The recipe of a linear reward model: judgements become a model of what people like, in about a minute.

Comparisons, corrections and ties are learned as they are. Ratings become comparisons between replies that were rated
differently on the same scale. How good the model is, is measured by cross-validation: every judgement is learned from,
and every comparison is measured on by a fit that did not see its conversation.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from talkalike.alignment.feedback_values import FeedbackStarted
from talkalike.alignment.judged import (
    TIES,
    GatheredJudgements,
    JudgedContext,
    Judgements,
    gather,
    nothing_to_learn,
    remarks,
)
from talkalike.alignment.judged_parts import EncodedContext, group_by_conversation
from talkalike.alignment.lineage import lineage
from talkalike.alignment.linear_reward import LinearForm, LinearReward, fit_linear_reward
from talkalike.alignment.preference_fit import Comparisons, PreferenceFit
from talkalike.alignment.reward_model import RewardScore
from talkalike.alignment.reward_report import RewardReport, ScoredContext, report_scores, reward_report
from talkalike.alignment.reward_values import RewardEvent, RewardFinished
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.models.roles import Roles
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import write_json
from talkalike.workspace.run_folder import RunFolder

_RIVALS = 4  # differently rated replies that each rated one is compared with
_BAD = 1  # what a flagged reply counts as, of 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRewardConfig:
    """One fit of a linear reward model."""

    name: str  # of the model that comes out
    reference: str  # the double (or base) whose states it reads
    members: int = 8  # fitted on resampled judgements, to tell how sure it is
    scale: str = "sounds_like_me"  # what comparisons are about
    max_tokens: int = 512  # of a prompt with its reply
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedReplies:
    """All judged replies, and what was said about them as comparisons. `preferred_C`: those in which one was chosen."""

    samples: tuple[ReplySample, ...]
    comparisons: Comparisons
    preferred_C: np.ndarray[tuple[int], np.dtype[np.bool_]]


def train_linear_reward(
    config: LinearRewardConfig, *, catalog: Catalog, judgements: Judgements, run: RunFolder
) -> Iterator[RewardEvent]:
    """Fits and yields what happens. Raises UserError where there is nothing to learn from."""
    if catalog.exists(config.name):
        raise UserError(f"There is a model '{config.name}' already.", hint="Choose another --name.")
    start = time.monotonic()
    gathered = gather(judgements)
    compared = compare_replies(gathered, seed=config.seed)
    if not compared.preferred_C.any() and not gathered.ratings:
        raise nothing_to_learn(judgements, gathered)
    reference = catalog.card(config.reference)
    roles = Roles.open(catalog.path(config.reference), catalog=catalog, device=config.device, dtype=config.dtype)
    run.describe({**_about(config, judgements), "state": "running"})
    yield _started(gathered, judgements, catalog, roles)
    model, fit, values_RM = fit_linear_reward(
        roles, compared.samples, compared.comparisons, _form(config, roles), seed=config.seed
    )
    report = report_fit(fit, compared, model.combine_members(values_RM), scale=config.scale)
    seconds = time.monotonic() - start
    card = _card(config, reference, model, report, learned_from(judgements, gathered), seconds)
    write_json(run.path / "report.json", dataclasses.asdict(report))
    model.save(catalog.path(config.name))
    catalog.save_card(card)
    run.describe({**_about(config, judgements), "state": "finished"})
    yield RewardFinished(reason="finished", card=card, report=report, seconds=seconds)


def fit_judgements(config: LinearRewardConfig, *, catalog: Catalog, judgements: Judgements) -> LinearReward:
    """A reward model in memory, for sorting what waits. Raises UserError where there is nothing to learn from."""
    gathered = gather(judgements)
    compared = compare_replies(gathered, seed=config.seed)
    if not compared.preferred_C.any():
        raise nothing_to_learn(judgements, gathered)
    roles = Roles.open(catalog.path(config.reference), catalog=catalog, device=config.device, dtype=config.dtype)
    return fit_linear_reward(roles, compared.samples, compared.comparisons, _form(config, roles), seed=config.seed)[0]


def _form(config: LinearRewardConfig, roles: Roles) -> LinearForm:
    """The form, with what the fit will find left open."""
    return LinearForm(
        reference=config.reference,
        scale=config.scale,
        blocks=(),
        strength=0.0,
        vocabulary=(),
        max_tokens=min(config.max_tokens, roles.loaded.context_length),
        members=config.members,
        tokenizer_hash="",
    )


def compare_replies(gathered: GatheredJudgements, *, seed: int) -> ComparedReplies:
    """What was said about replies as comparisons of two, by places in `samples`."""
    contexts = (*gathered.contexts, *gathered.tied)
    groups = {place: group for group, places in enumerate(group_by_conversation(contexts)) for place in places}
    samples: list[ReplySample] = []
    rows: list[tuple[int, int, float, float, int, bool]] = []
    rated: dict[str, list[tuple[int, int, int]]] = {}
    for place, context in enumerate(contexts):
        start, group = len(samples), groups[place]
        samples += _samples(context)
        for better, worse in context.pairs:
            share = context.soft.get((better, worse), 1.0)
            rows.append((start + better, start + worse, share, 1.0, group, True))
        rows += [(start + one, start + other, 0.5, 1.0, group, False) for one, other in context.ties]
        for reply, scale, value in context.ratings:
            rated.setdefault(scale, []).append((start + reply, value, group))
        rated.setdefault("", []).extend((start + reply, _BAD, group) for reply in context.bad)
    for scale, replies in sorted(rated.items()):
        against = [*replies, *rated.get("", [])] if scale else []
        rows += _rated_apart(replies, against, random.Random(seed))
    table = np.asarray(rows, dtype=np.float64).reshape(len(rows), 6)
    places = table[:, [0, 1, 4]].astype(np.int64)
    comparisons = Comparisons(
        first_C=places[:, 0],
        second_C=places[:, 1],
        shares_C=table[:, 2],
        weights_C=table[:, 3],
        groups_C=places[:, 2],
    )
    return ComparedReplies(samples=tuple(samples), comparisons=comparisons, preferred_C=table[:, 5] > 0)


def report_fit(
    fit: PreferenceFit, compared: ComparedReplies, scores: Sequence[RewardScore], *, scale: str
) -> RewardReport:
    """How far the model can be trusted: each comparison is measured by a fit that did not see its conversation."""
    comparisons = compared.comparisons
    unseen = []
    for place in np.flatnonzero(compared.preferred_C):
        two = (int(comparisons.first_C[place]), int(comparisons.second_C[place]))
        gap, share = float(fit.unseen_C[place]), float(comparisons.shares_C[place])
        context = EncodedContext(
            samples=tuple(compared.samples[reply] for reply in two),
            pairs=((0, 1),),
            ratings=(),
            bad=(),
            soft={} if share == 1.0 else {(0, 1): share},
        )
        by_scale = [{scale: gap / 2}, {scale: -gap / 2}]
        unseen.append(
            ScoredContext(
                context=context,
                values=[gap / 2, -gap / 2],
                spreads=[scores[reply].spread for reply in two],
                by_scale=by_scale,
            )
        )
    everything = [
        ScoredContext(
            context=EncodedContext(samples=(sample,), pairs=(), ratings=(), bad=()),
            values=[score.value],
            spreads=[score.spread],
            by_scale=[score.by_scale],
        )
        for sample, score in zip(compared.samples, scores, strict=True)
    ]
    return reward_report(unseen, everything, pair_scale=scale)


def learned_from(judgements: Judgements, gathered: GatheredJudgements) -> dict[str, int | str]:
    """What the card says the model was learned from."""
    ties = sum(len(context.ties) for context in (*gathered.contexts, *gathered.tied))
    about: dict[str, int | str] = {"judgements": judgements.digest, "judges": len(judgements.judges)}
    return about | {"pairs": gathered.pairs, "ratings": gathered.ratings, "ties": ties}


def _samples(context: JudgedContext) -> list[ReplySample]:
    turns = [Turn(speaker, text) for speaker, text in context.turns]
    return [ReplySample.of_messages(messages, turns, context.speaker) for messages in context.replies]


def _rated_apart(
    replies: Sequence[tuple[int, int, int]], others: Sequence[tuple[int, int, int]], chance: random.Random
) -> list[tuple[int, int, float, float, int, bool]]:
    """Each rated reply against some that were rated lower; together they count as one judgement."""
    rows = []
    for reply, value, group in replies:
        lower = [other for other, less, _ in others if less < value and other != reply]
        chosen = chance.sample(lower, min(_RIVALS, len(lower)))
        rows += [(reply, other, 1.0, 1.0 / len(chosen), group, False) for other in chosen]
    return rows


def _started(gathered: GatheredJudgements, judgements: Judgements, catalog: Catalog, roles: Roles) -> FeedbackStarted:
    left_out = {**judgements.left_out, **gathered.left_out}
    left_out.pop(TIES, None)
    return FeedbackStarted(
        step=0,
        steps=1,
        pairs=gathered.pairs,
        ratings=gathered.ratings,
        opinions=0,
        heldout=0,
        heldout_pairs=0,
        corrections=sum(context.corrections for context in gathered.contexts),
        trained_parameters=0,
        left_out=left_out,
        remarks=tuple(remarks(judgements, gathered, known_models=[card.name for card in catalog.cards()])),
        dtype=str(roles.dtype).removeprefix("torch."),
        device=str(roles.device),
    )


def _about(config: LinearRewardConfig, judgements: Judgements) -> dict[str, object]:
    about: dict[str, object] = {"model": config.name, "kind": "reward", "judgements": judgements.digest}
    return {**about, "settings": dataclasses.asdict(config)}


def _card(
    config: LinearRewardConfig,
    reference: Card,
    model: LinearReward,
    report: RewardReport,
    learned: dict[str, int | str],
    seconds: float,
) -> Card:
    chosen = {"blocks": model.form.blocks, "strength": model.form.strength}
    return Card(
        name=config.name,
        kind="reward",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        method="linear",
        parents=lineage(reference),
        speakers=reference.speakers,
        settings={**dataclasses.asdict(config), **chosen, "learned_from": learned},
        seed=config.seed,
        scores={**report_scores(report), "training_seconds": round(seconds, 1)},
        fictional=reference.fictional,
    )
