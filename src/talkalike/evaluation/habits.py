"""Typing habits: length, bursts, emoji, punctuation, capitals, diacritics, stretched words.

A habit is a distribution (how often a message has 0, 1, 2 ... emoji). The distance of a set of replies from the author
is the distance of that distribution from the author's training replies: Wasserstein-1 where the classes are ordered
(length, bursts), total variation elsewhere. It is given in units of the author's own distance between training and
held-out replies: 1.0 means as close as the author is to themself.

The author's own distance may be tiny by chance. It is never taken to be smaller than what drawing as many replies from
the author's own training replies gives on average, nor than one message more or less. It only sets the unit: the
intervals are those of the generated replies. Habits that nobody shows are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from talkalike.evaluation.intervals import Estimate, Floats, estimate, resample, undefined, weights

Burst = Sequence[str]  # the messages of one reply
MIN_REPLIES = 10
FLOOR_DRAWS = 200

LENGTH_STEPS = 4  # bins per doubling of a message's length
EMOTICON = re.compile(r"(?<![\w/])(?:[:;=xX8][-'^o]?[)(\]\[DdPpOo3/\\|*]+|<3+|\^_*\^|[xX]D+|[oO]_[oO]|-_+-)(?![\w/])")
STRETCHED = re.compile(r"([^\W\d_])\1\1")
MARKS = {mark: index for index, mark in enumerate(".,!?:;-'\"()…")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How to count one habit: `count` gives the number of cases in each of C classes for one burst.

    `positions` says where ordered classes lie (else they have no order). `level` of the classes, averaged over the
    cases, is the number a person reads, described by `level_name`.
    """

    name: str
    meaning: str
    count: Callable[[Burst], Floats]
    positions: Floats | None = None
    level: Floats
    level_name: str
    is_share: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HabitScore:
    """One habit. Levels say what is compared; distances are in units of the author's own (1.0 = like themself)."""

    name: str
    meaning: str
    level_name: str
    is_share: bool
    level_training: float
    level_real: float
    level_double: float
    level_base: float
    double: Estimate
    base: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class HabitsReport:
    """All habits, and the median of their distances."""

    habits: tuple[HabitScore, ...]
    double: Estimate
    base: Estimate


def compare_habits(
    *,
    training: Sequence[Burst],
    real: Sequence[Burst],
    double: Sequence[Burst],
    base: Sequence[Burst],
    bootstrap: int = 1000,
    seed: int = 0,
) -> HabitsReport:
    """Distances of the two arms from the author's `training` replies; `real`, `double` and `base` are paired."""
    n = len(real)
    if not n == len(double) == len(base):
        raise ValueError(f"arms of different length: {n} real, {len(double)} double, {len(base)} base")
    if n < MIN_REPLIES or len(training) < MIN_REPLIES:
        why = f"{n} held-out and {len(training)} training replies are too few; at least {MIN_REPLIES} are needed."
        return HabitsReport(habits=(), double=undefined(why, n=n), base=undefined(why, n=n))
    drawn_BR = np.vstack([np.ones(n), weights(n, draws=bootstrap, seed=seed)])  # row 0: the replies as they are
    scores, replicates = [], []
    for habit in HABITS:
        arms = [np.stack([habit.count(burst) for burst in arm]) for arm in (training, real, double, base)]
        if np.count_nonzero(sum(counts_RC.sum(axis=0) for counts_RC in arms)) < 2:
            continue  # one class only, such as letters without diacritics in English: nobody has this habit
        score, of_arms_AB = _score(habit, arms, drawn_BR, seed)
        scores.append(score)
        replicates.append(of_arms_AB)
    if not scores:
        why = "All messages are empty."
        return HabitsReport(habits=(), double=undefined(why, n=n), base=undefined(why, n=n))
    medians_AB = np.median(np.stack(replicates), axis=0)
    overall = [estimate(medians_B[0], medians_B[1:], n=n) for medians_B in medians_AB]
    return HabitsReport(habits=tuple(scores), double=overall[0], base=overall[1])


