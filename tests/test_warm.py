"""Conversations that outlive the process: read anew only what is new, never of another model, gone when forgotten."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from talkalike.engine import warm
from talkalike.engine.local import LocalEngine, open_engine
from talkalike.engine.passes import Passes
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.render import Turn
from talkalike.workspace import prefixes
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.prefixes import SavedPrefixes, forget_conversations, forget_every_conversation
from tiny_model import build_tiny_llama

TALK = tuple(Turn(("Anna", "Bob")[index % 2], f"this is line {index} of what we said") for index in range(12))
GREEDY = Sampling(temperature=0.0, max_tokens=8, max_messages=1)
NAME = "discord:17"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("warm") / "models")
    for name in ("tiny", "other"):
        build_tiny_llama(catalog.path(name))
        catalog.save_card(Card(name=name, kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedPrefixes:
    monkeypatch.setattr(warm, "QUIET", 60.0)  # written when the engine ends, unless a test says otherwise
    return SavedPrefixes(tmp_path / "prefixes", 64 * 2**20)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tokens each pass read."""
    counts: list[int] = []
    run = Passes.run

    def counting(self: Passes, passes: list) -> list[torch.Tensor]:  # type: ignore[type-arg]
        counts.append(sum(len(each.ids) for each in passes))
        return run(self, passes)

    monkeypatch.setattr(Passes, "run", counting)
    yield counts


def start(catalog: Catalog, saved: SavedPrefixes | None, model: str = "tiny", dtype: str = "float32") -> LocalEngine:
    return open_engine(catalog, model, dtype=dtype, device="cpu", saved=saved)


def reply(engine: LocalEngine, turns: tuple[Turn, ...] = TALK, conversation: str = NAME) -> list[int]:
    async def collect() -> list[int]:
        prompt = Prompt(turns=turns, speaker="Bob", conversation=conversation)
        return [token async for piece in engine.stream(prompt, GREEDY) for token in piece.token_ids]

    return asyncio.run(collect())


def once(catalog: Catalog, saved: SavedPrefixes | None, *more: Turn, conversation: str = NAME, **how: str) -> list[int]:
    """A process: it starts, answers, and ends."""
    engine = start(catalog, saved, **how)
    try:
        return reply(engine, (*TALK, *more), conversation)
    finally:
        asyncio.run(engine.close())


def files(saved: SavedPrefixes) -> list[Path]:
    return sorted(saved.root.glob("*/*/*.safetensors"))


def test_after_a_restart_only_what_is_new_is_read(catalog: Catalog, saved: SavedPrefixes, read: list[int]) -> None:
    once(catalog, saved)
    (file,) = files(saved)
    whole, new = read[0], Turn("Anna", "and then?")
    expected = once(catalog, None, new)
    read.clear()
    assert once(catalog, saved, new) == expected
    assert read[0] < whole / 3, "the conversation was read anew"
    assert "discord" not in file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in (saved.root, file.parent, file.parent.parent))


@pytest.mark.parametrize("how", [{"model": "other"}, {"dtype": "bfloat16"}])
def test_another_models_is_not_used(
    catalog: Catalog, saved: SavedPrefixes, read: list[int], how: dict[str, str]
) -> None:
    once(catalog, saved)
    whole = read[0]
    read.clear()
    once(catalog, saved, **how)
    assert read[0] == whole


def test_a_model_trained_again_begins_anew(catalog: Catalog, saved: SavedPrefixes, read: list[int]) -> None:
    once(catalog, saved)
    (before,) = files(saved)
    weights = catalog.path("tiny") / "model.safetensors"
    os.utime(weights)
    once(catalog, saved)
    assert read.count(read[0]) == 2, "the old state was used"
    assert not before.exists(), "what an older model of this name saved stays behind"


