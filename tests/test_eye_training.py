"""`talkalike train --eye`: pictures with their texts become an eye; what is passed over, or wrong, is told."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from command_line import succeed, talkalike
from random_small_eye import random_small_eye
from talkalike.errors import UserError
from talkalike.models.eyes.files import load_adapter
from talkalike.workspace.cards import Catalog
from talkalike.workspace.serving import promote
from tiny_model import build_tiny_llama

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


def write_pairs(folder: Path, count: int = 20, *, extra: tuple[str, ...] = ()) -> Path:
    """Pictures of one colour each, none like another."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(count):
        name = list(COLOURS)[number % 2]
        shade = tuple(min(255, value + number) for value in COLOURS[name])
        Image.new("RGB", (48, 48), shade).save(folder / f"{number}.png")
        lines.append(json.dumps({"picture": f"{number}.png", "text": name}))
    (folder / "pairs.jsonl").write_text("\n".join((*lines, *extra)) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eye")
    root = folder / "ws"
    succeed("init", root)
    (root / "talkalike.toml").write_text('[model]\nbase = "tiny"\n', encoding="utf-8")
    with contextlib.redirect_stderr(io.StringIO()):
        build_tiny_llama(folder / "tiny")
    succeed("models", "fetch", folder / "tiny", "-w", root)
    random_small_eye(root / "eyes" / "small")
    return root


@pytest.mark.parametrize("method", ["connector", "gated"])
def test_an_eye_is_trained_on_a_folder_and_what_is_no_picture_is_told(root: Path, tmp_path: Path, method: str) -> None:
    folder = write_pairs(tmp_path / "pairs", extra=('{"picture": "gone.png", "text": "red"}',))
    weights = (root / "models" / "tiny" / "model.safetensors").read_bytes()
    done = succeed("train", "--eye", folder, "--method", method, "--epochs", 10, "--name", method, "--json", "-w", root)
    found = done.json
    assert found["pairs"] == 20
    assert found["skipped"] == [["line 21", f"There is no picture {folder / 'gone.png'}."]]
    assert "1 picture passed over" in done.err
    assert "gone.png" in done.err
    most = {"connector": 0.5, "gated": 0.95}[method]  # gates that start closed open slowly
    assert found["scores"]["heldout_loss"] < most * found["scores"]["heldout_loss_before"]
    catalog = Catalog(root / "models")
    card = catalog.card(method)
    assert (card.kind, card.method, card.base, card.is_double) == ("eye", method, "tiny", False)
    _, about = load_adapter(catalog.path(method))
    assert about.shape.kind == method
    assert about.encoder == card.settings["encoder"]
    assert (root / "models" / "tiny" / "model.safetensors").read_bytes() == weights
    assert "is an eye" in talkalike("chat", "--model", method, "-w", root).err
    with pytest.raises(UserError, match="is an eye"):
        promote(catalog.root, method, "owner")


def test_an_eye_is_trained_on_a_tasks_examples(root: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", 4)
    examples = [
        part for number in range(4) for part in ("--example", f"{folder / f'{number}.png'}={list(COLOURS)[number % 2]}")
    ]
    succeed("task", "add", "colours", *examples, "--example", "=none", "-w", root)
    done = succeed("train", "--eye", "task:colours", "--epochs", 1, "--name", "of-task", "--json", "-w", root)
    assert done.json["pairs"] == 4
    assert done.json["skipped"] == [["example 5", "it has no picture"]]
    assert "Nothing is held out" in done.err


def test_a_stopped_training_goes_on_where_it_was(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkalike.cli import eye_training

    folder = write_pairs(tmp_path / "pairs")

    @contextlib.contextmanager
    def at_once():
        yield lambda: True

    with monkeypatch.context() as patched:
        patched.setattr(eye_training, "polite_interrupt", at_once)
        asked = ("train", "--eye", folder, "--name", "stopped", "-w", root)
        assert succeed(*asked, "--epochs", 3, "--json").json["ended"] == "stopped"
    going_on = succeed(*asked, "--resume", "--json").json
    assert going_on["ended"] in ("finished", "early")
    steps = [
        json.loads(line)["step"] for line in (Path(going_on["run"]) / "metrics.jsonl").read_text("utf-8").splitlines()
    ]
    assert steps == sorted(steps)
    (folder / "pairs.jsonl").write_text('{"picture": "1.png", "text": "other"}\n', encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "Line 1 of"),
        ('{"picture": "0.png"}', "does not have 'picture' and 'text' alone"),
        ('{"picture": "0.png", "text": " "}', "have to be texts"),
        ('{"picture": "../out.png", "text": "red"}', "There is no picture with a text"),
        ('{"picture": "0.png", "text": "' + "x" * 1001 + '"}', "1,000 are the most"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(root: Path, tmp_path: Path, line: str, said: str) -> None:
    folder = write_pairs(tmp_path / "pairs", 1)
    Image.new("RGB", (8, 8)).save(tmp_path / "out.png")
    (folder / "pairs.jsonl").write_text(line + "\n", encoding="utf-8")
    done = talkalike("train", "--eye", folder, "-w", root)
    assert done.code == 2, done.err
    assert said in " ".join(done.err.split())


def test_options_that_do_not_go_together_are_refused(root: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", 1)
    for options, said in (
        (("--eye", folder, "--method", "lora"), "not trained by --method lora"),
        (("--method", "connector"), "--eye FOLDER or task:NAME"),
        (("--eye", folder, "--examples", "some"), "--examples does not go together with --eye"),
        (("--eye", tmp_path / "nothing"), "there is no pairs.jsonl in it"),
        (("--eye", "task:unknown"), "There is no task"),
    ):
        done = talkalike("train", *options, "-w", root)
        assert done.code == 2, done.err
        assert said in " ".join(done.err.split())


def test_a_trained_eye_looks_by_its_name(root: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs")
    succeed("train", "--eye", folder, "--epochs", 120, "--name", "looker", "-w", root)
    seen = succeed("eye", "look", folder / "0.png", folder / "1.png", "--eye", "looker", "--json", "-w", root).json
    # The model is a frozen one with random weights: it can be made to say the colour, not to stop there.
    assert seen["eye"] == "looker"
    assert [one["words"].startswith(colour) for one, colour in zip(seen["pictures"], COLOURS, strict=True)] == [
        True
    ] * 2
    settings = root / "talkalike.toml"
    before = settings.read_text(encoding="utf-8")
    settings.write_text(before + '[eye]\nmodel = "looker"\n', encoding="utf-8")
    try:
        listed = succeed("eye", "list", "--json", "-w", root).json
        assert listed["used"] == "looker" and "looker" in [one["name"] for one in listed["eyes"]]
        asked = succeed("task", "ask", "caption", folder / "1.png", "--set", "temperature=0", "--json", "-w", root).json
        assert asked["eye"] == "looker" and asked["renderer"] == "flamingo_chunks"
    finally:
        settings.write_text(before, encoding="utf-8")
