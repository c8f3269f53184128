"""The loop closes: judgements of replies become a double that people with that taste like better, and that serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import sample_workspace, succeed, talkalike
from judging_world import judge, views
from talkalike.alignment.loop_state import rounds
from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.secrets import database_url
from talkalike.cli.workspace import open_workspace
from talkalike.models.catalog import Catalog
from talkalike.models.serving import serving_model
from talkalike.store.judging.judgement_values import Side
from talkalike.store.store import open_store
from talkalike.training.run_folder import only_training

SETTINGS = """[model]
base = "tiny"
dtype = "float32"
device = "cpu"
[train]
batch_tokens = 8192
row_tokens = 4096
lr = 0.01
[chat]
max_tokens = 16
max_messages = 1
seed = 1
"""
FAST = ("--max-tokens", 16, "--lr", 0.01, "--reward-lr", 0.003, "--kl", 0.01, "--pairs", 24)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a double `first`, and 60 of its replies judged beside its base's."""
    root = sample_workspace(tmp_path_factory.mktemp("loop"))
    (root / "talkalike.toml").write_text(SETTINGS, encoding="utf-8")
    succeed("prepare", "-s", "Juno Marwick", "--name", "juno", "--no-estimate", "-w", root)
    succeed("train", "--name", "first", "--epochs", "1", "-w", root, "--json")
    made = succeed("judgements", "pairs", "--moments", 80, "--seed", 5, "-w", root, "--json").json
    vote(root, made["id"])
    return root


@pytest.fixture
def copy(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "copy"))


def taste(messages: tuple[str, ...]) -> float:
    """The planted taste: short."""
    return -len("\n".join(messages))


def vote(root: Path, batch: int, *, against: bool = False) -> None:
    """Somebody with the planted taste (or the opposite one) judges the batch, as on the website."""
    with open_store(database_url(open_workspace(root))) as store:

        def side(view: Any) -> Side:
            left = taste(view.left.messages) > taste(view.right.messages)
            return Side.LEFT if left != against else Side.RIGHT

        for _ in views(store, judge(store), batch, side):
            pass


def loop(root: Path, *options: object) -> Any:
    return succeed("align", "loop", *FAST, *options, "-w", root, "--json").json


def test_the_loop_closes(copy: Path) -> None:
    done = loop(copy, "--steps", 12)
    print(json.dumps(done, indent=1))
