"""The bundled sample is what its script says, and is shaped like a genuine Messenger export."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CLASSIC, E2EE = SAMPLES / "four-friends", SAMPLES / "four-friends-e2ee"
OWNER = "Juno Marwick"
FRIENDS = [OWNER, "Edgar Pellworth", "Rosália Fenn", "Bořek Jedlovec"]
DAY = 24 * 3600 * 1000
NOT_WRITTEN = re.compile(
    r"Reacted .* to your message $|.* sent an attachment\.$|.* called you\.$|You called .*|You missed a call .*"
    r"|.* missed your call\.$|The video chat ended\.$|You created the group\.$|.* named the group .*"
    r"|.* set the nickname .*"
)

Message = dict[str, Any]


def run_build(*, out: Path, script: Path = SAMPLES / "script") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLES / "build.py"), "--out", str(out), "--script", str(script)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def files_below(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def unscramble(value: str) -> str:
    return value.encode("latin-1").decode("utf-8")


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    """The classic files by path, as they stand."""
    return {path: json.loads(data) for path, data in files_below(CLASSIC).items()}


@pytest.fixture(scope="module")
def encrypted() -> dict[str, Any]:
    (file,) = E2EE.glob("*.json")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def written(documents: dict[str, dict[str, Any]], encrypted: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(sender, time, text) of every message that a person wrote, once each."""
    classic = [
        (unscramble(message["sender_name"]), message["timestamp_ms"], unscramble(message["content"]))
        for document in documents.values()
        for message in document["messages"]
        if "content" in message
    ]
    known: dict[tuple[str, str], list[int]] = {}
    for sender, at, text in classic:
        known.setdefault((sender, text), []).append(at)
    only_encrypted = [
        (message["senderName"], message["timestamp"], message["text"])
        for message in encrypted["messages"]
        if message["text"]
        and not any(
            abs(at - message["timestamp"]) <= 1000 for at in known.get((message["senderName"], message["text"]), [])
        )
    ]
    return [entry for entry in classic + only_encrypted if not NOT_WRITTEN.fullmatch(entry[2])]


def test_rebuilding_gives_the_committed_bytes(tmp_path: Path) -> None:
    result = run_build(out=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for folder in (CLASSIC, E2EE):
        built, committed = files_below(tmp_path / folder.name), files_below(folder)
        assert built.keys() == committed.keys()
        assert [path for path in built if built[path] != committed[path]] == []


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("j: hello", "a.txt:1"),
        ("= 2024-09-07 10:12 nowhere", "a.txt:1"),
        ("= 2024-09-07 10:12 group\nb: ahoj\nnobody said this", "a.txt:3"),
        ("= 2024-09-07 10:12 plot\nb: what is this group?", "a.txt:2"),
        ("= 2024-09-07 10:12 group\nb: ahoj\n= 2024-09-06 10:12 group\nb: earlier", "a.txt"),
    ],
)
def test_a_wrong_script_line_is_named_and_nothing_is_lost(tmp_path: Path, line: str, place: str) -> None:
    script, out = tmp_path / "script", tmp_path / "out"
    script.mkdir()
    kept = out / CLASSIC.name / "kept.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}", encoding="utf-8")
    (script / "a.txt").write_text(line, encoding="utf-8")
    result = run_build(out=out, script=script)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {place}: ")
    assert kept.exists()


def test_size_people_and_time_span(written: list[tuple[str, int, str]]) -> None:
    per_person = Counter(sender for sender, _, _ in written)
    assert len(written) >= 1400
    assert all(per_person[friend] >= 250 for friend in FRIENDS), per_person
    assert per_person[OWNER] >= 450
    times = [at for _, at, _ in written]
    assert max(times) - min(times) >= 240 * DAY


def test_nothing_is_repeated_more_than_a_few_times(written: list[tuple[str, int, str]]) -> None:
    for text, count in Counter(text for _, _, text in written).items():
        words = len(text.split())
        assert count <= {1: 12, 2: 8}.get(words, 3), (text, count)
    long_ones = Counter(text for _, _, text in written if len(text) > 40)
    assert set(long_ones.values()) == {1}


