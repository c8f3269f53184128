"""Where pictures stand in a prompt: filling templates, and what is said of a prompt that does not fit its pictures."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.chat.seeing.values import IMAGE, MOST_PICTURES, TEXT, Part, Shot
from talkalike.errors import UserError
from talkalike.examples.picture_words import neutral
from talkalike.pictures.picture import PictureRef

LONGEST_PROMPT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledPrompt:
    """A question's chunk with one <image> for each picture. `notes`: what was changed for that, in sentences."""

    prompt: str
    notes: tuple[str, ...] = ()


def fill_prompt(template: str, typed: str, pictures: int) -> FilledPrompt:
    """The chunk of a question: the template with what was typed in it, or what was typed where it stands for itself.

    What was typed stands for itself where it holds <image>, or where the template has no {text}. Raises UserError for
    too many pictures, and where their number is not that of the <image>.
    """
    if pictures > MOST_PICTURES:
        raise UserError(
            f"You can ask about at most {MOST_PICTURES} pictures at once, but there were {pictures}.",
            hint="Send fewer of them.",
        )
    if len(typed) > LONGEST_PROMPT:
        raise UserError(f"A prompt has at most {LONGEST_PROMPT:,} characters, but this one has {len(typed):,}.")
    places = typed.count(IMAGE)
    if places and places != pictures:
        told = f"There {'is 1 picture' if pictures == 1 else f'are {pictures} pictures'}, but the prompt has {places}"
        hint = f"Write {IMAGE} once for each picture, where it is to stand; without any, they are put in front."
        raise UserError(f"{told} {IMAGE}.", hint=hint if pictures else f"Leave {IMAGE} out, or send a picture.")
    if places:
        return FilledPrompt(prompt=typed)
    if not typed.strip() or TEXT in template:
        notes = (f"Each of the {pictures} pictures was put where the task has its picture.",) if pictures > 1 else ()
        return FilledPrompt(prompt=_fill(template, typed, pictures), notes=notes)
    if not pictures:
        return FilledPrompt(prompt=typed)
    which = f"{IMAGE} was" if pictures == 1 else f"{pictures} {IMAGE} were"
    where = f"The prompt did not say where the picture stands: {which} put in front of it."
    return FilledPrompt(prompt=IMAGE * pictures + typed, notes=(where,))


def shot_parts(template: str, shot: Shot) -> tuple[Part, ...]:
    """An example as it stands before its answer; one without a picture has nothing where others have it."""
    pictures = () if shot.picture is None else (shot.picture,)
    return parts_of(_fill(template, shot.text, len(pictures)), pictures)


def parts_of(prompt: str, pictures: tuple[PictureRef, ...]) -> tuple[Part, ...]:
    """A prompt cut at its <image>, each replaced by the next picture; texts hold nothing that stands for one."""
    texts = prompt.split(IMAGE)
    if len(texts) != len(pictures) + 1:
        raise ValueError(f"{len(pictures)} pictures for {len(texts) - 1} places")
    parts: list[Part] = [neutral(texts[0])]
    for picture, text in zip(pictures, texts[1:], strict=True):
        parts += [picture, neutral(text)]
    return tuple(part for part in parts if part != "")


def _fill(template: str, text: str, pictures: int) -> str:
    """The template with the text in it, which brings no picture of its own, and so many <image> where it has one."""
    before, _, after = template.partition(IMAGE)
    words = text.replace(IMAGE, neutral(IMAGE))
    return f"{before.replace(TEXT, words)}{IMAGE * pictures}{after.replace(TEXT, words)}"
