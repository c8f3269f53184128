"""How far a reward model can be trusted: accuracy, calibration, length, and which features of replies it prefers.

Measured on held-out judgements; the preferred features on all replies, those of the training part included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkalike.alignment.judged_parts import EncodedContext
from talkalike.charts.plotter import Axis, Curve, CurveChart
from talkalike.store.judging.statistics import Share, wilson

Floats = NDArray[np.float64]
_BINS = 5
_ALIKE = 0.2  # lengths at most so far apart, as a share of the longer one, count as equal
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_SMILEY = re.compile(r"(?<!\w)[:;=]-?[)(DPpo/|]|<3|\^\^|\bx[dD]\b")
_LAUGHTER = re.compile(r"\b(a?ha(ha)+h?|he(he)+|hihi|lol|lmao|rofl)\b|[😂🤣😆]", re.IGNORECASE)
FEATURES: Mapping[str, Callable[[str], float]] = {
    "length": lambda text: math.log1p(len(text)),
    "several messages": lambda text: float(text.count("\n")),
    "emoji": lambda text: float(len(_EMOJI.findall(text))),
    "smileys": lambda text: float(len(_SMILEY.findall(text))),
    "laughter": lambda text: float(bool(_LAUGHTER.search(text))),
    "all lower case": lambda text: float(text == text.lower()),
    "question": lambda text: float("?" in text),
    "exclamation": lambda text: float("!" in text),
    "ends with a full stop": lambda text: float(text.rstrip().endswith(".")),
    "commas": lambda text: float(text.count(",")),
    "digits": lambda text: float(any(letter.isdigit() for letter in text)),
    "link": lambda text: float("http" in text),
    "stretched letters": lambda text: float(bool(re.search(r"([^\W\d])\1\1", text))),
    "word length": lambda text: float(np.mean([len(word) for word in text.split()] or [0])),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Predicted against actual. Pairs: its probability and how often it was right; ratings: both from 1 to 5."""

    kind: str  # "pairs" or a scale
    predicted: float
    actual: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Liking:
    """How a feature of the text goes with the score: a correlation over n replies, contexts taken out."""

    feature: str
    correlation: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardReport:
    """What was measured of a reward model; None where there is nothing to measure."""

    accuracy: Share  # held-out pairs in the right order; a draw is half
    length_matched: Share  # of those whose replies are about equally long
    longer_preferred: Share  # how often people preferred the longer one
    longer_scored: Share  # how often the model does
    calibration_error: float | None  # of the probabilities for pairs (ECE)
    rating_error: float | None  # mean distance from held-out ratings
    rating_error_of_mean: float | None  # the same for always predicting the mean
    length_correlation: float | None
    spread: float  # of the members, mean
    calibration: tuple[CalibrationBin, ...]
    likes: tuple[Liking, ...]  # strongest first


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredContext:
    """A context with what the model says about each of its replies."""

    context: EncodedContext
    values: Sequence[float]
    spreads: Sequence[float]
    by_scale: Sequence[Mapping[str, float]]


def reward_report(
    heldout: Sequence[ScoredContext], everything: Sequence[ScoredContext], *, pair_scale: str
) -> RewardReport:
    """The whole report. Pairs are judged on the scale that comparisons are about."""
    gaps, lengths, shares = _pairs(heldout, pair_scale)
    longer = np.sign(lengths[:, 0] - lengths[:, 1])
    alike = np.abs(lengths[:, 0] - lengths[:, 1]) <= _ALIKE * lengths.max(axis=1, initial=1)
    right = (gaps > 0) + 0.5 * (gaps == 0)
    sided = longer != 0
    bins, pair_error = _pair_calibration(gaps, shares)
    rating_bins, rating_error, mean_error = _rating_calibration(heldout)
    spreads = [spread for scored in heldout or everything for spread in scored.spreads]
    return RewardReport(
        accuracy=wilson(float(right.sum()), len(right)),
        length_matched=wilson(float(right[alike].sum()), int(alike.sum())),
        longer_preferred=wilson(float((longer > 0).sum()), int(sided.sum())),
        longer_scored=wilson(float((np.sign(gaps) * longer > 0)[sided].sum()), int(sided.sum())),
        calibration_error=pair_error,
        rating_error=rating_error,
        rating_error_of_mean=mean_error,
        length_correlation=_correlation(everything, FEATURES["length"])[0],
        spread=float(np.mean(spreads)) if spreads else 0.0,
        calibration=(*bins, *rating_bins),
        likes=likes(everything),
    )


