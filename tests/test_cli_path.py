"""The way from a new workspace to examples and models, as a person types it."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from command_line import SAMPLE_PARTS, sample_workspace, succeed, talkalike
from exports import said, thread, write_thread
from talkalike.chats.values import Platform
from talkalike.cli.examples import show_examples
from talkalike.cli.workspace import FICTIONAL_FILE
from talkalike.examples.dataset import ExampleSet
from talkalike.settings import default_toml
from talkalike.workspace.cards import Card, Catalog


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the sample and a base; tests that change it work on a copy."""
    return sample_workspace(tmp_path_factory.mktemp("path"))


@pytest.fixture(scope="module")
def prepared(imported: Path) -> Path:
    """The same with examples of two speakers, Edgar's prepared last."""
    for speaker, name in (("juno", "juno"), ("Edgar Pellworth", "edgar")):
        succeed("prepare", "-s", speaker, "--name", name, "--base", "tiny", "--no-estimate", "-w", imported)
    return imported


@pytest.fixture
def copy(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "copy"))


def test_init_writes_the_settings_once(tmp_path: Path) -> None:
    root = tmp_path / "new" / "ws"
    done = succeed("init", root, "--json")
    assert done.json == {"workspace": str(root), "settings": str(root / "talkalike.toml"), "created": True}
    assert (root / "talkalike.toml").read_text(encoding="utf-8") == default_toml()
    (root / "talkalike.toml").write_text("[train]\nrank = 3\n", encoding="utf-8")
    assert "nothing was changed" in succeed("init", root).out
    assert (root / "talkalike.toml").read_text(encoding="utf-8") == "[train]\nrank = 3\n"


def test_init_without_a_folder_takes_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert succeed("init").out.startswith(f"Made a workspace in {tmp_path}.")
    assert (tmp_path / "talkalike.toml").exists()


def test_import_tells_everything_and_twice_adds_nothing(tmp_path: Path) -> None:
    succeed("init", tmp_path)
    first = succeed("import", *SAMPLE_PARTS, "-w", tmp_path, "--json")
    assert first.err == ""
    report = first.json
    assert len(report["conversations"]) == 6
    assert report["new"] == sum(row["new"] for row in report["conversations"]) > 1900
    assert report["already_there"] > 0  # the two exports overlap
    again = succeed("import", *SAMPLE_PARTS, "-w", tmp_path).out
    assert f"0 new messages, {report['new'] + report['already_there']:,} known already" in again
    assert "Thursday Dumplings" in again
    assert "2024-09-07" in again


def test_people_are_counted_and_the_owner_is_guessed(imported: Path) -> None:
    done = succeed("people", "-w", imported, "--json").json
    assert [person["name"] for person in done["people"]][:1] == ["Juno Marwick"]
    assert (done["of"], done["owner"]["name"]) == (5, "Juno Marwick")
    assert sum(person["share"] for person in done["people"]) == pytest.approx(1)
    assert len(succeed("people", "-w", imported, "--json", "--limit", 2).json["people"]) == 2
    table = succeed("people", "-w", imported, "--limit", 2).out
    assert "Bořek Jedlovec" in table
    assert "Dario" not in table
    assert "and 3 more (--limit 5)" in table
    assert "Probably the owner: Juno Marwick" in table
    assert 'Next: talkalike prepare --speaker "Juno Marwick"' in table


def test_prepare_counts_what_it_wrote(imported: Path) -> None:
    arguments = ["prepare", "-s", "juno", "-s", "Juno Marwick", "-s", "EDGAR", "--base", "tiny", "--no-estimate"]
    done = succeed(*arguments, "-w", imported, "--json").json
    manifest = ExampleSet(Path(done["folder"])).manifest
    assert done["name"] == manifest.name == "juno-marwick-edgar-pellworth"
    assert done["speakers"] == ["Juno Marwick", "Edgar Pellworth"]  # once each
    assert done["train"]["loss_tokens"] == manifest.train.loss_tokens > done["heldout"]["loss_tokens"] > 0
    tokens = done["train"]["tokens"] + done["heldout"]["tokens"]
    learned = done["train"]["loss_tokens"] + done["heldout"]["loss_tokens"]
    assert (done["learned_share"], done["masked_share"]) == pytest.approx((learned / tokens, 1 - learned / tokens))
    assert {"unsent", "system line", "no words: photo"} <= set(done["dropped"])
    assert done["redacted"].keys() >= {"phone", "email"}
    assert done["training"] is None


