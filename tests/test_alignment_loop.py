"""The loop closes: judgements of replies become a double that those who judged like better, and that serves."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import sample_workspace, succeed, talkalike
from judging_world import judge, views
from talkalike.alignment.heldout_prompts import ModelArm, answer_prompts, choose_prompts
from talkalike.alignment.judged import read_judgements
from talkalike.alignment.loop import begin_round
from talkalike.alignment.loop_state import CANDIDATE_RUN, REWARD_RUN, LoopConfig, Round, fingerprints, read_rounds
from talkalike.alignment.strength import STRENGTHS
from talkalike.cli.engines import WorkspaceEngines, reply_sources
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.examples.heldout import load_replies
from talkalike.examples.opening import open_examples
from talkalike.store.judging import pairs
from talkalike.store.judging.judgement_values import Choice, Side
from talkalike.store.judging.outcomes import outcome
from talkalike.store.store import open_store
from talkalike.workspace.cards import Catalog
from talkalike.workspace.paths import WorkspacePaths
from talkalike.workspace.run_folder import RunFolder
from talkalike.workspace.serving import serving_model

SETTINGS = """[model]
base = "tiny"
dtype = "float32"
device = "cpu"
[train]
batch_tokens = 8192
row_tokens = 4096
[chat]
max_tokens = 24
max_messages = 2
seed = 1
"""
FAST: tuple[object, ...] = (
    "--max-tokens",
    24,
    "--epochs",
    3,
    "--reward-lr",
    0.003,
    "--kl-coef",
    0.02,
    "--kl-target",
    0,
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a double `first`, and pairs of its replies that nobody has judged."""
    root = sample_workspace(tmp_path_factory.mktemp("loop"))
    (root / "talkalike.toml").write_text(SETTINGS, encoding="utf-8")
    succeed("prepare", "-s", "Juno Marwick", "--name", "juno", "--no-estimate", "-w", root)
    options = ("--epochs", 5, "--method", "full", "--lr", 0.003)
    succeed("train", "--name", "first", *options, "-w", root, "--json")
    made = succeed("judgements", "ask", "--prompts", 120, "--replies", 3, "--seed", 5, "-w", root, "--json").json
    assert made["id"] == 1 and 100 < made["pairs"] == 120 - made["left_out"]
    return root


