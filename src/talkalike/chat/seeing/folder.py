"""A task as a folder, to be kept, sent and read elsewhere: task.toml and its pictures beside it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkalike.chat.seeing.values import DEFAULT_TEMPLATE, MOST_EXAMPLES, MOST_SHOTS, Selection, Shot, TaskSpec
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.workspace.files import replacing_folder

FILE = "task.toml"
LONGEST_FILE = 2 * 2**20
_KEYS = ("name", "instruction", "template", "stop", "selection", "max_shots", "example")
_EXAMPLE_KEYS = ("picture", "text", "output")
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderExample:
    """An example as the file names it; `file`: None where it has no picture."""

    file: Path | None
    text: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFolder:
    """What was read: the task without its examples, and the examples with their files, which nobody opened yet."""

    spec: TaskSpec
    examples: tuple[FolderExample, ...]

    def with_pictures(self, pictures: Mapping[Path, Picture]) -> TaskSpec:
        """The task, once its files were read as pictures."""
        return TaskSpec(
            name=self.spec.name,
            instruction=self.spec.instruction,
            shots=tuple(
                Shot(picture=pictures[one.file].ref if one.file else None, text=one.text, output=one.output)
                for one in self.examples
            ),
            template=self.spec.template,
            stop=self.spec.stop,
            selection=self.spec.selection,
            max_shots=self.spec.max_shots,
        )


def write_folder(folder: Path, spec: TaskSpec, pictures: Mapping[str, Picture]) -> int:
    """Writes the task as a folder, whole or not at all; returns how many animations lost all but their first frame."""
    lines = [
        f"name = {_quoted(spec.name)}",
        f"instruction = {_quoted(spec.instruction)}",
        f"template = {_quoted(spec.template)}",
        f"stop = [{', '.join(map(_quoted, spec.stop))}]",
        f"selection = {_quoted(spec.selection.value)}",
        f"max_shots = {spec.max_shots}",
    ]
    names: dict[str, str] = {}
    for shot in spec.shots:
        if shot.picture and shot.picture.hash not in names:
            kind = _ENDINGS.get(pictures[shot.picture.hash].content_type, "png")
            names[shot.picture.hash] = f"{len(names) + 1:02}.{kind}"
        lines += ["", "[[example]]"]
        lines += [f"picture = {_quoted(names[shot.picture.hash])}"] if shot.picture else []
        lines += [f"text = {_quoted(shot.text)}"] if shot.text else []
        lines.append(f"output = {_quoted(shot.output)}")
    with replacing_folder(folder) as beside:
        for hash_, name in names.items():
            (beside / name).write_bytes(pictures[hash_].data)
        (beside / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return sum(len(pictures[hash_].frames) > 1 for hash_ in names)


def read_folder(folder: Path) -> TaskFolder:
    """Reads task.toml of a folder. Raises UserError that says what is wrong with it, and where."""
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder} holds no task: there is no {FILE} in it.",
            hint="Name a folder that 'talkalike task export' wrote, or write one like it.",
        )
    with file.open("rb") as stream:
        data = stream.read(LONGEST_FILE + 1)
    if len(data) > LONGEST_FILE:
        raise _wrong(file, f"it has more than {LONGEST_FILE:,} bytes")
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(file, f"it is no TOML file in UTF-8 ({error})") from None
    _only_known(content, _KEYS, file, "it")
    selection = _text(content, "selection", Selection.ALL.value, file, "it")
    if selection not in list(Selection):
        raise _wrong(file, f"'{selection[:40]}' is no selection; there are: {', '.join(Selection)}")
    stop = content.get("stop", [])
    if not isinstance(stop, list) or not all(isinstance(one, str) for one in stop):
        raise _wrong(file, "'stop' is a list of texts")
    most = content.get("max_shots", MOST_SHOTS)
    if type(most) is not int:
        raise _wrong(file, "'max_shots' is a whole number")
    spec = TaskSpec(
        name=_text(content, "name", folder.name, file, "it"),
        instruction=_text(content, "instruction", "", file, "it"),
        template=_text(content, "template", DEFAULT_TEMPLATE, file, "it"),
        stop=tuple(stop),
        selection=Selection(selection),
        max_shots=most,
    )
    given = content.get("example", [])
    if not isinstance(given, list):
        raise _wrong(file, "examples are written under [[example]]")
    if len(given) > MOST_EXAMPLES:  # before any picture is opened
        raise _wrong(file, f"it has {len(given):,} examples; {MOST_EXAMPLES} are the most")
    examples = tuple(_example(one, file, number) for number, one in enumerate(given, start=1))
    return TaskFolder(spec=spec, examples=examples)


def _example(given: Any, file: Path, number: int) -> FolderExample:
    where = f"example {number}"
    if not isinstance(given, dict):
        raise _wrong(file, f"{where} is no table")
    _only_known(given, _EXAMPLE_KEYS, file, where)
    name = _text(given, "picture", "", file, where)
    picture = file.parent / name if name else None
    if picture is not None and (Path(name).name != name or picture.is_symlink() or not picture.is_file()):
        raise _wrong(file, f"the picture '{name[:80]}' of {where} is no file in this folder")
    return FolderExample(
        file=picture, text=_text(given, "text", "", file, where), output=_text(given, "output", "", file, where)
    )


def _text(values: Mapping[str, Any], key: str, default: str, file: Path, where: str) -> str:
    found = values.get(key, default)
    if not isinstance(found, str):
        raise _wrong(file, f"'{key}' of {where} is no text")
    return found


def _only_known(values: Mapping[str, Any], known: tuple[str, ...], file: Path, where: str) -> None:
    if unknown := sorted(set(values) - set(known)):
        raise _wrong(file, f"{where} has '{unknown[0]}', which is unknown; there are: {', '.join(known)}")


def _wrong(file: Path, what: str) -> UserError:
    return UserError(f"{file}: {what}.", hint="Correct the file, then read it again.")


def _quoted(text: str) -> str:
    """The text as TOML writes it: JSON's form, in which DEL is written out, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
