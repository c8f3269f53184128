"""Numbers that are none, or make no sense, are refused by every option and every setting, before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from command_line import talkalike
from talkalike.cli.main import app
from talkalike.errors import UserError
from talkalike.settings import load_settings
from talkalike.settings.describe import as_toml, json_schema, variable_name
from talkalike.settings.fields import SECTIONS

MAY_BE_NEGATIVE = {"--min-kappa": -2}  # and the first number it refuses


def options(kind: type, command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option of the whole program that takes such a number, with the words of its command."""
    command = command or typer.main.get_command(app)
    for param in command.params:
        if param.type_descriptor.annotation is kind and not getattr(param, "hidden", False):
            yield path, param.opts[0]
    for name, below in getattr(command, "commands", {}).items():
        yield from options(kind, below, (*path, name))


FLOATS, INTEGERS = list(options(float)), list(options(int))


def refusal(*words: object) -> str:
    done = talkalike(*words)
    assert (done.code, done.out) == (2, ""), done
    return " ".join(done.err.split())


def test_there_are_options_to_look_at() -> None:
    assert {(("train",), "--lr"), (("align", "rl"), "--temperature"), (("prepare",), "--gap-hours")} <= set(FLOATS)
    assert (("align", "dpo"), "--seed") in INTEGERS


@pytest.mark.parametrize(("command", "option"), FLOATS, ids=lambda part: "-".join(part) if part[0] != "-" else part)
def test_options_take_real_numbers_only(command: tuple[str, ...], option: str) -> None:
    for value in ("nan", "1e400", MAY_BE_NEGATIVE.get(option, -1)):
        assert f"Invalid value for '{option}'" in refusal(*command, f"{option}={value}"), value


@pytest.mark.parametrize(("command", "option"), INTEGERS, ids=lambda part: "-".join(part) if part[0] != "-" else part)
def test_counts_are_not_negative(command: tuple[str, ...], option: str) -> None:
    assert f"Invalid value for '{option}'" in refusal(*command, f"{option}=-1")


def test_a_rate_of_nothing_is_not_taken_for_the_usual_one() -> None:
    for command in (("train",), ("align", "rl"), ("align", "dpo"), ("align", "reward"), ("align", "loop")):
        assert "Invalid value for '--lr': It must be above 0." in refusal(*command, "--lr=0")


def numbers(kind: str) -> list[tuple[str, str]]:
    """Every setting that takes such a number, perhaps beside a word."""
    found = []
    for section, model in SECTIONS.items():
        for key in model.model_fields:
            schema = json_schema(section, key)
            if any(each.get("type") == kind for each in schema.get("anyOf", [schema])):
                found.append((section, key))
    return found


@pytest.mark.parametrize(("section", "key"), [*numbers("number"), *numbers("integer")])
def test_settings_take_real_numbers_only(section: str, key: str, tmp_path: Path) -> None:
    for value in ("nan", "inf", "-inf", "-1"):
        file = tmp_path / "talkalike.toml"
        file.write_text(f"[{section}]\n{key} = {value}\n", encoding="utf-8")
        with pytest.raises(UserError, match=f"{section}.*{key}|{key}") as caught:
            load_settings(file, {})
        assert caught.value.exit_code == 2
        with pytest.raises(UserError, match=variable_name(section, key)):
            load_settings(None, {variable_name(section, key): value})


def test_the_largest_silence_is_still_one(tmp_path: Path) -> None:
    for section, key in (("chats", "session_gap_hours"), ("chats", "irc_gap_minutes")):
        file = tmp_path / "talkalike.toml"
        file.write_text(f"[{section}]\n{key} = {as_toml(1e308)}\n", encoding="utf-8")
        with pytest.raises(UserError):
            load_settings(file, {})
