"""The archive on disk: what goes in comes out, whole or not at all, whatever happens in between."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import imported, said, stored, thread, write_thread
from talkalike.chats.archive import Archive
from talkalike.chats.importers.protocol import Part
from talkalike.chats.merging import MergeReport, collect
from talkalike.chats.values import (
    Attachment,
    AttachmentKind,
    Conversation,
    Message,
    MessageKind,
    Platform,
    Reaction,
    Speaker,
)
from talkalike.errors import UserError

ANNA, BEN = Speaker(id="messenger:Anna", name="Anna"), Speaker(id="messenger:Ben", name="Ben")
PAIR = Conversation(
    id="messenger:pair_1", platform=Platform.MESSENGER, title="Ben", is_group=False, participants=(ANNA, BEN)
)
OTHER = replace(PAIR, id="messenger:pair-1", title="Ben again")  # an id that differs in one sign only

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
messages = st.builds(
    Message,
    id=st.just(""),
    author=st.sampled_from([ANNA, BEN]),
    sent_ms=st.integers(0, 20),
    kind=st.sampled_from(MessageKind),
    text=text,
    reply_to=st.none() | text,
    reactions=st.lists(st.builds(Reaction, actor=text, emoji=text), max_size=2, unique=True).map(tuple),
    attachments=st.lists(
        st.builds(Attachment, kind=st.sampled_from(AttachmentKind), uri=text), max_size=2, unique=True
    ).map(tuple),
    is_bot=st.booleans(),
    source=text,
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "workspace" / "chats")


def merge(archive: Archive, conversation: Conversation, told: Sequence[Message]) -> MergeReport:
    return archive.merge(conversation, collect([Part(messages=told)], origin=""))


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=20), st.integers(0, 20))
def test_what_goes_in_comes_out_in_order_however_it_was_cut(told, cut):
    told.sort(key=lambda message: message.sent_ms)
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        first = merge(archive, PAIR, told[:cut])
        overlapping = merge(archive, PAIR, told)
        assert first.added + overlapping.added == len(told)
        assert overlapping.already_there == len(told[:cut])
        if told:
            found = list(Archive(Path(folder)).messages(PAIR.id))
            assert [replace(m, id="") for m in found] == told
            assert len({m.id for m in found}) == len(told)
        assert Archive(Path(folder)).is_empty == (not told)


def test_conversations_do_not_mix(archive):
    assert archive.is_empty and archive.conversations() == ()
    merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=1, text="one")])
    merge(archive, OTHER, [Message(id="", author=ANNA, sent_ms=1, text="one"), Message(id="", author=BEN, sent_ms=2)])
    assert {i: [m.text for m in found] for i, found in stored(archive).items()} == {
        PAIR.id: ["one"],
        OTHER.id: ["one", ""],
    }
    ids = {m.id for found in stored(archive).values() for m in found}
    assert len(ids) == 3
    summary = Archive(archive.root).summaries()[OTHER.id]
    assert (summary.messages, summary.by_kind, summary.first_ms, summary.last_ms) == (2, {"text": 2}, 1, 2)
    with pytest.raises(UserError, match="no conversation"):
        list(archive.messages("messenger:nobody"))


def test_ids_of_the_platform_are_kept(archive):
    told = [Message(id=f"n{n}", author=ANNA, sent_ms=5, text="same") for n in (2, 1)]
    merge(archive, PAIR, told)
    assert merge(archive, PAIR, told[1:]).added == 0
    assert [m.id for m in archive.messages(PAIR.id)] == ["n2", "n1"]


def test_people_who_come_later_are_added(archive):
    merge(archive, replace(PAIR, participants=(ANNA,)), [Message(id="", author=ANNA, sent_ms=1)])
    merge(archive, replace(PAIR, participants=(BEN,)), [Message(id="", author=BEN, sent_ms=2)])
    assert Archive(archive.root).conversations()[0].participants == (ANNA, BEN)


def test_a_stale_broken_or_missing_index_is_only_slower(archive):
    merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=1)])
    old = (archive.root / "index.json").read_bytes()
    merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=2)])
    for content in (old, b"{broken", b"[]", b'{"x": 1}'):
        (archive.root / "index.json").write_bytes(content)
        assert Archive(archive.root).summaries()[PAIR.id].messages == 2
    (archive.root / "index.json").unlink()
    assert Archive(archive.root).summaries()[PAIR.id].messages == 2


def test_a_damaged_file_is_named(archive):
    merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=1)])
    (path,) = archive.root.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=path.name):
        Archive(archive.root).conversations()


def test_a_file_whose_middle_is_damaged_is_named(archive):
    merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=at, text=f"word {at * at}") for at in range(1, 500)])
    (path,) = archive.root.glob("*.parquet")
    content = bytearray(path.read_bytes())
    content[50:2000] = bytes(1950)
    path.write_bytes(content)
    assert Archive(archive.root).conversations(), "its summary can be read"
    for read in (Archive(archive.root).table, lambda id_: list(Archive(archive.root).messages(id_))):
        with pytest.raises(UserError, match=path.name):
            read(PAIR.id)


def test_two_writers_at_once_get_a_sentence(archive):
    with archive.writing():
        merge(archive, PAIR, [Message(id="", author=ANNA, sent_ms=1)])
        with pytest.raises(UserError, match="Another import"):
            merge(Archive(archive.root), PAIR, [Message(id="", author=BEN, sent_ms=2)])
    assert merge(Archive(archive.root), PAIR, [Message(id="", author=BEN, sent_ms=2)]).added == 1


CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from talkalike.chats.archive import Archive
    from talkalike.chats.importing import import_paths
    from talkalike.errors import UserError
    {setup}
    try:
        import_paths([Path(sys.argv[1])], archive=Archive(Path(sys.argv[2])))
    except UserError as error:
        print(error)
        sys.exit(error.exit_code)
    """
)


