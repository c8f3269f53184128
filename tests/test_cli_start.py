"""The command line starts light: a command's module is imported when the command is wanted, and torch later still."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from command_line import SAMPLE_PARTS, succeed, talkalike
from talkalike.cli.commands import LazyCommand, LazyCommands, LazyGroup
from talkalike.cli.main import app

DEEP_LEARNING = {"torch", "transformers", "peft", "accelerate"}
LARGE = DEEP_LEARNING | {"pyarrow", "sklearn", "scipy", "pydantic", "numpy", "discord", "django", "aiohttp"}
LARGE |= {"starlette", "rich", "tokenizers", "httpx"}

RUN = """
import json, sys
from talkalike.cli.main import run
code = run(sys.argv[2:])
print(json.dumps([code, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]), file=sys.stderr)
"""
WALK = """
import json, sys, typer
from talkalike.cli.main import app
def walk(command):
    return 1 + sum(walk(below) for below in getattr(command, "commands", {}).values())
count = walk(typer.main.get_command(app))
print(json.dumps([count, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]), file=sys.stderr)
"""


def loaded_by(program: str, watched: set[str], *arguments: object) -> tuple[int, list[str]]:
    """What a fresh process that runs the program returns, and which of the watched libraries it imported."""
    words = [sys.executable, "-c", program, json.dumps(sorted(watched)), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    code, found = json.loads(done.stderr.splitlines()[-1])
    return code, found


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_program_itself_imports_nothing_large(option: str) -> None:
    assert loaded_by(RUN, LARGE, option) == (0, [])


def test_a_groups_help_and_a_typing_error_import_nothing_large() -> None:
    large = LARGE - {"pydantic"}  # with which typer reads options
    assert loaded_by(RUN, large, "align", "--help") == (0, [])
    assert loaded_by(RUN, large, "prepair") == (2, [])


def test_no_command_imports_torch_for_its_help() -> None:
    count, found = loaded_by(WALK, DEEP_LEARNING | {"sklearn"})
    assert found == []
    assert count > 30  # it looks at something


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("light") / "ws"
    succeed("init", root)
    succeed("import", SAMPLE_PARTS[1], "-w", root)
    return root


@pytest.mark.parametrize(
    "words", ["models", "people", "examples", "judgements stats", "import", "init", "doctor --help"]
)
def test_light_commands_stay_light(words: str, workspace: Path, tmp_path: Path) -> None:
    where: dict[str, list[object]] = {"init": [tmp_path / "new"], "doctor --help": []}
    given = where.get(words, ["-w", workspace]) + ([SAMPLE_PARTS[1]] if words == "import" else [])
    assert loaded_by(RUN, DEEP_LEARNING | {"discord", "sklearn"}, *words.split(), *given) == (0, [])


# ------------------------------------------------------------------------------------------------------ lazy groups
def lazy_groups(command: Any, path: str = "talkalike") -> Iterator[tuple[str, LazyGroup]]:
    if isinstance(command, LazyGroup):
        yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from lazy_groups(below, f"{path} {name}")


GROUPS = dict(lazy_groups(typer.main.get_command(app)))
ENTRIES = [(path, name) for path, group in GROUPS.items() for name in group.table]


@pytest.mark.parametrize(("path", "name"), ENTRIES, ids=lambda part: part.replace(" ", "-"))
def test_a_line_of_the_help_is_the_commands_own(path: str, name: str) -> None:
    assert set(GROUPS) == {"talkalike", "talkalike align", "talkalike task"}
    assert GROUPS[path].table[name].help == GROUPS[path].commands[name].get_short_help_str(limit=200)


def test_the_help_lists_every_command_in_order() -> None:
    for path, group in GROUPS.items():
        told = succeed(*path.split()[1:], "--help").out.split("Commands:\n")[1].splitlines()
        named = [line.split()[0] for line in told if line.startswith("  ") and line[2] != " "]
        assert [name for name in named if name in group.table] == list(group.table)


def test_commands_are_loaded_when_they_are_looked_at() -> None:
    commands = LazyCommands(
        {"a": LazyCommand("talkalike.cli.workspace", "init", "…"), "b": LazyCommand("no.such", "thing", "…")}
    )
    assert list(commands) == ["a", "b"]
    assert "b" in commands
    assert commands["a"].name == "a"
    assert commands["a"] is commands["a"]
    assert commands.get("c") is None
    with pytest.raises(ModuleNotFoundError):
        commands["b"]


def test_a_command_that_is_mistyped_is_guessed_without_loading_any() -> None:
    assert "Did you mean 'prepare'" in talkalike("prepair").err
