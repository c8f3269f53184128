"""What a task may be: the same rules, and the same sentences, for every face."""

from __future__ import annotations

from talkalike.chat.seeing.values import IMAGE, MOST_EXAMPLES, MOST_SHOTS, TEXT, TaskSpec
from talkalike.errors import UserError

LONGEST_NAME = 64
LONGEST_TEXT = 2000
LONGEST_TEMPLATE = 500
MOST_STOPS = 4
LONGEST_STOP = 40


def split_name(typed: str) -> tuple[str, int | None]:
    """A task's name and the version asked for: "name" (None: the newest) or "name@3". Raises UserError."""
    name, at, number = typed.strip().casefold().partition("@")
    if at and not (number.isascii() and number.isdigit() and int(number[:9]) > 0 and len(number) < 10):
        raise UserError(
            f"'{typed[:80]}' names no version of a task.", hint="A version is written as a number, for example: name@3"
        )
    check_name(name)
    return name, int(number) if at else None


def check_name(name: str) -> None:
    """Raises UserError where a task cannot have this name."""
    letters = name.replace("-", "a").replace("_", "a")
    if len(name) > LONGEST_NAME or not letters.isalnum() or name != name.casefold():
        raise UserError(
            f"'{name[:80]}' is no name for a task.",
            hint=f"Names have small letters, digits, - and _, at most {LONGEST_NAME} of them.",
        )


def check_task(spec: TaskSpec) -> None:
    """Raises UserError for the first thing that is wrong with a task, in words."""
    check_name(spec.name)
    check_template(spec.template)
    if not spec.shots:
        raise UserError(
            f"The task '{spec.name}' has no examples.",
            hint="A task is made of examples: give at least one picture and what is to be answered about it.",
        )
    if len(spec.shots) > MOST_EXAMPLES:
        raise UserError(f"A task has at most {MOST_EXAMPLES} examples, but there were {len(spec.shots):,}.")
    if not 0 <= spec.max_shots <= MOST_SHOTS:
        raise UserError(f"0 to {MOST_SHOTS} examples can be shown before a question, but {spec.max_shots} were wanted.")
    _check_length("The instruction", spec.instruction)
    for place, shot in enumerate(spec.shots, start=1):
        if not shot.output.strip():
            raise UserError(f"Example {place} has no answer.", hint="Say what is to be answered about its picture.")
        if shot.text and TEXT not in spec.template:
            raise UserError(
                f"Example {place} has a text, but the template '{spec.template}' has no place for it.",
                hint=f"Write {TEXT} into the template where the text is to stand.",
            )
        _check_length(f"The text of example {place}", shot.text)
        _check_length(f"The answer of example {place}", shot.output)
    if len(spec.stop) > MOST_STOPS or any(not 0 < len(stop) <= LONGEST_STOP for stop in spec.stop):
        raise UserError(f"An answer ends at one of at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters.")


def check_template(template: str) -> None:
    """Raises UserError unless the template says once where the picture stands, and at most once where a text does."""
    if len(template) > LONGEST_TEMPLATE:
        raise UserError(f"A template has at most {LONGEST_TEMPLATE} characters, but this one has {len(template):,}.")
    pictures = template.count(IMAGE)
    if pictures != 1:
        fault = f"does not say where the picture stands: it has no {IMAGE}"
        if pictures:
            fault = f"has {pictures} {IMAGE}, but each example has one picture"
        raise UserError(f"The template '{template}' {fault}.", hint=f"Write {IMAGE} once, for example: {IMAGE}Output:")
    if template.count(TEXT) > 1:
        raise UserError(
            f"The template '{template}' has {TEXT} more than once.", hint=f"Write {TEXT} once, or not at all."
        )


def _check_length(what: str, text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UserError(f"{what} has {len(text):,} characters; {LONGEST_TEXT:,} are the most.")
