"""A task with drawn pictures, enough of them to be measured, and a card."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from talkalike.chat.seeing.card import card_json, make_card
from talkalike.chat.seeing.trials import TrialResult, plan_trials
from talkalike.chat.seeing.values import Shot, TaskSpec
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import EVERYBODY
from talkalike.store.seeing.usable import trial_plan, usable_task

NAME = "mugs"
COLOURS = {"red": (190, 40, 40), "blue": (40, 70, 190), "green": (40, 150, 80)}


def mug(colour: str, *, at: int = 0) -> bytes:
    """A drawn mug on a table, somewhere."""
    image = Image.new("RGB", (160, 120), (236, 228, 214))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 84, 160, 120), fill=(150, 110, 80))
    left = 20 + at * 17 % 70
    pen.rectangle((left, 40, left + 44, 92), fill=COLOURS[colour])
    pen.arc((left + 32, 48, left + 62, 80), 270, 90, fill=COLOURS[colour], width=7)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def mug_pictures(count: int) -> list[tuple[Picture, str]]:
    """Different ones, each with its colour."""
    names = list(COLOURS)
    return [(normalise(mug(names[n % 3], at=n)), names[n % 3]) for n in range(count)]


def fill_tasks() -> None:
    """Adds a task for everybody in two versions, the newest of them with a card."""
    made = mug_pictures(13)
    shots = tuple(Shot(picture=picture.ref, output=colour) for picture, colour in made)
    spec = TaskSpec(name=NAME, instruction="Name the mug's colour.", shots=shots[:12], template="<image>Colour:")
    bytes_of = {picture.hash: picture for picture, _ in made}
    tasks.register(EVERYBODY, spec, bytes_of, by=0)
    more = TaskSpec(name=NAME, instruction=spec.instruction, shots=shots, template=spec.template, stop=("\n",))
    tasks.revise(EVERYBODY, more, bytes_of, by=0)
    found = usable_task(EVERYBODY, NAME)
    plan = trial_plan(found)
    results = []
    for number, trial in enumerate(plan_trials(plan)):
        told = trial.expected if trial.arm in ("1", "2", "4", "8") and number % 7 else "red"
        shown = int(trial.arm) if trial.arm.isdigit() else 8
        results.append(TrialResult(arm=trial.arm, expected=trial.expected, text=told, shots=shown))
    assert found.stored is not None
    tasks.keep_card(found.stored, card_json(make_card(plan, results, eye="smolvlm-256m")))