def test_the_effect_of_silences_is_shown_with_the_chosen_one_marked(imported: Path) -> None:
    base = ["prepare", "-s", "juno", "--name", "gaps", "--base", "tiny", "--no-estimate", "-w", imported]
    usual = succeed(*base, "--json").json
    assert [row["gap_hours"] for row in usual["gaps"] if row["chosen"]] == [4]
    sessions = [row["sessions"] for row in usual["gaps"]]
    assert sessions == sorted(sessions, reverse=True)
    assert len(set(sessions)) > 2
    other = succeed(*base, "--gap-hours", 3, "--json").json
    assert [row["gap_hours"] for row in other["gaps"] if row["chosen"]] == [3]
    assert len(other["gaps"]) == len(usual["gaps"]) + 1
    assert set(other["settings"]["gap_ms"].values()) == {3 * 3_600_000}
    table = succeed(*base, "--gap-hours", 3).out
    assert re.search(r"messenger +> 3 h", table)
    assert re.search(r"messenger +1 h", table)
    assert re.search(r"Dropped messages: .*photo \d+", table)


def test_settings_reach_the_examples_and_options_win(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(imported, tmp_path / "copy"))
    text = '[chats]\nsession_gap_hours = 8\nirc_gap_minutes = 10\nphone_region = "CZ"\n[examples]\nmax_tokens = 200\n'
    (root / "talkalike.toml").write_text(text + '[model]\nbase = "tiny"\n', encoding="utf-8")
    monkeypatch.setenv("TALKALIKE_EXAMPLES_HELDOUT_SHARE", "0.3")
    arguments = ["prepare", "-s", "juno", "--no-estimate", "-w", root, "--json", "--context-tokens", 90]
    settings = succeed(*arguments).json["settings"]
    assert settings["gap_ms"] == {platform: 600_000 if platform == "irc" else 8 * 3_600_000 for platform in Platform}
    assert settings["cleaning"]["phone_regions"] == ["CZ"]
    assert (settings["max_tokens"], settings["context_tokens"], settings["heldout_share"]) == (200, 90, 0.3)
    assert succeed(*arguments, "--max-tokens", 100).json["settings"]["max_tokens"] == 100


def test_prepare_says_what_was_too_long_and_that_nothing_is_held_out(copy: Path, tmp_path: Path) -> None:
    for number, text in enumerate(("the same sentence of mine as always, word for word", f"{'quite long ' * 900}")):
        people = (f"Ema {number}", "Jan")
        messages = [
            said(who, words, day * 86_400_000 + place)
            for day in range(3)
            for place, (who, words) in enumerate(((people[1], f"and {'on ' * 1500}?"), (people[0], text)))
        ]
        write_thread(tmp_path / str(number), thread(messages, people=people, title=people[0], slug=f"ema{number}_1"))
        succeed("import", tmp_path / str(number), "-w", copy)
    options = ["--base", "tiny", "--no-estimate", "-w", copy]
    told = " ".join(succeed("prepare", "-s", "Ema 0", *options).out.split())
    assert "Nothing is held out: what Ema 0 wrote last was written before, too" in told
    assert "Too long: messages by others, shortened in the middle 3." in told
    assert "talkalike score` has nothing to compare with" in told
    own = succeed("prepare", "-s", "Ema 1", *options, "--json").json
    assert own["shortened"]["long messages, split into several"] == 3
    assert own["train"]["learned"] > 3
    file = copy / "models" / "tiny" / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace(": 1024", ": 500"), encoding="utf-8")
    capped = succeed("prepare", "-s", "Ema 1", *options, "--json")
    assert "Examples have at most 500 tokens, not 1,024: tiny reads no more." in capped.err
    assert capped.json["settings"]["max_tokens"] == 500
    assert "Nothing is held out" not in succeed("prepare", "-s", "juno", *options).out


def test_the_time_of_a_training_is_measured_once(copy: Path) -> None:
    arguments = ["prepare", "-s", "juno", "--base", "tiny", "-w", copy]
    first = succeed(*arguments, "--json")
    assert "Measuring how fast tiny trains here" in first.err
    time = first.json["training"]
    assert time["seconds"] == pytest.approx(first.json["train"]["tokens"] * 3 / time["tokens_per_second"])
    (copy / "talkalike.toml").write_text("[train]\nepochs = 1\n", encoding="utf-8")
    again = succeed(*arguments, "--json")
    assert "Measuring" not in again.err
    assert again.json["training"]["seconds"] == pytest.approx(time["seconds"] / 3, rel=0.01)
    (copy / "talkalike.toml").write_text("[train]\nminutes = 0.0001\n", encoding="utf-8")
    assert "Training takes about 1 s here" in succeed(*arguments).out
    (copy / "talkalike.toml").write_text('[model]\ndevice = "cuda:9"\n', encoding="utf-8")
    told = succeed(*arguments).out
    assert "How long training takes on this machine is not known" in told
    assert "cuda:9" in told


