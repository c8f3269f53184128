"""The traces in ARCHITECTURE.md are the code's: each arrow is an import, and what is reached otherwise is not one."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from talkalike.website.services import Services

pytest_plugins = ("website_site",)

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


def test_a_vote_goes_straight_down(person: Callable[..., Any], services: Services) -> None:
    """From the view to the next pair, through the store's thread: no file of the store is entered a second time."""
    from website_judging import make_batch

    batch, who = services.store.call(make_batch, 12), person("judge")
    url = re.search(r'data-url="([^"]+)"', who.get(f"/judge/{batch}/").content.decode())
    assert url
    entered: list[tuple[str, str, str]] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        file, caller = (Path(one.f_code.co_filename) for one in (frame, frame.f_back or frame))
        if event in ("call", "return") and file != caller and file.is_relative_to(PACKAGE):
            entered.append((event, str(file.relative_to(PACKAGE).with_suffix("")), frame.f_code.co_name))

    services.store.call(sys.setprofile, watch)
    sys.setprofile(watch)
    try:
        answer = who.post(f"{url[1]}vote/", {"choice": "left", "go_on": "on"}, headers={"HX-Request": "true"})
    finally:
        sys.setprofile(None)
        services.store.call(sys.setprofile, None)
    assert answer.status_code == 200 and url[1] not in answer.content.decode()

    aside = {"store/tables", "store/judging/standings", "store/judging/statistics"}  # standings: anew now and then
    begun = entered.index(("call", "website/judge/views", "vote"))
    voting, voted = (entered.index((event, "store/judging/voting", "vote")) for event in ("call", "return"))
    below = [file for event, file, _ in entered[voting:voted] if event == "call" and file not in aside]
    assert below == [
        f"store/judging/{name}" for name in ("voting", "locks", "judgements", "counting", "serving", "items")
    ]
    passed = {file for event, file, _ in entered[begun:voted] if event == "call"} - aside
    assert len(passed) <= 14, sorted(passed)