def test_classic_form(documents: dict[str, dict[str, Any]]) -> None:
    sections = Counter(path.split("/")[2] for path in documents)
    assert sections == {"inbox": 6, "message_requests": 1}
    for path, document in documents.items():
        assert path == f"your_facebook_activity/messages/{document['thread_path']}/{path.rsplit('/', 1)[1]}"
        members = [unscramble(person["name"]) for person in document["participants"]]
        assert OWNER in members
        times = [message["timestamp_ms"] for message in document["messages"]]
        assert times == sorted(set(times), reverse=True)
        assert {unscramble(message["sender_name"]) for message in document["messages"]} == set(members)
        assert "title" in document and document["is_still_participant"] is True and document["magic_words"] == []
        assert all(message["is_geoblocked_for_viewer"] is False for message in document["messages"])


def test_classic_text_is_mojibake_and_ascii_on_disk() -> None:
    for path, data in files_below(CLASSIC).items():
        assert data.isascii(), path
    group = b"".join(data for path, data in files_below(CLASSIC).items() if "thursdaydumplings" in path)
    assert rb'"Bo\u00c5\u0099ek Jedlovec"' in group
    assert rb"\u00f0\u009f\u00a5\u009f" in group  # the dumpling of the group's name


def test_long_thread_is_split_newest_part_first(documents: dict[str, dict[str, Any]]) -> None:
    parts = {path.rsplit("/", 1)[1]: document for path, document in documents.items() if "thursdaydumplings" in path}
    assert parts.keys() == {"message_1.json", "message_2.json"}
    oldest_of_newer = parts["message_1.json"]["messages"][-1]["timestamp_ms"]
    assert oldest_of_newer > parts["message_2.json"]["messages"][0]["timestamp_ms"]


def test_every_kind_of_message_occurs(documents: dict[str, dict[str, Any]]) -> None:
    messages: list[Message] = [message for document in documents.values() for message in document["messages"]]
    fields = Counter(field for message in messages for field in message)
    for field in (
        "reactions",
        "photos",
        "videos",
        "audio_files",
        "gifs",
        "files",
        "sticker",
        "share",
        "call_duration",
        "is_unsent",
    ):
        assert fields[field] >= 1, field
    contents = [unscramble(message["content"]) for message in messages if "content" in message]
    for start in (
        "You named the group “",
        "You sent an attachment.",
        "Reacted 😂 to your message ",
        "Bořek called you.",
    ):
        assert any(content.startswith(start) for content in contents), start
    assert any("4111 1111 1111 1111" in content for content in contents)
    assert any("@example.org" in content for content in contents)


def test_encrypted_export_overlaps_the_classic_thread_in_part(
    documents: dict[str, dict[str, Any]],
    encrypted: dict[str, Any],
) -> None:
    (classic,) = [document for path, document in documents.items() if "/edgarpellworth_" in path]
    assert encrypted["participants"] == [person["name"] for person in classic["participants"]]
    times = [message["timestamp"] for message in encrypted["messages"]]
    assert times == sorted(set(times), reverse=True)
    by_text: dict[tuple[str, str], list[int]] = {}
    for message in classic["messages"]:
        if "content" in message:
            key = (message["sender_name"], unscramble(message["content"]))
            by_text.setdefault(key, []).append(message["timestamp_ms"])
    apart = [
        min(
            (abs(at - message["timestamp"]) for at in by_text.get((message["senderName"], message["text"]), [])),
            default=DAY,
        )
        for message in encrypted["messages"]
        if message["text"]
    ]
    shared = [difference for difference in apart if difference <= 1000]
    assert len(shared) >= 20 and any(shared)
    assert len(apart) - len(shared) >= 20
    assert any("Bořek" in message["text"] for message in encrypted["messages"])


def test_each_friend_writes_in_their_own_way(written: list[tuple[str, int, str]]) -> None:
    emoji = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")
    marks = {
        OWNER: lambda text: text == text.lower() and not text.endswith(".") and len(text) < 60,
        "Edgar Pellworth": lambda text: text[-1] in '.?"' and "!" not in text and not emoji.search(text),
        "Rosália Fenn": lambda text: bool(emoji.search(text)),
        "Bořek Jedlovec": lambda text: " - " in text or (not emoji.search(text) and ";" not in text),
    }
    for friend, has_mark in marks.items():
        texts = [text for sender, _, text in written if sender == friend]
        assert sum(map(has_mark, texts)) / len(texts) > 0.95, friend
    for mark, owner in ((";", "Edgar Pellworth"), (" - ", "Bořek Jedlovec")):
        users = {sender for sender, _, text in written if mark in text and sender in FRIENDS}
        assert users == {owner}, mark
