"""`talkalike align judge` and `talkalike chat --best-of` at the command line, with tiny models."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import typer
from tokenizers import Tokenizer

from judging_world import judge, paired
from talkalike.cli.aligning_judge import align_judge
from talkalike.cli.talking import chat
from talkalike.errors import UserError
from talkalike.examples.render import Renderer
from talkalike.store.judging import ai_labels, exchange, summaries, voting
from talkalike.store.judging.judgement_values import Choice
from talkalike.store.judging.lines import from_line
from talkalike.store.store import open_store
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.privacy import owner_only
from test_alignment_roles import double
from test_examples import ANNA, BOB, CYRIL, Chats, evenings, prepared
from tiny_model import build_tiny_llama

JUDGED, OPEN = 20, 2


@pytest.fixture
def workspace(tmp_workspace: Path) -> Path:
    """A base, a double, examples; pairs on which people prefer a and b by turns, and some nobody judged."""
    catalog = Catalog(tmp_workspace / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    double(catalog)
    renderer = Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))
    chats = Chats({"one": evenings(14, (BOB, ANNA, ANNA)), "two": evenings(10, (CYRIL, ANNA), start=50)})
    prepared(chats, tmp_workspace / "examples" / "anna", renderer)
    with open_store(f"sqlite:///{tmp_workspace}/talkalike.db") as store:
        person = judge(store)
        for number in range(JUDGED + OPEN):
            pair_id = paired(store, number, None)
            if number < JUDGED:
                store.call(voting.compare, pair_id, person, (Choice.A, Choice.B)[number % 2], face="web")
    return tmp_workspace


def run(command: Any, *arguments: object) -> None:
    app = typer.Typer()
    app.command()(command)
    with owner_only():  # as the program runs every command
        app(list(map(str, arguments)), standalone_mode=False)


def judged(workspace: Path, *arguments: object) -> None:
    run(align_judge, "--engine", "tiny", "--rule", "kind", "--workspace", workspace, *arguments)


def labels(workspace: Path) -> list[ai_labels.Label]:
    with open_store(f"sqlite:///{workspace}/talkalike.db") as store:
        ids = {pair.id for pair in store.call(ai_labels.unlabelled_pairs, ("nobody",), limit=1000)}
        return [label for pair_id in ids for label in store.call(ai_labels.of_pair, pair_id)]


def test_a_model_that_knows_nothing_is_refused_and_nothing_is_stored(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"'tiny' is not used as a judge, and nothing was stored\. kind: it agrees"):
        judged(workspace, "--min-kappa", "0.9")
    assert labels(workspace) == []


def test_labels_are_soft_of_kind_ai_and_made_once(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKALIKE_CHAT_MAX_TOKENS", "24")  # longer replies would not fit the judge's short context
    judged(workspace, "--min-kappa", "-1", "--new", "4", "--model", "anna-lora", "--json")
    told = json.loads(capsys.readouterr().out)
    same = sum(told["left_out"].values())
    assert told["pairs"] == told["labels"] == JUDGED + OPEN + 4 - same and same < 4
    assert told["measured"]["by_rule"]["kind"]["n"] == JUDGED
    stored = labels(workspace)
    assert len(stored) == told["labels"] and {label.judge for label in stored} == {"judge:tiny:kind"}
    assert all(0 < label.probability < 1 for label in stored) and len({label.probability for label in stored}) > 5
    assert all((label.choice is Choice.A) == (label.probability > 0.5) for label in stored)
    with open_store(f"sqlite:///{workspace}/talkalike.db") as store:
        summary = store.call(summaries.summary)
    assert summary.totals == {"comparison": JUDGED} and summary.ai_totals == {"comparison": told["labels"]}
    judged(workspace, "--min-kappa", "-1", "--limit", "50")
    shown = capsys.readouterr().out
    assert "0 labels for 0 pairs" in shown and "How far tiny agrees with people" in shown


def test_people_from_a_file(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with open_store(f"sqlite:///{workspace}/talkalike.db") as store:
        store.call(exchange.export_jsonl, stream)
    file = tmp_path / "people.jsonl"
    file.write_text(stream.getvalue(), encoding="utf-8")
    judged(workspace, "--from", file, "--compare", "20", "--min-kappa", "-1", "--limit", "2", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["measured"]["by_rule"]["kind"]["n"] == 20 and told["labels"] == 2
    with pytest.raises(UserError, match="There is no file"):
        judged(workspace, "--from", tmp_path / "none.jsonl")


def test_critique_writes_corrections(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "corrections.jsonl"
    judged(workspace, "--critique", file, "--limit", "3", "--json")
    told = json.loads(capsys.readouterr().out)
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line]
    assert told["corrections"] == len(lines) and len(lines) + sum(told["left_out"].values()) == 3
    assert all(from_line(line).judge == "ai:judge:tiny:kind" for line in lines)
    assert file.stat().st_mode & 0o077 == 0 and labels(workspace) == []
    with pytest.raises(UserError, match="is there already"):
        judged(workspace, "--critique", file)


def test_a_judge_that_is_asked_to_end_keeps_what_it_judged(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, stored = ai_labels.put, []

    def put_then_asked(*arguments: Any) -> Any:
        stored.append(put(*arguments))
        if len(stored) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return stored[-1]

    monkeypatch.setattr(ai_labels, "put", put_then_asked)
    judged(workspace, "--min-kappa", "-1", "--json")
    captured = capsys.readouterr()
    assert "Stopping after this step" in captured.err
    assert json.loads(captured.out)["labels"] == len(labels(workspace)) == len(stored) < JUDGED + OPEN


def test_an_empty_workspace_says_that_people_come_first(tmp_workspace: Path) -> None:
    catalog = Catalog(tmp_workspace / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="There are no pairs of which people prefer"):
        judged(tmp_workspace)
    with pytest.raises(UserError, match="There are no judged replies"):
        judged(tmp_workspace, "--critique", tmp_workspace / "out.jsonl")
    assert not list(tmp_workspace.glob("out.jsonl*"))


# ------------------------------------------------------------------------------------------------------------- best of
def test_chat_with_the_best_of_several_replies(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "rules.yaml").write_text("rewards:\n  - {name: short, length: {at_most: 1}}\n", encoding="utf-8")
    options = ("--model", "anna-lora", "--seed", "4", "--workspace", workspace)

    def answer(*more: object) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hello there\n")))
        run(chat, *options, *more)
        return capsys.readouterr().out.split(": ", 1)[1]

    alone = answer()
    best = answer("--best-of", "6", "--reward", workspace / "rules.yaml")
    assert len(best) < len(alone), "the shortest of six"
    settings = '[chat]\nbest_of = 6\nreward = "rules.yaml"\n'
    (workspace / "talkalike.toml").write_text(settings, encoding="utf-8")
    assert answer() == best


def test_best_of_needs_a_reward(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="best of several replies needs a reward"):
        run(chat, "--best-of", "2", "--workspace", workspace)
    with pytest.raises(UserError, match="There is no reward 'nothing'"):
        run(chat, "--reward", "nothing", "--model", "anna-lora", "--workspace", workspace)
    assert "best of 8 by nothing: 8 times the work" in capsys.readouterr().err
