"""Reading `talkalike.toml` and the environment, with messages that name the line and what is allowed."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from talkalike.errors import UserError
from talkalike.settings.describe import ENV_PREFIX, allowed_values, as_toml, json_schema, variable_name
from talkalike.settings.engine_fields import Section
from talkalike.settings.fields import KEY_VARIABLE, NOT_SETTINGS, SECTIONS, Settings


@dataclass(frozen=True, slots=True)
class _Problem:
    """Something wrong, and what to do about it."""

    what: str
    hint: str


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the workspace whose `talkalike.toml` is at `path` (None: defaults), with `environ` on top.

    Raises UserError that lists every unknown key and wrong value with its line, what is allowed and the likely meaning.
    """
    text = _read(path) if path is not None else ""
    name = path.name if path is not None else ""
    table = _parse(text, name)
    values, origins, problems = _from_file(table, text, name)
    problems += _from_environment(values, origins, environ)
    sections: dict[str, Section] = {}
    for section, model in SECTIONS.items():
        try:
            sections[section] = model.model_validate(values[section])
        except ValidationError as error:
            wrong = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())  # a union reports each member
            problems += [_wrong_value(section, key, values[section][key], origins[section, key]) for key in wrong]
    if problems:
        if len(problems) == 1:
            raise UserError(problems[0].what, hint=problems[0].hint)
        raise UserError("\n".join(f"{problem.what} {problem.hint}" for problem in problems))
    return Settings.model_validate(sections)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # some editors start the file with a byte order mark
    except FileNotFoundError:
        raise UserError(
            f"There is no settings file at {path}.", hint="Make a workspace with: talkalike init DIR"
        ) from None
    except OSError as error:
        raise UserError(
            f"The settings file {path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path.name}, line {line}: this is not UTF-8 text.", hint="Save it as UTF-8.") from error


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        where = f"line {text.count(chr(10)) + 1}"
        if place is not None:
            message = message[: place.start()]
            where = f"line {place[1]}, column {place[2]}" if place[1] else f"{where} (the end)"
        raise UserError(
            f"{name}, {where}: this is not valid TOML ({message}).",
            hint='Write: name = value, with text in "quotes". `talkalike init` writes a file to compare with.',
        ) from error


def _from_file(
    table: dict[str, Any], text: str, name: str
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], str], list[_Problem]]:
    """The known values by section, where each stands, and what is unknown."""
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[tuple[str, str], str] = {}
    problems: list[_Problem] = []
    for section, entries in table.items():
        if not isinstance(entries, dict):
            what = f"{_place(name, text, '', section)}: '{section}' stands outside every section."
            problems.append(_Problem(what, _section_of(section) or f"The sections are {', '.join(_brackets())}."))
            continue
        if section not in SECTIONS:
            what = f"{_place(name, text, section)}: there is no section [{section}]."
            problems.append(_Problem(what, _suggest(f"[{section}]", _brackets())))
            continue
        known = SECTIONS[section].model_fields
        for key, value in entries.items():
            place = _place(name, text, section, key)
            if key in known:
                values[section][key] = value
                origins[section, key] = f"{place}: '{key}' in [{section}]"
            else:
                what = f"{place}: [{section}] has no setting '{key}'."
                problems.append(_Problem(what, _section_of(key) or _suggest(key, known)))
    return values, origins, problems


def _from_environment(
    values: dict[str, dict[str, Any]], origins: dict[tuple[str, str], str], environ: Mapping[str, str]
) -> list[_Problem]:
    """Puts the environment's values over the file's, in place; returns what is unknown."""
    known = {
        variable_name(section, key): (section, key) for section, model in SECTIONS.items() for key in model.model_fields
    }
    secret = environ.get(variable_name("serve", "api_key_env")) or values["serve"].get("api_key_env", KEY_VARIABLE)
    problems = []
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or not text or variable == secret or variable in NOT_SETTINGS:
            continue
        if variable in known:
            section, key = known[variable]
            values[section][key] = _from_text(text, json_schema(section, key))
            origins[section, key] = f"The environment variable {variable}"
        else:
            what = f"The environment variable {variable} is no setting."
            problems.append(_Problem(what, _suggest(variable, known)))
    return problems


def _from_text(text: str, schema: Mapping[str, Any]) -> str | bool | int | float:
    """An environment variable's text as a number, or as true or false, where the setting takes one."""
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
    if "boolean" in kinds:
        return {"true": True, "false": False}.get(text.lower(), text)
    for kind in kinds & {"integer", "number"}:
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            continue
    return text


def _wrong_value(section: str, key: str, value: object, origin: str) -> _Problem:
    shown = as_toml(value) if isinstance(value, str | bool | int | float) else f"a {type(value).__name__}"
    return _Problem(
        f"{origin} cannot be {shown if len(shown) <= 80 else shown[:79] + '…'}.",
        f"Allowed: {allowed_values(section, key)}.",
    )


def _brackets() -> list[str]:
    return [f"[{section}]" for section in SECTIONS]


def _section_of(key: str) -> str:
    """Says where a setting belongs that was written in the wrong place; empty when no section has it."""
    homes = [f"[{section}]" for section, model in SECTIONS.items() if key in model.model_fields]
    return f"It belongs under {' or '.join(homes)}." if homes else ""


def _suggest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]}?" if near else f"There is: {', '.join(names)}."


def _place(name: str, text: str, section: str, key: str = "") -> str:
    """The file and line of a section or key. Only the file where the line is not found (inline tables, odd quoting)."""
    header, current = re.compile(r"\s*\[\s*[\"']?([^\"'\]]*?)[\"']?\s*\]"), ""
    for number, line in enumerate(text.split("\n"), start=1):
        if found := header.match(line):
            current = found[1]
            if not key and current == section:
                return f"{name}, line {number}"
        found = re.match(r"\s*([^=#]*?)\s*=", line)
        if key and found and f"{current}.{found[1]}".replace('"', "").strip(".") == f"{section}.{key}".strip("."):
            return f"{name}, line {number}"
    return name
