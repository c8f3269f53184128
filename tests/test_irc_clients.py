"""How clients write IRC logs: their times and dates, their events and actions, their colours and names of files."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import stored
from irc_logs import import_logs, spoken, told
from talkalike.chats.archive import Archive
from talkalike.chats.importers.irc.months import _LANGUAGES, day_in, month_of


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


HELLO = "2019-09-30 16:59:05 text ann: hello", "2019-09-30 17:01:04 text bob: anybody"
STAMPS = {
    "irssi, with dates": "2019-09-30 16:59:05 <@ann> hello\n2019-09-30 17:01:04 < bob> anybody\n",
    "The Lounge": "[2019-09-30T16:59:05.000Z] <ann> hello\n[2019-09-30T17:01:04.123Z] <bob> anybody\n",
    "Textual": "[2019-09-30T18:59:05+0200] <ann> hello\n[2019-10-01T00:01:04+0700] <bob> anybody\n",
    "mIRC, day first": "[30/09/2019 16:59:05] <ann> hello\n[30/09/2019 17:01:04] <bob> anybody\n",
    "mIRC, month first": "[09/30/2019 16:59:05] <ann> hello\n[09/30/2019 17:01:04] <bob> anybody\n",
    "with points": "[30.09.19 16:59:05] <ann> hello\n[30.09.19 17:01:04] <bob> anybody\n",
    "half days": "[9/30/2019 4:59:05 PM] <ann> hello\n[9/30/2019 5:01:04 PM] <bob> anybody\n",
    "Konversation": "[Monday 30 September 2019] [16:59:05] <ann>\thello\n"
    "[Monday 30 September 2019] [17:01:04] <bob>\tanybody\n",
    "Konversation, in Czech": "[pondělí 30. září 2019] [16:59:05] <ann>\thello\n"
    "[pondělí 30. září 2019] [17:01:04] <bob>\tanybody\n",
    "year last": "[Mon Sep 30 16:59:05 2019] <ann> hello\n[Mon Sep 30 17:01:04 2019] <bob> anybody\n",
    "WeeChat, nicks in <>": "2019-09-30 16:59:05\t<@ann>\thello\n2019-09-30 17:01:04\t<bob>\tanybody\n",
}


@pytest.mark.parametrize("lines", STAMPS.values(), ids=list(STAMPS))
def test_lines_that_name_their_day(archive, lines):
    report = import_logs(archive, {"#c.log": lines})
    assert told(archive) == [*HELLO]
    assert not report.unreadable and not report.notes


def test_the_same_numbers_for_day_and_month_go_by_what_is_possible_and_then_by_what_goes_on(archive):
    import_logs(
        archive,
        {
            "#a.log": "[01/02/2019 10:00:00] <ann> 1\n[02/01/2019 10:00:00] <bob> 2\n[02/02/2019 10:00:00] <ann> 3\n",
            "#b.log": "[01/02/2019 10:00:00] <ann> 1\n[01/02/2019 10:01:00] <bob> 2\n[13/02/2019 10:01:00] <bob> 3\n",
        },
    )
    assert [line[:10] for line in told(archive, "irc:a")] == ["2019-01-02", "2019-02-01", "2019-02-02"]
    assert [line[:10] for line in told(archive, "irc:b")] == ["2019-02-01", "2019-02-01", "2019-02-13"]
    report = import_logs(archive, {"#c.log": "[03/04/2019 10:00:00] <ann> 1\n[03/04/2019 10:00:09] <bob> 2\n"})
    assert told(archive, "irc:c")[0].startswith("2019-04-03")
    assert [note for note in report.notes if "day/month/year" in note and "#c.log" in note]


MIRC = """
Session Start: Mon Nov 08 14:01:03 2010
Session Ident: #t
[14:01] * Now talking in #t
[14:01] * Topic is 'all about t'
[14:01] * Set by ann on Sun Nov 07 10:00:00
[14:01] <\x034ann\x03> november
[14:02] <bob> november
Session Close: Mon Nov 08 14:05:00 2010

