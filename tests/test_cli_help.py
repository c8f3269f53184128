"""What the command line says of itself: whole sentences in the field's words, and options by their older names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from command_line import Done, succeed, talkalike
from talkalike.cli.commands import OLD_OPTIONS
from talkalike.cli.main import app
from talkalike.options import REPLY
from talkalike.settings import default_toml

PRIVATE = re.compile(r"\b(practi[cs]\w*|tastes?|nats?|moments?|trainings|that serves?|serves now)\b", re.IGNORECASE)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name in getattr(command, "commands", {}):
        yield from commands(command.commands[name], (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
OPTIONS = {
    (*path, param.opts[-1]): param.help
    for path, command in COMMANDS.items()
    for param in command.params
    if not getattr(param, "hidden", False)
}


def sentence(text: str) -> bool:
    """Whether this is a sentence that a stranger can read: several words, from a capital letter to a full stop."""
    return len(text.split()) >= 4 and re.fullmatch(r"[A-Z$].*[.)”]", text, re.DOTALL) is not None


def test_every_option_is_explained_in_a_sentence() -> None:
    assert len(COMMANDS) > 30 and len(OPTIONS) > 150
    assert {name: text for name, text in OPTIONS.items() if not sentence(text or "")} == {}
    assert [sentence(text) for text in ("Of practice (rl).", "Updates.", "which part of the set it is.")] == [False] * 3


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "talkalike")
def test_every_commands_help_is_whole_and_in_the_fields_words(path: tuple[str, ...]) -> None:
    text = succeed(*path, "--help").out
    assert "..." not in text.replace("PATH...", "").replace("[ARGS]...", "").replace("}...", "")
    assert PRIVATE.findall(text) == []
    assert sentence(COMMANDS[path].help)


def test_private_words_are_found() -> None:
    text = "Practise in moments: price of a nat, with -taste. Serve the double that serves."
    assert PRIVATE.findall(text) == ["Practise", "moments", "nat", "taste", "that serves"]


def test_every_setting_is_explained_in_a_sentence() -> None:
    lines = default_toml().split("\n")
    assert [line for line in lines if line.startswith("# ") and PRIVATE.findall(line)] == []
    assert [option.key for option in REPLY.values() if not sentence(option.description)] == []


def takes(path: tuple[str, ...]) -> set[str]:
    return {name for param in COMMANDS[path].params for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("old", OLD_OPTIONS)
def test_an_older_name_is_taken_and_names_the_new_one(old: str, tmp_path: Path) -> None:
    succeed("init", tmp_path / "ws")
    new = OLD_OPTIONS[old]
    having = [path for path in COMMANDS if new in takes(path) and old not in takes(path)]
    assert having, "no command has it any more: it can go"

    def ask(path: tuple[str, ...], *words: str) -> Done:
        return talkalike(*path, *words, "-w", tmp_path / "ws")

    for path in having:
        flag = "prompted" in old
        for words in [(old,)] if flag else [(old, "1"), (f"{old}=1",)]:
            done = ask(path, *words)
            remark, _, rest = done.err.partition("\n")
            assert remark == f"{old} is now called {new}; the next version takes only that name."
            assert rest == ask(path, *(word.replace(old, new) for word in words)).err
            assert "No such option" not in rest and rest
        if not flag:
            wrong = ask(path, old, "-1")
            assert f"Invalid value for '{new}'" in wrong.err
        assert old not in succeed(*path, "--help").out.split()


def test_words_behind_the_options_are_left_alone(tmp_path: Path) -> None:
    succeed("init", tmp_path / "ws")
    done = talkalike("judgements", "pairs", "-w", tmp_path / "ws", "--", "--moments")
    assert "is now called" not in done.err and done.code == 2
