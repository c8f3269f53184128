"""What an eye learns from: pictures with their texts, of a folder with pairs.jsonl, or the examples of a task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from talkalike.chat.seeing.prompts import shot_parts
from talkalike.cli.tasks_opening import place_of, read_pictures
from talkalike.cli.workspace import Workspace, database_url
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture, PictureRef
from talkalike.store.seeing.usable import pictures_of, usable_task
from talkalike.store.store import open_store

if TYPE_CHECKING:
    from talkalike.training.eye import EyePairs

TASK = "task:"
PAIRS_FILE = "pairs.jsonl"
_LONGEST_TEXT = 1000  # characters
_HELD_OUT = 8  # of so many pictures one is held out
_FEWEST = 16  # pictures, below which none is


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePair:
    """A picture by its hash, what stands around it, and the text that is learned with it."""

    picture: str
    text: str
    before: str = ""
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPairs:
    """What was read, and what was passed over: each with its reason."""

    pairs: tuple[PicturePair, ...]
    pictures: dict[str, Picture]
    skipped: tuple[tuple[str, str], ...] = ()


def read_pairs(workspace: Workspace, source: str, *, prompt: str) -> ReadPairs:
    """The pairs of "task:NAME", or of the folder of this name. Raises UserError where there are none."""
    found = _of_task(workspace, source.removeprefix(TASK)) if source.startswith(TASK) else _of_folder(source, prompt)
    if not found.pairs:
        raise UserError(f"There is no picture with a text in {source}.", hint="Each needs a picture and a text.")
    return found


def split_pairs(read: ReadPairs, *, encoder: Path) -> EyePairs:
    """Holds out one picture of eight, by its hash: all texts of a picture are learned, or none."""
    # torch: the help, and wrong options, do not wait for it
    from talkalike.training.eye import EyePairs
    from talkalike.training.seen_documents import Chunk

    order = sorted({pair.picture for pair in read.pairs})
    aside = set(order[::_HELD_OUT]) if len(order) >= _FEWEST else set()
    chunks = [
        Chunk(picture=pair.picture, before=pair.before, prompt=pair.prompt, text=pair.text) for pair in read.pairs
    ]
    digest = hashlib.sha256()
    for pair in read.pairs:
        digest.update(json.dumps([pair.picture, pair.before, pair.prompt, pair.text]).encode())
    return EyePairs(
        train=tuple(chunk for chunk in chunks if chunk.picture not in aside),
        heldout=tuple(chunk for chunk in chunks if chunk.picture in aside),
        pictures=read.pictures,
        digest=digest.hexdigest(),
        encoder=encoder,
    )


def _of_task(workspace: Workspace, name: str) -> ReadPairs:
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place_of(None), name)
        pictures = store.call(pictures_of, found.spec)
    pairs, skipped = [], []
    for number, shot in enumerate(found.spec.shots, start=1):
        if shot.picture is None or not shot.output.strip():
            skipped.append((f"example {number}", "it has no picture" if shot.picture is None else "it has no output"))
            continue
        parts = shot_parts(found.spec.template, shot)
        at = next(place for place, part in enumerate(parts) if isinstance(part, PictureRef))
        before, after = _texts(parts[:at]), _texts(parts[at + 1 :])
        pairs.append(PicturePair(picture=shot.picture.hash, text=_spaced(shot.output), before=before, prompt=after))
    return ReadPairs(pairs=tuple(pairs), pictures=dict(pictures), skipped=tuple(skipped))


def _of_folder(source: str, prompt: str) -> ReadPairs:
    folder = Path(source).expanduser()
    file = folder / PAIRS_FILE
    if not file.is_file():
        raise UserError(
            f"{folder} holds no pictures to learn from: there is no {PAIRS_FILE} in it.",
            hint='Write one line for each: {"picture": "mug.jpg", "text": "a red mug"}. Or name a task: task:NAME',
        )
    pairs: list[PicturePair] = []
    pictures: dict[str, Picture] = {}
    known: dict[Path, str] = {}
    skipped: list[tuple[str, str]] = []
    with file.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    name, text = _line(line, file, number)
                    try:
                        picture = _open(folder / name, folder, known, pictures)
                    except UserError as error:
                        skipped.append((f"line {number}", error.what))
                        continue
                    pairs.append(PicturePair(picture=picture, text=_spaced(text), prompt=prompt))
        except UnicodeDecodeError:
            raise UserError(f"{file} is not in UTF-8.", hint="Save it in UTF-8, then try again.") from None
    return ReadPairs(pairs=tuple(pairs), pictures=pictures, skipped=tuple(skipped))


def _line(line: str, file: Path, number: int) -> tuple[str, str]:
    """The picture's file and its text. Raises UserError for anything else."""
    hint = 'Write it like this: {"picture": "mug.jpg", "text": "a red mug"}'
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"Line {number} of {file} is no JSON.", hint=hint) from None
    if not isinstance(values, dict) or set(values) != {"picture", "text"}:
        raise UserError(f"Line {number} of {file} does not have 'picture' and 'text' alone.", hint=hint)
    name, text = values["picture"], values["text"]
    if not (isinstance(name, str) and name and isinstance(text, str) and text.strip()):
        raise UserError(f"'picture' and 'text' in line {number} of {file} have to be texts.", hint=hint)
    if len(text) > _LONGEST_TEXT:
        raise UserError(
            f"The text in line {number} of {file} has {len(text):,} characters; {_LONGEST_TEXT:,} are the most.",
            hint="Shorten it.",
        )
    return name, text


def _open(file: Path, folder: Path, known: dict[Path, str], pictures: dict[str, Picture]) -> str:
    """The picture's hash. Raises UserError where the file is no picture, or lies outside the folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{file} is not in {folder}.", hint="Put it there.")
    if file not in known:
        picture = read_pictures([file])[file]
        known[file] = picture.hash
        pictures[picture.hash] = picture
    return known[file]


def _texts(parts: Sequence[object]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def _spaced(text: str) -> str:
    """One space between the prompt and the text, as renderers write it."""
    return f" {text.strip()}"
