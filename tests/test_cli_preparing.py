"""What `prepare` calls the examples it makes, and what of the chats it leaves out of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import sample_workspace, succeed
from exports import said, thread, write_thread
from talkalike.chats.platform_lines import KNOWN
from talkalike.evaluation.scoring import report_name
from talkalike.examples.dataset import ExampleSet
from talkalike.workspace.cards import check_name
from talkalike.workspace.naming import folder_name


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a base; tests change copies of it."""
    return sample_workspace(tmp_path_factory.mktemp("preparing"))


def _spelt(name: str) -> str:
    """What of a name a folder's can tell: neither case nor accents nor what stands between words."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("č", "c")).strip("-") if name.strip(" abč") == "" else name


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["Juno Marwick"], "juno-marwick"),
        (["Bořek  Jedlovec", "x"], "borek-jedlovec-x"),
        (["Dr_Willis"], "dr_willis"),
        (["Łukasz Øst"], "lukasz-ost"),
        (["Мария"], "speaker-[0-9a-f]{6}"),
        (["Мария K"], "k-[0-9a-f]{6}"),
        (["../.."], "speaker-[0-9a-f]{6}"),
        (["a" * 99], "a{40}-[0-9a-f]{6}"),
    ],
)
def test_names_become_folders(names: list[str], folder: str) -> None:
    assert re.fullmatch(folder, folder_name(names))


@given(st.lists(st.text("Яви abč한", min_size=1, max_size=60), min_size=2, max_size=6, unique_by=_spelt))
def test_names_that_are_spelt_otherwise_have_folders_of_their_own(names: list[str]) -> None:
    folders = [folder_name([name]) for name in names]
    assert len(set(folders)) == len(folders)
    assert [check_name(folder) for folder in folders] == folders


def test_examples_of_another_person_are_never_overwritten_by_a_default_name(workspace: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(workspace, tmp_path / "copy"))
    shutil.rmtree(root / "chats")
    # Two who cannot be written in Latin letters, and two who are written alike.
    people = ("Иван Петров", "Мария Лебедева", "Jan Novák", "Jan Novak")
    day = 24 * 3_600_000
    for number, pair in enumerate((people[:2], people[2:])):
        said_by = [said(pair[n % 2], f"slovo {n} od {pair[n % 2]}", n * day // 4) for n in range(48)]
        write_thread(tmp_path / "export", thread(said_by, people=pair, title="x", slug=f"chat_{number}"))
    succeed("import", tmp_path / "export", "-w", root)
    names = {}
    for _ in range(2):  # doing it again finds one's own
        for person in people:
            made = succeed("prepare", "-s", person, "--base", "tiny", "--no-estimate", "-w", root, "--json").json
            assert names.setdefault(person, made["name"]) == made["name"]
    assert len(set(names.values())) == len(people)
    for person, name in names.items():
        assert ExampleSet(root / "examples" / name).manifest.speaker_ids == (f"messenger:{person}",)
    assert names["Jan Novák"] == "jan-novak"


def test_a_report_of_another_author_is_never_overwritten(tmp_path: Path) -> None:
    for author, expected in (("Jan Novák", "jan-novak"), ("Jan Novak", "jan-novak-[0-9a-f]{6}")):
        for _ in range(2):
            name = report_name(tmp_path, author)
            assert re.fullmatch(expected, name)
            (tmp_path / f"{name}.json").write_text(json.dumps({"author": author}), encoding="utf-8")


def test_lines_of_the_platform_are_listed_and_learned_only_when_asked(workspace: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(workspace, tmp_path / "copy"))
    shutil.rmtree(root / "chats")
    day = 24 * 3_600_000
    lines = []
    for number, emoji in enumerate("❤😂👍🔥😮😢"):
        at = number * day
        joke = said("Anna", f"vtip {number}", at, reactions=[{"reaction": emoji, "actor": "Ben"}])
        told = said("Ben", f"Blorpis {emoji} zu tia gaspo ", at + 1000)
        left = said("Ben", "Ben unsent a message", at + 1500)
        lines += [joke, told, left, said("Ben", "ok", at + 2000), said("Ben", f"haha {number}", at + 3000)]
    write_thread(tmp_path / "export", thread(lines, people=("Anna", "Ben"), title="Ben"))
    shown = succeed("import", tmp_path / "export", "-w", root).out
    assert "12 messages look like the platform's own and are not learned as anybody's words" in shown
    for words in ("Blorpis ❤ zu tia gaspo", "Ben unsent a message", "--platform-lines"):
        assert words in shown
    arguments = ["prepare", "-s", "Ben", "--base", "tiny", "--no-estimate", "-w", root]

    def learned(*more: str) -> tuple[int, set[str]]:
        made = succeed(*arguments, "--json", *more).json
        assert {(line["count"], line["why"]) for line in made["platform_lines"]} == {
            (6, "tells of a reaction just before"),
            (6, KNOWN),
        }
        found = ExampleSet(root / "examples" / made["name"])
        texts = {t.text for split in ("train", "heldout") for d in found.documents(split) for t in d.turns}
        return made["train"]["learned"] + made["heldout"]["learned"], texts

    count, texts = learned()
    assert count == 12
    assert "ok" in texts and not any("gaspo" in text or "unsent" in text for text in texts)
    count, texts = learned("--platform-lines")
    assert count == 24
    assert any("gaspo" in text for text in texts) and any("unsent" in text for text in texts)
    (root / "talkalike.toml").write_text("[chats]\nplatform_lines = true\n", encoding="utf-8")
    assert learned()[0] == 24
    assert learned("--no-platform-lines")[0] == 12
    assert "are learned, as you asked" in succeed(*arguments).out
