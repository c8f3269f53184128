"""`align reward` and `align dpo` on the command line, from a file and from the workspace's own judgements."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from command_line import succeed
from judged_replies import comparison, laughing, written
from talkalike.cli.aligning_dpo import align_dpo
from talkalike.cli.aligning_reward import align_reward
from talkalike.errors import UserError
from talkalike.models.catalog import Card, Catalog
from talkalike.store.judging.judgement_values import Choice
from test_alignment_roles import double
from tiny_model import build_tiny_llama

app = typer.Typer()
app.command("reward")(align_reward)
app.command("dpo")(align_dpo)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    succeed("init", root)
    (root / "talkalike.toml").write_text(
        '[model]\nbase = "tiny"\ndtype = "float32"\ndevice = "cpu"\n', encoding="utf-8"
    )
    catalog = Catalog(root / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    double(catalog)
    return root


def run(root: Path, *arguments: object) -> Any:
    """What the command prints as JSON; raises what it raises."""
    done = CliRunner().invoke(app, [*map(str, arguments), "-w", str(root), "--json"])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_from_judgements_to_a_reward_model_and_an_aligned_double(root: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "judgements.jsonl", laughing(24))
    reward = run(root, "reward", "--from", file, "--epochs", 1, "--members", 2)
    assert (reward["model"], reward["ended"]) == ("anna-lora-taste", "finished")
    assert reward["report"]["accuracy"]["n"] > 0
    kept = Path(reward["run"]) / "judgements.jsonl"
    assert kept.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads((Path(reward["run"]) / "report.json").read_text(encoding="utf-8"))["likes"]
    moved = run(root, "dpo", "--from", file, "--epochs", 1)
    assert moved["model"] == "anna-lora-dpo"  # and not made from the reward model, which is newer
    assert Catalog(root / "models").card("anna-lora-dpo").parents == ("tiny", "anna-lora")
    again = run(root, "dpo", "--from", file, "--epochs", 1, "--loss", "kto", "--model", "anna-lora")
    assert again["model"] == "anna-lora-kto"
    assert len(list((root / "cache").rglob("*.safetensors"))) == 1
    people = CliRunner().invoke(app, ["reward", "--from", str(file), "--epochs", "1", "-w", str(root)])
    assert people.exit_code == 0
    assert "held-out pairs in the right order" in people.stdout
    assert "one person" in people.stderr


def test_the_workspaces_own_judgements_are_exported_first(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no judgements"):
        run(root, "reward")
    assert not list((root / "runs").glob("*"))
    file = written(tmp_path / "judgements.jsonl", laughing(10))
    succeed("judgements", "import", file, "-w", root)
    found = run(root, "reward", "--epochs", 0.5)
    assert found["ended"] == "finished"


def test_what_cannot_be_learned_from_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "ties.jsonl", [comparison(number, "a", "b", Choice.TIE) for number in range(3)])
    for command in ("reward", "dpo"):
        with pytest.raises(UserError, match="3 ties"):
            run(root, command, "--from", file)
        with pytest.raises(UserError, match="kind of judges"):
            run(root, command, "--from", file, "--judges", "ai")
        with pytest.raises(UserError, match="no file"):
            run(root, command, "--from", tmp_path / "none")
        with pytest.raises(UserError, match="to resume"):
            run(root, command, "--resume")
    assert not list((root / "runs").glob("[!.]*"))
    assert sorted(card.name for card in Catalog(root / "models").cards()) == ["anna-lora", "tiny"]
    with pytest.raises(UserError, match="no scale"):
        run(root, "reward", "--from", file, "--comparisons", "beauty")
