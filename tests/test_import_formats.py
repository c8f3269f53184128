"""All formats alike: the same chat comes out of each, damaged exports are read or reported, zips keep in bounds."""

from __future__ import annotations

import json
import random
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exports import imported, stored
from format_writers import WRITERS, Said
from irc_logs import import_logs
from mutations import exports, mutated, read
from other_exports import messages, said_in, write_files, zip_files
from talkalike.chats.archive import Archive
from talkalike.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SHARED = next((p / "shared" / "data" for p in ROOT.parents if (p / "shared" / "data").is_dir()), ROOT / "no")
UBUNTU, PEER = SHARED / "ubuntu-irc.zip", SHARED / "peer-exports.zip"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


@pytest.fixture(scope="module")
def channel(tmp_path_factory) -> list[Said]:
    """Messages that people wrote: of the Ubuntu channel, or of the bundled sample where that is not at hand."""
    folder = tmp_path_factory.mktemp("channel")
    own = Archive(folder / "chats")
    if UBUNTU.exists():
        with zipfile.ZipFile(UBUNTU) as file:
            name = next(name for name in sorted(file.namelist()) if name.endswith(".log"))
            import_logs(own, {"2008-01-01-#ubuntu.log": file.read(name)[:120_000]})
    else:
        imported(ROOT / "samples" / "four-friends", archive=own)
    found = [m for chat in stored(own).values() for m in chat if m.kind == "text" and m.text.strip()][:300]
    return sorted(((m.author.name, m.sent_ms // 1000, m.text) for m in found), key=lambda said: said[1])


@pytest.mark.parametrize("form", WRITERS)
def test_a_chat_comes_out_of_every_format_as_it_was(form, archive, tmp_path, channel):
    files = WRITERS[form](channel)
    report = imported(zip_files(tmp_path / "export.zip", files), archive=archive)
    expected = [said for said in channel if form != "discord" or said[0] == channel[0][0]]
    told = [(m.author.name, m.sent_ms // 1000, m.text) for m in messages(archive) if m.kind != "system"]
    assert len(expected) > 5 and told == expected
    assert (report.damaged, report.unreadable, report.skipped) == ((), {}, ())
    again = imported(write_files(tmp_path / "again", files), archive=archive)
    assert (again.new, again.already_there) == (0, report.new)


def test_500_damaged_exports_are_read_or_reported():
    whole = exports()
    names = sorted(whole)
    for seed in range(500):
        chance = random.Random(seed)
        name = names[seed % len(names)]
        files = mutated(whole[name], chance)
        found, findings, unclaimed = read(files)
        said = findings.damaged or findings.skipped or findings.unreadable or findings.undecided or unclaimed
        assert found or said or not any(map(len, files.values())), (seed, name)


def test_whole_exports_lose_nothing():
    for name, files in exports().items():
        found, findings, unclaimed = read(files)
        expected = {"discord": 2, "matrix": 10}.get(name, 6)
        assert (found, findings.damaged, findings.unreadable, unclaimed) == (expected, [], {}, 0), name


@pytest.mark.skipif(not PEER.exists(), reason="needs ../shared/data/peer-exports.zip")
@pytest.mark.parametrize("platform", ["whatsapp", "telegram", "signal", "instagram"])
def test_a_peers_own_files_give_the_results_it_expects(platform, archive, tmp_path):
    """But for its joining lines with a blank, and adding one between the parts of a text of Telegram's."""
    with zipfile.ZipFile(PEER) as file:
        names = [n for n in file.namelist() if f"/{platform}/" in n and n.rpartition("/")[2].startswith("test_")]
        target = json.loads(file.read(f"exports/chat-miner/{platform}/target.json"))
        contents = {name.rpartition("/")[2]: file.read(name) for name in names}
    expected = sorted((row["timestamp"], row["author"], row["message"].replace(" ", "")) for row in target)
    assert contents
    for name, content in contents.items():
        own = Archive(tmp_path / name)
        path = write_files(tmp_path / f"of {name}", {name: content}) / name
        imported(path, archive=own, format=platform)
        told = [
            (
                datetime.fromtimestamp(m.sent_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
                m.author.name,
                "".join(m.text.split()),
            )
            for m in messages(own)
            if m.kind == "text"
        ]
        assert sorted(told) == expected, name


def test_the_same_file_names_of_two_formats_in_one_folder(archive, tmp_path):
    """Google Chat and Discord both write messages.json, Signal and a table are both JSON by the line."""
    said = [("Anna", 1_600_000_000 + at, f"hello {at}") for at in range(5)]
    for name, write in WRITERS.items():
        write_files(tmp_path / "all" / name, write(said))
    report = imported(tmp_path / "all", archive=archive)
    platforms = {row.platform for row in report.conversations}
    assert platforms == {
        *(
            "whatsapp",
            "instagram",
            "telegram",
            "discord",
            "slack",
            "signal",
            "imessage",
            "google-chat",
            "matrix",
            "table",
        )
    }
    assert not report.skipped and not report.damaged and not report.unreadable
    assert all(("Anna", "hello 4") in said_in(archive, row.id) for row in report.conversations)


def test_bombs_links_and_devices_in_a_zip_are_refused_and_told(archive, tmp_path):
    path = tmp_path / "export.zip"
    said = [("Anna", 1_600_000_000 + at, f"hello {at}") for at in range(5)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in WRITERS["telegram"](said).items():
            file.writestr(name, content)
        with file.open("bomb/result.json", "w", force_zip64=True) as bomb:
            bomb.write(b'{"name": "x", "type": "personal_chat", "messages": [')
            for _ in range(70):
                bomb.write(b" " * 1024 * 1024)
        for name, mode in (("link.json", stat.S_IFLNK), ("device.json", stat.S_IFCHR), ("pipe.json", stat.S_IFIFO)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            file.writestr(info, "/etc/passwd")
    report = imported(path, archive=archive)
    assert report.new == 5
    reasons = {skipped.reason.split(":")[0].split(",")[0]: skipped.count for skipped in report.skipped}
    assert reasons == {"a zip bomb": 1, "a link": 1, "a device file": 2}


def test_an_encrypted_zip_says_what_to_do(archive, tmp_path):
    path = zip_files(tmp_path / "export.zip", {"_chat.txt": "x"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the sign of a password in the table of contents
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"encrypted with a password: unpack it"):
        imported(path, archive=archive)
