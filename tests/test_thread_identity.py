"""Which messages belong together: people and contents decide, never the name of a file alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import NOON, encrypted, imported, said, stored, thread, write_encrypted, write_thread
from talkalike.chats.archive import Archive
from talkalike.chats.importers.messenger_text import is_deleted_account
from talkalike.chats.importers.protocol import Part
from talkalike.chats.importers.times import sent_ms
from talkalike.chats.merging import collect
from talkalike.chats.values import Conversation, Message, MessageKind, Platform, Speaker

ANNA, BEN, CILKA = "Anna Nová", "Ben Říha", "Cilka Šťastná"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def spoken(archive: Archive) -> list[list[str]]:
    """The texts of each conversation."""
    return sorted([m.text for m in messages] for messages in stored(archive).values())


def write_as(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def pair(other, *texts, at=0, path=""):
    content = thread([said(other, text, at + n) for n, text in enumerate(texts)], people=(other, ANNA), title=other)
    return {**content, "thread_path": path}


def test_threads_of_2018_whose_files_have_no_number_are_chats_of_their_own(archive, tmp_path):
    for slug, other in (("ben_aa1", "Ben"), ("cilka_bb2", "Cilka")):
        content = pair(other, f"tady {other}", "ahoj", path=slug)
        write_as(tmp_path / "messages" / slug / "message.json", content)
    for _ in range(2):
        report = imported(tmp_path / "messages", archive=archive)
    assert report.new == 0
    assert spoken(archive) == [["tady Ben", "ahoj"], ["tady Cilka", "ahoj"]]
    assert not any(chat.is_group for chat in archive.conversations())
    assert {chat.id for chat in archive.conversations()} == {"messenger:ben_aa1", "messenger:cilka_bb2"}


@pytest.mark.parametrize("name", ["message_{}.json", "chat ({}).json"])
@pytest.mark.parametrize("path", ["", "inbox/{}"])
def test_files_of_different_people_in_one_folder_are_not_one_chat(archive, tmp_path, name, path):
    for number, other in enumerate(["Ben", "Cilka", "Dan"]):
        content = pair(other, f"{other} 1", f"{other} 2", path=path.format(other.lower()))
        write_as(tmp_path / "inbox" / name.format(number), content)
    for _ in range(2):
        report = imported(tmp_path / "inbox", archive=archive)
    assert report.new == 0
    assert spoken(archive) == [[f"{other} 1", f"{other} 2"] for other in ("Ben", "Cilka", "Dan")]


def test_one_folder_name_in_two_exports_with_other_people_is_two_chats_in_either_order(archive, tmp_path):
    for export, other in (("a", "Ben"), ("b", "Cilka")):
        write_as(tmp_path / export / "messages" / "inbox" / "chat_1" / "message_1.json", pair(other, f"{other}!"))
    for turn, order in enumerate(("ab", "ba")):
        archive = Archive(tmp_path / f"chats{turn}")
        for _ in range(2):
            for export in order:
                report = imported(tmp_path / export, archive=archive)
                assert report.new <= 1
        assert report.new == 0
        assert spoken(archive) == [["Ben!"], ["Cilka!"]]


def test_a_group_whose_people_all_changed_stays_one_where_its_messages_tell_so(archive, tmp_path):
    early = [said(ANNA, "jedna", 1), said(BEN, "dva", 2), said(ANNA, "tři", 3)]
    late = [*early[1:], said(CILKA, "čtyři", 4)]
    first = thread(early, people=(ANNA, BEN, "Dan"), title="Parta", slug="parta_9")
    write_thread(tmp_path / "old", first)
    write_thread(tmp_path / "new", thread(late, people=(ANNA, CILKA, "Eva"), title="Parta", slug="parta_9"))
    imported(tmp_path / "old", archive=archive)
    report = imported(tmp_path / "new", archive=archive)
    assert (report.new, report.already_there) == (1, 2)
    assert spoken(archive) == [["jedna", "dva", "tři", "čtyři"]]


def test_two_zips_of_one_name_are_two_tellings_and_nothing_is_doubled(archive, tmp_path):
    content = json.dumps(pair("Ben", "jednou", "ok", path="inbox/ben_1"))
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        with zipfile.ZipFile(tmp_path / year / "facebook.zip", "w") as file:
            file.writestr("messages/inbox/ben_1/message_1.json", content)
    report = imported(tmp_path, tmp_path / "2024" / "facebook.zip", archive=archive)
    assert (report.new, report.already_there) == (2, 2)
    assert spoken(archive) == [["jednou", "ok"]]


def test_an_encrypted_file_of_one_name_in_two_downloads_is_two_chats_where_the_people_differ(archive, tmp_path):
    group = (BEN, ANNA, CILKA)
    write_encrypted(tmp_path / "2024", encrypted([(BEN, "z práce", 0), (ANNA, "ahoj", 1)], people=group[:2]), "Ben_3")
    write_encrypted(tmp_path / "2025", encrypted([(CILKA, "tady Cilka", 0), (ANNA, "ahoj", 1)], people=group), "Ben_3")
    report = imported(tmp_path / "2024", tmp_path / "2025", archive=archive)
    assert report.new == 4
    assert spoken(archive) == [["tady Cilka", "ahoj"], ["z práce", "ahoj"]]
    assert sorted(chat.is_group for chat in archive.conversations()) == [False, True]
    assert imported(tmp_path / "2025", archive=archive).new == 0


@pytest.mark.parametrize("people", [(ANNA, BEN), (ANNA, "Facebook user")])
@pytest.mark.parametrize("together", [True, False])
def test_two_friends_of_one_name_keep_their_own_messages_when_a_download_numbers_them_anew(
    archive, tmp_path, people, together
):
    one = [(people[1], f"jedna {n}", 1000 * n) for n in range(6)]
    two = [(people[1], f"dva {n}", 1000 * n + 500) for n in range(6)]
    for folder, numbers, length in (("2024", (3, 7), 4), ("2025", (7, 3), 6)):
        for messages, number in zip((one, two), numbers, strict=True):
            write_encrypted(tmp_path / folder, encrypted(messages[:length], people=people), f"Ben_{number}")
    folders = [tmp_path / "2024", tmp_path / "2025"]
    for paths in [folders] if together else [[folder] for folder in folders]:
        imported(*paths, archive=archive)
    assert spoken(archive) == [[text for _, text, _ in two], [text for _, text, _ in one]]
    assert len({m.author.id for found in stored(archive).values() for m in found}) == (1 if people[1] == BEN else 2)
    for folder in folders:
        assert imported(folder, archive=archive).new == 0


def test_one_friend_in_two_downloads_that_share_no_day_is_one_chat(archive, tmp_path):
    write_encrypted(tmp_path / "2024", encrypted([(BEN, "dřív", 0)]), "Ben_3")
    write_encrypted(tmp_path / "2025", encrypted([(BEN, "potom", 90_000_000)]), "Ben_8")
    for folder in ("2024", "2025"):
        imported(tmp_path / folder, archive=archive)
    assert spoken(archive) == [["dřív", "potom"]]


names = st.lists(st.sampled_from(["Ben", "Cilka", "Dan", "Eva"]), min_size=1, max_size=3, unique=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(names, min_size=1, max_size=5, unique_by=frozenset), st.data())
def test_every_chat_keeps_its_own_messages_whatever_its_files_are_called(groups, data):
    with TemporaryDirectory() as folder:
        root, archive = Path(folder), Archive(Path(folder, "chats"))
        written: list[list[str]] = []
        for number, others in enumerate(groups):
            texts = [f"{'+'.join(others)} {n}" for n in range(data.draw(st.integers(1, 3)))]
            made = [said(others[0], text, 10 * n) for n, text in enumerate(texts)]
            content = thread(made, people=(*others, ANNA), title="".join(others))
            # A group without the export's own name for it may be one that grew.
            paths = ["", f"inbox/thread_{number}"] if len(others) == 1 else [f"inbox/thread_{number}"]
            content["thread_path"] = data.draw(st.sampled_from(paths))
            name = data.draw(st.sampled_from(["message.json", "message_1.json", "export.json", f"{number}.json"]))
            where = data.draw(st.sampled_from(["chat", f"chat_{number}"]))
            write_as(root / f"export{number}" / "messages" / "inbox" / where / name, content)
            written.append(texts)
        exports = sorted(root.glob("export*"))
        for paths in [exports] if data.draw(st.booleans()) else [[one] for one in exports]:
            imported(*paths, archive=archive)
        assert spoken(archive) == sorted(written)
        assert imported(*exports, archive=archive).new == 0


def test_an_archive_of_an_earlier_version_takes_an_export_again_without_doubling(archive, tmp_path):
    """Encrypted chats were called by their people or their file, some texts were left encoded, sentences were words."""
    people = tuple(Speaker(id=f"messenger:{name}", name=name) for name in (ANNA, BEN))

    def message(text: str, at: int, kind: MessageKind = MessageKind.TEXT) -> Message:
        return Message(id="", author=people[1], sent_ms=NOON + at, text=text, kind=kind)

    def put(id_: str, messages: list[Message], origin: str) -> None:
        chat = Conversation(id=id_, platform=Platform.MESSENGER, title=BEN, is_group=False, participants=people)
        table = collect([Part(messages=messages)], origin=origin)
        archive.merge(chat, table, twin_key="\n".join(["", *sorted((ANNA, BEN))]))

    put(
        "messenger:e2ee-0123456789abcdef", [message("jedna", 0), message("dvě", 5), message("tři", 9)], "messenger-e2ee"
    )
    write_encrypted(tmp_path / "e2ee", encrypted([(BEN, "jedna", 0), (BEN, "dvě", 5), (BEN, "tři", 9), (BEN, "4", 20)]))
    report = imported(tmp_path / "e2ee", archive=archive)
    assert (report.new, report.already_there) == (1, 3)

    archive = Archive(tmp_path / "classic chats")
    odd = "p\u00c5\u0099ijdu \u2026"
    old = [message(odd, 0), message("Ben shared a reel.", 1), message("", 2, MessageKind.MEDIA), message("ok", 3)]
    put("messenger:benriha_1", old, "messenger")
    written = [said(BEN, "", 0) | {"content": odd}, said(BEN, "Ben shared a reel.", 1)]
    written += [said(BEN, "Ben sent an attachment.", 2), said(BEN, "ok", 3)]
    write_as(tmp_path / "c" / "messages" / "inbox" / "benriha_1" / "message_1.json", thread(written))
    for new, updated in ((0, 2), (0, 0)):
        table = imported(tmp_path / "c", archive=archive)
        assert (table.new, table.updated) == (new, updated)
    kinds = [(m.text, m.kind) for m in stored(archive)["messenger:benriha_1"]]
    assert kinds[0] == ("přijdu …", MessageKind.TEXT)
    assert [kind for _, kind in kinds[1:]] == [MessageKind.MEDIA, MessageKind.MEDIA, MessageKind.TEXT]


def test_an_archive_into_which_chats_were_mixed_says_so(archive, tmp_path):
    people = tuple(Speaker(id=f"messenger:{name}", name=name) for name in ("Ben", ANNA, "Cilka"))
    chat = Conversation(
        id="messenger:ben_1", platform=Platform.MESSENGER, title="Ben", is_group=True, participants=people
    )
    mixed = [Message(id="", author=people[n], sent_ms=NOON + n // 2, text=f"{n}") for n in (0, 2)]
    archive.merge(chat, collect([Part(messages=mixed)], origin="messenger"))
    write_as(tmp_path / "messages" / "ben_1" / "message.json", pair("Ben", "0", path="ben_1"))
    report = imported(tmp_path / "messages", archive=archive)
    assert report.new == 0
    assert "an earlier version mixed other chats into this one" in report.notes[0]


def test_people_of_one_name_are_told(archive, tmp_path):
    for slug in ("jan_1", "jan_2"):
        write_thread(tmp_path, thread([said("Jan", slug)], people=(ANNA, "Jan"), slug=slug, title="Jan"))
    party = thread([said("Jan", "jsme dva")], people=("Jan", "Jan", ANNA), slug="parta_3", title="Parta")
    write_thread(tmp_path, party)
    write_encrypted(tmp_path, encrypted([("Jan", "i tady", 0)], people=("Jan", "Jan", ANNA), title="Tajná"))
    report = imported(tmp_path, archive=archive)
    first, second, third = sorted(report.notes)
    assert first.startswith(f"2 chats are between {ANNA} and Jan (jan_1, jan_2).")
    assert second.startswith("Parta: 2 people in it are called Jan.")
    assert third.startswith("Tajná: 2 people in it are called Jan.")
    assert archive.summaries()["messenger:parta_3"].conversation.is_group


@pytest.mark.parametrize(
    "name",
    [
        *("Facebook user", "Facebook User", "Uživatel Facebooku", "Facebook-Nutzer", "Utilisateur de Facebook"),
        *("Facebook-gebruiker", "Facebook-användare", "Facebook-felhasználó", "Facebook Kullanıcısı", "مستخدم فيسبوك"),
        *("Facebookユーザー", "Facebook 用户", "Пользователь Facebook", "Χρήστης Facebook", "Người dùng Facebook", ""),
    ],
)
def test_a_deleted_account_is_somebody_else_in_every_chat_in_every_language(archive, tmp_path, name):
    for slug in ("gone_1", "gone_2"):
        write_thread(tmp_path, thread([said(ANNA, "?"), said(name, "!", 1)], people=(ANNA, name), slug=slug))
    report = imported(tmp_path, archive=archive)
    authors = [{m.author.id for m in messages} for messages in stored(archive).values()]
    assert authors[0] & authors[1] == {f"messenger:{ANNA}"}
    assert report.notes == ()


@pytest.mark.parametrize("name", [BEN, "Facebook", "Ben Facebooker z Prahy Čtyři Dva", "Messenger"])
def test_other_names_are_people(name):
    assert not is_deleted_account(name)


@pytest.mark.parametrize("time", [NOON, float(NOON), str(NOON), f"{NOON}.0", NOON // 1000, str(NOON // 1000)])
def test_times_as_numbers_texts_and_seconds_are_read(time):
    assert sent_ms(time) == NOON


@pytest.mark.parametrize(
    "time", [None, True, "", "soon", "nan", "inf", float("nan"), -1, 0, 10**30, 10**400, "9" * 400]
)
def test_what_is_no_time_is_dropped_and_its_file_named(archive, tmp_path, time):
    content = thread([said(BEN, "ok", 1), said(BEN, "kdy?", 2) | {"timestamp_ms": time}])
    file = write_as(tmp_path / "messages" / "inbox" / "benriha_1" / "message_1.json", content)
    report = imported(tmp_path / "messages", archive=archive)
    assert report.unreadable == {"without a usable time": 1}
    assert report.unreadable_in == {"without a usable time": (file.relative_to(tmp_path / "messages").as_posix(),)}
