"""Whatever is wrong with an export: a clear sentence or a line in the report, and everything sound is imported."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from exports import NOON, encrypted, imported, said, stored, texts, thread, write_encrypted, write_thread
from talkalike.chats.archive import Archive
from talkalike.errors import UserError


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def test_a_wrong_path_names_it(archive, tmp_path):
    with pytest.raises(UserError, match=r"no file or folder .*nowhere"):
        imported(tmp_path / "nowhere", archive=archive)
    assert not archive.root.exists()


def test_an_empty_folder(archive, tmp_path):
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty is empty\. Give the folder"):
        imported(tmp_path / "empty", archive=archive)


def test_an_unknown_format_lists_the_known_ones(archive, tmp_path):
    with pytest.raises(UserError, match=r"auto, instagram, messenger, messenger-e2ee, discord.*whatsapp, irc"):
        imported(tmp_path, archive=archive, format="fax")


def test_an_html_export_says_what_to_ask_for(archive, tmp_path):
    page = tmp_path / "export" / "messages" / "inbox" / "ben_1" / "message_1.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html><body>Ben</body></html>")
    with pytest.raises(UserError, match=r"HTML, which cannot be read.*JSON"):
        imported(tmp_path / "export", archive=archive)


def test_html_threads_beside_json_ones_are_counted(archive, tmp_path):
    for slug in ("ben_1", "cilka_2"):
        page = tmp_path / "export" / "messages" / "inbox" / slug / "message_1.html"
        page.parent.mkdir(parents=True)
        page.write_text("<html></html>")
    write_thread(tmp_path / "export", thread([said("Anna", "x")]))
    (tmp_path / "export" / "secret_conversations.json").write_text('{"participants": 3}')
    (tmp_path / "export" / "notes.docx").write_bytes(b"PK")
    report = imported(tmp_path / "export", archive=archive)
    assert report.new == 1
    counts = {skipped.reason.split(":")[0]: skipped.count for skipped in report.skipped}
    assert counts == {
        "HTML instead of JSON": 2,
        "the export's settings, holds no messages": 1,
        "not a known chat export": 1,
    }


def test_what_is_no_chat_is_said_with_what_can_be_read(archive, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "story.txt").write_text("Once upon a time\nthere was a chat.\n" * 20)
    (tmp_path / "export" / "data.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"No chat was found.*2 × not a known chat export.*Messenger.*IRC"):
        imported(tmp_path / "export", archive=archive)


def write_zip(path: Path, files: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def chat_file(slug: str) -> str:
    return json.dumps(thread([said("Anna", f"hi {slug}")], people=("Anna", slug), slug=slug))


def test_zips_in_a_folder_are_read_and_those_that_people_sent_are_not(archive, tmp_path):
    downloads = tmp_path / "Downloads"
    write_zip(downloads / "facebook-1.zip", {"messages/inbox/ben_1/message_1.json": chat_file("ben_1")})
    write_zip(downloads / "older" / "facebook-2.ZIP", {"messages\\inbox\\eva_2\\message_1.json": chat_file("eva_2")})
    write_zip(downloads / "irc.zip", {"2020-01-01-#c.log": "[10:00] <ann> hi\n[10:01] <bob> yo\n"})
    inner = write_zip(tmp_path / "inner.zip", {"messages/inbox/not_3/message_1.json": chat_file("not_3")})
    sent = downloads / "export" / "messages" / "inbox" / "ben_1" / "files" / "sent.zip"
    sent.parent.mkdir(parents=True)
    sent.write_bytes(inner.read_bytes())
    write_zip(downloads / "zips.zip", {"inner.zip": "PK"})
    (downloads / "half.zip").write_bytes(inner.read_bytes()[:30])
    report = imported(downloads, archive=archive)
    assert {row.title for row in report.conversations} == {"Ben Říha", "#c"}
    assert sorted(stored(archive)) == ["irc:c", "messenger:ben_1", "messenger:eva_2"]
    assert [Path(damaged.file).name for damaged in report.damaged] == ["half.zip"]
    assert [(s.reason.split(":")[0], s.count) for s in report.skipped] == [("a zip inside an export", 2)]
    assert imported(downloads, downloads / "facebook-1.zip", archive=archive).new == 0


def test_the_pages_of_a_json_export_are_no_wrong_export(archive, tmp_path):
    files = {"start_here.html": "<html>", "__MACOSX/._message_1.json": "", "files/.DS_Store": ""}
    path = write_zip(tmp_path / "export.zip", {**files, "messages/inbox/ben_1/message_1.json": chat_file("ben_1")})
    report = imported(path, archive=archive)
    assert {(s.reason, s.count) for s in report.skipped} == {
        ("a page of the export, holds no messages", 1),
        ("the computer's own file, holds no messages", 2),
    }
    alone = write_zip(tmp_path / "alone.zip", files)
    with pytest.raises(UserError, match=r"No chat was found.*a page of the export"):
        imported(alone, archive=archive)


@pytest.mark.parametrize(
    ("path", "platform"),
    [
        ("your_facebook_activity/messages/inbox/instagramovi_1/message_1.json", "messenger"),
        ("instagram-tips/facebook-anna/nested/inbox/message_1.json", "messenger"),
        ("messages/inbox/instagram/message_1.json", "messenger"),
        ("your_instagram_activity/messages/inbox/ben_1/message_1.json", "instagram"),
        ("instagram-anna-2024-01-31-Ab3/messages/inbox/ben_1/message_1.json", "instagram"),
        ("Instagram/messages/inbox/ben_1/message_1.json", "instagram"),
    ],
)
def test_a_chat_named_instagram_is_told_from_an_export_of_instagram(archive, tmp_path, path, platform):
    write_zip(
        tmp_path / "both.zip", {path: chat_file("a_1"), "messages/inbox/eva_2/message_1.json": chat_file("eva_2")}
    )
    imported(tmp_path / "both.zip", archive=archive)
    assert sorted(stored(archive)) == sorted([f"{platform}:a_1", "messenger:eva_2"])


def half_a_zip(folder: Path) -> Path:
    whole = folder / "whole.zip"
    with zipfile.ZipFile(whole, "w") as file:
        for slug in ("ben_1", "cilka_2"):
            file.writestr(f"messages/inbox/{slug}/message_1.json", json.dumps(thread([said("Anna", slug)], slug=slug)))
    half = folder / "half.zip"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return half


def test_half_a_zip_alone_is_an_error_and_beside_others_a_line(archive, tmp_path):
    half = half_a_zip(tmp_path)
    with pytest.raises(UserError, match=r"half\.zip.*download it again"):
        imported(half, archive=archive)
    report = imported(half, tmp_path / "whole.zip", archive=archive)
    assert report.new == 2
    assert [(Path(d.file).name, d.messages_read) for d in report.damaged] == [("half.zip", 0)]


def test_a_damaged_entry_in_a_zip_is_reported_and_the_rest_is_imported(archive, tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for slug in ("ben_1", "cilka_2"):
            file.writestr(
                f"messages/inbox/{slug}/message_1.json", json.dumps(thread([said("Anna", f"hi {slug}")], slug=slug))
            )
    path.write_bytes(path.read_bytes().replace(b"hi ben_1", b"hi BEN_1", 1))  # the checksum does not fit any more
    report = imported(path, archive=archive)
    assert [d.file for d in report.damaged] == ["messages/inbox/ben_1/message_1.json"]
    assert texts(archive, "messenger:cilka_2") == ["hi cilka_2"]


def test_truncated_json_gives_what_came_before_the_cut(archive, tmp_path):
    written = [said("Anna" if n % 3 else "Ben", f"message {n}", n) for n in range(1000)]
    path = write_thread(tmp_path / "export", thread(written))
    other = thread([said("Anna", "whole")], slug="other_2")
    write_thread(tmp_path / "export", other)
    content = path.read_bytes()
    cut = content.index(b'"message 500"')
    path.write_bytes(content[:cut])
    report = imported(tmp_path / "export", archive=archive)
    (damaged,) = report.damaged
    assert damaged.file.endswith("benriha_1/message_1.json")
    assert (damaged.messages_read, damaged.reason) == (499, "it ends in the middle")
    assert cut - 100 < damaged.position <= cut
    assert texts(archive, "messenger:benriha_1") == [f"message {n}" for n in range(501, 1000)]
    assert texts(archive, "messenger:other_2") == ["whole"]
    path.write_bytes(content)
    assert imported(tmp_path / "export", archive=archive).new == 501
    assert texts(archive, "messenger:benriha_1") == [f"message {n}" for n in range(1000)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "the file is empty"),
        (b"[1, 2]", "it is not a JSON object"),
        (b'{"participants": [], "messages": [{"a": }]}', "its JSON is broken"),
        (b'{"participants": [], "messages": [' + b"[" * 100_000, "it is nested too deeply to be a chat"),
        (b'{"participants": [{"name": "A', "it ends in the middle"),
    ],
)
def test_a_thread_that_is_no_json_is_reported(archive, tmp_path, broken, reason):
    write_thread(tmp_path / "export", thread([said("Anna", "whole")]))
    path = write_thread(tmp_path / "export", thread([], slug="broken_2"))
    path.write_bytes(broken)
    report = imported(tmp_path / "export", archive=archive)
    assert [(d.file.split("/")[-2], d.reason, d.messages_read) for d in report.damaged] == [("broken_2", reason, 0)]
    assert report.new == 1


def test_messages_that_are_none_are_counted_by_reason(archive, tmp_path):
    odd = [
        "text",
        {"sender_name": "Anna", "content": "when?"},
        said("Anna", "yesterday") | {"timestamp_ms": -5},
        said("Anna", "x") | {"timestamp_ms": 10**30},
        said("Anna", "fine"),
        {"timestamp_ms": NOON + 1, "content": "nobody"},
        said("Anna", None, 2) | {"content": {"not": "text"}, "photos": "none", "reactions": [3], "share": []},
    ]
    write_thread(tmp_path / "export", thread(odd) | {"participants": "?"})
    report = imported(tmp_path / "export", archive=archive)
    assert report.unreadable == {"not a message object": 1, "without a usable time": 3}
    assert texts(archive, "messenger:benriha_1") == ["fine", "nobody", ""]


def test_lone_surrogates_and_bad_bytes_are_stored_as_replacements_and_counted(archive, tmp_path):
    path = tmp_path / "messages" / "inbox" / "ben_1" / "message_1.json"
    path.parent.mkdir(parents=True)
    content = json.dumps(
        thread([said("A\ud800nna", "half \ud83d!", 1), said("Ben", "whole 😂", 2), said("Ben", "bad ?", 3)])
    )
    path.write_bytes(content.encode().replace(b"bad ?", b"bad \xff"))
    report = imported(path, archive=archive)
    found = stored(archive)["messenger:benriha_1"]
    assert [m.text for m in found] == ["half \ufffd!", "whole 😂", "bad \ufffd"]
    assert found[0].author.name == "A\ufffdnna"
    assert report.replaced_characters == 3
    write_encrypted(tmp_path / "e2ee", encrypted([("Ben", "x", 0)]) | {"threadName": "T"})
    file = tmp_path / "e2ee" / "Ben Riha_1.json"
    file.write_bytes(file.read_bytes().replace(b'"x"', b'"\\ude00"'))
    assert imported(tmp_path / "e2ee", archive=archive).replaced_characters == 1


def test_conversations_with_one_person_or_nobody(archive, tmp_path):
    write_thread(tmp_path / "export", thread([said("Anna", "note", n) for n in range(3)], people=("Anna",)))
    write_thread(tmp_path / "export", thread([], slug="silent_2"))
    write_encrypted(tmp_path / "export", encrypted([("Anna", "note to self", 0)], people=("Anna",)), name="Anna_3")
    report = imported(tmp_path / "export", archive=archive)
    assert sorted(row.new for row in report.conversations) == [1, 3]
    assert [(s.reason, s.count) for s in report.skipped] == [("holds no messages", 1)]


def test_paths_that_leave_the_export_are_refused(archive, tmp_path):
    content = json.dumps(thread([said("Anna", "x")]))
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../messages/inbox/evil_1/message_1.json", content)
        file.writestr("/messages/inbox/evil_2/message_1.json", content)
        file.writestr("a/..\\..\\messages/evil_3/message_1.json", content)
        file.writestr("messages/inbox/good_4/message_1.json", content)
    report = imported(tmp_path / "evil.zip", archive=archive)
    assert report.new == 1
    assert [(s.reason, s.count) for s in report.skipped] == [("its path leads out of the zip", 3)]


def test_links_out_of_the_export_are_not_followed(archive, tmp_path):
    outside = write_thread(tmp_path / "outside", thread([said("Anna", "private")], slug="outside_1"))
    write_thread(tmp_path / "export", thread([said("Anna", "mine")]))
    (tmp_path / "export" / "message_1.json").symlink_to(outside)
    (tmp_path / "export" / "folder").symlink_to(outside.parent, target_is_directory=True)
    report = imported(tmp_path / "export", archive=archive)
    assert [m.text for found in stored(archive).values() for m in found] == ["mine"]
    assert [(s.reason, s.count, s.files) for s in report.skipped] == [
        ("a link, not followed", 2, ("folder", "message_1.json"))
    ]


def test_a_forced_format_reads_nothing_else(archive, tmp_path):
    write_thread(tmp_path / "export", thread([said("Anna", "x")]))
    (tmp_path / "export" / "2020-01-01-#c.log").write_text("[10:00] <ann> hi\n[10:01] <bob> yo\n")
    assert imported(tmp_path / "export", archive=archive, format="irc").new == 2
    assert imported(tmp_path / "export", archive=archive).new == 1


def test_progress_reaches_the_end_even_past_damage(archive, tmp_path):
    for number in range(3):
        path = write_thread(
            tmp_path / "export", thread([said("Anna", "x" * 1000, n) for n in range(300)], slug=f"t_{number}")
        )
    path.write_bytes(b"[" + path.read_bytes())  # given up at the first character
    seen: list[tuple[int, int]] = []
    imported(tmp_path / "export", archive=archive, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    total = sum(f.stat().st_size for f in (tmp_path / "export").rglob("*.json"))
    assert done == sorted(done) and len(done) > 3
    assert seen[-1] == (total, total)


def test_a_large_file_needs_little_memory(archive, tmp_path):
    """A file of 40 MB is read with some 90 MB more than the program itself needs; as objects it would take 300."""
    path = write_thread(tmp_path / "export", thread([]))
    text = "x" * 100
    with path.open("w") as file:
        file.write('{"participants": [{"name": "Anna"}, {"name": "Ben"}], "messages": [')
        for n in range(200_000, 0, -1):
            file.write(
                f'{{"sender_name": "Anna", "timestamp_ms": {NOON + n}, "content": "{n} {text}",'
                f' "is_geoblocked_for_viewer": false, "some_other_field": null}}{"," if n > 1 else ""}\n'
            )
        file.write('], "title": "Ben"}')
    assert path.stat().st_size > 40_000_000
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from talkalike.chats.archive import Archive
        from talkalike.chats.importing import import_paths

        def peak():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

        before = peak()
        report = import_paths([Path(sys.argv[1])], archive=Archive(Path(sys.argv[2])))
        print(report.new, peak() - before)
        """
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc to measure memory")
    command = [sys.executable, "-c", program, str(tmp_path / "export"), str(archive.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    messages, grown_mb = map(int, done.stdout.split())
    assert messages == 200_000
    assert grown_mb < 160
