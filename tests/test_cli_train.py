"""From examples to a model that talks, as a person types it: train, stop, resume, score, chat, serve."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import psutil
import pytest
from openai import OpenAI

from command_line import SAMPLE_PARTS, sample_workspace, succeed, talkalike
from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.training_screen import sparkline
from talkalike.cli.web import WorkspaceRunCommands
from talkalike.cli.workspace import open_workspace
from talkalike.errors import UserError
from talkalike.website.runs.service import Recipe
from talkalike.workspace.cards import Catalog
from talkalike.workspace.run_folder import RunFolder, only_training
from tiny_model import build_tiny_llama

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, "-m", "talkalike.cli.main"]
SETTINGS = """[model]
base = "tiny"
[train]
batch_tokens = 8192
row_tokens = 4096
lr = 0.01
last_layers = 1
[chat]
max_tokens = 12
max_messages = 2
seed = 1
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = sample_workspace(tmp_path_factory.mktemp("train"))
    (root / "talkalike.toml").write_text(SETTINGS, encoding="utf-8")
    succeed("prepare", "-s", "Juno Marwick", "-s", "Edgar Pellworth", "--name", "two", "--no-estimate", "-w", root)
    return root


@pytest.fixture(scope="module")
def trained(prepared: Path) -> Path:
    """The same with a model `first` of two speakers."""
    done = succeed("train", "--name", "first", "--epochs", "1", "-w", prepared, "--json").json
    assert done["model"] == "first"
    assert done["scores"]["heldout_loss"] < done["scores"]["heldout_loss_before"]
    drawn = ElementTree.parse(done["plot"]).getroot()
    assert drawn.tag.endswith("svg") and len(drawn.findall(".//{*}polyline")) == 3
    return prepared


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_training_tells_how_it_goes_and_what_came_out(copy: Path) -> None:
    done = succeed("train", "--method", "last-n", "--epochs", "0.5", "-w", copy)
    assert re.search(r"held-out loss\s+\d\.\d+ → \d\.\d+ \(.* lower\), at step \d+", done.out)
    assert "talkalike chat --model juno-marwick-edgar-pellworth-1" in done.out
    assert "trained numbers" in done.err
    card = Catalog(copy / "models").card("juno-marwick-edgar-pellworth-1")
    assert (card.method, card.kind, card.speakers) == ("last-n", "full", ("Juno Marwick", "Edgar Pellworth"))


def test_wrong_trainings_are_refused(copy: Path) -> None:
    for options, told in (
        (["--name", "first"], "There is a model 'first' already."),
        (["--name", "../up"], "cannot be a model's name"),
        (["--epochs", "0"], "Invalid value for '--epochs': It must be above 0."),
        (["--examples", "three"], "no examples called 'three'"),
        (["--base", "nothing"], "no base model 'nothing'"),
        (["--tracker", "paper"], "no tracker 'paper'"),
        (["--tracker", "wandb"], "pip install 'talkalike[trackers]'"),
        (["--resume"], "no unfinished training"),
        (["--name", "hasty", "--minutes", "0.001"], "0.001 minutes are over before the first step"),
        (["--resume", "--epochs", "2"], "--resume continues the training as it was started"),
    ):
        done = talkalike("train", *options, "-w", copy)
        assert (done.code, told in done.err) == (2, True), done.err
    assert not Catalog(copy / "models").exists("hasty")
    with only_training(copy / "runs"):
        done = talkalike("train", "-w", copy)
    assert (done.code, "Another training is running" in done.err) == (2, True)