def test_examples_are_shown_token_for_token(prepared: Path) -> None:
    done = succeed("examples", "show", "-n", 4, "--name", "juno", "--json", "-w", prepared).json
    found = ExampleSet(prepared / "examples" / "juno")
    documents, turns = found.split("train"), list(found.documents("train"))
    assert len(done["examples"]) == 4
    for example in done["examples"]:
        assert example["tokens"] == documents.ids(example["index"]).tolist()
        assert example["mask"] == documents.mask(example["index"]).tolist()
        document = turns[example["index"]]
        learned = "".join(span["text"] for span in example["spans"] if span["learned"])
        context = "".join(span["text"] for span in example["spans"] if not span["learned"])
        for turn, learn in zip(document.turns, document.learn, strict=True):
            assert f"{turn.text}<|im_end|>" in (learned if learn else context)
    text = succeed("examples", "show", "-n", 4, "--name", "juno", "-w", prepared).out
    for example in done["examples"]:
        marked = "".join(f"«{s['text']}»" if s["learned"] else s["text"] for s in example["spans"])
        assert marked in text
    heldout = succeed("examples", "show", "--split", "heldout", "--name", "juno", "--json", "-w", prepared).json
    assert heldout["of"] == len(found.split("heldout"))
    other = succeed("examples", "show", "-n", 4, "--seed", 1, "--name", "juno", "--json", "-w", prepared).json
    assert [e["index"] for e in other["examples"]] != [e["index"] for e in done["examples"]]


def test_examples_are_coloured_on_a_terminal(prepared: Path) -> None:
    written = io.StringIO()
    screen = Console(file=written, force_terminal=True, no_color=False, color_system="standard", width=100)
    spans = [{"text": "<|im_start|>Edgar\n", "learned": False}, {"text": "\x1b[2J[red]so[/red]", "learned": True}]
    example = {"index": 0, "conversation": "c", "tokens": [1, 2], "mask": [False, True], "spans": spans}
    show_examples(screen, ExampleSet(prepared / "examples" / "edgar"), [example], "train")
    text = written.getvalue()
    assert "\x1b[1;32m␛[2J[red]so[/red]\x1b[0m" in text
    assert "\x1b[2m<|im_start|>Edgar" in text
    assert "«" not in text


def test_the_newest_examples_are_the_default(prepared: Path) -> None:
    assert succeed("examples", "show", "--json", "-w", prepared).json["name"] == prepared_last(prepared)
    names = [each["name"] for each in succeed("examples", "--json", "-w", prepared).json["examples"]]
    assert {"juno", "edgar"} <= set(names)
    assert "Edgar Pellworth" in succeed("examples", "-w", prepared).out


def prepared_last(root: Path) -> str:
    manifests = root.glob("examples/*/manifest.json")
    return max(manifests, key=lambda path: path.stat().st_mtime_ns).parent.name


def test_examples_for_a_changed_base_are_refused(copy: Path) -> None:
    file = copy / "models" / "tiny" / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    done = talkalike("examples", "show", "--name", "juno", "-w", copy)
    assert (done.code, "another vocabulary" in done.err) == (2, True)
    shutil.rmtree(copy / "models" / "tiny")
    done = talkalike("examples", "show", "--name", "juno", "-w", copy)
    assert done.code == 2
    assert "talkalike models fetch tiny" in done.err


def test_invented_chats_are_labelled_wherever_they_are_shown(copy: Path) -> None:
    assert "fictional" not in succeed("people", "-w", copy).out
    (copy / FICTIONAL_FILE).write_text("", encoding="utf-8")
    arguments = ["prepare", "-s", "rosália", "--base", "tiny", "--no-estimate", "-w", copy]
    assert succeed(*arguments, "--json").json["fictional"] is True
    card = Catalog(copy / "models").card("tiny")
    double = replace(card, name="rosi", kind="adapter", parents=("tiny",), speakers=("Rosália Fenn",), fictional=True)
    Catalog(copy / "models").save_card(double)
    for command in (["people"], arguments[:-2], ["import", *SAMPLE_PARTS], ["examples"], ["models"]):
        assert "fictional: people and words are invented" in succeed(*command, "-w", copy).out, command
    for command in (["examples", "show"], ["models", "show", "rosi"], ["doctor"]):
        assert "fictional: people and words are invented" in succeed(*command, "-w", copy).out, command