def calibration_charts(bins: Sequence[CalibrationBin]) -> list[CurveChart]:
    """Charts of predicted against actual, for pairs and for ratings; each point says how many judgements it stands for.

    On the dashed line the model is calibrated; below it, it is overconfident.
    """
    charts = []
    for side, low, said, actual in (
        ("pairs", 0.5, "predicted probability", "how often it was right"),
        ("ratings", 1.0, "predicted rating (1 to 5)", "mean rating by people"),
    ):
        given = sorted(
            (each for each in bins if (each.kind == "pairs") == (side == "pairs")), key=lambda b: b.predicted
        )
        high = 1.0 if side == "pairs" else 5.0
        curves = [Curve(label="perfectly calibrated", points=[(low, low), (high, high)], series=4)]
        for series, kind in enumerate(sorted({each.kind for each in given})):
            own = [each for each in given if each.kind == kind]
            points = [(each.predicted, each.actual) for each in own]
            curves.append(Curve(label=kind, points=points, weights=[each.n for each in own], series=series))
        if given or (side == "pairs" and not bins):
            edge = 0.04 * (high - low)  # for the marks of the last points
            x = Axis(title=said, low=low - edge, high=high + edge)
            y = Axis(title=actual, low=0.0 if side == "pairs" else low, high=high + edge)
            charts.append(CurveChart(label=f"Calibration, {side}", curves=curves, x=x, y=y))
    return charts


def report_scores(report: RewardReport) -> dict[str, Any]:
    """The report as the scores of a card."""
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
    return {**scores, "calibration": calibration} if calibration else scores


def likes(everything: Sequence[ScoredContext]) -> tuple[Liking, ...]:
    """Features by how strongly they go with the score; those that never vary are left out."""
    found = []
    for feature, measure in FEATURES.items():
        correlation, n = _correlation(everything, measure)
        if correlation is not None:
            found.append(Liking(feature=feature, correlation=correlation, n=n))
    return tuple(sorted(found, key=lambda liking: -abs(liking.correlation)))


def _pairs(heldout: Sequence[ScoredContext], scale: str) -> tuple[Floats, Floats, Floats]:
    """For each pair better minus worse (P,), both lengths in characters (P, 2), and how sure people are (P,)."""
    gaps, lengths, shares = [], [], []
    for scored in heldout:
        shares += scored.context.shares
        for better, worse in scored.context.pairs:
            gaps.append(scored.by_scale[better].get(scale, 0.0) - scored.by_scale[worse].get(scale, 0.0))
            lengths.append([len(scored.context.samples[place].text) for place in (better, worse)])
    sizes = np.asarray(lengths, dtype=np.float64).reshape(-1, 2)
    return np.asarray(gaps, dtype=np.float64), sizes, np.asarray(shares, dtype=np.float64)


def _pair_calibration(gaps: Floats, shares: Floats) -> tuple[list[CalibrationBin], float | None]:
    if not len(gaps):
        return [], None
    said = 1 / (1 + np.exp(-np.abs(gaps)))
    right = np.select([gaps > 0, gaps < 0], [shares, 1 - shares], 0.5)
    bins = _bins("pairs", said, right, np.minimum(((said - 0.5) * 2 * _BINS).astype(int), _BINS - 1))
    return bins, math.fsum(abs(each.predicted - each.actual) * each.n for each in bins) / len(gaps)


def _bins(kind: str, said: Floats, was: Floats, places: NDArray[Any]) -> list[CalibrationBin]:
    """One for each place that judgements were put into, in order."""
    inside = [places == place for place in np.unique(places)]
    return [
        CalibrationBin(kind=kind, predicted=float(said[i].mean()), actual=float(was[i].mean()), n=int(i.sum()))
        for i in inside
    ]


def _rating_calibration(heldout: Sequence[ScoredContext]) -> tuple[list[CalibrationBin], float | None, float | None]:
    by_scale: dict[str, list[tuple[float, int]]] = {}
    for scored in heldout:
        for reply, scale, value in scored.context.ratings:
            if scale in scored.by_scale[reply]:
                by_scale.setdefault(scale, []).append((scored.by_scale[reply][scale], value))
    bins: list[CalibrationBin] = []
    errors, plain = [], []
    for scale, rows in sorted(by_scale.items()):
        said, given = np.asarray(rows, dtype=np.float64).T
        errors += np.abs(said - given).tolist()
        plain += np.abs(given - given.mean()).tolist()
        bins += _bins(scale, said, given, np.rint(said))
    return (bins, float(np.mean(errors)), float(np.mean(plain))) if errors else (bins, None, None)


def _correlation(everything: Sequence[ScoredContext], measure: Callable[[str], float]) -> tuple[float | None, int]:
    """Pearson's, between a feature and the value; within contexts where they have several replies, else over all."""
    within: tuple[list[float], list[float]] = ([], [])
    alone: tuple[list[float], list[float]] = ([], [])
    for scored in everything:
        features = np.asarray([measure(sample.text) for sample in scored.context.samples])
        values = np.asarray(scored.values)
        if len(values) > 1:
            within[0].extend(features - features.mean())
            within[1].extend(values - values.mean())
        else:
            alone[0].extend(features)
            alone[1].extend(values)
    x = np.asarray([*within[0], *(np.asarray(alone[0]) - np.mean(alone[0] or [0]))])
    y = np.asarray([*within[1], *(np.asarray(alone[1]) - np.mean(alone[1] or [0]))])
    size = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / size if size > 1e-12 else None), len(x)
