"""How far an AI judge agrees with people, measured before any of its judgements is stored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from talkalike.alignment.judge import Verdict
from talkalike.errors import UserError
from talkalike.store.judging.judgement_values import AnyRecord, Choice, ComparisonRecord, Kind
from talkalike.store.judging.statistics import ENOUGH, Alpha, krippendorff_alpha

LEAST_KAPPA = 0.2  # below it, agreement is called slight at best (Landis and Koch, 1977)
_CATEGORIES = (Choice.A, Choice.B, Choice.TIE)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement:
    """A judge beside people on the same `n` pairs. `kappa` is Cohen's; None where there is nothing to disagree on.

    `same` is the share of equal choices, `first` how much the judge prefers the first place (the mean gap).
    """

    n: int
    same: float | None
    kappa: float | None
    alpha: Alpha
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplesPairs:
    """Pairs on which most people prefer one reply, and how many others there were, by reason."""

    pairs: tuple[tuple[ComparisonRecord, Choice], ...]
    left_out: Mapping[str, int]


def find_peoples_pairs(records: Iterable[AnyRecord]) -> PeoplesPairs:
    """Finds what most people said of each pair. AI judges do not count, nor does a second time of the same person."""
    votes: dict[tuple[str, object, object], Counter[Choice]] = {}
    examples: dict[tuple[str, object, object], ComparisonRecord] = {}
    for record in records:
        if isinstance(record, ComparisonRecord) and record.kind is Kind.HUMAN and not record.repeat:
            key = (record.pair, (record.a.context, record.a.messages), record.b.messages)
            examples.setdefault(key, record)
            votes.setdefault(key, Counter())[record.choice] += 1
    left_out, pairs = Counter[str](), []
    for unit, counted in votes.items():
        lead = counted[Choice.A] - counted[Choice.B]
        if lead:
            pairs.append((examples[unit], Choice.A if lead > 0 else Choice.B))
        elif counted[Choice.A]:
            left_out["people contradict each other"] += 1
        elif counted[Choice.TIE] or counted[Choice.BOTH_BAD]:
            left_out["a tie, or both bad"] += 1
        else:
            left_out["skipped"] += 1
    return PeoplesPairs(pairs=tuple(pairs), left_out=dict(left_out))


def measure_agreement(people: Sequence[Choice], verdicts: Sequence[Verdict]) -> JudgeAgreement:
    """Compares a judge's verdicts with what people said about the same pairs, in the same order."""
    said = [verdict.choice for verdict in verdicts]
    patterns = Counter(
        tuple((one is category) + (other is category) for category in _CATEGORIES)
        for one, other in zip(people, said, strict=True)
    )
    equal = sum(one is other for one, other in zip(people, said, strict=True))
    return JudgeAgreement(
        n=len(said),
        same=equal / len(said) if said else None,
        kappa=cohen_kappa(people, said),
        alpha=krippendorff_alpha(patterns, len(_CATEGORIES), level="nominal"),
        first=math.fsum(verdict.gap for verdict in verdicts) / len(verdicts) if verdicts else 0.0,
    )


def cohen_kappa(one: Sequence[Choice], other: Sequence[Choice]) -> float | None:
    """Agreement beyond what the two would reach by chance (Cohen, 1960); None where chance alone is perfect."""
    from sklearn.metrics import cohen_kappa_score  # a second to import, and this module's commands have a help

    return float(cohen_kappa_score(one, other)) if len({*one, *other}) > 1 else None


def why_refused(found: JudgeAgreement, *, least: float = LEAST_KAPPA) -> str:
    """Why a judge's labels are not used, in one clause; "" where they are."""
    if found.n < ENOUGH:
        return f"only {found.n} pairs judged by people to compare with, {ENOUGH} are needed"
    if found.kappa is None:
        return f"it and the people always say the same one of two ({found.n} pairs), which proves nothing"
    if found.kappa < least:
        return f"it agrees too little with people: kappa {found.kappa:.2f} on {found.n} pairs, not {least:.2f}"
    return ""


def require_some(refused: Mapping[str, str], accepted: Sequence[str], *, model: str) -> None:
    """Raises UserError where no rule of this judge passed."""
    if accepted:
        return
    reasons = "; ".join(f"{rule}: {why}" for rule, why in list(refused.items())[:5])
    raise UserError(
        f"'{model}' is not used as a judge, and nothing was stored. {reasons}.",
        hint="Small models often fail here. Let people judge more pairs, or choose a larger model with --engine.",
    )
