"""The end-to-end encrypted export joins the classic one of the same people, in either order, with nothing doubled."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import NOON, encrypted, imported, said, stored, thread, write_encrypted, write_thread
from talkalike.chats.archive import Archive
from talkalike.chats.values import Attachment, AttachmentKind, MessageKind, Reaction

ANNA, BEN, CILKA = "Anna Nová", "Ben Říha", "Cilka Šťastná"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def test_its_messages_are_read_with_their_kinds(archive, tmp_path):
    media = {"type": "media", "isUnsent": False}
    photo = {"uri": "./media/1.jpeg"}
    messages = [
        (ANNA, "žluťoučký kůň 😂", 0),
        {"senderName": BEN, "text": "", "timestamp": NOON + 5, "media": [photo, {"uri": "./media/2.mp4"}], **media},
        {"senderName": BEN, "text": "pryč", "timestamp": NOON + 6, "isUnsent": True, "type": "text"},
        {
            "senderName": ANNA,
            "text": "ve vteřinách",
            "timestamp": NOON // 1000 + 60,
            "reactions": [{"actor": BEN, "reaction": "❤"}, {"actor": ANNA, "reaction": "👍"}],
        },
        {"senderName": BEN, "text": "Ben called you.", "timestamp": NOON + 70_000, "type": "call"},
    ]
    write_encrypted(tmp_path / "e2ee", encrypted(messages))
    write_encrypted(tmp_path / "e2ee", encrypted([(CILKA, "jiná", 0)], people=(ANNA, CILKA)), name="Cilka_2")
    (tmp_path / "e2ee" / "media").mkdir()
    (tmp_path / "e2ee" / "media" / "1.jpeg").write_bytes(b"jpg")
    report = imported(tmp_path / "e2ee", archive=archive)
    assert report.new == 6
    found = next(m for m in stored(archive).values() if len(m) == 5)
    assert [(m.kind, m.text, m.unsent) for m in found] == [
        (MessageKind.TEXT, "žluťoučký kůň 😂", False),
        (MessageKind.MEDIA, "", False),
        (MessageKind.TEXT, "", True),
        (MessageKind.TEXT, "ve vteřinách", False),
        (MessageKind.CALL, "Ben called you.", False),
    ]
    assert found[1].attachments == (
        Attachment(kind=AttachmentKind.PHOTO, uri="./media/1.jpeg"),
        Attachment(kind=AttachmentKind.VIDEO, uri="./media/2.mp4"),
    )
    assert found[3].reactions == (Reaction(actor=BEN, emoji="❤"), Reaction(actor=ANNA, emoji="👍"))
    assert found[3].sent_ms == (NOON // 1000 + 60) * 1000


CLASSIC = [said(ANNA, "stará", 0), said(BEN, "obojí", 10_000), said(BEN, "obojí", 10_400), said(ANNA, "jen tu", 20_000)]
ENCRYPTED = [
    (BEN, "obojí", 10_900),
    (BEN, "obojí", 9_700),
    (BEN, "obojí", 10_950),
    (ANNA, "obojí", 10_000),
    (ANNA, "nová", 30_000),
]
JOINED = ["stará", "obojí", "obojí", "obojí", "obojí", "jen tu", "nová"]


def write_both(root: Path) -> tuple[Path, Path]:
    write_thread(root / "classic", thread(CLASSIC))
    other = thread([said(CILKA, "obojí", 10_000)], people=(ANNA, CILKA), title=CILKA, slug="cilka_2")
    write_thread(root / "classic", other)
    write_encrypted(root / "e2ee", encrypted(sorted(ENCRYPTED, key=lambda m: m[2])))
    return root / "classic", root / "e2ee"


@pytest.mark.parametrize("order", ["together", "classic first", "encrypted first"])
def test_the_two_exports_become_one_conversation_in_any_order(archive, tmp_path, order):
    classic, e2ee = write_both(tmp_path)
    runs = {
        "together": [(e2ee, classic)],
        "classic first": [(classic,), (e2ee,)],
        "encrypted first": [(e2ee,), (classic,)],
    }
    for paths in runs[order]:
        imported(*paths, archive=archive)
    by_count = sorted(stored(archive).values(), key=len)
    assert [len(messages) for messages in by_count] == [1, 7]
    assert sorted(m.text for m in by_count[1]) == sorted(JOINED)
    times = [m.sent_ms for m in by_count[1]]
    assert times == sorted(times)
    before = stored(archive)
    for paths in [(classic,), (e2ee,), (e2ee, classic)]:
        assert imported(*paths, archive=archive).new == 0
    assert stored(archive) == before


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([ANNA, BEN]), st.sampled_from(["ok", "jo", "😂"]), st.integers(0, 4000)),
        min_size=1,
        max_size=15,
    ),
    st.lists(st.integers(-900, 900), min_size=15, max_size=15),
    st.booleans(),
)
def test_one_chat_told_twice_with_rounded_times_is_told_once(messages, shifts, encrypted_first):
    written = sorted(messages, key=lambda m: m[2])
    with TemporaryDirectory() as folder:
        root, archive = Path(folder), Archive(Path(folder, "chats"))
        write_thread(root / "classic", thread([said(*m) for m in written]))
        shift = shifts[0]  # one clock is off by as much for every message
        write_encrypted(root / "e2ee", encrypted([(s, t, at + shift) for s, t, at in written]))
        for name in ("e2ee", "classic") if encrypted_first else ("classic", "e2ee"):
            imported(root / name, archive=archive)
        (found,) = stored(archive).values()
        assert len(found) == len(written)
        assert imported(root / "e2ee", root / "classic", archive=archive).new == 0


@pytest.mark.parametrize("order", ["together", "classic first", "encrypted first"])
def test_two_friends_of_one_name_are_kept_apart_and_it_is_said(archive, tmp_path, order):
    for slug in ("ben_1", "ben_2"):
        write_thread(tmp_path / "classic", thread([said(BEN, slug)], slug=slug))
    write_encrypted(tmp_path / "e2ee", encrypted([(BEN, "který?", 5)]))
    classic, e2ee = tmp_path / "classic", tmp_path / "e2ee"
    runs = {
        "together": [(classic, e2ee)],
        "classic first": [(classic,), (e2ee,)],
        "encrypted first": [(e2ee,), (classic,)],
    }
    notes = [note for paths in runs[order] for note in imported(*paths, archive=archive).notes]
    assert sorted(m.text for (m,) in stored(archive).values()) == ["ben_1", "ben_2", "který?"]
    assert notes and all(BEN in note for note in notes)
    assert imported(e2ee, classic, archive=archive).new == 0


def test_two_encrypted_chats_of_the_same_names_are_kept_apart(archive, tmp_path):
    for number, text in ((1, "první"), (2, "druhý")):
        write_encrypted(tmp_path / "e2ee", encrypted([(BEN, text, 0)]), name=f"Ben_{number}")
    imported(tmp_path / "e2ee", archive=archive)
    write_thread(tmp_path / "classic", thread([said(BEN, "starý")]))
    imported(tmp_path / "classic", archive=archive)
    assert sorted(m.text for (m,) in stored(archive).values()) == ["druhý", "první", "starý"]


def test_groups_join_only_under_the_same_title(archive, tmp_path):
    people = (ANNA, BEN, CILKA)
    for slug, title in (("vylet_1", "Výlet"), ("prace_2", "Práce")):
        write_thread(tmp_path / "classic", thread([said(BEN, title)], people=people, title=title, slug=slug))
    write_encrypted(tmp_path / "e2ee", encrypted([(ANNA, "sbaleno", 9)], people=people, title="Výlet"))
    imported(tmp_path / "classic", tmp_path / "e2ee", archive=archive)
    assert sorted([m.text for m in messages] for messages in stored(archive).values()) == [
        ["Práce"],
        ["Výlet", "sbaleno"],
    ]


def test_deleted_accounts_are_never_joined(archive, tmp_path):
    people = (ANNA, "Facebook user")
    write_thread(tmp_path / "classic", thread([said("Facebook user", "a")], people=people))
    write_encrypted(tmp_path / "e2ee", encrypted([("Facebook user", "b", 0)], people=people))
    imported(tmp_path / "classic", tmp_path / "e2ee", archive=archive)
    assert len(stored(archive)) == 2
