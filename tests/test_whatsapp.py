"""WhatsApp's text files: every form of header, both orders of dates, what the platform writes, and what people do."""

from __future__ import annotations

from pathlib import Path

import pytest

from exports import imported, stored
from other_exports import import_files, messages, noted, said_in, told, write_files, zip_files
from talkalike.chats.archive import Archive
from talkalike.errors import UserError

IPHONE = (
    "[13/09/2023, 11:55:01\u202fPM] Anna: \u200eMessages and calls are end-to-end encrypted.\n"
    "[13/09/2023, 11:55:02\u202fPM] Anna: wait… 2²\n"
    "\u200e[13/09/2023, 11:56:00\u202fPM] Ben: \u200eimage omitted\n"
    "\u200e[13/09/2023, 11:57:00\u202fPM] Ben: \u200e<attached: 00000012-PHOTO-2023-09-13-23-57-00.jpg>\n"
    "[14/09/2023, 12:01:00\u202fAM] Ben: two\nlines:  with\u2028separators \n"
    "[14/09/2023, 12:02:00\u202fAM] Anna: \u200eThis message was deleted.\n"
    "[14/09/2023, 12:03:00\u202fAM] Anna: later \u200e<This message was edited>\n"
    "[14/09/2023, 12:04:00\u202fAM] Anna: \u200eMissed voice call\n"
    "[14/09/2023, 12:05:00\u202fAM] Ben: \u200ePOLL:\nwhere?\n\u200eOPTION: here (1 vote)\n"
    "[14/09/2023, 12:06:00\u202fAM] Ben: \u200eлюбое слово\n"
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def test_an_iphones_chat_with_everything_that_it_marks(archive, tmp_path):
    path = zip_files(tmp_path / "WhatsApp Chat - Ben.zip", {"_chat.txt": IPHONE})
    assert imported(path, archive=archive).skipped == ()
    assert told(archive, "whatsapp:Anna & Ben") == [
        "2023-09-13 23:55:01 system Anna: \u200eMessages and calls are end-to-end encrypted.",
        "2023-09-13 23:55:02 text Anna: wait… 2²",
        "2023-09-13 23:56:00 media Ben: ",
        "2023-09-13 23:57:00 media Ben: ",
        "2023-09-14 00:01:00 text Ben: two\nlines:  with\u2028separators ",
        "2023-09-14 00:02:00 text Anna: ",
        "2023-09-14 00:03:00 text Anna: later",
        "2023-09-14 00:04:00 call Anna: Missed voice call",
        "2023-09-14 00:05:00 poll Ben: \u200ePOLL:\nwhere?\n\u200eOPTION: here (1 vote)",
        "2023-09-14 00:06:00 system Ben: \u200eлюбое слово",
    ]
    marks = [noted(message) for message in messages(archive)]
    assert marks[2] == {"attached": [("photo", "")]}
    assert marks[3] == {"attached": [("photo", "00000012-PHOTO-2023-09-13-23-57-00.jpg")]}
    assert (marks[5], marks[6]) == ({"unsent": True}, {"edited": True})
    (chat,) = archive.conversations()
    assert not chat.is_group and {person.name for person in chat.participants} == {"Anna", "Ben"}


@pytest.mark.parametrize(
    "header",
    [
        "9/24/23, 21:05 - ",
        "24/09/2023, 21:05 - ",
        "24/09/2023 21:05 - ",
        "24.09.23, 21:05 - ",
        "24.9.2023 klo 21.05 - ",
        "24/09/2023 à 21:05 - ",
        "2023-09-24 21:05 - ",
        "2023/09/24, 21:05 - ",
        "2023/24/09, 21:05 - ",
        "24-09-2023 21:05 - ",
        "9/24/23, 9:05 PM - ",
        "9/24/23, 9:05\u202fpm - ",
        "24/9/23 9:05 p. m. - ",
        "24/9/23, 9:05 μ.μ. - ",
        "2023/9/24 下午9:05 - ",
        "2023년 9월 24일 오후 9:05, ",
        "[24/09/2023, 21:05:00] ",
        "[24.09.23, 21:05:00] ",
        "[24.09.23 21:05:00]: ",
        "[9/24/23, 9:05:00\u202fPM] ",
        "[2023-09-24 21:05:00] ",
        "[2023. 9. 24. 오후 9:05:00] ",
        "\u200e[24/09/2023, 21:05:00] \u202a",
        "\u200f24\u200f/9\u200f/2023، 9:05 م - ",
        "٢٤/٩/٢٠٢٣, ٢١:٠٥ - ",
    ],
)
def test_every_form_of_header(archive, header):
    import_files(archive, {"_chat.txt": f"{header}Anna: a: b\n{header}Ben: hi\n  there\n{header}Anna: x"})
    assert told(archive) == [
        "2023-09-24 21:05:00 text Anna: a: b",
        "2023-09-24 21:05:00 text Ben: hi\n  there",
        "2023-09-24 21:05:00 text Anna: x",
    ]


def test_the_order_of_dates_is_decided_on_the_whole_file(archive):
    """The first lines fit both orders; the last, or that time goes on, tells."""
    day_first = "01/02/23, 10:00 - Anna: a\n02/02/23, 10:00 - Ben: b\n13/02/23, 10:00 - Anna: c\n"
    month_first = "01/02/23, 10:00 - Eva: a\n01/11/23, 10:00 - Dan: b\n02/01/23, 10:00 - Eva: c\n"
    import_files(archive, {"WhatsApp Chat with Ben.txt": day_first, "WhatsApp Chat with Dan.txt": month_first})
    assert [line[:10] for line in told(archive, "whatsapp:Anna & Ben")] == ["2023-02-01", "2023-02-02", "2023-02-13"]
    assert [line[:10] for line in told(archive, "whatsapp:Dan & Eva")] == ["2023-01-02", "2023-01-11", "2023-02-01"]


def test_dates_that_nothing_decides_are_refused_and_an_option_decides_them(archive):
    files = {"WhatsApp Chat with Ben.txt": "01/02/23, 10:00 - Anna: a\n02/02/23, 10:00 - Ben: b\n"}
    with pytest.raises(UserError, match=r"Ben\.txt: the dates can be read as .*--date-order dmy"):
        import_files(archive, files)
    assert archive.is_empty
    import_files(archive, files, date_order="mdy")
    assert [line[:10] for line in told(archive, "whatsapp:Anna & Ben")] == ["2023-01-02", "2023-02-02"]
    with pytest.raises(UserError, match=r"no order of dates 'american'.*dmy"):
        import_files(archive, files, date_order="american")


def test_a_platforms_line_with_a_colon_is_nobodys_and_one_message_makes_a_speaker(archive):
    text = (
        '24/09/23, 10:00 - Anna created group "x: y"\n'
        '24/09/23, 10:01 - Anna changed the subject to "a: b"\n'
        "24/09/23, 10:01 - Anna changed the group description: new\n"
        "24/09/23, 10:02 - You were added\n"
        "24/09/23, 10:03 - Anna: hi\n"
        "24/09/23, 10:04 - You: I am called You\n"
        "24/09/23, 10:05 - 🤓: once\n"
        "24/09/23, 10:06 - ~\u202fBen: unsaved\n"
        "24/09/23, 10:07 - Ben: saved\n"
        "24/09/23, 10:08 - Dan:\n"
        "24/09/23, 10:09 - \u202a+420\u00a0777 123 456\u202c: number\n"
    )
    import_files(archive, {"WhatsApp Chat with Lunch: a plan.txt": text})
    (chat,) = archive.conversations()
    assert [person.name for person in chat.participants] == [
        "Anna",
        "You",
        "🤓",
        "~ Ben",
        "Ben",
        "Dan",
        "+420 777 123 456",
    ]
    assert (chat.id, chat.is_group) == ("whatsapp:Lunch: a plan", True)
    assert next(m.text for m in messages(archive) if m.kind == "system") == 'Anna created group "x: y"'
    assert sum(m.kind == "system" for m in messages(archive)) == 4


@pytest.mark.parametrize(
    ("text", "kind", "attached"),
    [
        ("<Media omitted>", "media", [("file", "")]),
        ("<média vynechány>", "media", [("file", "")]),
        ("<Multimedia omitido>", "media", [("file", "")]),
        ("video omitted", "media", [("video", "")]),
        ("sticker omitted", "sticker", [("sticker", "")]),
        ("IMG-20230924-WA0001.jpg (file attached)", "media", [("photo", "IMG-20230924-WA0001.jpg")]),
        ("VID-1.mp4 (archivo adjunto)\na caption", "text", [("video", "VID-1.mp4")]),
        ("location: https://maps.google.com/?q=50.1,14.4", "share", [("link", "https://maps.google.com/?q=50.1,14.4")]),
        ("Diese Nachricht wurde gelöscht.", "text", []),
        ("I said: <Media omitted> is what it says", "text", []),
    ],
)
def test_what_stands_for_media(archive, text, kind, attached):
    import_files(archive, {"_chat.txt": f"24/09/23, 10:00 - Anna: {text}\n24/09/23, 10:01 - Ben: ok"})
    first = messages(archive)[0]
    assert (first.kind.value, noted(first).get("attached", [])) == (kind, attached)
    assert first.text == {"VID-1.mp4 (archivo adjunto)\na caption": "a caption"}.get(
        text, text if "I said" in text else ""
    )


def test_overlapping_exports_add_nothing_twice_and_two_chats_of_one_name_stay_apart(archive):
    lines = [
        f"24/09/23, 10:{minute:02} - {'Anna' if minute % 2 else 'Ben'}: message {minute}\n" for minute in range(30)
    ]
    import_files(archive, {"WhatsApp Chat with Ben.txt": "".join(lines[:20])})
    later = import_files(archive, {"WhatsApp Chat with Ben (1).txt": "".join(lines[10:])})
    assert (later.new, later.already_there) == (10, 10)
    other = "".join(f"24/09/23, 10:{minute:02} - Ben: another Ben {minute}\n" for minute in range(20))
    import_files(archive, {"WhatsApp Chat with Ben.txt": other + "24/09/23, 10:40 - Anna: who?\n"})
    assert sorted(map(len, stored(archive).values())) == [21, 30]
    again = import_files(archive, {"WhatsApp Chat with Ben.txt": other + "24/09/23, 10:40 - Anna: who?\n"})
    assert again.new == 0


def test_one_chat_from_an_iphone_and_from_android_in_another_zone(archive):
    android = "".join(f"24/09/23, {10 + n // 60}:{n % 60:02} - Ben: message {n}\n" for n in range(0, 90, 3))
    iphone = "".join(f"[24/09/23, {12 + n // 60}:{n % 60:02}:{n % 50:02}] Ben: message {n}\n" for n in range(0, 90, 3))
    import_files(archive, {"WhatsApp Chat with Ben.txt": android + "24/09/23, 11:40 - Anna: end\n"})
    report = import_files(archive, {"WhatsApp Chat - Ben.txt": iphone + "[24/09/23, 13:40:09] Anna: end\n"})
    assert (report.new, len(stored(archive))) == (0, 1)


def test_jumping_clocks_other_encodings_and_lines_that_only_look_like_headers(archive):
    text = (
        "no header yet\n"
        "29.10.23, 02:50 - Žofie: před změnou\n"
        "29.10.23, 02:10 - Žofie: po změně\n"
        "29.10.23, 03:00 - Řehoř: seznam:\n[1/2/23, 10:00:00] nikdo: nic\n99/99/99, 99:99 - nikdo: nic\n"
    )
    report = import_files(
        archive, {"WhatsApp Chat with Řehoř.txt": text.encode("cp1250"), "_chat.txt": text.encode("utf-16")}
    )
    assert report.unreadable == {"WhatsApp: a line before the first message": 2}
    assert any("cp1250" in note for note in report.notes) and any("earlier time" in note for note in report.notes)
    assert said_in(archive, "whatsapp:Řehoř & Žofie") == [
        ("Žofie", "po změně"),
        ("Žofie", "před změnou"),
        ("Řehoř", "seznam:\n[1/2/23, 10:00:00] nikdo: nic\n99/99/99, 99:99 - nikdo: nic"),
    ]


def test_backups_say_how_to_export_instead(archive, tmp_path):
    files = {
        "WhatsApp/Databases/msgstore.db.crypt15": b"x",
        "signal-2023-01-01-00-00-00.backup": b"x",
        "sql/db.sqlite": b"x" * 99,
    }
    write_files(tmp_path / "backups", files)
    with pytest.raises(UserError, match=r"encrypted backup: on the phone open the chat, then More → Export chat"):
        imported(tmp_path / "backups", archive=archive)