def test_examples_in_another_vocabulary_are_refused(copy: Path, tmp_path: Path) -> None:
    other = build_tiny_llama(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    done = talkalike("train", "--base", other, "-w", copy)
    assert (done.code, "in the vocabulary of 'tiny'" in done.err) == (2, True)


def test_who_is_asked_to_end_saves_and_resume_goes_on(copy: Path) -> None:
    command = [*PROGRAM, "train", "--name", "cut", "--epochs", "40", "-w", str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not any(len(RunFolder(run).metrics()) > 3 for run in (copy / "runs").glob("cut-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # as a computer does that shuts down
            process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("Stopping after this step") == 1
    assert "talkalike train --resume" in out
    run = RunFolder(next((copy / "runs").glob("cut-*")))
    stopped_at = max(line["step"] for line in run.metrics() if "loss" in line)
    assert run.description()["state"] == "stopped"
    assert Catalog(copy / "models").card("cut").scores["ended"] == "stopped"
    about = run.description()
    about["settings"]["loop"]["epochs"] = (stopped_at + 2) / about_steps(run)
    run.describe(about)
    resumed = succeed("train", "--resume", "--name", "cut", "-w", copy, "--json").json
    steps = [line["step"] for line in run.metrics() if "loss" in line]
    assert steps == list(range(1, max(steps) + 1))
    assert max(steps) > stopped_at
    assert (resumed["model"], resumed["ended"]) == ("cut", "finished")


@pytest.mark.parametrize(
    ("numbers", "at_once"), [("2", False), ("15", False), ("2 15", False), ("15 2 15", False), ("2 2", True)]
)
def test_only_a_second_ctrl_c_interrupts_at_once(numbers: str, at_once: bool) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupted = False
    with polite_interrupt() as should_stop:
        assert not should_stop()
        try:
            for number in numbers.split():
                signal.raise_signal(int(number))
        except KeyboardInterrupt:
            interrupted = True
        assert should_stop()
    assert interrupted is at_once
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def about_steps(run: RunFolder) -> float:
    """Steps in an epoch, from what the run recorded."""
    line = next(line for line in run.metrics() if "epoch" in line)
    return float(line["step"] / line["epoch"])


def test_resume_refuses_examples_that_changed(copy: Path) -> None:
    run = RunFolder(next((copy / "runs").glob("first-*")))
    run.describe({**run.description(), "state": "stopped", "examples_hash": "another"})
    done = talkalike("train", "--resume", "-w", copy)
    assert (done.code, "prepared anew" in done.err) == (2, True)


def test_score_writes_report_page_and_card(copy: Path) -> None:
    done = succeed(
        "score", "--model", "first", "--speaker", "juno marwick", "--replies", "20", "-w", copy, "--json"
    ).json
    assert [report["author"] for report in done["reports"]] == ["Juno Marwick"]
    report = done["reports"][0]
    assert report["counts"]["replies"] == 20
    assert (
        report["bits"]["double"]["bits_per_character"]["value"] < report["bits"]["base"]["bits_per_character"]["value"]
    )
    page = Path(done["pages"][0])
    assert "juno marwick" in page.read_text(encoding="utf-8").casefold()
    scores = Catalog(copy / "models").card("first").scores
    assert scores["likeness_by_speaker"]["Juno Marwick"]["replies"] == 20
    listed = {model["name"]: model for model in succeed("models", "-w", copy, "--json").json["models"]}
    assert "first" in listed


def test_scoring_what_cannot_be_scored(copy: Path) -> None:
    for options, told in (
        (["--model", "tiny"], "is nobody's double"),
        (["--model", "nobody"], "no model called 'nobody'"),
        (["--speaker", "Nobody"], "was not trained on 'Nobody'"),
    ):
        done = talkalike("score", *options, "-w", copy)
        assert (done.code, told in done.err) == (2, True), done.err
    succeed("prepare", "-s", "Juno Marwick", "--name", "two", "--no-estimate", "-w", copy)
    done = talkalike("score", "-w", copy)
    assert (done.code, "prepared anew" in done.err) == (2, True)


def talk(root: Path, said: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "chat", "-w", str(root), *options]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=120, check=False)


def test_chat_answers_a_pipe(trained: Path) -> None:
    done = talk(trained, "hello?\n/who\nand now?\n", "--as", "edgar pellworth", "--me", "Bob")
    assert done.returncode == 0, done.stderr
    assert "Edgar Pellworth" in done.stdout
    assert "Bob" in done.stdout
    assert talk(trained, "hello?\n", "--as", "Nobody").returncode == 2
    base = talk(trained, "hello?\n", "--model", "tiny", "--as", "Anyone")
    assert base.returncode == 0, base.stderr


@pytest.fixture
def served(trained: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "TALKALIKE_API_KEY": "secret"}
    command = [*PROGRAM, "serve", "--engine", "--port", str(port), "-w", str(trained)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None
            try:
                if httpx.get(f"{url}/health", timeout=60).status_code == 200:
                    break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield f"{url}/v1"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) in {0, 130}


def test_the_official_client_and_our_chat_talk_to_the_server(served: str, trained: Path) -> None:
    with OpenAI(base_url=served, api_key="secret", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["first"]
        answer = client.chat.completions.create(
            model="first", messages=[{"role": "user", "content": "hi"}], max_tokens=5, seed=1
        )
        assert answer.choices[0].finish_reason in {"stop", "length"}
    environment = {**os.environ, "TALKALIKE_API_KEY": "secret"}
    command = [*PROGRAM, "chat", "--url", served, "--as", "Juno Marwick", "-w", str(trained)]
    done = subprocess.run(
        command, input="hi\n", env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Juno Marwick" in done.stdout


def test_pairs_and_blind_tests_are_made_of_held_out_prompts(trained: Path) -> None:
    made = succeed("judgements", "pairs", "--prompts", 3, "--json", "-w", trained).json
    assert made["pairs"] + made["left_out"] == 3
    assert made["pairs"] > 0
    blind = succeed("guess", "make", "--prompts", 3, "--json", "-w", trained).json
    assert (blind["prompts"], blind["moments"], blind["questions"] > 0) == (3, 3, True)
    assert succeed("guess", "results", "--json", "-w", trained).json == {"results": []}
    stats = succeed("judgements", "stats", "--json", "-w", trained).json
    assert stats
    file = trained / "judgements.jsonl"
    succeed("judgements", "export", file, "-w", trained)
    assert file.read_text(encoding="utf-8") == ""
    base = talkalike("judgements", "pairs", "--model", "tiny", "-w", trained)
    assert (base.code, "nobody's double" in base.err) == (2, True)


def test_the_websites_trainings_and_the_model_that_serves(trained: Path, tmp_path: Path) -> None:
    trained = Path(shutil.copytree(trained, tmp_path / "copy"))
    opened = open_workspace(trained)
    asked = WorkspaceRunCommands(opened)
    recipe = Recipe(name="by-a-job", examples=opened.example_names()[0], method="lora", epochs=0.05)
    done = subprocess.run(asked.train(recipe, "job-1"), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((trained / "runs" / "job-1" / "run.json").read_text(encoding="utf-8"))["model"] == "by-a-job"
    assert (asked.serving(), WorkspaceEngines(opened).default) == (None, "by-a-job")
    asked.promote("first", "ann")
    assert (asked.serving(), WorkspaceEngines(opened).default) == ("first", "first")
    assert WorkspaceEngines(opened, default="tiny").default == "tiny"
    with pytest.raises(UserError, match="no model"):
        asked.promote("nobody", "ann")


def test_one_port_is_for_one_face(trained: Path) -> None:
    done = talkalike("serve", "--engine", "--offline", "--port", "1", "-w", trained)
    assert (done.code, "for one service only" in done.err) == (2, True)


@pytest.fixture
def served_together(trained: Path) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """The addresses that `talkalike serve` told, by the words before them."""
    environment = {**os.environ, "TALKALIKE_API_KEY": "secret", "TALKALIKE_SERVE_PORT": "0"}
    environment |= {"TALKALIKE_DISCORD_PAGE_PORT": "0"}
    command = [*PROGRAM, "serve", "--engine", "--offline", "-w", str(trained)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        told: dict[str, str] = {}
        while len(told) < 2:
            line = process.stderr.readline()
            assert line, "it ended early"
            if "http://" in line:
                told[line.split(",")[0].split(":")[0]] = "http://" + line.split("http://")[1].split()[0]
        yield told, process
        process.kill()


def test_faces_start_and_stop_together(served_together: tuple[dict[str, str], subprocess.Popen[str]]) -> None:
    told, process = served_together
    with OpenAI(base_url=told["The API"], api_key="secret", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="first", messages=[{"role": "user", "content": "hi"}], max_tokens=5, seed=1
        )
        assert answer.choices[0].finish_reason in {"stop", "length"}
    page = httpx.get(told["The stand-in for Discord"], follow_redirects=True)
    assert (page.status_code, "stand-in" in page.text) == (200, True)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children, "the model has no process of its own"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in {0, 130}
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert (len(gone), alive) == (len(children), [])


def test_the_readme_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block.split("\n") for block in re.findall(r"```sh\n(.*?)\n```", readme, flags=re.DOTALL)]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [line.split("#")[0].strip() for line in blocks[0]] == ["make demo", "make test"]
    assert all(f"\n{line.split()[1]}:" in makefile for line in blocks[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALKALIKE_MODEL_BASE", str(build_tiny_llama(tmp_path / "tiny")))
    monkeypatch.setenv("TALKALIKE_TRAIN_EPOCHS", "0.3")
    monkeypatch.setenv("TALKALIKE_CHAT_MAX_TOKENS", "8")
    meant = {
        "~/Downloads/facebook-you.zip": str(SAMPLE_PARTS[0]),
        "~/Downloads/messages-e2ee.zip": str(SAMPLE_PARTS[1]),
    }
    own = next(block for block in blocks if block[0].startswith("talkalike init"))
    commands = [shlex.split(line) for line in own]
    assert [words[1] for words in commands if words[0] == "talkalike"] == [
        "init", "import", "people", "prepare", "examples", "train", "score", "chat",
    ]  # fmt: skip
    for words in commands:
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
            continue
        words = [meant.get(word, "Juno Marwick" if word == "Your Name" else word) for word in words[1:]]
        if words[0] == "chat":
            assert talk(Path.cwd(), "hi\n").returncode == 0
        else:
            succeed(*words, *(["--replies", "20"] if words[0] == "score" else []))
    for words in re.findall(r"`talkalike ([^`]+)`", readme):
        command = words.split()[0]
        if command.islower():
            assert "Usage" in succeed(command, "--help").out


def test_the_demo_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKALIKE_MODEL_BASE", str(build_tiny_llama(tmp_path / "tiny")))
    monkeypatch.setenv("TALKALIKE_CHAT_MAX_TOKENS", "8")
    monkeypatch.setenv("TALKALIKE_TRAIN_EPOCHS", "0.2")
    done = succeed("demo", tmp_path / "demo", "--minutes", "30", "--replies", "20", "--no-chat")
    for part in ("Import", "Prepare", "Train", "Before and after", "Score", "What to do next"):
        assert re.search(rf"\d\. {part}", done.out)
    assert "fictional" in done.out
    assert done.out.count("the double:") == 5
    card = Catalog(tmp_path / "demo" / "models").newest_double()
    assert card is not None and card.fictional
    again = succeed("demo", tmp_path / "demo", "--minutes", "30", "--replies", "20", "--no-chat")
    assert "juno-marwick-2" in again.out


def test_sparklines() -> None:
    assert sparkline([3, 2, 1]) == "█▅▁"
    assert sparkline([]) == ""
    assert sparkline([1, 1]) == "▁▁"
    assert len(sparkline(list(range(500)))) == 40
