"""What errors, hints, pages and documents tell people to type exists: commands, options, settings, slash commands."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from talkalike.cli.commands import OLD_OPTIONS
from talkalike.cli.main import app
from talkalike.settings.fields import SECTIONS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "talkalike").rglob("*.py"))
PAGES = sorted((ROOT / "src" / "talkalike" / "website").rglob("*.html"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/import").glob("*.md"))]
FILLED = "\0"  # stands for what an f-string puts in

COMMAND = re.compile(r"(?<![\w./'-])talkalike((?: +(?:--?[a-z][\w-]*|[\w\0./:*-]+|\"[^\"]*\"))+)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
SETTING = re.compile(r"\b([a-z_]+)(?: = \S+)? in \[([a-z]+)\]")
SLASH = re.compile(r"`/([a-z][a-z_-]*)((?: [a-z][a-z-]*)*)")
PLAIN = {
    "talkalike",
    "and",
    "or",
    "is",
    "in",
    "of",
    "the",
    "for",
    "was",
    "needs",
    "itself",
    "writes",
    "reads",
    "trains",
}

# Options of other programs, which stand in texts and in lists of arguments.
OTHERS = {
    "--quiet",
    "--no-deps",
    "--require-hashes",
    "--dest",
    "--requirement",
    "--pip-args",
    "--constraints",
    "--index",
}
OTHERS |= {"--extra-index-url", "--force-reinstall", "--upgrade", "--hash"}
OTHERS |= {"--jinja", "--lora", "--enable-lora", "--max-lora-rank", "--lora-modules", "--chat-template"}  # of servers
OTHERS |= {
    "--max-loras",
    "--max-cpu-loras",
    "--generation-config",
    "--parallel",
    "--ctx-size",
    "--port",
    "--secret",
}  # of docs/serving.md
RENAMED = "cli/commands.py"  # names the old options, which are still taken
STYLES = "charts/plotter.py"  # its options are variables of a style sheet


def texts_of(file: Path) -> Iterator[str]:
    """Every text in the code, docstrings of commands included (they are the help)."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def all_texts() -> list[tuple[str, str]]:
    """Where, and what."""
    found = [(str(file.relative_to(ROOT)), text) for file in SOURCES for text in texts_of(file)]
    found += [(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in (*PAGES, *DOCUMENTS)]
    return found


def commands() -> dict[str, set[str]]:
    """Every command with its options; groups are there, too."""
    found: dict[str, set[str]] = {}

    def walk(command: object, name: str) -> None:
        options = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        found[name] = {flag for flag in options if flag.startswith("-")} | {"--help"}
        for sub, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {sub}".strip())

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS if name}


def wrong_command(words: str) -> str:
    """What is wrong with the words after `talkalike`; "" where nothing is."""
    given = re.findall(r'"[^"]*"|\S+', words)
    name, rest = "", list(given)
    while rest and f"{name} {rest[0]}".strip() in COMMANDS:
        name = f"{name} {rest.pop(0)}".strip()
    if rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]) and name in GROUPS and rest[0] not in PLAIN:
        return f"there is no command '{name} {rest[0]}'"
    if not name:
        return ""
    known = COMMANDS[name]
    unknown = [word for word in rest if OPTION.fullmatch(word) and word not in known]
    return f"'{name}' has no option {unknown[0]}" if unknown else ""


def test_commands_and_their_options_exist() -> None:
    texts = [(where, text) for where, text in all_texts() if "docs/decisions" not in where]
    found = [(where, match[1]) for where, text in texts for match in COMMAND.finditer(text)]
    assert len(found) > 100  # it looks at something
    wrong = [f"{where}: talkalike{words}: {why}" for where, words in found if (why := wrong_command(words))]
    assert not wrong, "\n".join(wrong)


def test_options_named_alone_exist_somewhere() -> None:
    known = set().union(*COMMANDS.values()) | OTHERS
    wrong = [
        f"{where}: {option}"
        for where, text in all_texts()
        if where.endswith(".py") and not where.endswith(STYLES)
        for option in OPTION.findall(text)
        if option not in known and not (where.endswith(RENAMED) and option in OLD_OPTIONS)
    ]
    assert not wrong, "\n".join(wrong)


def test_settings_that_are_named_exist() -> None:
    found = [
        (where, key, section) for where, text in all_texts() for key, section in SETTING.findall(text.replace("`", ""))
    ]
    assert len(found) > 5
    wrong = [
        f"{where}: {key} in [{section}]"
        for where, key, section in found
        if key not in PLAIN and (section not in SECTIONS or key not in SECTIONS[section].model_fields)
    ]
    assert not wrong, "\n".join(wrong)


def slash_commands() -> set[str]:
    """The bot's own commands, as it registers them, with the commands of groups below them."""
    from discord import app_commands

    from talkalike.discord_bot.commands import testing

    found: set[str] = set()

    def walk(command: object, above: str) -> None:
        name = f"{above} {command.name}".strip()
        found.add(name)
        for below in getattr(command, "commands", ()):
            walk(below, name)

    for file in (ROOT / "src" / "talkalike" / "discord_bot" / "commands").glob("[a-z]*.py"):
        made = getattr(importlib.import_module(f"talkalike.discord_bot.commands.{file.stem}"), "commands", None)
        for command in made() if callable(made) else ():
            if not isinstance(command, app_commands.ContextMenu):
                walk(command, "")
    walk(testing.Testing(None), "")  # type: ignore[arg-type]
    return found


def test_slash_commands_that_are_named_exist() -> None:
    known = slash_commands()
    assert {"privacy show", "judge compare-channel set", "test"} <= known, sorted(known)
    wrong = []
    for where, text in all_texts():
        if "discord" not in where and "store" not in where:
            continue
        for name, rest in SLASH.findall(text):
            words = [name, *rest.split()]
            longest = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in known), 0)
            has_more = any(other.startswith(" ".join(words[:longest]) + " ") for other in known)
            if not longest or (has_more and longest < len(words)):
                wrong.append(f"{where}: /{' '.join(words)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (" train --minutes 3", False),
        (" train --max-tokens 3", True),
        (" judgements pairs --against base", False),
        (" judgements pear", True),
        (" forget NAME", True),
        (f" chat -w {FILLED} --model {FILLED}", False),
        (" align dpo --beta 1", False),
        (' prepare --speaker "Your Name"', False),
        (f" models fetch {FILLED}", False),
        (" is a program", False),
    ],
)
def test_the_ruler_measures(words: str, wrong: bool) -> None:
    assert bool(wrong_command(words)) is wrong


def test_no_bars_of_libraries_are_shown(tmp_path: Path) -> None:
    """tqdm's, which transformers and the hub show while they convert and load."""
    code = (
        "import contextlib, sys; from talkalike.cli.main import main; sys.argv[1:] = ['--version']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "from tqdm.auto import tqdm\nprint(len(list(tqdm(range(3), desc='Converting'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.split()[-1], done.stderr) == ("3", "")