Session Start: Tue Feb 15 14:10:03 2011
Session Ident: #t
[14:10] <ann> february
[14:11] * bob gives ann a cookie
[14:12] * bob removes his hat
[14:12] * bob sets off to have lunch
[14:13] * bob gives channel operator status to ann
[14:13] * bob sets mode: +o ann
[14:14] * cat (~c@host) Quit (Ping timeout)
[14:14] * bob has left #t
[14:15] * ann is now known as ann_
[14:16] * ann_ waves
Session Close: Tue Feb 15 14:15:00 2011
"""


def test_mircs_sessions_each_have_their_day(archive):
    import_logs(archive, {"#t.QuakeNet.log": MIRC})
    assert list(stored(archive)) == ["irc:quakenet/t"]
    assert spoken(archive) == [
        "2010-11-08 14:01:00 text ann: november",
        "2010-11-08 14:02:00 text bob: november",
        "2011-02-15 14:10:00 text ann: february",
        "2011-02-15 14:11:00 action bob: gives ann a cookie",
        "2011-02-15 14:12:00 action bob: removes his hat",
        "2011-02-15 14:12:00 action bob: sets off to have lunch",
        "2011-02-15 14:16:00 action ann_: waves",
    ]
    assert len(told(archive)) == 7 + 8


def test_where_events_have_a_mark_of_their_own_a_star_is_always_an_action(archive):
    import_logs(
        archive,
        {
            "#x/2020-03-02.log": "[10:00:00] *** Joins: ann (a@host)\n[10:00:01] <bob> hungry?\n"
            "[10:00:05] * ann gives bob a sandwich\n[10:00:06] * ann removes the crust first\n"
            "[10:00:07] * bob eats\n[10:00:09] * Parts of the sandwich fall down\n"
        },
    )
    assert [line.partition(" action ")[2] for line in spoken(archive)][1:] == [
        "ann: gives bob a sandwich",
        "ann: removes the crust first",
        "bob: eats",
        "Parts: of the sandwich fall down",
    ]


def test_a_star_with_words_of_another_language_is_an_action_only_of_somebody_known(archive):
    import_logs(
        archive,
        {
            "quakenet/#c.log": "**** ZAČÁTEK LOGOVÁNÍ V Út pro 30 10:00:00 2015\n\n"
            "pro 30 10:00:01 *\tNyní mluvíte na #c\npro 30 10:00:02 *\tcat (~c@host) se připojila\n"
            "pro 30 10:00:03 <ann>\tjedna\npro 30 10:00:04 *\tann mává\npro 30 10:00:05 *\tcat taky\n"
            "led 02 10:00:00 <bob>\tdva\n**** KONEC LOGOVÁNÍ V So led  2 11:00:00 2016\n"
        },
    )
    assert told(archive, "irc:quakenet/c") == [
        "2015-12-30 10:00:01 system : Nyní mluvíte na #c",
        "2015-12-30 10:00:02 system cat: cat (~c@host) se připojila",
        "2015-12-30 10:00:03 text ann: jedna",
        "2015-12-30 10:00:04 action ann: mává",
        "2015-12-30 10:00:05 action cat: taky",
        "2016-01-02 10:00:00 text bob: dva",
    ]


EGGDROP = """\
[00:00] --- Mon Nov  8 2010
[10:00] cat (~u@h) joined #chan.
[10:01] <bob> hello
[10:02] Action: bob waves
[10:03] <ann> hi
[10:03] #chan: mode change '+o ann' by cat!~u@h
[10:04] Nick change: ann -> ann_
[10:05] <ann_> back
[00:00] --- Wed Nov 10 2010
[00:01] <ann_> two days later
"""


@pytest.mark.parametrize("name", ["chan.log", "chan.log.08Nov2010", "#chan.log.20101108", "logs/QuakeNet/#chan.log.1"])
def test_eggdrop(archive, name):
    report = import_logs(archive, {name: EGGDROP})
    assert list(stored(archive)) == ["irc:quakenet/chan" if "Quake" in name else "irc:chan"]
    assert spoken(archive) == [
        "2010-11-08 10:01:00 text bob: hello",
        "2010-11-08 10:02:00 action bob: waves",
        "2010-11-08 10:03:00 text ann: hi",
        "2010-11-08 10:05:00 text ann_: back",
        "2010-11-10 00:01:00 text ann_: two days later",
    ]
    assert not report.unreadable


def test_irssi_in_czech(archive):
    import_logs(
        archive,
        {
            "#c.log": "--- Log opened Po bře 02 10:00:00 2020\n10:00 <@ann> pondělí\n10:01 < bob> ano\n"
            "--- Day changed Út bře 03 2020\n10:00 <@ann> úterý\n--- Log closed Út bře 03 11:00:00 2020\n"
            "--- Log opened Pá kvě 15 11:05:00 2020\n11:05 < bob> pátek\n"
        },
    )
    assert [line[:16] for line in told(archive)] == [
        "2020-03-02 10:00",
        "2020-03-02 10:01",
        "2020-03-03 10:00",
        "2020-05-15 11:05",
    ]


def test_irssi_with_a_theme_without_blanks(archive):
    lines = (
        "--- Log opened Mon Sep 30 00:00:44 2019\n16:59:05< ann> hello\n17:01:04<@bob> anybody\n17:01:05 * ann nods\n"
    )
    import_logs(archive, {"#c.log": lines})
    assert told(archive) == [*HELLO, "2019-09-30 17:01:05 action ann: nods"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "#c.log",
            "--- Log opened Mon Sep 30 00:00:44 2019\n"
            "16:59:05 \x048/<\x04g\x04c@ann\x04g\x048/>\x04g hello\n"
            "17:01:04 \x048/<\x04g\x04c bob\x04g\x048/>\x04g \x04?/any\x04gbody\n",
        ),
        (
            "irc.#c.weechatlog",
            "2019-09-30 16:59:05\t\x1b[96mann\x1b[0m\thello\n2019-09-30 17:01:04\tbob\tany\x1b[31mbody\n",
        ),
        (
            "#c.log",
            "[30/09/2019 16:59:05] <\x0304,12ann\x03> \x02hello\x0f\n"
            "[30/09/2019 17:01:04] <bob> \x04ff0000any\x04body\n",
        ),
    ],
    ids=["irssi", "WeeChat", "mIRC"],
)
def test_colours_are_taken_out_of_names_and_texts(archive, name, lines):
    import_logs(archive, {name: lines})
    assert told(archive) == [*HELLO]


def test_queries_and_channels_of_several_networks_stay_apart(archive):
    day = "--- Log opened Mon Mar 02 10:00:00 2020\n"
    import_logs(
        archive,
        {
            "irclogs/QuakeNet/ann.log": day + "10:00 <ann> hi\n10:01 <me> hi ann\n",
            "irclogs/QuakeNet/bob.log": day + "10:00 <bob> hey\n10:01 <me> hey bob\n",
            "irclogs/QuakeNet/#c.log": day + "10:00 <bob> quakenet\n10:01 <ann> yes\n",
            "irclogs/QuakeNet/##c.log": day + "10:00 <bob> two signs\n10:01 <ann> yes\n",
            "irclogs/OFTC/#c.log": day + "10:00 <bob> oftc\n10:01 <ann> yes\n",
            "irclogs/#c.log": day + "10:00 <bob> nowhere\n10:01 <ann> yes\n",
        },
    )
    assert {id_: found[0].text for id_, found in stored(archive).items()} == {
        "irc:quakenet/@ann": "hi",
        "irc:quakenet/@bob": "hey",
        "irc:quakenet/c": "quakenet",
        "irc:quakenet/#c": "two signs",
        "irc:oftc/c": "oftc",
        "irc:c": "nowhere",
    }
    chats = {c.id: (c.title, c.is_group) for c in Archive(archive.root).conversations()}
    assert chats["irc:quakenet/@ann"] == ("ann (quakenet)", False)
    assert chats["irc:quakenet/#c"] == ("##c (quakenet)", True)


def test_a_file_a_day_is_one_conversation(archive):
    import_logs(
        archive,
        {
            "irclogs/2019/OFTC/#c.12-31.log": "--- Log opened Tue Dec 31 23:50:00 2019\n23:58 < bob> happy\n",
            "irclogs/2020/OFTC/#c.01-01.log": "00:00 < bob> new\n00:01 < ann> year\n",
        },
    )
    assert [line[:16] for line in told(archive)] == ["2019-12-31 23:58", "2020-01-01 00:00", "2020-01-01 00:01"]


def test_a_log_without_a_date_says_so_and_is_counted_back_from_its_last_change(archive, tmp_path):
    logs = {
        "#c.log": "[10:59 PM] <ann> hello\n[11:01 PM] <bob> anybody\n[12:02 AM] <ann> yes\n",
        "#d.log": "pro 30 10:00:00 <ann>\tbez roku\nled 02 10:00:00 <bob>\ttaky\n",
    }
    import_logs(archive, {"#e-2020-01-01.log": "[10:00] <ann> dated\n[10:01] <bob> yes\n"})
    for name, lines in logs.items():
        path = tmp_path / "export" / name
        path.write_text(lines)
        noon = datetime(2015, 6, 15, 12, tzinfo=UTC).timestamp()
        os.utime(path, (noon, noon))
    report = import_logs(archive, {})
    assert told(archive, "irc:c") == [
        "2015-06-14 22:59:00 text ann: hello",
        "2015-06-14 23:01:00 text bob: anybody",
        "2015-06-15 00:02:00 text ann: yes",
    ]
    assert [line[:10] for line in told(archive, "irc:d")] == ["2014-12-30", "2015-01-02"]
    (note,) = report.notes
    assert note.startswith("2 files (#c.log, #d.log) without any date.")


def test_lines_before_the_first_date_belong_to_the_days_before_it(archive):
    lines = "23:00 <ann> 1\n01:00 <bob> 2\n--- Day changed Tue Mar 03 2020\n00:10 <ann> 3\n"
    import_logs(archive, {"#c.log.1": lines})
    assert [line[:13] for line in told(archive)] == ["2020-03-01 23", "2020-03-02 01", "2020-03-03 00"]


def test_a_date_that_goes_back_is_believed(archive):
    lines = "[2020-03-05 10:00:00] <ann> 2\n[2020-03-05 10:01:00] <bob> 3\n[2020-03-01 10:00:00] <ann> 1\n"
    import_logs(archive, {"#c.log": lines})
    assert [line[-1] for line in told(archive)] == ["1", "2", "3"]


def test_what_no_client_writes_is_shown_with_its_place_in_the_file(archive):
    lines = "[10:00] <ann> hi\n[10:01] <bob> yo\n[10:02] some other thing\n[10:03] <ann> bye\n"
    report = import_logs(archive, {"2020-01-01-#c.log": lines})
    assert report.notes == ("2020-01-01-#c.log, line 3 has no known format: [10:02] some other thing",)
    assert report.unreadable == {"IRC: line of unknown format": 1}


def test_a_forced_format_reads_what_would_not_be_taken_for_a_log_and_says_what_it_cannot_read(archive):
    mixed = "some words\nof a story\nand more\n[10:00] <ann> hi\nthe end\n"
    logs = {"2020-01-01-#c.log": mixed, "story.md": "Once upon a time\n", "a.bin": b"\0\1\2"}
    report = import_logs(archive, logs, format="irc")
    assert told(archive) == ["2020-01-01 10:00:00 text ann: hi"]
    assert "2020-01-01-#c.log, line 1 has no known format: some words" in report.notes
    assert report.unreadable == {"IRC: line of unknown format": 4}
    reasons = {skipped.reason: skipped.files for skipped in report.skipped}
    assert reasons == {
        "no line has a known IRC log format; the first line is: Once upon a time": ("story.md",),
        "not a known chat export": ("a.bin",),
    }


@given(st.sampled_from(list(_LANGUAGES)), st.dates(date(1990, 1, 1), date(2040, 1, 1)))
def test_the_months_of_all_languages(language, day):
    month = _LANGUAGES[language].split()[day.month - 1]
    if language != "Croatian":  # three of its names are other months in Czech
        assert month_of(month) == month_of(month.capitalize() + ".") == day.month
        assert day_in(f"--- Log opened {month} {day.day:02} 10:00:00 {day.year}") == (day.year, day.month, day.day)
        assert day_in(f"[{day.day} {month} {day.year}]") == (day.year, day.month, day.day)
    else:
        weekday = ["pon", "uto", "sri", "čet", "pet", "sub", "ned"][day.weekday()]
        assert day_in(f"--- Day changed {weekday} {month} {day.day:02} {day.year}") == (day.year, day.month, day.day)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--- Log opened Sat Nov 08 04:01:03 2025", (2025, 11, 8)),
        ("--- Day changed Út července 07 2020", (2020, 7, 7)),
        ("středa 3. června 2020", (2020, 6, 3)),
        ("**** BEGINN DER AUFZEICHNUNG AM Mo Mär  2 10:00:00 2020", (2020, 3, 2)),
        ("2020年3月2日", (2020, 3, 2)),
        ("--- Day changed 3월 02 2020", (2020, 3, 2)),
        ("2020-02-30", None),
        ("nothing here 2020", None),
    ],
)
def test_dates_in_words(text, expected):
    assert day_in(text) == expected
