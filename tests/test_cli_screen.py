"""Help, versions, numbers for people, JSON, progress, and what the doctor finds."""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkalike as package
from command_line import succeed, talkalike
from talkalike.cli import doctor_machine
from talkalike.cli.main import Commands
from talkalike.cli.output import day, duration, number, one_line, percent, plain, progress, quantity, size
from talkalike.workspace.cards import Card, Catalog

ORDER = list(Commands.table)


# ---------------------------------------------------------------------------------------------------------------- help
def test_help_lists_the_commands_in_the_order_of_use() -> None:
    lines = succeed("--help").out.split("Commands:\n")[1].split("\n")
    assert [line.split()[0] for line in lines[: len(ORDER)]] == ORDER
    assert not any(line.endswith("...") for line in lines), "a description is too long for one line"


@pytest.mark.parametrize(
    "command", [[name] for name in ORDER] + [["models", "show"], ["models", "fetch"], ["examples", "show"]]
)
def test_every_command_explains_every_option(command: list[str]) -> None:
    help_text = succeed(*command, "--help").out
    assert help_text.startswith(f"Usage: talkalike {' '.join(command)}")
    options = help_text.split("Options:\n")[1].split("\n\n")[0]
    described = [line for line in options.split("\n") if line.startswith("  -") and "  " in line.strip()]
    wrapped = [line for line in options.split("\n") if line.startswith("  -") and "  " not in line.strip()]
    assert described
    for line in wrapped:  # a long option's text stands below it
        following = options.split("\n")[options.split("\n").index(line) + 1]
        assert following.startswith("      "), line


def test_no_arguments_show_the_help() -> None:
    assert "Usage: talkalike" in (done := talkalike()).out + done.err
    assert done.code in (0, 2)


def test_the_version() -> None:
    assert succeed("--version").out == f"talkalike {package.__version__}\n"


def test_every_reporting_command_has_json() -> None:
    reporting = {"init", "import", "people", "prepare", "examples", "models", "doctor", "train", "score"}
    missing = [name for name in reporting if "--json" not in succeed(name, "--help").out]
    assert missing == []


# ------------------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(3), "3"),
        (number(3.0), "3"),
        (number(2.345), "2.35"),
        (number(23.45), "23"),
        (number(0), "0"),
        (percent(0.1234), "12.3 %"),
        (size(0), "0 bytes"),
        (size(999), "999 bytes"),
        (size(1500), "1.5 kB"),
        (size(93_400_000), "93.4 MB"),
        (size(270_000_000), "270 MB"),
        (size(3e15), "3,000.0 TB"),
        (duration(0.2), "1 s"),
        (duration(89), "89 s"),
        (duration(95), "2 min"),
        (duration(3600), "1 h"),
        (duration(75 * 60), "75 min"),
        (duration(4 * 3600), "4 h"),
        (duration(2 * 3600 + 120), "2 h 2 min"),
        (duration(72 * 3600), "3.0 days"),
        (quantity(1, "file"), "1 file"),
        (quantity(2000, "file"), "2,000 files"),
        (quantity(0, "person", "people"), "0 people"),
        (day(None, "auto"), "-"),
        (day(0, "UTC"), "1970-01-01"),
        (day(1_700_002_800_000, "UTC"), "2023-11-14"),
        (day(1_700_002_800_000, "Europe/Prague"), "2023-11-15"),
        (day(-1, "UTC"), "1969-12-31"),
    ],
)
def test_numbers_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_words_cannot_steer_the_terminal() -> None:
    assert one_line("a\x1b[2Jb\nc\td").plain == "a␛[2Jb c d"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_any_value_becomes_strict_json(value: object) -> None:
    json.loads(json.dumps(plain(value), allow_nan=False), parse_constant=pytest.fail)


