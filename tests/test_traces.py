"""The traces in ARCHITECTURE.md are the code's: each arrow is an import, and what is reached otherwise is not one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "talkalike"
TRACES = re.findall(
    r"^- \*\*([^*]+):\*\* (`.*)$",
    (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Traces to know")[2].partition("\n## ")[0],
    re.MULTILINE,
)


def imported(module: str) -> set[str]:
    """The modules of talkalike that a file imports, anywhere in it, as paths without their ending."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("talkalike"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {name.removeprefix("talkalike.").replace(".", "/") for name in names if name}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("talkalike.").replace(".", "/") for alias in node.names}
    return found


def arrows(trace: str) -> list[tuple[str, str, str]]:
    """(from, arrow, to); several files behind one arrow are reached from the same one."""
    parts = re.split(r" (→|⇢) ", trace)
    found = []
    for place in range(1, len(parts), 2):
        before = re.findall(r"`([^`]+)`", parts[place - 1])[0]
        found += [(before, parts[place], after) for after in re.findall(r"`([^`]+)`", parts[place + 1])]
    return found


def test_there_are_traces() -> None:
    assert len(TRACES) >= 8
    assert all(arrows(trace) for _, trace in TRACES)


@pytest.mark.parametrize(("name", "trace"), TRACES, ids=[name for name, _ in TRACES])
def test_a_trace_is_what_the_code_does(name: str, trace: str) -> None:
    for before, arrow, after in arrows(trace):
        assert (PACKAGE / f"{after}.py").is_file(), after
        assert (after in imported(before)) is (arrow == "→"), f"{name}: {before} {arrow} {after}"
