"""The card of a task: what its examples do for its answers, with intervals, and in a sentence."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from talkalike.charts.plotter import Axis, Chart, Curve, CurveChart, Dot, DotChart, percent
from talkalike.chat.scenario_scores import chrf
from talkalike.chat.seeing.trials import BLANK_QUERY, CONTROLS, ENOUGH, SHUFFLED, TrialPlan, TrialResult
from talkalike.chat.seeing.values import Selection
from talkalike.chat.shares import Share, wilson
from talkalike.workspace.files import mapping_of, number_of, text_of

EXACT, LIKENESS = "right", "alike"
_FREE_WORDS = 3  # answers longer than this, and mostly different ones, are compared by their likeness


@dataclass(frozen=True, slots=True, kw_only=True)
class CardArm:
    """How one arm did: the share of right answers (or the mean likeness), and the shots shown on average."""

    name: str
    share: Share
    shots: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """How much more is right with the shots as they are than with the best control, with a 95 % interval."""

    control: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """What a task scored with an eye. `n`: examples asked about in each arm; `majority`: the share of the commonest
    answer, which a guess without looking gets. Without arms, nothing can be said, and `says` tells why.
    """

    eye: str
    n: int
    says: tuple[str, ...]
    measure: str = EXACT
    arms: tuple[CardArm, ...] = ()
    lift: Lift | None = None
    majority: float = 0.0

    def arm(self, name: str) -> CardArm | None:
        """The arm of this name."""
        return next((arm for arm in self.arms if arm.name == name), None)


def make_card(plan: TrialPlan, results: Sequence[TrialResult], *, eye: str) -> TaskCard:
    """Counts what was answered. Without results there were too few examples, and the card says so."""
    if not results:
        found = len(plan.examples)
        why = f"Nothing can be said yet: the task has {found} {'example' if found == 1 else 'examples'} with a picture"
        return TaskCard(eye=eye, n=found, says=(f"{why}, and at least {ENOUGH} are needed.",))
    expected = [result.expected for result in results if result.arm == results[0].arm]
    measure = _measure(expected)
    by_arm: dict[str, list[TrialResult]] = {}
    for result in results:
        by_arm.setdefault(result.arm, []).append(result)
    arms = tuple(_arm(name, answers, measure) for name, answers in by_arm.items())
    most = str(plan.most_shots)
    lift = _lift([arm for arm in arms if arm.name in (most, *CONTROLS)], most)
    majority = Counter(map(_plain, expected)).most_common(1)[0][1] / len(expected)
    card = TaskCard(eye=eye, n=len(expected), says=(), measure=measure, arms=arms, lift=lift, majority=majority)
    return replace(card, says=(*_sentences(card, most), *_remark_on_nearest(plan, eye)))


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer says what was expected and nothing else; capitals, signs and spaces do not count."""
    return _plain(answer) == _plain(expected)


def _plain(text: str) -> str:
    kept = (char if char.isalnum() else " " for char in unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(kept).split()) or text.strip()


def _measure(expected: Sequence[str]) -> str:
    """Sentences are hardly ever repeated word by word: they are compared by likeness."""
    long = sum(len(text.split()) > _FREE_WORDS for text in expected)
    return LIKENESS if 2 * long > len(expected) and 2 * len(set(map(_plain, expected))) > len(expected) else EXACT


def _arm(name: str, answers: Sequence[TrialResult], measure: str) -> CardArm:
    if measure == EXACT:
        count: float = sum(is_right(one.text, one.expected) for one in answers)
    else:
        count = sum(chrf(one.text.casefold(), one.expected.casefold()) for one in answers)
    shots = sum(one.shots for one in answers) / len(answers)
    return CardArm(name=name, share=wilson(count, len(answers)), shots=shots)


def _lift(arms: Sequence[CardArm], most: str) -> Lift:
    """The difference of two shares, its interval from those of both (Newcombe 1998, method 10, doi:10.1002/sim.779)."""
    (true,) = (arm.share for arm in arms if arm.name == most)
    best = max((arm for arm in arms if arm.name != most), key=lambda arm: arm.share.share or 0.0)
    one, other = _numbers(true), _numbers(best.share)
    value = one[0] - other[0]
    below = ((one[0] - one[1]) ** 2 + (other[2] - other[0]) ** 2) ** 0.5
    above = ((one[2] - one[0]) ** 2 + (other[0] - other[1]) ** 2) ** 0.5
    return Lift(control=best.name, value=value, low=value - below, high=value + above)


def _numbers(share: Share) -> tuple[float, float, float]:
    assert share.share is not None and share.low is not None and share.high is not None
    return share.share, share.low, share.high


def _remark_on_nearest(plan: TrialPlan, eye: str) -> tuple[str, ...]:
    if plan.spec.selection is not Selection.NEAREST:
        return ()
    if plan.known.features:
        return (f"The nearest examples were found by the features of {eye}.",)
    return ("The nearest examples could not be found, for want of features: others were shown.",)