def child(export: Path, root: Path, setup: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD.format(setup=setup), str(export), str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def write_export(root: Path, threads: int, size: int) -> Path:
    for number in range(threads):
        written = [said("Anna", f"message {number} {n} {n * 7919 % 10007:x}", n) for n in range(size)]
        write_thread(root, thread(written, people=("Anna", f"Ben {number}"), slug=f"t_{number}"))
    return root


def test_a_full_disk_loses_nothing(archive, tmp_path):
    write_thread(tmp_path / "small", thread([said("Anna", "first"), said("Ben", "second", 1)], slug="t_0"))
    imported(tmp_path / "small", archive=archive)
    before = stored(archive)
    export = write_export(tmp_path / "export", threads=1, size=4000)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += f"resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {resource.RLIM_INFINITY}))"
    running = child(export, archive.root, limit)
    said_to_me, _ = running.communicate(timeout=60)
    assert running.returncode == 2, said_to_me
    assert "disk is full" in said_to_me and "Free some space" in said_to_me
    assert stored(archive) == before
    assert not list(archive.root.glob("*.tmp"))
    assert imported(export, archive=archive).new == 4000


def test_a_read_only_workspace_gets_a_sentence():
    # As root nothing is read-only by permissions, so the child gives its rights up; pytest's own folders are closed
    # to it, hence a folder elsewhere.
    with TemporaryDirectory() as folder:
        here = Path(folder)
        here.chmod(0o755)
        write_thread(here / "one", thread([said("Anna", "first")], slug="t_0"))
        archive = Archive(here / "chats")
        imported(here / "one", archive=archive)
        before = stored(archive)
        export = write_export(here / "export", threads=2, size=3)
        drop = "import os\nif os.getuid() == 0: os.setgid(65534); os.setuid(65534)"
        archive.root.chmod(0o555)
        (archive.root / ".lock").chmod(0o444)
        try:
            running = child(export, archive.root, drop)
            said_to_me, _ = running.communicate(timeout=60)
        finally:
            archive.root.chmod(0o755)
            (archive.root / ".lock").chmod(0o644)
        assert running.returncode == 2, said_to_me
        assert "cannot be written" in said_to_me and "writable" in said_to_me
        assert stored(archive) == before


def test_a_workspace_that_is_a_file_gets_a_sentence(tmp_path):
    (tmp_path / "chats").write_text("not a folder")
    write_thread(tmp_path / "one", thread([said("Anna", "first")]))
    with pytest.raises(UserError, match="not a folder"):
        imported(tmp_path / "one", archive=Archive(tmp_path / "chats"))


def test_an_import_killed_at_any_moment_leaves_whole_conversations(archive, tmp_path):
    export = write_export(tmp_path / "export", threads=40, size=200)
    running = child(export, archive.root)
    deadline = time.monotonic() + 60
    while len(list(archive.root.glob("*.parquet"))) < 5 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    (archive.root / "messenger-t_1-leftover.parquet.tmp").write_bytes(b"half")
    found = stored(archive)
    assert 5 <= len(found) < 40
    assert {len(messages) for messages in found.values()} == {200}
    report = imported(export, archive=archive)
    assert (report.new, report.already_there) == ((40 - len(found)) * 200, len(found) * 200)
    assert not list(archive.root.glob("*.tmp"))
    assert len(json.loads((archive.root / "index.json").read_text(encoding="utf-8"))) == 40
