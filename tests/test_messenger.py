"""Messenger's classic export: every shape it has had comes out as the same messages, in order, none lost."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exports import NOON, doubled, imported, said, stored, texts, thread, write_thread
from talkalike.chats.archive import Archive
from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.messenger_sentences import platform_sentence
from talkalike.chats.importers.messenger_text import TextRepair, surely_bytes
from talkalike.chats.values import Attachment, AttachmentKind, MessageKind, Reaction

ANNA, BEN, CILKA = "Anna Nová", "Ben Říha", "Cilka Šťastná"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "workspace" / "chats")


@given(st.text())
def test_double_encoding_is_undone_for_every_text(text):
    assume(not surely_bytes(text))  # what looks like bytes itself is taken for bytes
    assert TextRepair()(doubled(text)) == text


words = st.lists(st.sampled_from(["přiletím", "v", "pět", "žluťoučký", "😂", "Ελλάδα", "привет"]), min_size=2).map(
    " ".join
)


@given(words, st.integers(1, 3), st.sampled_from(["", " …", " ‘x’", " €5"]))
def test_text_encoded_several_times_is_mended_around_what_is_right_already(text, times, odd):
    repair = TextRepair()
    encoded = text
    for _ in range(times):
        encoded = doubled(encoded)
    assert repair(encoded + odd) == text + odd
    assert (repair.unmended, repair.replaced) == (0, 0)


def test_what_a_cut_character_leaves_is_counted_and_the_rest_is_mended():
    repair = TextRepair()
    assert repair(doubled("přiletím v pět 😂")[:-1]) == "přiletím v pět ð\x9f\x98"
    assert repair.unmended == 3


def test_one_odd_character_does_not_leave_a_text_unmended_and_the_file_with_a_broken_one_is_named(archive, tmp_path):
    odd = {"content": doubled("přiletím v pět") + " …"}
    twice = doubled(doubled(CILKA))
    path = write_thread(tmp_path / "export", thread([]))
    messages = [
        {"sender_name": doubled(ANNA), "timestamp_ms": NOON, **odd},
        {"sender_name": ANNA, "timestamp_ms": NOON + 1, "content": "správně – déjà vu"},
        {"sender_name": twice, "timestamp_ms": NOON + 2, "content": doubled("pět 😂")[:-1]},
    ]
    path.write_text(json.dumps(thread(messages)), encoding="utf-8")
    report = imported(tmp_path / "export", archive=archive)
    found = stored(archive)["messenger:benriha_1"]
    assert [(m.author.name, m.text) for m in found] == [
        (ANNA, "přiletím v pět …"),
        (ANNA, "správně – déjà vu"),
        (CILKA, "pět ð\x9f\x98"),
    ]
    assert report.unmended == {"your_facebook_activity/messages/inbox/benriha_1/message_1.json": 3}


@pytest.mark.parametrize(
    "text",
    ["café", "«É» …", "« Ça va… É »", "déjà vu", "Příliš žluťoučký kůň", "😂😂", "ÿ", "plain", "naïve – “quotes”"],
)
def test_correct_text_stays_as_it_is(text):
    repair = TextRepair()
    assert repair(text) == text
    assert repair.replaced == 0


def test_half_a_character_becomes_a_replacement_and_is_counted():
    repair = TextRepair()
    assert repair("a\ud83d b") == "a\ufffd b"
    assert repair("\ude02\ude02") == "\ufffd\ufffd"
    assert repair.replaced == 3
    assert repair("\ud83d\ude02") == "😂"


messages_strategy = st.lists(
    st.tuples(
        st.sampled_from([ANNA, BEN]),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
            lambda t: not surely_bytes(t)
        ),
        st.integers(0, 5),  # steps in time: equal times and equal messages are wanted
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(messages_strategy, st.integers(1, 7))
def test_any_messages_come_back_in_order_from_any_split_into_files(messages, size):
    at, written = 0, []
    for sender, text, step in messages:
        at += step
        written.append(said(sender, text, at))
    with TemporaryDirectory() as folder:
        root, archive = Path(folder, "export"), Archive(Path(folder, "chats"))
        newest_first = written[::-1]
        for number, start in enumerate(range(0, len(newest_first), size), 1):
            write_thread(root, thread(newest_first[start : start + size][::-1]), number=number)
        first = imported(root, archive=archive)
        again = imported(root, archive=archive)
        (found,) = stored(archive).values()
        assert [(m.author.name, m.text, m.sent_ms - NOON) for m in found] == [
            (m["sender_name"], m["content"], m["timestamp_ms"] - NOON) for m in written
        ]
        assert len({m.id for m in found}) == len(found)
        assert (first.new, again.new, again.already_there) == (len(found), 0, len(found))


@pytest.mark.parametrize("top", ["", "your_activity_across_facebook", "your_facebook_activity", "nested/facebook-anna"])
@pytest.mark.parametrize(
    "section", ["inbox", "archived_threads", "filtered_threads", "message_requests", "e2ee_cutover"]
)
def test_every_root_and_section_is_read_and_a_byte_order_mark_does_no_harm(archive, tmp_path, top, section):
    for slug, other in (("ben_1", BEN), ("cilka_2", CILKA)):
        content = thread([said(ANNA, f"ahoj {other}")], people=(ANNA, other), title=other, slug=slug)
        write_thread(tmp_path / "export", content, section=section, top=top, bom=True)
    report = imported(tmp_path / "export", archive=archive)
    assert {row.title for row in report.conversations} == {BEN, CILKA}
    assert texts(archive, "messenger:ben_1") == [f"ahoj {BEN}"]
    assert texts(archive, "messenger:cilka_2") == [f"ahoj {CILKA}"]


def test_parts_of_a_zip_are_one_export_and_ten_files_stay_in_number_order(archive, tmp_path):
    written = [said((ANNA, BEN)[n % 2], f"zpráva {n}", n * 1000) for n in range(24)]
    parts = [tmp_path / "facebook-1.zip", tmp_path / "facebook-2.zip"]
    zips = [zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) for path in parts]
    for number in range(1, 13):
        oldest = len(written) - number * 2
        content = json.dumps(doubled(thread(written[oldest : oldest + 2])))
        zips[number % 2].writestr(f"deep/er/messages/inbox/benriha_1/message_{number}.json", content)
    zips[0].writestr("deep/er/messages/inbox/benriha_1/photos/1.jpg", b"jpg")
    for file in zips:
        file.close()
    report = imported(*parts, archive=archive)
    assert report.new == 24
    assert texts(archive, "messenger:benriha_1") == [f"zpráva {n}" for n in range(24)]
    assert [(s.count, s.files) for s in report.skipped] == [(1, ("deep/er/messages/inbox/benriha_1/photos/1.jpg",))]


def test_messages_of_one_instant_keep_the_order_of_a_dozen_files(archive, tmp_path):
    for number in range(12, 0, -1):
        write_thread(tmp_path / "export", thread([said(ANNA, f"{12 - number}")]), number=number)
    imported(tmp_path / "export", archive=archive)
    assert texts(archive, "messenger:benriha_1") == [str(n) for n in range(12)]


def test_what_is_not_text_is_kept_as_what_it_is(archive, tmp_path):
    photo = {"uri": "messages/inbox/x/photos/1.jpg", "creation_timestamp": 1}
    written = [
        said(ANNA, "koukej", 1, photos=[photo, {**photo, "uri": "p/2.jpg"}]),
        said(
            BEN, None, 2, photos=[photo], reactions=[{"reaction": "😂", "actor": ANNA}, {"reaction": "❤", "actor": BEN}]
        ),
        said(BEN, None, 3, sticker={"uri": "messages/stickers_used/9.png", "ai_stickers": []}),
        said(ANNA, "Anna sent an attachment.", 4, share={"link": "https://example.org/č"}),
        said(ANNA, None, 5, share={"link": "https://example.org/2"}),
        said(BEN, "přečti si to", 6, share={"link": "https://example.org/3", "share_text": "cizí text"}),
        said(BEN, "Ben called you.", 7, type="Call", call_duration=42),
        said(ANNA, "You missed a call from Ben.", 8),
        said(ANNA, "Anna named the group Výlet.", 9),
        said(ANNA, "anything", 10, type="Subscribe", users=[{"name": BEN}]),
        said(BEN, None, 11, is_unsent=True),
        said(BEN, None, 12, audio_files=[{"uri": "a.mp3"}], videos=[{"uri": "v.mp4"}], gifs=[{"uri": "g.gif"}]),
        said(ANNA, None, 13, files=[{"uri": "f.pdf"}]),
        said(ANNA, "Anna sent me a sticker. Why?", 14),
        said(BEN, None, 15),
    ]
    write_thread(tmp_path / "export", thread(written))
    report = imported(tmp_path / "export", archive=archive)
    found = stored(archive)["messenger:benriha_1"]
    kind = MessageKind
    assert [(m.kind, m.text) for m in found] == [
        (kind.TEXT, "koukej"),
        (kind.MEDIA, ""),
        (kind.STICKER, ""),
        (kind.SHARE, ""),
        (kind.SHARE, ""),
        (kind.TEXT, "přečti si to"),
        (kind.CALL, "Ben called you."),
        (kind.CALL, "You missed a call from Ben."),
        (kind.SYSTEM, "Anna named the group Výlet."),
        (kind.SYSTEM, "anything"),
        (kind.TEXT, ""),
        (kind.MEDIA, ""),
        (kind.MEDIA, ""),
        (kind.TEXT, "Anna sent me a sticker. Why?"),
        (kind.TEXT, ""),
    ]
    assert [a.uri for a in found[0].attachments] == ["messages/inbox/x/photos/1.jpg", "p/2.jpg"]
    assert found[1].reactions == (Reaction(actor=ANNA, emoji="😂"), Reaction(actor=BEN, emoji="❤"))
    assert found[2].attachments[0].kind is AttachmentKind.STICKER
    assert found[3].attachments == (Attachment(kind=AttachmentKind.LINK, uri="https://example.org/č"),)
    assert found[5].attachments == (Attachment(kind=AttachmentKind.LINK, uri="https://example.org/3"),)
    assert [m.unsent for m in found].index(True) == 10
    assert {a.kind for a in found[11].attachments} == {AttachmentKind.AUDIO, AttachmentKind.VIDEO, AttachmentKind.GIF}
    assert found[12].attachments == (Attachment(kind=AttachmentKind.FILE, uri="f.pdf"),)
    assert sum(report.conversations[0].messages_by_kind.values()) == len(written)
    assert json.loads(json.dumps(asdict(report)))["new"] == len(written)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("You are now connected on Messenger.", MessageKind.SYSTEM),
        ("Reacted 😂 to your message", MessageKind.SYSTEM),
        ("Anna set the nickname for Ben to Benny.", MessageKind.SYSTEM),
        ("Anna Nová sent an attachment.", MessageKind.MEDIA),
        ("Anna created a poll: kam?", MessageKind.POLL),
        ("Anna poslala přílohu.", MessageKind.MEDIA),
        ("Anna pojmenovala skupinu Výlet.", MessageKind.SYSTEM),
        ("Hovor skončil.", MessageKind.CALL),
        ("Anna hat einen Anhang gesendet.", MessageKind.MEDIA),
        ("Anna hat die Gruppe verlassen.", MessageKind.SYSTEM),
        ("Ben left the group.", None),  # not about the sender: Anna wrote it
        ("You named the group chat wrong, I think", MessageKind.SYSTEM),
        ("You are now connected to me", None),
        ("Anna, you left the group.", None),
        ("Reacted badly", None),
    ],
)
def test_sentences_of_the_platform(text, kind):
    assert platform_sentence(text, ANNA) is kind


def test_deleted_accounts_are_not_one_person(archive, tmp_path):
    for slug in ("gone_1", "gone_2"):
        people = (ANNA, "Facebook user")
        content = thread([said(ANNA, "?"), said("Facebook user", "!", 1)], people=people, title="", slug=slug)
        write_thread(tmp_path / "export", content)
    imported(tmp_path / "export", archive=archive)
    authors = [{m.author.id for m in messages} for messages in stored(archive).values()]
    assert len(authors) == 2
    assert authors[0] & authors[1] == {f"messenger:{ANNA}"}


def test_a_group_is_told_from_a_pair_and_keeps_everybody(archive, tmp_path):
    write_thread(tmp_path / "export", thread([said(CILKA, "už jsem pryč")], people=(ANNA, BEN)))
    group = thread([said(BEN, "čau")], people=(ANNA, BEN, CILKA), title="Parta", slug="parta_9")
    write_thread(tmp_path / "export", group)
    imported(tmp_path / "export", archive=archive)
    pair, party = sorted(archive.conversations(), key=lambda c: c.id)
    assert (pair.is_group, party.is_group, party.title) == (False, True, "Parta")
    assert [p.name for p in pair.participants] == [ANNA, BEN, CILKA]


def test_a_later_export_adds_only_what_is_new(archive, tmp_path):
    old = [said(ANNA, "jedna", 1), said(BEN, "tajné", 2), said(BEN, "ok", 3), said(BEN, "ok", 3)]
    new = [old[0] | {"reactions": [{"reaction": "❤", "actor": BEN}]}, said(BEN, None, 2, is_unsent=True), *old[2:]]
    new.append(said(ANNA, "pět", 5))
    write_thread(tmp_path / "old", thread(old), top="messages-2019")
    write_thread(tmp_path / "new", thread(new[:3]), number=2)
    write_thread(tmp_path / "new", thread(new[3:]), number=1)
    orders = ((("old"), ("new")), (("new"), ("old")))
    for turn, order in enumerate(orders):
        archive = Archive(tmp_path / f"chats{turn}")
        for name in order:
            report = imported(tmp_path / name, archive=archive)
        assert report.already_there == 4
        found = stored(archive)["messenger:benriha_1"]
        assert [m.text for m in found] == ["jedna", "", "ok", "ok", "pět"]
        assert found[0].reactions == (Reaction(actor=BEN, emoji="❤"),)
        assert [m.unsent for m in found] == [False, True, False, False, False]


def test_two_exports_in_one_import_are_one_conversation(archive, tmp_path):
    write_thread(tmp_path / "a", thread([said(ANNA, "x", 1), said(BEN, "y", 2)]))
    write_thread(
        tmp_path / "b", thread([said(BEN, "y", 2, reactions=[{"reaction": "👍", "actor": ANNA}]), said(ANNA, "z", 3)])
    )
    report = imported(tmp_path / "a", tmp_path / "b", archive=archive)
    found = stored(archive)["messenger:benriha_1"]
    assert [m.text for m in found] == ["x", "y", "z"]
    assert found[1].reactions == (Reaction(actor=ANNA, emoji="👍"),)
    assert (report.new, report.already_there) == (3, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 64), st.data())
def test_the_reader_hands_out_everything_before_a_cut(contents, window, data):
    whole = json.dumps({"participants": [1.5, 22], "messages": [{"content": c} for c in contents], "n": 12345}).encode()
    full = JsonThread(io.BytesIO(whole), window=window)
    assert [item["content"] for item in full.items()] == contents
    assert (full.damage, full.header) == (None, {"participants": [1.5, 22], "n": 12345})
    cut = data.draw(st.integers(0, len(whole) - 1))
    part = JsonThread(io.BytesIO(whole[:cut]), window=window)
    found = [item["content"] for item in part.items()]
    assert found == contents[: len(found)]
    assert len(found) == whole[:cut].count(b'"content"') or len(found) == whole[:cut].count(b'"content"') - 1
    assert part.damage is not None
    assert part.position <= cut