def _sentences(card: TaskCard, most: str) -> list[str]:
    """What the numbers mean, for somebody who does not read them."""
    true, blind, lift = card.arm(most), card.arm(BLANK_QUERY), card.lift
    assert true is not None and blind is not None and lift is not None
    says = []
    if true.shots < 1:
        return [
            f"Nothing can be said of the examples: the eye {card.eye} was shown none, as it takes too few pictures."
        ]
    points = f"{abs(100 * lift.value):.0f} points"
    if lift.low > 0:
        says.append(f"The examples help: {points} more {card.measure} than with the best control ({lift.control}).")
    elif lift.control == SHUFFLED:
        says.append("The examples teach at most the form of an answer: with their labels shuffled it is as good.")
    else:
        says.append(f"It is not shown that the examples help: {lift.control} does as well, within what chance allows.")
    if (true.share.low or 0.0) <= (blind.share.high or 0.0):
        says.append("It is not shown that the picture is seen: with grey in its place the answers are about as good.")
    if (true.share.low or 0.0) <= card.majority and card.measure == EXACT:
        says.append(f"Always saying the commonest answer would be right in {percent(card.majority)} of cases.")
    if true.shots < int(most) - 0.5:
        says.append(f"Of {most} examples only {true.shots:.1f} were shown on average: the eye takes no more pictures.")
    return says


# ------------------------------------------------------------------------------------------------------------- charts
def card_charts(card: TaskCard) -> tuple[Chart, ...]:
    """The curve over the number of shots, and every arm with its interval; none where nothing can be said."""
    if not card.arms:
        return ()
    axis = Axis(title=f"{card.measure} (95 % interval)", form=percent, low=0.0, high=1.0)
    true = [arm for arm in card.arms if arm.name.isdigit()]
    most = max(int(arm.name) for arm in true)
    curves = [_curve("examples as they are", [(int(arm.name), arm) for arm in true], 0)]
    controls = [arm for arm in card.arms if arm.name in CONTROLS]
    curves += [_curve(arm.name, [(most, arm)], number) for number, arm in enumerate(controls, start=1)]
    shots = Axis(title="examples shown", low=0.0, high=float(most), ticks=[int(arm.name) for arm in true])
    dots = [
        Dot(label=arm_words(arm.name), value=arm.share.share, low=arm.share.low, high=arm.share.high)
        for arm in card.arms
    ]
    return (
        CurveChart(label=f"{card.measure} by the number of examples", curves=curves, x=shots, y=axis),
        DotChart(label=f"{card.measure} with and without what examples teach", rows=dots, axis=axis),
    )


def arm_words(name: str) -> str:
    """An arm as people are shown it."""
    if name == "0+2t":
        return "two examples in words only"
    return f"{name} example{'' if name == '1' else 's'}" if name.isdigit() else name


def gain_words(card: TaskCard) -> str:
    """What the examples add, in a few words."""
    return f"{100 * card.lift.value:+.0f} points" if card.lift else "too few examples"


def _curve(label: str, arms: Sequence[tuple[int, CardArm]], series: int) -> Curve:
    points = [(float(x), *_numbers(arm.share)) for x, arm in arms]
    return Curve(
        label=label,
        points=[(x, value) for x, value, _, _ in points],
        bars=[(x, low, high) for x, _, low, high in points],
        series=series,
        marks=True,
    )


# --------------------------------------------------------------------------------------------------------------- JSON
def card_json(card: TaskCard) -> dict[str, Any]:
    """The card as it is kept: counts, from which the intervals come again."""
    arms = [{"name": arm.name, "count": arm.share.count, "n": arm.share.n, "shots": arm.shots} for arm in card.arms]
    lift = card.lift and {
        "control": card.lift.control,
        "value": card.lift.value,
        "low": card.lift.low,
        "high": card.lift.high,
    }
    return {
        "eye": card.eye,
        "n": card.n,
        "says": list(card.says),
        "measure": card.measure,
        "arms": arms,
        "lift": lift,
        "majority": card.majority,
    }


def read_card(kept: Mapping[str, Any]) -> TaskCard | None:
    """The card that was kept; None where the task was not measured."""
    if not kept:
        return None
    lift = mapping_of(kept, "lift")
    return TaskCard(
        eye=text_of(kept, "eye"),
        n=int(number_of(kept, "n") or 0),
        says=tuple(map(str, kept.get("says", ()))),
        measure=text_of(kept, "measure") or EXACT,
        arms=tuple(
            CardArm(name=arm["name"], share=wilson(arm["count"], arm["n"]), shots=arm["shots"])
            for arm in kept.get("arms", ())
        ),
        lift=Lift(control=text_of(lift, "control"), value=lift["value"], low=lift["low"], high=lift["high"])
        if lift
        else None,
        majority=number_of(kept, "majority") or 0.0,
    )