def test_models_are_listed_with_scores_and_lineage(copy: Path) -> None:
    catalog = Catalog(copy / "models")
    common = {"created": "2030-01-02T03:04:05+00:00", "kind": "adapter", "examples_hash": "abc" * 20}
    first = Card(name="one", parents=("tiny",), method="lora", speakers=("Juno",), examples="juno", **common)
    scores = {"heldout_loss": 1.2345, "likeness": {"value": 0.61, "low": 0.5}, "ended": "finished"}
    catalog.save_card(replace(first, scores=scores, settings={"loop": {"seed": 7}, "speakers": ["a", "b"]}))
    catalog.save_card(replace(first, name="two", parents=("tiny", "one"), scores={"likeness": 0.7}))
    listed = {each["name"]: each for each in succeed("models", "--json", "-w", copy).json["models"]}
    assert list(listed) == ["tiny", "one", "two"]
    assert [listed[name]["likeness"] for name in listed] == [None, 0.61, 0.7]
    assert [listed[name]["base"] for name in listed] == ["tiny", "tiny", "tiny"]
    assert listed["tiny"]["size_bytes"] > 100_000
    table = succeed("models", "-w", copy).out
    assert re.search(r"one +adapter \(lora\) +Juno +tiny +1\.234 +0\.61", table)
    shown = succeed("models", "show", "one", "-w", copy).out
    assert re.search(
        r"Lineage\n└── tiny\n    └── one\n        ├── learned from the examples 'juno' .*\n +└── two", shown
    )
    assert re.search(r"likeness\.value +0\.61", shown)
    assert re.search(r"loop\.seed +7", shown)
    assert succeed("models", "show", "one", "--json", "-w", copy).json["children"] == ["two"]
    for name, parents in (("whole", ("tiny", "two")), ("on-whole", ("whole",))):
        catalog.save_card(replace(first, name=name, kind="full", parents=parents))
    shown = succeed("models", "show", "on-whole", "-w", copy).out
    assert re.search(r"Lineage\n└── tiny\n +└── two\n +└── whole\n +└── on-whole", shown)
    shutil.rmtree(copy / "models" / "one")
    assert "one (gone)" in succeed("models", "show", "two", "-w", copy).out


def test_a_new_palm_is_a_base_like_any_other(copy: Path) -> None:
    sizes = ["--dim", 32, "--depth", 2, "--heads", 2, "--dim-head", 16]
    made = succeed("models", "new-palm", "stories", *sizes, "--qk-norm", "--seed", 3, "-w", copy, "--json").json
    assert (made["kind"], made["source"], made["seed"]) == ("base", "random weights, the vocabulary of tiny", 3)
    config = json.loads((copy / "models" / "stories" / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["hidden_size"], config["qk_norm"]) == ("talkalike_palm", 32, True)
    again = talkalike("models", "new-palm", "stories", "-w", copy)
    assert (again.code, "already" in again.err) == (2, True)
    odd = talkalike("models", "new-palm", "odd", "--dim-head", 15, "-w", copy)
    assert (odd.code, "even" in odd.err) == (2, True)
    assert sorted(path.name for path in (copy / "models").iterdir()) == ["stories", "tiny"]
    how = ["--method", "full", "--lr", "1e-3", "--epochs", "0.05", "--examples", "juno", "--name", "teller"]
    done = succeed("train", "--base", "stories", *how, "-w", copy, "--json").json
    assert done["scores"]["heldout_loss"] < done["scores"]["heldout_loss_before"]
    card = Catalog(copy / "models").card("teller")
    assert (card.kind, card.parents) == ("full", ("stories",))


def test_a_damaged_card_hides_no_other_model(copy: Path) -> None:
    (copy / "models" / "broken").mkdir()
    (copy / "models" / "broken" / "card.json").write_text("{", encoding="utf-8")
    done = succeed("models", "-w", copy)
    assert "tiny" in done.out
    assert re.search(r"Not listed: .*broken", done.out)
    assert len(succeed("models", "--json", "-w", copy).json["damaged"]) == 1


def test_fetching_what_is_there_changes_nothing(prepared: Path) -> None:
    before = (prepared / "models" / "tiny" / "card.json").read_bytes()
    done = succeed("models", "fetch", "tiny", "--json", "-w", prepared)
    assert (done.json["name"], done.err) == ("tiny", "")
    assert (prepared / "models" / "tiny" / "card.json").read_bytes() == before


def test_a_workspace_is_named_anywhere_or_found(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    succeed("init", other)
    for arguments in (
        ["-w", imported, "models", "--json"],
        ["models", "-w", imported, "--json"],
        ["models", "--json", "--workspace", imported],
        ["-w", other, "models", "-w", imported, "--json"],
    ):
        assert [each["name"] for each in succeed(*arguments).json["models"]] == ["tiny"], arguments
    for arguments in (["-w", imported, "models", "show", "tiny"], ["models", "-w", imported, "show", "tiny"]):
        assert "tiny" in succeed(*arguments).out
    assert succeed("models", "--json", "-w", imported, "show", "tiny").json["name"] == "tiny"
    monkeypatch.chdir(imported / "chats")
    assert len(succeed("models", "--json").json["models"]) == 1
    monkeypatch.setenv("TALKALIKE_WORKSPACE", str(other))
    assert len(succeed("models", "--json").json["models"]) == 0
    assert len(succeed("models", "--json", "-w", imported).json["models"]) == 1