@pytest.mark.parametrize("damage", ["cut", "text", "flipped", "moved"])
def test_a_damaged_file_is_dropped_and_counted(
    catalog: Catalog, saved: SavedPrefixes, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = once(catalog, saved)
    (file,) = files(saved)
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-9] ^= 64
    stored = {"cut": bytes(data[: len(data) // 2]), "text": b"no tensors", "flipped": bytes(data), "moved": bytes(data)}
    file.write_bytes(stored[damage])
    if damage == "moved":  # a file of another model under this one's name
        once(catalog, saved, model="other")
        (others,) = (each for each in files(saved) if each != file)
        file.write_bytes(others.read_bytes())
    engine = start(catalog, saved)
    try:
        assert reply(engine) == expected
        assert not file.exists() and engine._caches._folders[""].damaged == 1  # type: ignore[union-attr]
        assert "So far: 1." in caplog.text and "Traceback" not in caplog.text
    finally:
        asyncio.run(engine.close())


def test_written_while_nobody_talks_and_found_after_a_kill(
    catalog: Catalog, saved: SavedPrefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "QUIET", 0.1)
    engine = start(catalog, saved)
    try:
        reply(engine)
        latest = time.monotonic() + 10
        while not files(saved) and time.monotonic() < latest:
            time.sleep(0.02)
        assert files(saved), "nothing was written before the end"
        written = files(saved)[0].stat().st_mtime_ns
        reply(engine)  # a few new tokens are not worth a file
        time.sleep(0.4)
        assert files(saved)[0].stat().st_mtime_ns == written
    finally:
        asyncio.run(engine.close())


@pytest.mark.parametrize("everything", [False, True])
def test_what_is_forgotten_is_gone_and_does_not_come_back(
    catalog: Catalog, saved: SavedPrefixes, everything: bool
) -> None:
    once(catalog, saved)
    once(catalog, saved, conversation="web-2")
    assert len(files(saved)) == 2
    engine = start(catalog, saved)
    try:
        reply(engine, (*TALK, *TALK))  # longer now: it would be written at the end
        gone = forget_every_conversation(saved.root) if everything else forget_conversations(saved.root, [NAME])
        assert gone == (2 if everything else 1)
    finally:
        asyncio.run(engine.close())
    assert len(files(saved)) == (0 if everything else 1)


def test_a_conversation_that_goes_on_later_is_saved_again(
    catalog: Catalog, saved: SavedPrefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    once(catalog, saved)
    forget_conversations(saved.root, [NAME])
    monkeypatch.setattr(prefixes, "_GRACE", 0.0)
    time.sleep(0.02)
    once(catalog, saved)
    assert len(files(saved)) == 1


def test_what_is_saved_keeps_within_its_limit_and_its_week(catalog: Catalog, saved: SavedPrefixes) -> None:
    once(catalog, saved)
    (first,) = files(saved)
    small = SavedPrefixes(saved.root, int(1.5 * first.stat().st_size))
    os.utime(first, (time.time() - 60, time.time() - 60))
    once(catalog, small, conversation="web-2")
    (left,) = files(saved)
    assert left != first, "the one used longest ago goes first"
    os.utime(left, (time.time() - 8 * 86_400,) * 2)
    small.trim()
    assert not files(saved)


def test_nothing_is_saved_where_that_is_switched_off_or_the_chat_has_no_name(
    catalog: Catalog, saved: SavedPrefixes
) -> None:
    once(catalog, SavedPrefixes(saved.root, 0))
    assert not saved.root.exists()
    once(catalog, saved, conversation="")
    assert not files(saved)
    assert forget_conversations(saved.root / "none", [NAME]) == forget_every_conversation(saved.root / "none") == 0


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_full_disk_loses_no_reply(
    what: str,
    catalog: Catalog,
    saved: SavedPrefixes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if what == "file":
            patch.setattr(warm, "save_file", full)
        else:
            patch.setattr(Path, "mkdir", full)
        assert once(catalog, saved)
    assert not files(saved) and "could not be saved" in caplog.text


def test_what_is_forgotten_goes_where_no_mark_can_be_left(
    catalog: Catalog, saved: SavedPrefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    once(catalog, saved)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", full)
        assert files(saved) and forget_conversations(saved.root, [NAME]) == 1
    assert not files(saved)
