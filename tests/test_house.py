"""The code base as a whole: sizes, names, imports, the import contract, and files that must agree."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import grimp
import pytest

import talkalike
from talkalike.settings import Settings, environment_variables, load_settings
from talkalike.website.configure import configure_site
from talkalike.website.services import SiteSettings

# Tables need Django's settings, which are the process's: set when this file is imported. Nothing is opened.
configure_site("sqlite:///unused.sqlite3", secret="a key for tests only, " * 3, settings=SiteSettings(name="Anna"))

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MODULES = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__") for path in SOURCES]
CODE = sorted(path for folder in ("src", "tests", "bench", "samples") for path in (ROOT / folder).rglob("*.py"))
SKIPPED_FOLDERS = {".git", "__pycache__", "build", "dist", "demo"}
TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".json",
    ".yml",
    ".yaml",
    ".cfg",
    ".ini",
    ".html",
    ".sh",
    ".example",
    "",
}

MOST_LINES_IN_A_FILE = 400
MOST_LINES_IN_A_FUNCTION = 60
MOST_PARAMETERS = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project_texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project, the bundled chats left out: in those, people may say what they like."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS and not name.startswith(".venv")]
        names[:] = [name for name in names if not name.endswith(("_cache", ".egg-info")) and name != ".hypothesis"]
        for file in files:
            path = Path(folder, file)
            if file != ".git" and path.suffix in TEXT_SUFFIXES and ROOT / "samples" not in path.parents:
                yield path, path.read_text(encoding="utf-8")


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def parameter_count(function: Function) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def is_command(function: Function) -> bool:
    """Whether a function is one of typer's commands: its parameters are the flags a person types."""
    calls = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in function.decorator_list]
    return any(isinstance(call, ast.Attribute) and call.attr in ("command", "callback") for call in calls)


def is_imposed(path: Path, function: Function) -> bool:
    """Whether a library prescribes the parameters, said by a comment `# signature: LIBRARY` on the line of the def."""
    return "# signature: " in path.read_text(encoding="utf-8").split("\n")[function.lineno - 1]


def python(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


# ------------------------------------------------------------------------------------------------------------ sizes
def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in CODE}
    assert len(lengths) > 10
    long = [f"{name}: {lines}" for name, lines in lengths.items() if lines > MOST_LINES_IN_A_FILE]
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in CODE
        for function in functions(path)
        if (function.end_lineno or 0) - function.body[0].lineno + 1 > MOST_LINES_IN_A_FUNCTION
    ]
    assert not long, "\n".join(long)


def test_functions_take_few_parameters() -> None:
    wide = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in SOURCES
        for function in functions(path)
        if parameter_count(function) > MOST_PARAMETERS and not is_command(function) and not is_imposed(path, function)
    ]
    assert not wide, "\n".join(wide)


def test_the_rulers_measure() -> None:
    tree = ast.parse("@app.command()\ndef a(b, c): ...\nclass D:\n  async def e(self, f, *, g, h): ...\n")
    found = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
    assert {name: parameter_count(node) for name, node in found.items()} == {"a": 2, "e": 3}
    assert {name: is_command(node) for name, node in found.items()} == {"a": True, "e": False}


# ---------------------------------------------------------------------------------------------------------- imports
@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports(module: str) -> None:
    if module.startswith(
        ("talkalike.store.", "talkalike.website.")
    ):  # tables need Django's settings; nothing is opened
        configure_site(
            "sqlite:///unused.sqlite3", secret="a key for tests only, " * 3, settings=SiteSettings(name="Anna")
        )
    if not module.endswith(".__main__"):
        importlib.import_module(module)


