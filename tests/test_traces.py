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

from talkalike.chat import pipeline
from talkalike.website.services import SiteServices

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


def ends(text: str) -> list[str]:
    """Where code ends a reply: in the store's table, through a reply's journal, or by making an ending for either."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return sorted(
        [
            *(name for name in names if re.search(r"(replies|journal(\(.*\))?)\.end$", name, re.IGNORECASE)),
            *(ast.unparse(call) for call in calls if ast.unparse(call).rpartition(".")[2] == "Ending"),
        ]
    )


def test_only_the_session_ends_a_reply() -> None:
    """The store itself keeps answers for comparisons: those are begun and ended in one go."""
    found = {
        file.relative_to(PACKAGE).with_suffix("").as_posix(): ends(file.read_text(encoding="utf-8"))
        for file in PACKAGE.rglob("*.py")
        if file.relative_to(PACKAGE).parts[0] != "store"
    }
    assert {name: ways for name, ways in found.items() if ways} == {
        "replying/session": ["Ending", "ReplyJournal(store, reply_id).end", "journal.end"],
        "replying/writing": ["Ending"],
    }
    planted = "await store.run(replies.end, 1)\nawait self.journal.end(None)\nrecording.Ending(state=1)\nother.end()\n"
    assert ends(planted) == ["recording.Ending", "replies.end", "self.journal.end"]


def test_one_match_over_the_events_of_a_reply() -> None:
    """Every face is shown them by `replying.writing`, through its own `Display`."""
    events = {kind.__name__ for kind in pipeline.ReplyEvent.__args__} | {"ReplyEvent"}
    readers = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if imported(file.relative_to(PACKAGE).with_suffix("").as_posix()) & {f"chat/pipeline/{name}" for name in events}
    ]
    assert readers == ["replying/writing.py"]


def reaches(text: str) -> list[str]:
    """Where a command reaches through the client for a part of a part, or for what is private."""
    chains = {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    found = [match for chain in chains if (match := re.fullmatch(r"(?:\w+\.)*_?client\.([\w.]+)", chain))]
    return sorted(one[0] for one in found if one[1].count(".") > 1 or one[1].startswith("_") or "._" in one[1])


def test_commands_take_what_they_need_from_the_client() -> None:
    """`discord_bot.client.BotClient` says what there is; neither commands nor buttons know how it is made."""
    bot = PACKAGE / "discord_bot"
    files = [bot / "buttons.py", *(bot / "commands").glob("*.py"), *(bot / "judging").glob("*.py")]
    assert len(files) > 20
    found = {file.name: reaches(file.read_text(encoding="utf-8")) for file in files}
    assert not {name: chains for name, chains in found.items() if chains}
    planted = "interaction.client.services.store.run(1)\nself._client.store.run(2)\nclient._session.line\n"
    assert reaches(planted) == ["client._session", "client._session.line", "interaction.client.services.store.run"]
    core = ("conversations", "answer", "contexts", "deliver", "outbox", "places", "notices")
    faces = {"discord_bot/buttons", "discord_bot/client"}
    for name in core:
        known = imported(f"discord_bot/{name}")
        assert not known & faces and not any(one.startswith("discord_bot/commands") for one in known), name


def test_a_vote_goes_straight_down(person: Callable[..., Any], services: SiteServices) -> None:
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