def test_values_become_json() -> None:
    card = Card(name="x", kind="base", created="2030", parents=("a", "b"), scores={"loss": math.nan})
    made = plain({"card": card, "path": Path("a/b"), "set": frozenset({"z", "y"})})
    assert made["card"]["parents"] == ["a", "b"]
    assert made["card"]["scores"] == {"loss": None}
    assert (made["path"], made["set"]) == ("a/b", ["y", "z"])


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "quiet", "expected"), [(_Terminal, False, True), (_Terminal, True, False), (io.StringIO, False, False)]
)
def test_progress_is_for_terminals(
    stream: type[io.StringIO], quiet: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Importing", quiet=quiet, unit="bytes") as advance:
        advance(50_000_000, 100_000_000)
        advance(100_000_000, 100_000_000)
    assert ("Importing" in written.getvalue()) == expected


# -------------------------------------------------------------------------------------------------------------- doctor
def checks(*arguments: object, code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """State and finding of each check by its name."""
    done = talkalike("doctor", "--json", *arguments)
    assert done.code == code, done.err
    found: dict[str, list[tuple[str, str]]] = {}
    for check in done.json["checks"]:
        found.setdefault(check["name"], []).append((check["state"], check["found"]))
        assert check["todo"] or check["state"] == "ok", check
    return found


def test_the_doctor_outside_of_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = checks()
    assert found["workspace"][0][0] == "warning"
    assert found["python"][0][0] == "ok"
    assert "offline" in found["model hub"][0][1]  # as set for all tests
    assert any(word in found["number format"][0][1] for word in ("bfloat16 (", "float32 ("))
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_in_a_workspace(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    succeed("init", root)
    found = checks("-w", root)
    assert found["chats"] == [("warning", "none are imported")]
    assert found["training"] == [("ok", "none is running or unfinished")]
    assert "not here yet" in found["base"][0][1]
    assert "talkalike import" in succeed("doctor", "-w", root).out


def test_the_doctor_finds_what_was_left_behind(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    succeed("init", root)
    practice = {"kind": "rl"}
    runs = (("one", "running", {}), ("two", "finished", {}), ("three", "stopped", {}), ("four", "failed", practice))
    for run, state, kind in runs:
        (root / "runs" / run).mkdir(parents=True)
        (root / "runs" / run / "run.json").write_text(json.dumps({"state": state, **kind}), encoding="utf-8")
    for name in (".base.x1", ".base.being-written"):
        (root / "models" / name).mkdir(parents=True)
    os.utime(root / "models" / ".base.x1", (0, 0))
    (root / "runs" / ".training.lock").write_text("4711", encoding="utf-8")
    found = checks("-w", root)
    assert found["training"] == [("warning", "not finished: four"), ("warning", "not finished: one, three")]
    told = succeed("doctor", "-w", root).out
    assert "talkalike align rl --resume" in told and "talkalike train --resume" in told
    assert found["leftovers"] == [("warning", "models/.base.x1")]
    with (root / "runs" / ".training.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = checks("-w", root)
    assert found["training"] == [("ok", "one is running (process 4711)")]
    assert "leftovers" not in found


def test_the_doctor_finds_problems(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    succeed("init", root)
    Catalog(root / "models").save_card(Card(name="double", kind="adapter", created="2030", parents=("gone",)))
    Catalog(root / "models").save_card(Card(name="taste", kind="reward", created="2030", parents=("double",)))
    (root / "models" / "torn").mkdir()
    (root / "models" / "torn" / "card.json").write_text("{", encoding="utf-8")
    found = checks("-w", root, code=1)
    problems = [text for state, text in found["models"] if state == "problem"]
    assert len(problems) == 2 and ("ok", "1 double, 1 reward model") in found["models"]
    assert any("torn" in text for text in problems)
    assert any("double needs the base gone" in text for text in problems)
    for name in ("model.safetensors", "tokenizer.json", "adapter_config.json"):
        (root / "models" / "double" / name).write_bytes(b"{")
    (root / "examples" / "juno").mkdir(parents=True)
    (root / "examples" / "juno" / "manifest.json").write_text("{}", encoding="utf-8")
    found = checks("-w", root, code=1)
    damaged = {
        Path(text.removesuffix(" is damaged or cut off")).name for _, text in found["models"] if "cut off" in text
    }
    assert damaged == {"model.safetensors", "tokenizer.json", "adapter_config.json"}
    assert [state for state, _ in found["examples"]] == ["problem"]
    (root / "talkalike.toml").write_text("[trian]\n", encoding="utf-8")
    assert checks("-w", root, code=1)["settings"][0][0] == "problem"


def test_the_doctor_knows_what_is_needed() -> None:
    needed, tested = doctor_machine.required_versions(), doctor_machine.tested_versions()
    assert {"torch", "rich", "pyarrow"} <= needed.keys()
    assert "tensorboard" not in needed
    assert tested["torch"].count(".") == 2
    assert doctor_machine.available_memory() != 0