def rings(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """A way through the imports that comes back to where it began; nothing where there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_imports_go_round_in_a_ring() -> None:
    """Not even those that only a type checker follows: two modules that name each other are one."""
    graph = grimp.build_graph("talkalike", "local_discord", cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert needs["talkalike.cli.main"] >= {"talkalike.cli.commands"}
    assert rings(needs) == []
    assert sorted(set(rings({"a": ["b"], "b": ["c"], "c": ["b"]}))) == ["b", "c"]


def unexplained_imports(text: str) -> list[int]:
    """The lines of imports inside functions that no comment explains: on the line, or above the imports it is among."""
    lines, tree = text.split("\n"), ast.parse(text)
    inside = {
        node.lineno: node.end_lineno or node.lineno
        for function in ast.walk(tree)
        if isinstance(function, Function)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    ends = {end: start for start, end in inside.items()}

    def explained(line: int) -> bool:
        above = line - 1
        while (before := next((at for at in range(above, 0, -1) if lines[at - 1].strip()), 0)) in ends:
            above = ends[before] - 1
        own = re.search(r"#(?! noqa: \w+$| type: )", lines[line - 1])
        return own is not None or lines[above - 1].lstrip().startswith("#")

    return [line for line in sorted(inside) if not explained(line)]


def test_imports_inside_functions_say_why() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in unexplained_imports(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
    planted = "def f():\n    import a\n\n    # why\n    import b\n\n    import c\n    x = 1\n    import d  # why\n"
    assert unexplained_imports(f"{planted}    import e  # noqa: F401\n") == [2, 10]


def public_classes(text: str) -> Iterator[str]:
    """The public classes that a module defines, also inside other classes and functions; of Django's, only models."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in {"Meta", "Migration"}:
            yield node.name


def test_no_public_class_name_is_defined_twice() -> None:
    """A name that stands for two things has to be looked up each time it is read."""
    places: dict[str, list[str]] = {}
    for path in (ROOT / "src" / "talkalike").rglob("*.py"):
        for name in public_classes(path.read_text(encoding="utf-8")):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
    planted = "class A: ...\nclass _B: ...\ndef f():\n    class A:\n        class Meta: ...\n"
    assert list(public_classes(planted)) == ["A", "A"]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The import contract, checked on the copy of the package in `folder`."""
    command = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as f; f()"
    return python("-c", command, "--no-cache", folder=folder)


# One forbidden import for each contract, and each wrong direction: (file, line, contract, how the report names it).
PLANTED = [
    ("chats/values.py", "import talkalike.settings.load", "rooms", "talkalike.chats.values -> talkalike.settings.load"),
    ("engine/__init__.py", "import talkalike.evaluation", "rooms", "talkalike.engine -> talkalike.evaluation"),
    (
        "evaluation/intervals.py",
        "import talkalike.alignment",
        "rooms",
        "talkalike.evaluation.intervals -> talkalike.alignment",
    ),
    ("training/__init__.py", "import talkalike.engine", "rooms", "talkalike.training -> talkalike.engine"),
    ("models/__init__.py", "import talkalike.examples", "rooms", "talkalike.models -> talkalike.examples"),
    ("settings/load.py", "import talkalike.examples", "settings", "talkalike.settings.load -> talkalike.examples"),
    ("models/load.py", "import talkalike.chats", "models", "talkalike.models.load -> talkalike.chats"),
    ("training/__init__.py", "import talkalike.chats", "training", "talkalike.training -> talkalike.chats"),
    ("chat/__init__.py", "import talkalike.models", "chat", "talkalike.chat -> talkalike.models"),
    (
        "discord_bot/running.py",
        "import talkalike.training",
        "faces",
        "talkalike.discord_bot.running -> talkalike.training",
    ),
    ("jobs/job.py", "import talkalike.store", "jobs", "talkalike.jobs.job -> talkalike.store"),
    ("workspace/files.py", "import talkalike.chats", "rooms", "talkalike.workspace.files -> talkalike.chats"),
    ("../local_discord/keys.py", "import discord", "discord", "local_discord.keys -> discord"),
    (
        "../local_discord/keys.py",
        "import talkalike.store",
        "local-discord",
        "local_discord.keys -> talkalike.store",
    ),
    ("cli/__init__.py", "import django", "database", "talkalike.cli -> django"),
    ("chat/__init__.py", "import talkalike.store", "rooms", "talkalike.chat -> talkalike.store"),
    ("cli/__init__.py", "def f():\n    import torch", "deep-learning", "talkalike.cli -> torch"),
    ("evaluation/__init__.py", "import pyarrow.parquet", "parquet", "talkalike.evaluation -> pyarrow"),
    ("training/__init__.py", "import sklearn.metrics", "statistics", "talkalike.training -> sklearn"),
    ("chats/values.py", "import rich.console", "terminal", "talkalike.chats.values -> rich"),
    ("website/frame.py", "import PIL.Image", "pictures", "talkalike.website.frame -> PIL"),
    ("cli/__init__.py", "import pydantic", "validation", "talkalike.cli -> pydantic"),
]


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_contract_holds_and_catches_planted_violations(package_copy: Path) -> None:
    clean = lint_imports(package_copy)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    for file, line, _, _ in PLANTED:
        with (package_copy / "src" / "talkalike" / file).open("a", encoding="utf-8") as copy:
            copy.write(f"\n{line}\n")
    broken = lint_imports(package_copy)
    report = " ".join(broken.stdout.split())
    assert broken.returncode == 1
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {contract["id"] for contract in contracts} == {planted[2] for planted in PLANTED}
    assert [name for name in (contract["name"] for contract in contracts) if f"{name} BROKEN" not in report] == []
    assert [arrow for _, _, _, arrow in PLANTED if f"{arrow} (l." not in report] == []


def test_a_room_that_is_not_listed_is_caught(package_copy: Path) -> None:
    (package_copy / "src" / "talkalike" / "attic.py").write_text("", encoding="utf-8")
    result = lint_imports(package_copy)
    assert result.returncode == 1
    assert "attic" in result.stdout


def test_a_new_room_is_inside_every_wall(package_copy: Path) -> None:
    """Whoever adds a room need not remember the libraries' walls: only the rooms that may are named there."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    walls = [contract for contract in contracts if "talkalike" in contract.get("source_modules", ())]
    libraries = [library for wall in walls for library in wall["forbidden_modules"]]
    assert {"discord", "django", "torch", "pyarrow", "sklearn", "typer", "pydantic"} <= set(libraries)
    lines = "".join(f"import {library}\n" for library in libraries)
    for file in ("talkalike/attic/__init__.py", "talkalike/attic/deep/box.py"):
        path = package_copy / "src" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(lines, encoding="utf-8")
    report = " ".join(lint_imports(package_copy).stdout.split())
    assert [wall["name"] for wall in walls if f"{wall['name']} BROKEN" not in report] == []
    rooms = ("talkalike.attic", "talkalike.attic.deep.box")
    arrows = [f"{room} -> {library} (l." for room in rooms for library in libraries]
    assert [arrow for arrow in arrows if arrow not in report] == []


# ----------------------------------------------------------------------------------------------- words and agreement
# The small eye's weights come as a pickle: only tensors are read from it.
_SAFELY_READ = 'torch.load(checkpoint, map_location="cpu", weights_only=True)'


def forbidden_words() -> list[str]:
    """Written in halves, so that this file does not find itself."""
    return ["TO" + "DO", "FIX" + "ME", "XX" + "X", "raise Not" + "Implemented", "shell=" + "True", "torch." + "load("]


def test_no_unfinished_or_dangerous_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in CODE
        for word in forbidden_words()
        if re.search(rf"(?<![A-Za-z]){re.escape(word)}", path.read_text(encoding="utf-8").replace(_SAFELY_READ, ""))
    ]
    found += [f"{path.relative_to(ROOT)}: pickle" for path in CODE if imports(path) & {"pickle", "dill", "cloudpickle"}]
    assert not found, "\n".join(found)


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_no_path_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work)/[\w.-]+")
    texts = dict(project_texts())
    assert ROOT / "Makefile" in texts
    found = [f"{path.relative_to(ROOT)}: {hit}" for path, text in texts.items() for hit in pattern.findall(text)]
    assert not found, "\n".join(found)


