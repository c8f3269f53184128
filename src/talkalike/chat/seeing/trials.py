"""Trying a task on its own examples: each is asked about with others as shots, and with shots that can teach nothing.

Beside the shots as they are stand those that tell what the examples do: without any, with two in words only, with the
answers of the shots exchanged among them, with grey instead of their pictures, and with grey instead of the picture
that is asked about.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from talkalike.chat.seeing.comprehend import PictureQuestion, PicturesAtHand, comprehend
from talkalike.chat.seeing.defaults import drawing
from talkalike.chat.seeing.selecting import NOTHING_KNOWN, KnownOfPictures, select_shots
from talkalike.chat.seeing.values import MOST_SHOTS, Selection, Shot, TaskSpec
from talkalike.engine.eyes import Eye
from talkalike.engine.protocol import Engine, Sampling
from talkalike.examples.picture_words import neutral
from talkalike.pictures.picture import Picture

ENOUGH = 12  # examples below which nothing can be said
MOST_ASKED = 48  # examples that are asked about
NONE, TEXT_SHOTS = "0", "0+2t"
SHUFFLED, BLANK_SHOTS, BLANK_QUERY = "shuffled labels", "blank shots", "blank query"
CONTROLS = (SHUFFLED, BLANK_SHOTS, BLANK_QUERY)
_LEVELS = (1, 2, 4, 8)
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A question to which the answer is known. `arm`: a number of shots, or what was done to them."""

    arm: str
    question: PictureQuestion
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What was answered, and how many shots were shown for it: an eye may take fewer."""

    arm: str
    expected: str
    text: str
    shots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """What is to be tried: a task, the bytes of its pictures by hash, and what is known of them.

    `sampling` of every answer; the likeliest words by default, so that the same is answered each time.
    """

    spec: TaskSpec
    pictures: Mapping[str, Picture]
    known: KnownOfPictures = NOTHING_KNOWN
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0, max_tokens=48, seed=0))
    seed: int = 0

    @property
    def examples(self) -> tuple[Shot, ...]:
        """Those that have a picture that is at hand."""
        return tuple(shot for shot in self.spec.shots if shot.picture and shot.picture.hash in self.pictures)

    @property
    def most_shots(self) -> int:
        """The number of shots that the controls are tried with: as many as the task shows."""
        return self.spec.max_shots or MOST_SHOTS

    @property
    def levels(self) -> tuple[int, ...]:
        """The numbers of shots that are tried."""
        return tuple(sorted({level for level in _LEVELS if level <= self.most_shots} | {self.most_shots}))


def plan_trials(plan: TrialPlan) -> tuple[Trial, ...]:
    """All questions, each arm asking about the same pictures; none where there are too few examples to say anything.

    An example is never asked about with itself or a copy of it as a shot.
    """
    if len(plan.examples) < ENOUGH:
        return ()
    asked = random.Random(plan.seed).sample(plan.examples, min(MOST_ASKED, len(plan.examples)))
    return tuple(trial for place, query in enumerate(asked) for trial in _trials_of(plan, query, place))


async def run_trials(
    trials: Sequence[Trial], *, eye: Eye, engine: Engine | None = None, given: PicturesAtHand
) -> AsyncGenerator[TrialResult, None]:
    """Asks one question after the other. No picture is looked at twice by an eye that only names what it sees."""
    grey = drawing("grey")
    given = replace(given, gallery={**given.gallery, grey.hash: grey})
    for trial in trials:
        answer = await comprehend(trial.question, eye=eye, engine=engine, given=given)
        given = replace(given, words={**given.words, **answer.seen})
        yield TrialResult(arm=trial.arm, expected=trial.expected, text=answer.text, shots=answer.shots)


def _trials_of(plan: TrialPlan, query: Shot, place: int) -> list[Trial]:
    """The arms of one example that is asked about."""
    assert query.picture is not None
    dice = random.Random(f"{plan.seed} {place}")
    others = [shot for shot in plan.examples if shot is not query]
    dice.shuffle(others)
    pool = replace(plan.spec, shots=tuple(others))
    shown = {
        count: select_shots(replace(pool, max_shots=count), [query.picture], plan.known).shots for count in plan.levels
    }
    most = shown[plan.most_shots]
    grey = drawing("grey")
    arms: list[tuple[str, tuple[Shot, ...]]] = [
        (NONE, ()),
        (TEXT_SHOTS, tuple(replace(shot, picture=None) for shot in others[:2])),
        *((str(count), shots) for count, shots in shown.items()),
        (SHUFFLED, _shuffled(most, dice)),
        (BLANK_SHOTS, tuple(replace(shot, picture=grey.ref) for shot in most)),
        (BLANK_QUERY, most),
    ]
    picture = plan.pictures[query.picture.hash]
    return [
        Trial(
            arm=arm,
            question=PictureQuestion(
                pictures=(grey if arm == BLANK_QUERY else picture,),
                prompt=neutral(query.text),
                task=replace(plan.spec, shots=shots, selection=Selection.ALL, max_shots=MOST_SHOTS),
                label=f"{plan.spec.name} on trial",
                sampling=plan.sampling,
            ),
            expected=query.output,
        )
        for arm, shots in arms
    ]


def _shuffled(shots: tuple[Shot, ...], dice: random.Random) -> tuple[Shot, ...]:
    """The shots with their answers exchanged at random; other answers than before, where they are not all the same."""
    outputs = [shot.output for shot in shots]
    mixed = list(outputs)
    for _ in range(_TRIES):
        dice.shuffle(mixed)
        if mixed != outputs:
            break
    return tuple(replace(shot, output=output) for shot, output in zip(shots, mixed, strict=True))
