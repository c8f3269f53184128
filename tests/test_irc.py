"""IRC logs: each client's dialect, and what only the order of the lines can tell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import imported, stored, texts
from talkalike.chats.archive import Archive
from talkalike.chats.values import MessageKind

TEXT, ACTION, SYSTEM = MessageKind.TEXT, MessageKind.ACTION, MessageKind.SYSTEM


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def log(tmp_path: Path, name: str, lines: str | bytes) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    return path


def rows(archive: Archive):
    (messages,) = stored(archive).values()
    return [(m.kind, m.author.name, m.text) for m in messages]


def times(archive: Archive):
    (messages,) = stored(archive).values()
    return [datetime.fromtimestamp(m.sent_ms / 1000, UTC).strftime("%m-%d %H:%M") for m in messages]


OLD_UBUNTU = """\
[11:58] <bob2> hello
=== ann [~a@host.example]  has joined #ubuntu
=== bob2 hopes that excludes /proc
=== TD is quite aware nobody quit or joined the topic
[12:01] <ann> bob2: hi
[12:59] <bur[n] er> \x02bold\x02 and \x0304,01red\x03 text
=== mode/#ubuntu [+o ann]  by ChanServ
=== bob2 changed the topic of #ubuntu to: news
=== ann was kicked off #ubuntu by bob2 (why)
=== bob2 [~b@host]  has left #ubuntu ["bye]
[01:00] <ann> afternoon
[11:59] <ann>
[12:00] <ubotu> a bot
=== BUR[n]ER nods
"""


def test_the_older_ubuntu_archive(archive, tmp_path):
    report = imported(log(tmp_path, "2005-03-04.train-c.log", OLD_UBUNTU), archive=archive)
    assert list(stored(archive)) == ["irc:ubuntu"]
    assert rows(archive) == [
        (TEXT, "bob2", "hello"),
        (SYSTEM, "ann", "ann [~a@host.example]  has joined #ubuntu"),
        (ACTION, "bob2", "hopes that excludes /proc"),
        (TEXT, "ann", "bob2: hi"),
        (TEXT, "bur[n]er", "bold and red text"),
        (SYSTEM, "ChanServ", "mode/#ubuntu [+o ann]  by ChanServ"),
        (SYSTEM, "bob2", "bob2 changed the topic of #ubuntu to: news"),
        (SYSTEM, "ann", "ann was kicked off #ubuntu by bob2 (why)"),
        (SYSTEM, "bob2", 'bob2 [~b@host]  has left #ubuntu ["bye]'),
        (TEXT, "ann", "afternoon"),
        (TEXT, "ann", ""),
        (TEXT, "ubotu", "a bot"),
        (ACTION, "BUR[n]ER", "nods"),
    ]
    messages = stored(archive)["irc:ubuntu"]
    assert [m.reply_to for m in messages if m.reply_to] == ["bob2"]
    assert [m.author.name for m in messages if m.is_bot] == ["ChanServ", "ubotu"]
    assert messages[-1].author.id == messages[4].author.id
    assert times(archive)[9:] == ["03-04 13:00", "03-04 23:59", "03-05 00:00", "03-05 00:00"]
    assert sum(report.unreadable.values()) == 1  # TD never spoke


def test_the_newer_ubuntu_archive_and_neighbours_without_a_channel(archive, tmp_path):
    log(
        tmp_path,
        "logs/2012-02-03.train-a.log",
        "[23:58] <ann> bob: one\n[23:58]  * bob waves\n=== bob is now known as bob|away\n"
        "[23:59] -ann:#chan- notice\n[00:01] <bob|away> next: day\n",
    )
    log(tmp_path, "logs/2012-02-09.train-c.log", "[01:00] <ann> later\n[01:00] <bob> later\n[02:00] <cat> later\n")
    imported(tmp_path / "logs", archive=archive)
    assert list(stored(archive)) == ["irc:chan"]
    assert rows(archive)[:5] == [
        (TEXT, "ann", "bob: one"),
        (ACTION, "bob", "waves"),
        (SYSTEM, "bob", "bob is now known as bob|away"),
        (SYSTEM, "ann", "notice"),
        (TEXT, "bob|away", "next: day"),
    ]
    assert times(archive) == ["02-03 23:58"] * 3 + ["02-03 23:59", "02-04 00:01"] + ["02-09 01:00"] * 2 + [
        "02-09 02:00"
    ]
    found = stored(archive)["irc:chan"]
    assert [m.reply_to for m in found if m.reply_to] == ["bob"]
    assert found[4].author.id == found[1].author.id


def test_the_linux_set(archive, tmp_path):
    lines = (
        "=== ann entered the room.\n[00:01] <ann> hi\n[00:02] <bob> yo\n"
        "=== ann left the room (quit: why).\n=== bob left\n"
    )
    imported(log(tmp_path, "#linux.log", lines), archive=archive)
    assert [kind for kind, _, _ in rows(archive)] == [SYSTEM, TEXT, TEXT, SYSTEM, ACTION]
    assert list(stored(archive)) == ["irc:linux"]


IRSSI = """\
--- Log opened Sat Nov 08 23:59:03 2025
23:59 [Users #rust]
23:59 [@ann] [ bob]
23:59 -!- cat [~c@host] has joined #rust
23:59 <@ann> bob: evening
23:59 < bob> ann, hi
23:59  * bob waves at <cat>
--- Day changed Sun Nov 09 2025
00:00 -!- bob is now known as bob_
00:00 -!- mode/#rust [+o bob_] by ann
00:01 <+bob_> late
00:02 -ann:#rust- notice
00:03 [cat(~c@host)] psst
--- Log closed Sun Nov 09 00:04:00 2025
"""


def test_irssi(archive, tmp_path):
    imported(log(tmp_path, "#rust.log", IRSSI), archive=archive)
    assert rows(archive) == [
        (SYSTEM, "cat", "cat [~c@host] has joined #rust"),
        (TEXT, "ann", "bob: evening"),
        (TEXT, "bob", "ann, hi"),
        (ACTION, "bob", "waves at <cat>"),
        (SYSTEM, "bob", "bob is now known as bob_"),
        (SYSTEM, "ann", "mode/#rust [+o bob_] by ann"),
        (TEXT, "bob_", "late"),
        (SYSTEM, "ann", "notice"),
        (TEXT, "cat", "psst"),
    ]
    assert times(archive)[3:5] == ["11-08 23:59", "11-09 00:00"]


WEECHAT = (
    "2025-11-08 23:59:01\t-->\tcat (~c@host) hat #rust betreten\n"
    "2025-11-08 23:59:02\t@ann\tbob: a\ttab\n"
    "2025-11-08 23:59:03\t *\tbob waves\n"
    "2025-11-08 23:59:04\t--\tbob is now known as bob_\n"
    "2025-11-09 00:00:05\tbob_\t<--\n"
    "2025-11-09 00:00:06\t<--\tcat (~c@host) has quit (why)\n"
    "2025-11-09 00:00:07\t=!=\terror\n"
)


def test_weechat_is_told_by_prefix_not_by_words(archive, tmp_path):
    imported(log(tmp_path, "irc.libera.#rust.weechatlog", WEECHAT), archive=archive)
    assert list(stored(archive)) == ["irc:libera/rust"]
    assert [(kind, text) for kind, _, text in rows(archive)] == [
        (SYSTEM, "cat (~c@host) hat #rust betreten"),
        (TEXT, "bob: a\ttab"),
        (ACTION, "waves"),
        (SYSTEM, "bob is now known as bob_"),
        (TEXT, "<--"),
        (SYSTEM, "cat (~c@host) has quit (why)"),
        (SYSTEM, "error"),
    ]
    assert times(archive)[-1] == "11-09 00:00"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "#c.log",
            "**** BEGIN LOGGING AT Wed Dec 31 23:00:00 2025\n\nDec 31 23:00:01 *\tNow talking on #c\n"
            "Dec 31 23:00:02 <ann>\thi\nDec 31 23:00:03 *\tbob waves\nJan 01 00:00:04 <bob>\tyo\n",
        ),
        (
            "2025-12-31-#c.log",
            "23:00:01 * Now talking on #c\n23:00:02 <ann> hi\n23:00:03  * bob waves\n00:00:04 <bob> yo\n",
        ),
        (
            "#c/2025-12-31.log",
            "[23:00:01] *** Joins: ann (a@h)\n[23:00:02] <ann> hi\n[23:00:03] * bob waves\n[00:00:04] <bob> yo\n",
        ),
        (
            "2025-12-31_#c.txt",
            "[23:00] * ann has joined #c\n[23:00] <ann> hi\n[23:00] * bob waves\n[00:00] <@bob> yo\n",
        ),
    ],
    ids=["xchat", "bare time", "znc", "mirc"],
)
def test_other_clients(archive, tmp_path, name, lines):
    imported(log(tmp_path, f"logs/{name}", lines).parents[name.count("/")], archive=archive)
    found = [(kind, nick, text) for kind, nick, text in rows(archive) if kind is not SYSTEM]
    assert found == [(TEXT, "ann", "hi"), (ACTION, "bob", "waves"), (TEXT, "bob", "yo")]
    assert len(rows(archive)) == 4
    stamps = [m.sent_ms for m in stored(archive)["irc:c"]]
    assert stamps[-1] - stamps[1] in (3_602_000, 3_600_000)
    assert times(archive)[-1] == "01-01 00:00"


def test_lines_are_split_at_line_feeds_only_and_decoded_one_by_one(archive, tmp_path):
    lines = (
        "[10:00] <ann> a\u2028b\x85c\x1cd\r\n".encode()
        + b"[10:01] <bob> caf\xe9 \x80\n[10:02] <ann> caf\xc3\xa9 \x81\xff"
    )
    imported(log(tmp_path, "2020-01-01-#c.log", lines), archive=archive)
    assert texts(archive, "irc:c") == ["a\u2028b\x85c\x1cd", "café €", "cafÃ© \x81ÿ"]


def test_a_nick_change_links_people_only_within_its_log_and_onwards(archive, tmp_path):
    first = (
        "[20:00] <root> help\n=== root is now known as Guest11\n[20:01] <Guest11> thanks\n[20:01] <Guest11> bye\n"
        "[20:02] <matt_> hi\n[20:02] <matt> oops\n=== matt_ is now known as matt\n[20:03] <matt> hi again\n"
        "[20:04] <root> me too\n[20:05] <matt_> another matt\n"
    )
    log(tmp_path, "logs/2020-01-01-#c.log", first)
    log(tmp_path, "logs/2020-01-02-#c.log", "[20:00] <matt_> unrelated\n[20:01] <Matt> hello\n")
    imported(tmp_path / "logs", archive=archive)
    spoken = [(m.author.name, m.author.id) for m in stored(archive)["irc:c"] if m.kind is TEXT]
    assert spoken == [
        ("root", "irc:root"),
        ("Guest11", "irc:root"),
        ("Guest11", "irc:root"),
        ("matt_", "irc:matt_"),
        ("matt", "irc:matt"),
        ("matt", "irc:matt"),
        ("root", "irc:root"),
        ("matt_", "irc:matt_"),
        ("matt_", "irc:matt_"),
        ("Matt", "irc:matt"),
    ]


def test_a_clock_set_back_a_little_is_no_new_day(archive, tmp_path):
    lines = "[13:30] <a> 1\n[13:10] <b> 2\n[13:31] <a> 3\n[02:00] <b> 4\n[01:05] <a> 5\n[03:00] <b> 6\n"
    imported(log(tmp_path, "2020-10-24-#c.log", lines), archive=archive)
    assert texts(archive, "irc:c") == ["1", "2", "3", "4", "5", "6"]
    assert times(archive)[-3:] == ["10-25 02:00", "10-25 02:00", "10-25 03:00"]


def test_hours_up_to_twelve_mean_half_days_only_in_the_years_they_did(archive, tmp_path):
    for name, channel in (("2006-05-06-#old.log", "irc:old"), ("2012-05-06-#new.log", "irc:new")):
        imported(log(tmp_path, name, "[11:00] <a> 1\n[12:30] <b> 2\n[01:00] <a> 3\n"), archive=archive)
        found = stored(archive)[channel]
        assert (found[2].sent_ms - found[1].sent_ms) // 60_000 == (30 if channel == "irc:old" else 12 * 60 + 30)


def test_a_log_without_years_goes_on_in_the_new_one(archive, tmp_path):
    lines = "**** BEGIN LOGGING AT Fri Dec 19 23:00:00 2025\nDec 20 10:00:00 <a> 1\nJan 05 09:00:00 <b> 2\n"
    imported(log(tmp_path, "#c.log", lines), archive=archive)
    found = stored(archive)["irc:c"]
    assert times(archive) == ["12-20 10:00", "01-05 09:00"]
    assert found[1].sent_ms > found[0].sent_ms


def test_an_overlapping_log_adds_its_rest_in_the_right_place(archive, tmp_path):
    spoken = ["1", "2", "ok", "3", "x", "4", "ok", "5"]
    minute = [f"[10:00] <{nick}> {text}" for nick, text in zip("abababab", spoken, strict=True)]
    excerpt = [*minute[1:3], *minute[5:]]  # without its beginning and a piece of its middle
    imported(log(tmp_path, "x/2020-01-01-#c.log", "\n".join(excerpt)), archive=archive)
    whole = log(tmp_path, "y/2020-01-01-#c.log", "\n".join(minute))
    report = imported(whole, archive=archive)
    assert texts(archive, "irc:c") == spoken
    assert (report.new, report.already_there) == (3, 5)
    assert imported(whole, archive=archive).new == 0


words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=15)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob", "c[d]"]), words, st.integers(0, 200)), min_size=1, max_size=25)
)
def test_any_lines_come_back_in_order(written):
    minute, lines = 0, []
    for nick, text, step in written:
        minute += step
        lines.append(f"[{minute // 60 % 24:02}:{minute % 60:02}] <{nick}> {text}")
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder, "chats"))
        path = log(Path(folder), "2020-05-05-#c.log", "\n".join(lines))
        imported(path, archive=archive)
        (found,) = stored(archive).values()
        assert [(m.author.name, m.text) for m in found] == [(nick, text) for nick, text, _ in written]
        assert (found[-1].sent_ms - found[0].sent_ms) // 60_000 == minute - written[0][2]
        assert imported(path, archive=archive).new == 0