def distances(habit: Habit, counts_BC: Floats, reference_C: Floats) -> Floats:
    """Distance [B] of each row of counts from the reference counts. A row without any case is at distance 0."""
    share_BC = counts_BC / np.maximum(counts_BC.sum(axis=1, keepdims=True), 1e-12)
    empty_B = counts_BC.sum(axis=1) == 0
    reference_share_C = reference_C / max(float(reference_C.sum()), 1e-12)
    if habit.positions is None:
        result_B = np.abs(share_BC - reference_share_C).sum(axis=1) / 2
    else:
        gap_BC = np.abs(np.cumsum(share_BC - reference_share_C, axis=1))[:, :-1]
        result_B = gap_BC @ np.diff(habit.positions)
    return np.where(empty_B | (reference_C.sum() == 0), 0.0, result_B)


def _score(habit: Habit, arms: Sequence[Floats], drawn_BR: Floats, seed: int) -> tuple[HabitScore, Floats]:
    training_RC, real_RC, double_RC, base_RC = arms
    reference_C = training_RC.sum(axis=0)
    n = len(real_RC)
    samples = resample(len(training_RC), draws=FLOOR_DRAWS, seed=seed)[:, :n]
    by_chance = float(distances(habit, training_RC[samples].sum(axis=1), reference_C).mean())
    smallest_step = 1.0 if habit.positions is None else float(np.diff(habit.positions).min())
    one_case = smallest_step / max(1.0, float(real_RC.sum()))
    own = max(float(distances(habit, real_RC.sum(axis=0)[None], reference_C)[0]), by_chance, one_case)
    ratios_AB = np.stack([distances(habit, drawn_BR @ arm_RC, reference_C) / own for arm_RC in (double_RC, base_RC)])
    double, base = (estimate(ratios_B[0], ratios_B[1:], n=n) for ratios_B in ratios_AB)
    levels = [_level(habit, counts_RC.sum(axis=0)) for counts_RC in (training_RC, real_RC, double_RC, base_RC)]
    score = HabitScore(
        name=habit.name,
        meaning=habit.meaning,
        level_name=habit.level_name,
        is_share=habit.is_share,
        level_training=levels[0],
        level_real=levels[1],
        level_double=levels[2],
        level_base=levels[3],
        double=double,
        base=base,
    )
    return score, ratios_AB


def _level(habit: Habit, counts_C: Floats) -> float:
    return float(counts_C @ habit.level / max(float(counts_C.sum()), 1e-12))


def _per_message(classify: Callable[[str], int], classes: int) -> Callable[[Burst], Floats]:
    def count(burst: Burst) -> Floats:
        found = [min(classify(text), classes - 1) for text in burst if text.strip()]
        return np.bincount(found, minlength=classes).astype(np.float64)

    return count


def _per_character(classify: Callable[[str], int | None], classes: int) -> Callable[[Burst], Floats]:
    def count(burst: Burst) -> Floats:
        found = [kind for text in burst for char in text if (kind := classify(char)) is not None]
        return np.bincount(np.array(found, dtype=np.int64), minlength=classes).astype(np.float64)

    return count


def _burst_size(burst: Burst) -> Floats:
    counts = np.zeros(12)
    counts[min(len(burst), 11)] = 1
    return counts


def length_class(text: str) -> int:
    """The bin of a message's length: LENGTH_STEPS bins for each doubling of characters + 1."""
    return round(LENGTH_STEPS * float(np.log2(1 + len(text))))


def is_emoji(char: str) -> bool:
    """Whether a character shows as a picture by itself (skin tones, joiners and selectors do not count again)."""
    code = ord(char)
    if 0x1F3FB <= code <= 0x1F3FF:
        return False
    return 0x1F000 <= code <= 0x1FAFF or 0x2600 <= code <= 0x27BF or code in (0x2B50, 0x2B55, 0x2764, 0x231A, 0x231B)


