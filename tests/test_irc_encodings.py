"""Logs from before everybody wrote UTF-8: the code page is found out, said, and can be overruled."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import stored
from irc_logs import import_logs, told
from talkalike.chats.archive import Archive
from talkalike.chats.importers.codepages import guess
from talkalike.chats.importers.protocol import Choices
from talkalike.errors import UserError

CZECH = [
    "dneska večer přijdu pozdě",
    "už jsem to zkoušel a pořád to nejde",
    "příští týden budu na chalupě",
    "jó, to je dobrý nápad",
    "kolik stál ten nový počítač?",
    "nevím, zeptám se bráchy",
    "ještě že mám zálohu, ten disk už neožije",
    "ťukni mi, až budeš hotový",
]
POLISH = [
    "cześć, jak się masz?",
    "dziś już nie dam rady, może później",
    "wciąż nie działa mi dźwięk",
    "ktoś wie, gdzie są źródła?",
    "proszę, spróbuj jeszcze raz",
    "ta książka jest świetna",
]
HUNGARIAN = [
    "jó estét mindenkinek",
    "hogyan tudnám ezt kikapcsolni?",
    "őszintén szólva nem értem",
    "tegnap egész este működött",
    "köszönöm, így már jó lesz",
    "fűtés nélkül ülök itt, hűvös van",
]
GERMAN = [
    "kann mir jemand erklären, wie das geht?",
    "schöne Grüße aus München",
    "das läuft bei mir auch nicht",
    "müsste eigentlich schon längst fertig sein",
    "ich weiß nicht, wäre möglich",
]
RUSSIAN = [
    "всем доброе утро",
    "а у кого-нибудь это работает?",
    "попробуй перезагрузить, должно помочь",
    "я уже третий день читаю и ничего не понимаю",
    "ладно, завтра посмотрим",
]
GREEK = [
    "καλημέρα σε όλους",
    "δεν μπορώ να το ανοίξω, τι κάνω λάθος;",
    "ευχαριστώ πολύ, τώρα δουλεύει",
    "θα έρθω αργότερα το βράδυ",
    "ίσως φταίει η έκδοση",
]
LANGUAGES = {
    "Czech": (CZECH, ["cp1250", "iso8859_2"]),
    "Polish": (POLISH, ["cp1250", "iso8859_2"]),
    "Hungarian": (HUNGARIAN, ["cp1250", "iso8859_2"]),
    "German": (GERMAN, ["cp1252", "iso8859_1"]),
    "Russian": (RUSSIAN, ["cp1251", "koi8_r", "cp866"]),
    "Greek": (GREEK, ["cp1253", "iso8859_7"]),
}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def log_of(sentences: list[str], encoding: str) -> bytes:
    return "".join(f"[10:0{n % 10}] <ann> {text}\n" for n, text in enumerate(sentences)).encode(encoding)


@settings(max_examples=200)
@given(st.data())
def test_a_dozen_letters_tell_the_code_page(data):
    sentences, encodings = LANGUAGES[data.draw(st.sampled_from(list(LANGUAGES)))]
    encoding = data.draw(st.sampled_from(encodings))
    chosen = data.draw(st.lists(st.sampled_from(sentences), min_size=3, max_size=12))
    raw = log_of(chosen, encoding)
    if sum(byte > 0x7F for byte in raw) >= 12:
        assert raw.decode(guess(raw).encoding) == raw.decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("你好嗎今天天氣很好 明天再說吧我現在很忙", "big5"),
        ("你好吗今天天气很好 明天再说吧我现在很忙", "gb18030"),
        ("こんにちは、元気ですか。今日はいい天気", "shift_jis"),
        ("こんにちは、元気ですか。今日はいい天気", "euc_jp"),
        ("안녕하세요 오늘 날씨가 좋네요", "euc_kr"),
    ],
)
def test_chinese_japanese_and_korean(text, encoding):
    raw = log_of([text], encoding)
    assert text in raw.decode(guess(raw).encoding)


def test_each_channel_is_read_in_its_own_code_page_and_the_report_says_which(archive):
    report = import_logs(
        archive,
        {
            "2005-03-01-#cz.log": log_of(CZECH, "cp1250"),
            "2005-03-01-#pl.log": log_of(POLISH, "iso8859_2"),
            "2005-03-01-#ru.log": log_of(RUSSIAN, "koi8_r"),
            "2005-03-01-#en.log": log_of(["nothing odd"], "ascii"),
        },
    )
    for channel, sentences in (("cz", CZECH), ("pl", POLISH), ("ru", RUSSIAN)):
        assert [line.partition("ann: ")[2] for line in told(archive, f"irc:{channel}")] == sentences
    said = [note.partition("; these were read as ")[::2] for note in report.notes]
    assert [(files.partition(" with")[0], words.partition(",")[0]) for files, words in said] == [
        ("1 file (2005-03-01-#cz.log)", "cp1250"),
        ("1 file (2005-03-01-#pl.log)", "iso8859_2"),
        ("1 file (2005-03-01-#ru.log)", "koi8_r"),
    ]


def test_a_file_with_few_letters_is_decided_with_its_channel_and_a_channel_with_everything(archive):
    import_logs(
        archive,
        {
            "#cz/2005-03-01.log": log_of(["tož tak"], "iso8859_2"),
            "#cz/2005-03-02.log": log_of(CZECH, "iso8859_2"),
            "#brno/2005-03-01.log": log_of(["čus"], "iso8859_2"),
        },
    )
    assert told(archive, "irc:cz")[0].endswith("ann: tož tak")
    assert told(archive, "irc:brno")[0].endswith("ann: čus")


def test_utf8_and_an_old_code_page_in_one_file(archive):
    mixed = b"".join(log_of([text], "utf-8" if at % 2 else "cp1250") for at, text in enumerate(CZECH))
    import_logs(archive, {"2005-03-01-#cz.log": mixed})
    assert [line.partition("ann: ")[2] for line in told(archive)] == CZECH


def test_a_latin2_channel_with_one_from_windows(archive):
    import_logs(archive, {"2005-03-01-#cz.log": log_of(CZECH, "iso8859_2") + log_of(["žluťoučký šíp"], "cp1250")})
    assert told(archive)[-1].endswith("žluťoučký šíp")


def test_a_nick_beyond_ascii_is_found_again(archive):
    lines = "[10:00] <bořek> zkouška řízení\n[10:01] <ann> bořek: příště ještě jednou\n"
    import_logs(archive, {"2005-03-01-#cz.log": lines.encode("cp1250") * 4})
    (messages,) = stored(archive).values()
    assert messages[1].reply_to == "bořek"


def test_an_encoding_given_overrules(archive):
    report = import_logs(archive, {"2005-03-01-#cz.log": log_of(CZECH, "cp1250")}, choices=Choices(encoding="KOI8-R"))
    assert told(archive)[0].endswith(CZECH[0].encode("cp1250").decode("koi8_r"))
    assert not report.notes
    wide = "[10:00] <ann> příště\n[10:01] <bob> ano\n".encode("utf-16-le")
    import_logs(archive, {"2006-03-01-#wide.log": wide}, choices=Choices(encoding="utf-16-le"))
    assert told(archive, "irc:wide") == ["2006-03-01 10:00:00 text ann: příště", "2006-03-01 10:01:00 text bob: ano"]


@pytest.mark.parametrize("name", ["latin99", "rot13", "base64", "cp\0"])
def test_an_encoding_there_is_not(archive, name):
    with pytest.raises(UserError, match="no text encoding"):
        import_logs(archive, {"2005-03-01-#cz.log": b"[10:00] <ann> hi\n"}, choices=Choices(encoding=name))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_not_cost_the_first_line(archive, encoding):
    lines = "2019-09-30 16:59:05 <ann> ahoj, příteli\n2019-09-30 17:01:04 <bob> nazdar\n"
    report = import_logs(archive, {"#c.log": lines.encode(encoding)})
    assert [line.partition(" text ")[2] for line in told(archive)] == ["ann: ahoj, příteli", "bob: nazdar"]
    assert not report.unreadable


def test_a_line_cut_in_the_middle_of_a_letter_stays_utf8(archive):
    report = import_logs(
        archive, {"2005-03-01-#cz.log": "[10:00] <ann> kůň úpě".encode() + b"\xc5\n[10:01] <bob> ano\n"}
    )
    assert told(archive)[0].endswith("ann: kůň úpě\ufffd")
    assert report.replaced_characters == 1
    assert not report.notes