def test_the_changelog_starts_with_this_version() -> None:
    found = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == talkalike.__version__


def test_the_example_environment_is_complete_and_says_the_defaults() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").split("\n")
    stated = dict(line.removeprefix("# ").split("=", 1) for line in lines if line.startswith("# TALKALIKE_"))
    assert set(stated) == set(environment_variables())
    assert load_settings(None, stated) == Settings()


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pins = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = {name.lower().replace("_", "-") for name in pins}
    assert {re.split(r"[<>=!~ ;\[]", want)[0].lower().replace("_", "-") for want in wanted} <= pinned
    assert not {name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))}


def test_decisions_are_numbered_and_say_why() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [note.name[:4] for note in notes] == [f"{number:04d}" for number in range(1, len(notes) + 1)]
    for note in notes:
        headings = re.findall(r"^## (.+)$", note.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings[:3] == ["Why", "What follows", "What else was possible"], note.name


# ------------------------------------------------------------------------------------------------------ test network
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])  # addresses reserved for documentation
def test_other_computers_cannot_be_reached(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as client, pytest.raises(OSError, match="tried to connect"):
        client.connect((host, 80))
    with pytest.raises(OSError, match="tried to look up"):
        socket.getaddrinfo("example.org", 80)


def test_this_computer_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hi")
            assert accepted.recv(2) == b"hi"
