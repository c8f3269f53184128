"""`talkalike judgements`: numbers, export and import at the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from judging_world import judge, paired, put
from talkalike.cli import judgements as command
from talkalike.errors import UserError
from talkalike.store.judging import guesses, judgements, judges, voting
from talkalike.store.judging.guesses import Writing
from talkalike.store.judging.judgement_values import Choice, Scale, Side
from talkalike.store.store import open_store
from talkalike.workspace.privacy import owner_only

WEB = {"face": "web"}


@pytest.fixture
def workspace(tmp_workspace: Path) -> Path:
    """A workspace in which two people and an AI judged."""
    with open_store(f"sqlite:///{tmp_workspace}/talkalike.db") as store:
        anna, shy, ai = judge(store), judge(store, consent=False), store.call(judges.of_ai, "rule").id
        for number in range(25):
            pair_id = paired(store, number, None)
            store.call(voting.compare, pair_id, anna, Choice.B, seconds=4.0, **WEB)
            store.call(voting.compare, pair_id, shy, Choice.B if number else Choice.A, seconds=8.0, **WEB)
        store.call(judgements.rate, put(store, 1), ai, Scale.HONEST, 2, **WEB)
        round_id = store.call(guesses.make_round, "friends")
        real, other = Writing(messages=("mine",)), Writing(messages=("its",), model="tuned", arm="double")
        store.call(guesses.add_question, round_id, [("Anna", "hi")], "Ben", real=real, other=other)
        view = store.call(guesses.next_question, round_id, anna)
        assert view is not None
        store.call(guesses.guess, view.replies.id, anna, Side.LEFT, **WEB)
    return tmp_workspace


def run(*arguments: object) -> None:
    app = typer.Typer()
    app.add_typer(command.app, name="judgements")
    with owner_only():  # as the program runs every command
        app(["judgements", *map(str, arguments)], standalone_mode=False)


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    run(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_the_numbers_are_shown_and_given(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("stats", "--workspace", workspace)
    shown = capsys.readouterr().out
    for expected in (
        "2 people: 50 comparisons",
        "double",
        "base",
        "alpha",
        "25",
        "taken for the real one",
        "AI judges",
    ):
        assert expected in shown, expected
    told = as_json(capsys, "stats", "--workspace", workspace)
    assert told["totals"] == {"comparison": 50}
    assert [row["model"] for row in told["standings"]] == ["double", "base"]
    assert told["agreement"]["comparisons"]["units"] == 25
    assert told["ai_ratings"][0]["mean"] == 2


def test_an_empty_workspace_says_what_to_do(tmp_workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("stats", "--workspace", tmp_workspace)
    assert "Nobody has judged anything yet" in capsys.readouterr().out
    assert as_json(capsys, "export", tmp_workspace / "none.jsonl", "--workspace", tmp_workspace)["written"] == 0


def test_out_of_one_workspace_and_into_another(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.jsonl"
    told = as_json(capsys, "export", file, "--workspace", workspace)
    assert (told["written"], sum(told["left_out"].values())) == (26, 25)
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.read_text(encoding="utf-8").split("\n")) == 27
    run("export", file, "--force", "--workspace", workspace)
    assert "25 judgements left out: their judge did not agree" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "talkalike.toml").write_bytes((workspace / "talkalike.toml").read_bytes())
    with file.open("ab") as stream:
        stream.write(b"{\n\xff\n")
    taken = as_json(capsys, "import", file, "--workspace", tmp_path / "other")
    assert (taken["taken"], taken["known"], taken["skipped_count"]) == (26, 0, 2)
    run("import", file, "--workspace", tmp_path / "other")
    assert "line 27 left out: it is not JSON" in capsys.readouterr().err
    assert as_json(capsys, "stats", "--workspace", tmp_path / "other")["totals"] == {"comparison": 25}


def test_a_file_that_is_there_or_is_not_is_told(workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="is there already"):
        run("export", file, "--workspace", workspace)
    assert file.read_text(encoding="utf-8") == "mine"
    with pytest.raises(UserError, match="There is no file"):
        run("import", tmp_path / "missing.jsonl", "--workspace", workspace)
    assert list(tmp_path.glob("*.part")) == []


def test_importing_the_command_loads_no_django() -> None:
    import subprocess

    code = "import sys, talkalike.cli.judgements; print('django' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
