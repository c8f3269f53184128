"""`align reward` and `align dpo` on the command line, from a file and from the workspace's own judgements."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from command_line import succeed
from judged_replies import comparison, laughing, written
from judging_world import batch_of
from talkalike.alignment.reward_model import RewardModel
from talkalike.alignment.uncertain_pairs import sample_of
from talkalike.cli.aligning_dpo import align_dpo
from talkalike.cli.aligning_reward import align_reward
from talkalike.cli.aligning_rl import align_rl
from talkalike.cli.judgements import sort
from talkalike.cli.web import WorkspaceRunCommands
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.errors import UserError
from talkalike.store.judging import pairs
from talkalike.store.judging.judgement_values import Choice
from talkalike.store.judging.pairs import OpenPair
from talkalike.store.store import open_store
from talkalike.website.runs.service import Alignment
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.privacy import owner_only
from talkalike.workspace.run_folder import RunFolder
from test_alignment_roles import double
from tiny_model import build_tiny_llama

app = typer.Typer()
app.command("reward")(align_reward)
app.command("dpo")(align_dpo)
app.command("rl")(align_rl)
app.command("sort")(sort)


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
    with owner_only():  # as the program runs every command
        done = CliRunner().invoke(app, [*map(str, arguments), "-w", str(root), "--json"])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_from_judgements_to_a_reward_model_and_an_aligned_double(root: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "judgements.jsonl", laughing(24))
    reward = run(root, "reward", "--from", file, "--epochs", 1, "--members", 2)
    assert (reward["model"], reward["ended"]) == ("anna-lora-reward", "finished")
    assert reward["report"]["accuracy"]["n"] > 0
    kept = Path(reward["run"]) / "judgements.jsonl"
    assert kept.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads((Path(reward["run"]) / "report.json").read_text(encoding="utf-8"))["likes"]
    (points,) = Catalog(root / "models").card("anna-lora-reward").scores["calibration"].values()
    assert sum(n for _, _, n in points) == reward["report"]["accuracy"]["n"]
    drawn = ElementTree.parse(reward["plot"]).getroot()
    assert [int(text.text) for text in drawn.iterfind(".//{*}text") if text.get("class") == "weight"] == [
        n for *_, n in points
    ]
    moved = run(root, "dpo", "--from", file, "--epochs", 1)
    assert moved["model"] == "anna-lora-dpo"  # and not made from the reward model, which is newer
    assert Catalog(root / "models").card("anna-lora-dpo").parents == ("tiny", "anna-lora")
    again = run(root, "dpo", "--from", file, "--epochs", 1, "--loss", "kto", "--model", "anna-lora")
    assert again["model"] == "anna-lora-kto"
    assert len(list((root / "cache").rglob("*.safetensors"))) == 1
    people = CliRunner().invoke(app, ["reward", "--from", str(file), "--epochs", "1", "-w", str(root)])
    assert people.exit_code == 0
    assert "held-out pairs in the right order" in people.stdout
    assert re.search(r"held-out +predicted +actual +judgements\s[^\w]*pairs +0\.\d\d +\d\.\d\d", people.stdout)
    assert "one person" in people.stderr
    for command, done, other in (("reward", reward, "dpo"), ("dpo", moved, "reward")):  # as if they had been stopped
        about = json.loads((Path(done["run"]) / "run.json").read_text(encoding="utf-8"))
        RunFolder(Path(done["run"])).describe({**about, "state": "stopped"})
        shutil.rmtree(done["folder"])
        with pytest.raises(UserError, match=f"`align {other}` to resume"):
            run(root, other, "--resume")
        again = run(root, command, "--resume")
        assert (again["run"], again["model"], again["ended"]) == (done["run"], done["model"], "finished")


def test_a_new_palm_is_moved_as_any_double(root: Path, tmp_path: Path) -> None:
    succeed("models", "new-palm", "palm", "--dim", 32, "--depth", 2, "--heads", 2, "--dim-head", 16, "-w", root)
    file = written(tmp_path / "judgements.jsonl", laughing(8))
    reward = run(root, "reward", "--from", file, "--epochs", 0.5, "--model", "palm")
    moved = run(root, "dpo", "--from", file, "--epochs", 0.5, "--model", "palm", "--method", "full")
    cards = Catalog(root / "models")
    assert [cards.card(name).kind for name in (reward["model"], moved["model"])] == ["reward", "full"]


def test_the_workspaces_own_judgements_are_exported_first(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no judgements"):
        run(root, "reward")
    assert not list((root / "runs").glob("*"))
    file = written(tmp_path / "judgements.jsonl", laughing(10))
    succeed("judgements", "import", file, "-w", root)
    # Asked for on the website: the same commands, into the folders of its jobs.
    asked = WorkspaceRunCommands(open_workspace(root))
    for kind in ("reward", "dpo"):
        wanted = Alignment(name=f"by-{kind}", kind=kind, double="anna-lora", epochs=0.5, judges="human")
        words = asked.align(wanted, f"job-{kind}")
        found = run(root, *words[words.index(kind) :])
        assert (found["ended"], found["model"], found["run"]) == ("finished", f"by-{kind}", f"{root}/runs/job-{kind}")
    wanted = Alignment(name="by-rl", kind="rl", double="anna-lora", reward="by-reward", steps=1)
    with pytest.raises(UserError, match="examples"):
        run(root, *asked.align(wanted, "job-rl")[4:])


def test_several_members_decide_what_people_are_asked_first(root: Path, tmp_path: Path) -> None:
    def waiting() -> list[OpenPair]:
        with open_store(database_url(open_workspace(root))) as store:
            return list(store.call(pairs.waiting, most=100))

    file = written(tmp_path / "judgements.jsonl", laughing(10))
    succeed("judgements", "import", file, "-w", root)
    assert run(root, "sort") == {"reward": None, "pairs": 0}
    one = run(root, "reward", "--epochs", 0.5, "--name", "one")
    with pytest.raises(UserError, match="one member"):
        run(root, "sort", "--reward", "one")
    with open_store(database_url(open_workspace(root))) as store:
        _, made = batch_of(store, 20)
    assert [pair.id for pair in waiting()] == made
    torn = run(root, "reward", "--members", 2, "--epochs", 2, "--name", "torn")
    assert (one["sorted_pairs"], torn["sorted_pairs"]) == (0, 20)
    ordered = waiting()
    catalog = Catalog(root / "models")
    found = RewardModel.load(catalog, "torn", device="cpu", dtype="float32").disagreements(
        [(sample_of(pair.a), sample_of(pair.b)) for pair in ordered]
    )
    assert found == sorted(found, reverse=True) and found[0] > found[-1]
    assert {pair.id for pair in ordered} == set(made) and [pair.id for pair in ordered] != made
    run(root, "reward", "--members", 2, "--epochs", 2, "--seed", 9, "--name", "other", "--from", file)
    assert waiting() == ordered  # what was learned from a file says nothing of this workspace's people
    done = run(root, "sort", "--most", 5)
    assert done == {"reward": "other", "pairs": 5}
    assert waiting() != ordered
    told = CliRunner().invoke(app, ["sort", "--reward", "torn", "-w", str(root)])
    assert "20 waiting pairs looked at: those with most to learn, by 'torn', come first." in told.stdout
    assert [pair.id for pair in waiting()] == [pair.id for pair in ordered]


def test_what_cannot_be_learned_from_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "ties.jsonl", [comparison(number, "a", "b", Choice.TIE) for number in range(3)])
    for command in ("reward", "dpo"):
        with pytest.raises(UserError, match="3 ties"):
            run(root, command, "--from", file)
        with pytest.raises(UserError, match="kind of judges"):
            run(root, command, "--from", file, "--judges", "ai")
        with pytest.raises(UserError, match="no file"):
            run(root, command, "--from", tmp_path / "none")
    for command in ("reward", "dpo", "rl"):
        with pytest.raises(UserError, match=f"`align {command}` to resume"):
            run(root, command, "--resume")
    assert not list((root / "runs").glob("[!.]*"))
    assert sorted(card.name for card in Catalog(root / "models").cards()) == ["anna-lora", "tiny"]
    with pytest.raises(UserError, match="no scale"):
        run(root, "reward", "--from", file, "--comparisons", "beauty")