def smileys(text: str) -> int:
    """Emoji and emoticons in a message."""
    return sum(map(is_emoji, text)) + len(EMOTICON.findall(text))


def ending(text: str) -> int:
    """How a message ends: 0 without punctuation, 1 `.`, 2 `!`, 3 `?`, 4 `...`, 5 repeated or mixed, 6 another mark."""
    last = text.rstrip()
    if last.endswith(("...", "…", "..")):
        return 4
    if re.search(r"[!?]{2,}$", last):
        return 5
    if not last or not unicodedata.category(last[-1]).startswith("P"):
        return 0
    return {".": 1, "!": 2, "?": 3}.get(last[-1], 6)


def first_letter(text: str) -> int:
    """0 where a message begins with a lower-case letter, 1 with a capital, 2 with something else."""
    first = text.lstrip()[:1]
    return 1 if first.isupper() else 0 if first.islower() else 2


def shouted_words(text: str) -> int:
    """Words of two letters or more that are all capitals."""
    return sum(1 for word in text.split() if sum(map(str.isalpha, word)) >= 2 and word.isupper())


def stretched_words(text: str) -> int:
    """Words with a letter three times or more in a row (sooo), addresses such as www. excepted."""
    return sum(1 for word in text.split() if STRETCHED.search(word) and not word.lower().startswith(("www", "http")))


def _punctuation(char: str) -> int | None:
    if char.isspace():
        return None
    if not unicodedata.category(char).startswith("P"):
        return 0
    return MARKS.get(char, len(MARKS)) + 1


def _diacritic(char: str) -> int | None:
    if not char.isalpha():
        return None
    return int(any(unicodedata.combining(part) for part in unicodedata.normalize("NFD", char)))


def _rarely(name: str, meaning: str, classify: Callable[[str], int], *, such: str) -> Habit:
    """A habit that most messages do not show: counted as none, one, two, or more in a message."""
    some = np.array([0.0, 1.0, 1.0, 1.0])
    return Habit(
        name=name, meaning=meaning, count=_per_message(classify, 4), level=some, level_name=f"messages with {such}"
    )


_LENGTHS = np.arange(16 * LENGTH_STEPS) / LENGTH_STEPS  # in doublings
HABITS = (
    Habit(
        name="length",
        meaning="how long messages are (distance in doublings of the length)",
        count=_per_message(length_class, len(_LENGTHS)),
        positions=_LENGTHS,
        level=2**_LENGTHS - 1,
        level_name="characters in a message",
        is_share=False,
    ),
    Habit(
        name="bursts",
        meaning="how many messages come in a row",
        count=_burst_size,
        positions=np.arange(12.0),
        level=np.arange(12.0),
        level_name="messages in a row",
        is_share=False,
    ),
    _rarely("emoji", "how many emoji and emoticons a message has", smileys, such="an emoji or emoticon"),
    Habit(
        name="endings",
        meaning="what a message ends with: nothing, . ! ? ... or more of them",
        count=_per_message(ending, 7),
        level=np.array([1.0, 0, 0, 0, 0, 0, 0]),
        level_name="messages that end without punctuation",
    ),
    Habit(
        name="punctuation",
        meaning="which punctuation marks are used, and how often",
        count=_per_character(_punctuation, len(MARKS) + 2),
        level=np.array([0.0] + [1.0] * (len(MARKS) + 1)),
        level_name="characters that are punctuation",
    ),
    Habit(
        name="first letter",
        meaning="whether messages begin with a capital",
        count=_per_message(first_letter, 3),
        level=np.array([0.0, 1.0, 0.0]),
        level_name="messages that begin with a capital",
    ),
    _rarely("shouting", "how many words are all capitals", shouted_words, such="a word in capitals"),
    Habit(
        name="diacritics",
        meaning="how many letters carry an accent or another mark",
        count=_per_character(_diacritic, 2),
        level=np.array([0.0, 1.0]),
        level_name="letters with a diacritic",
    ),
    _rarely("stretching", "how many words are drawn out (sooo)", stretched_words, such="a drawn-out word"),
)