@pytest.fixture(scope="module")
def judged(asked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same workspace once somebody judged all pairs, sorted on the way."""
    root = Path(shutil.copytree(asked, tmp_path_factory.mktemp("judged") / "copy"))
    vote(root, 1, most=40)
    left = waiting(root, 1)
    assert succeed("judgements", "sort", "-w", root, "--json").json == {"reward": None, "pairs": len(left)}
    assert sorted(waiting(root, 1)) == sorted(left) != waiting(root, 1) != left
    vote(root, 1)
    return root


def waiting(root: Path, batch: int) -> list[int]:
    """The pairs of the batch that nobody judged yet, in the order of asking."""
    with open_store(database_url(open_workspace(root))) as store:
        return [pair.id for pair in store.call(pairs.waiting, most=1000, batch_id=batch)]


@pytest.fixture
def copy(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "copy"))


def liking(messages: tuple[str, ...]) -> int:
    """The planted preference: long replies. RL training alone shortens, since a reply that is cut off costs."""
    return len("\n".join(messages))


def vote(root: Path, batch: int, choice: Choice | None = None, *, against: bool = False, most: int = 1000) -> None:
    """Somebody with the planted preference (or who always says the same) judges the batch, as on the website."""
    with open_store(database_url(open_workspace(root))) as store:

        def side(view: Any) -> Side | Choice:
            left = liking(view.left.messages) > liking(view.right.messages)
            return choice or (Side.LEFT if left != against else Side.RIGHT)

        for _ in itertools.islice(views(store, judge(store), batch, side), most):
            pass


def loop(root: Path, *options: object, expect: int = 0) -> Any:
    """What `align loop` tells: JSON, or with `expect` 2 the error."""
    done = talkalike("align", "loop", *FAST, *options, "-w", root, "--json")
    assert done.code == expect, done.err
    return done.err if expect else done.json


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "runs").glob("loop-*"))


def test_the_loop_closes(copy: Path, tmp_path: Path) -> None:
    catalog = Catalog(copy / "models")
    assert serving_model(catalog.root) is None
    done = loop(copy, "--steps", 100, "--lr", 0.003, "--pairs", 50)
    assert (done["model"], done["reward"], done["state"]) == ("first-aligned", "first-aligned-reward", "finished")
    card = catalog.card("first-aligned")
    about = card.settings["round"]
    assert about["judgements"] == catalog.card("first-aligned-reward").settings["learned_from"]["judgements"]
    assert (about["present"], about["batch"], card.speakers) == ("first", done["batch"], ("Juno Marwick",))
    checks = card.scores["checks"]
    measured = {"likeness_to_real", "likeness", "told_apart", "copied", "leaks", "safe_replies"}
    assert {key for key in checks if f"{key}_before" in checks} >= measured
    assert card.scores["kl_before"] == 0 < card.scores["kl"]
    assert {"bits_per_character", "copied", "reward", "distinct_2"} <= set(card.scores)
    assert card.settings["learned_from"]["judgements"] == about["judgements"]
    assert set(done["took"]) == {"reward", "candidate", "checks", "pairs"}
    assert sum(done["took"].values()) <= done["seconds"] + 1
    assert checks["characters"] > 1.1 * checks["characters_before"]
    assert card.scores["strength"] in STRENGTHS
    assert checks["expected_wins_low"] < checks["expected_wins"] < checks["expected_wins_high"]
    assert checks["expected_wins"] > 0.5
    # The newest model is the candidate, but the double that served before goes on serving.
    opened = open_workspace(copy)
    assert (catalog.newest_double() or card).name == "first-aligned"
    assert WorkspaceEngines(opened).default == "first"
    refused = talkalike("models", "promote", "first-aligned", "-w", copy)
    assert (refused.code, "has not been judged" in refused.err) == (2, True)

    lost = Path(shutil.copytree(copy, tmp_path / "lost"))
    vote(lost, done["batch"], against=True)
    refused = talkalike("models", "promote", "first-aligned", "-w", lost)
    assert (refused.code, "did not win" in refused.err, serving_model(lost / "models")) == (2, True, "first")
    assert succeed("models", "promote", "first-aligned", "--anyway", "-w", lost, "--json").json["before"] == "first"

    vote(copy, done["batch"])
    with open_store(database_url(opened)) as store:
        found = store.call(outcome, done["batch"], "first-aligned")
    assert found.pairs == done["pairs"] and found.judged >= done["pairs"]
    assert found.share.share is not None and found.share.share > 0.5  # how far above is measured in bench/align_loop.py
    told = succeed("models", "promote", "first-aligned", "-w", copy).out
    assert "'first-aligned' is in use now instead of 'first'" in told
    assert WorkspaceEngines(opened).default == "first-aligned"
    said = [talk(opened, name) for name in ("first", "first-aligned")]
    assert said[0] != said[1]

    # The next round begins from it, and only the judgements that came since are new.
    again = loop(copy, "--steps", 1, "--pairs", 2, "--epochs", 0.3, "--bursts", 1)
    assert (again["present"], again["model"]) == ("first-aligned", "first-aligned-2")
    assert 0 < again["judgements"]["new"] == again["judgements"]["all"] - done["judgements"]["all"]
    refused = talkalike("align", "loop", "-w", copy)
    assert (refused.code, "There are 0 new judgements since the last finished round; 20 are wanted" in refused.err) == (
        2,
        True,
    )
    assert len(folders(copy)) == 2 * 3  # each with its two trainings; what was refused left none
    assert serving_model(catalog.root) == "first-aligned"


def talk(opened: Workspace, name: str) -> list[tuple[str, ...]]:
    """What that model says in the first held-out prompts of the examples."""
    card = opened.catalog().card(name)
    prompts = choose_prompts(load_replies(open_examples(opened.examples, "juno"), "heldout"), "Juno Marwick", 4, seed=0)
    return asyncio.run(answer_prompts(reply_sources(opened), [ModelArm(name=name, card=card)], prompts, 3))[0][1]


def interrupted(run: str, root: Path, command: Callable[[], Any]) -> Any:
    """What the command tells when Ctrl-C comes after the first step of a run."""

    def press() -> None:
        while not any((root / "runs").glob(f"{run}/metrics.jsonl")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    told = command()
    presser.join()
    return told


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(copy: Path) -> None:
    options = ("--steps", 2, "--pairs", 2, "--reward-kind", "adapter")  # a linear one is fitted in a moment

    stopped = interrupted("*-reward", copy, lambda: loop(copy, *options))
    assert (stopped["state"], stopped["ended"], stopped["batch"]) == ("stopped", "", None)
    assert [card.name for card in Catalog(copy / "models").cards()] == ["tiny", "first"]
    done = loop(copy, *options)
    assert (done["state"], done["folder"]) == ("finished", stopped["folder"])
    # Cut off after the training of the reward model: it is used again, and so is all that came later.
    first = read_rounds(copy / "runs")[0]
    dataclasses.replace(first, state="running", ended="", checks={}, batch=None).save(copy / "runs")
    shutil.rmtree(copy / "models" / "first-aligned")
    shutil.rmtree(copy / "runs" / f"{first.id}-candidate")
    before = (copy / "models" / "first-aligned-reward" / "heads.safetensors").stat().st_mtime_ns
    again = loop(copy, *options)
    assert (again["state"], again["model"], again["reward"]) == ("finished", done["model"], done["reward"])
    assert (copy / "models" / "first-aligned-reward" / "heads.safetensors").stat().st_mtime_ns == before
    assert len([name for name in folders(copy) if not name.endswith(("-reward", "-candidate"))]) == 1


def test_a_round_of_the_version_before_goes_on(copy: Path, tmp_path: Path) -> None:
    succeed("judgements", "export", tmp_path / "judged.jsonl", "-w", copy)
    judgements = read_judgements(tmp_path / "judged.jsonl")
    options = {"via": "rl", "steps": 2, "minutes": 6.0, "epochs": 3.0, "max_tokens": 24, "kl": 0.02, "lr": None}
    options |= {"reward_lr": 0.003, "pairs": 2, "judges": "human", "name": None, "seed": 0}
    written = {"id": "loop-20260101-120000", "present": "first", "candidate": "first-aligned", "reward": "liking"}
    written |= {"digest": judgements.digest, "used": list(fingerprints(judgements)), "new": 90, "options": options}
    written |= {
        "state": "stopped",
        "seconds": 12.5,
        "took": {"reward": 12.1, "practice": 0.4},
        "ended": "",
        "checks": {},
    }
    paths, config = (
        WorkspacePaths(root=copy),
        LoopConfig(steps=2, minutes=6.0, epochs=3.0, max_tokens=24, kl=0.02, reward_lr=0.003, pairs=2),
    )
    (paths.runs / written["id"]).mkdir()
    (paths.runs / written["id"] / "round.json").write_text(json.dumps({**written, "batch": None, "pairs": 0}))

    def begun(wanted: LoopConfig) -> Round:
        (paths.runs / "loop-new").mkdir()
        present = paths.catalog().card("first")
        return begin_round(wanted, paths, judgements, round_id="loop-new", present=present, fewest=20)

    going_on = begun(config)
    assert (going_on.id, going_on.candidate, going_on.reward) == (written["id"], "first-aligned", "liking")
    assert (going_on.state, going_on.seconds, going_on.took) == ("running", 12.5, {"reward": 12.1, "candidate": 0.4})
    assert folders(copy) == [written["id"]]
    for part, ending in ((REWARD_RUN, "taste"), (CANDIDATE_RUN, "practice")):  # what their folders were called
        assert going_on.run(paths.runs, part).name == f"{going_on.id}-{part}"
        (paths.runs / f"{going_on.id}-{ending}").mkdir()
        assert going_on.run(paths.runs, part).name == f"{going_on.id}-{ending}"
    another = begun(dataclasses.replace(config, seed=1))
    assert (another.id, another.reward, another.new) == ("loop-new", "first-aligned-reward", len(judgements.records))


def test_the_pairs_of_a_blind_comparison_stay_in_their_random_order(copy: Path) -> None:
    succeed("align", "reward", "--members", 2, "--epochs", 1, "-w", copy)
    made = succeed("judgements", "pairs", "--prompts", 12, "--seed", 9, "-w", copy, "--json").json
    with open_store(database_url(open_workspace(copy))) as store:
        asked = [pair.id for pair in store.call(pairs.waiting, most=100, batch_id=made["id"])]
        assert len(asked) == made["pairs"] > 3 and asked == sorted(asked)
        succeed("judgements", "sort", "-w", copy)
        now = [pair.id for pair in store.call(pairs.waiting, most=100, batch_id=made["id"])]
    assert sorted(now) == asked != now


def test_rl_training_with_a_rule_that_was_written_down(copy: Path, tmp_path: Path) -> None:
    brief = tmp_path / "brief.yaml"
    brief.write_text("rewards:\n  - {name: brief, length: {of: characters, at_most: 3}, weight: 1}\n", encoding="utf-8")
    asked: list[object] = ["--reward", brief, "--steps", 60, "--prompts", 4, "--group-size", 4, "--max-tokens", 16]
    asked += ["--lr", 0.01, "--kl-coef", 0, "--max-kl", 0, "-w", copy]
    stopped = interrupted("first-rl-*", copy, lambda: talkalike("align", "rl", *asked, "--json").json)
    assert (stopped["model"], stopped["ended"]) == ("first-rl", "stopped")
    assert stopped["scores"]["steps"] < 60
    told = succeed("align", "rl", "--resume", "-w", copy)
    card = Catalog(copy / "models").card("first-rl")
    assert (card.scores["steps"], card.scores["ended"]) == (60, "finished")
    assert card.scores["reward"] > card.scores["reward_before"] + 0.1
    assert 0 <= card.scores["safe_replies_before"] <= 1 and card.scores["leaks_before"] >= 0
    for words in (
        "All training steps are done",
        "reward on held-out prompts",
        "sound replies in the scenarios",
        "personal data",
    ):
        assert words in told.out
    lines = RunFolder(Path(stopped["run"])).metrics()
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert "prompts" in told.err


def test_directly_from_the_pairs_and_within_the_minutes(copy: Path) -> None:
    done = loop(copy, "--via", "dpo", "--epochs", 1, "--lr", 0.001, "--pairs", 4, "--name", "better")
    assert (done["model"], done["reward"], done["ended"]) == ("better", "", "finished")
    assert Catalog(copy / "models").card("better").settings["round"]["via"] == "dpo"
    assert done["scores"]["heldout_loss"] != done["scores"]["heldout_loss_before"]
    assert serving_model(copy / "models") == "first"
    short = loop(copy, "--new", 1, "--minutes", 0.01, "--steps", 4000, "--pairs", 1, "--name", "x", expect=2)
    assert "0 new judgements" in short
    shutil.rmtree(done["folder"])  # forgotten: all are new again
    before = [card.name for card in Catalog(copy / "models").cards() if card.kind != "reward"]
    short = loop(copy, "--minutes", 0.0001, "--steps", 4000, "--pairs", 1, expect=2)
    assert "0.0001 minutes are over before the first step" in short
    assert [card.name for card in Catalog(copy / "models").cards() if card.kind != "reward"] == before


def test_judgements_that_show_no_liking_are_not_trained_on_unasked(asked: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(asked, tmp_path / "copy"))
    with open_store(database_url(open_workspace(copy))) as store:

        def side(view: Any) -> Side:  # the longer one of every second pair
            left = liking(view.left.messages) > liking(view.right.messages)
            return Side.LEFT if left != bool(view.id % 2) else Side.RIGHT

        for _ in views(store, judge(store), 1, side):
            pass
    refused = loop(copy, "--steps", 1, "--pairs", 1, expect=2)
    assert "Not enough judgements yet: 'first-aligned-reward', made from these" in refused
    assert "Judge about" in refused and "train all the same: --anyway" in refused
    assert [card.name for card in Catalog(copy / "models").cards()] == ["tiny", "first", "first-aligned-reward"]
    assert [name for name in folders(copy) if not name.endswith("-reward")] == []
    done = loop(copy, "--steps", 1, "--pairs", 1, "--anyway")
    assert (done["model"], done["reward"], done["state"]) == ("first-aligned", "first-aligned-reward", "finished")


def test_what_cannot_be_learned_from_leaves_nothing_behind(copy: Path) -> None:
    def refused(sentence: str, *options: object) -> None:
        assert sentence in loop(copy, *options, expect=2)

    refused("There is no model called 'nobody'", "--model", "nobody")
    refused("'tiny' is nobody's double", "--model", "tiny")
    refused("There is a model 'first' already", "--name", "first")
    refused("cannot be a model's name", "--name", "../first")
    refused("by the kind of judges that was asked for", "--judges", "ai")
    refused("1000 are wanted", "--new", 1000)
    for file in copy.glob("talkalike.db*"):
        file.unlink()
    refused("There are no judgements")
    made = succeed("judgements", "pairs", "--prompts", 3, "--seed", 5, "-w", copy, "--json").json
    vote(copy, made["id"], Choice.TIE)
    refused("ties")
    (copy / "examples" / "juno").rename(copy / "examples" / "other")
    refused("no examples called 'juno'")
    assert folders(copy) == []
    assert [card.name for card in Catalog(copy / "models").cards()] == ["tiny", "first"]
    assert serving_model(copy / "models") is None
    card = Catalog(copy / "models").card("first")
    Catalog(copy / "models").save_card(dataclasses.replace(card, name="liking", kind="reward"))
    told = talkalike("models", "promote", "liking", "-w", copy)
    assert (told.code, "is a reward model" in told.err) == (2, True)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_the_seed_the_candidate_is_preferred(seed: int, copy: Path) -> None:
    options = ("--steps", 30, "--lr", 0.001, "--kl-target", 1.5, "--wins", 1, "--pairs", 50, "--seed", seed)
    done = loop(copy, *options)
    reward = Catalog(copy / "models").card(done["reward"])
    assert (reward.method, reward.scores["heldout_pairs"]) == ("linear", reward.settings["learned_from"]["pairs"])
    vote(copy, done["batch"])
    with open_store(database_url(open_workspace(copy))) as store:
        found = store.call(outcome, done["batch"], done["model"])
    assert found.chance > 0.95
    told = succeed("models", "promote", done["model"], "-w", copy).out
    assert "The chance that it is really better is" in told and "it is better." in told
