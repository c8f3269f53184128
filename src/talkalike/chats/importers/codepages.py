"""Which code page a log was written in before everybody wrote UTF-8: the letters tell.

Every code page turns the same bytes into other letters, and only one of the results looks like a language: Czech has
`ř` and `ě` but no `ŕ` and `ę`, Russian words do not begin in small letters and go on in capitals. This plain rule needs
a dozen letters where charset-normalizer, which is asked about Chinese, Japanese and Korean, needs paragraphs.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from charset_normalizer import from_bytes

from talkalike.errors import UserError

SURE = 4.0
"""How far ahead of the next code page (in nats) a guess must be to stand; else the log's neighbours are asked, too."""

_CENTRAL = ("cp1250", "iso8859_2", "cp852")
_WESTERN = ("cp1252",)
_CYRILLIC = ("cp1251", "koi8_r", "cp866", "iso8859_5")
# Letters beyond ASCII, the most frequent first. In the order of preference where two explain the bytes equally well.
_LANGUAGES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("German", _WESTERN, "üäöß"),
    ("French", _WESTERN, "éèàêçôùîûâœëï"),
    ("Spanish", _WESTERN, "óíáñéú¿¡ü"),
    ("Portuguese", _WESTERN, "ãçéáõíóêúâàô"),
    ("Italian", _WESTERN, "èàùòìé"),
    ("Swedish or Finnish", _WESTERN, "äåöé"),
    ("Danish or Norwegian", _WESTERN, "øåæé"),
    ("Icelandic", _WESTERN, "íðáéóþöúýæ"),
    ("Czech", _CENTRAL, "íáěéřýčžšůúťňďóö"),
    ("Slovak", _CENTRAL, "áíéčýžšľúťôňäďóĺŕ"),
    ("Polish", _CENTRAL, "łężąśćóńź"),
    ("Hungarian", _CENTRAL, "áéöőóüíúű"),
    ("Slovenian or Croatian", _CENTRAL, "čšžćđ"),
    ("Romanian", _CENTRAL, "ăîşţâ"),
    ("Turkish", ("cp1254",), "ıüşğçö"),
    ("Lithuanian", ("cp1257",), "ėšžųįūąčę"),
    ("Latvian", ("cp1257",), "āīēšņļūžčķģ"),
    ("Russian", _CYRILLIC, "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"),
    ("Ukrainian", ("cp1251", "koi8_u", "cp1125"), "оанивіетрлксудпмязьгбчйхїжшцюєщфґ"),
    ("Bulgarian", ("cp1251", "iso8859_5"), "аиоентрсвлпкдмзъгбуячщцжхшйфюь"),
    ("Greek", ("cp1253", "iso8859_7"), "αοιετσνηυρπκλμςωθόίγάέήβδφχύώζξψϊϋΐ"),
    ("Hebrew", ("cp1255", "iso8859_8"), "יוהלארתשבמםנכןעדקפחטגצסזךץף"),
    ("Arabic", ("cp1256", "iso8859_6"), "ايلمنورتبعدهفسكقحةجشطصخىذضزغثءئظؤ"),
)
_NON_LATIN = frozenset({"Russian", "Ukrainian", "Bulgarian", "Greek", "Hebrew", "Arabic"})
_TYPOGRAPHY = frozenset("„“”‚‘’–—…€«»§°·£©®´\xa0")
_FOREIGN, _SYMBOL, _UNDEFINED, _PUNCTUATION = -9.0, -8.0, -14.0, -6.5
_COMMON = 1.0  # what a Western page has before the others, where one or two letters are all there is
_CAPITAL, _CAPITAL_INSIDE, _OTHER_SCRIPT = 1.0, 5.0, 9.0
_POOR = -4.3  # a mean score below this looks like none of the languages above; theirs are -3.5 and better
_MOST = 600  # letters looked at
_TELLING = re.compile(rb"[^\s]*[\x80-\xff][^\s]*")
_EAST_ASIAN = ["gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"]
# Two standards for the same letters: what only Windows puts at 0x80 to 0x9f shows who wrote a line.
_WINDOWS = {"iso8859_2": "cp1250", "iso8859_7": "cp1253"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """A guess, with the language that was seen."""

    encoding: str
    language: str
    margin: float  # how much better than the next one that gives other letters


@lru_cache(maxsize=64)
def guess(raw: bytes) -> CodePage:
    """The code page of lines that are not UTF-8."""
    seen, telling = 0, []
    for word in _TELLING.findall(raw):  # with the ASCII around the letters, which shows where words begin
        seen += sum(byte > 0x7F for byte in word)
        telling.append(word)
        if seen >= _MOST:
            break
    words = b" ".join(telling)
    texts: dict[str, str] = {}
    scores: dict[str, tuple[float, str]] = {}
    for language, encodings, _ in _LANGUAGES:
        for encoding in encodings:
            if encoding not in texts:
                texts[encoding] = words.decode(encoding, "replace")
            score = _score(texts[encoding], language) + (_COMMON if encodings is _WESTERN else 0)
            if score > scores.get(encoding, (-math.inf, ""))[0] + 1e-9:
                scores[encoding] = (score, language)
    best = max(scores, key=lambda encoding: scores[encoding][0])
    score, language = scores[best]
    if score < _POOR * max(1, seen):
        found = from_bytes(raw, cp_isolation=_EAST_ASIAN).best()
        if found is not None:
            return CodePage(encoding=found.encoding, language=found.language, margin=SURE)
        return CodePage(encoding="cp1252", language="", margin=0)
    others = [scores[encoding][0] for encoding, text in texts.items() if text != texts[best]]
    return CodePage(encoding=best, language=language, margin=score - max(others, default=-math.inf))


def decode_line(raw: bytes, encoding: str) -> str:
    """A line that is not UTF-8. A byte its code page has no letter for stays the character of its number."""
    text = raw.decode(encoding, "talkalike-as-number")
    windows = _WINDOWS.get(encoding)
    if windows and any("\x80" <= letter <= "\x9f" for letter in text):
        return raw.decode(windows, "talkalike-as-number")
    return text


def known_encoding(name: str) -> str:
    """Python's name for an encoding somebody typed. Raises UserError where there is none."""
    try:
        info = codecs.lookup(name)
        "a".encode(info.name)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"There is no text encoding '{name}'.",
            hint="Write one as iconv does: utf-8, cp1250, iso-8859-2, cp1251, koi8-r, shift_jis …",
        ) from error
    return info.name.replace("-", "_")


@lru_cache(maxsize=len(_LANGUAGES))
def _weights(language: str) -> dict[str, float]:
    letters = next(letters for name, _, letters in _LANGUAGES if name == language)
    total = sum(1 / (rank + 2) for rank in range(len(letters)))
    return {letter: math.log(1 / (rank + 2) / total) for rank, letter in enumerate(letters)}


def _score(text: str, language: str) -> float:
    weights = _weights(language)
    other_script = language in _NON_LATIN
    total = 0.0
    before = " "
    for letter in text:
        if letter.isascii():
            if other_script and before > "\x7f" and before.isalpha() and letter.isalpha():
                total -= _OTHER_SCRIPT
        else:
            small = letter.lower()
            if small in weights:
                total += weights[small]
                if small != letter:
                    total -= _CAPITAL_INSIDE if before.islower() else _CAPITAL
                if other_script and before.isascii() and before.isalpha():
                    total -= _OTHER_SCRIPT
            elif letter in _TYPOGRAPHY:
                total += _PUNCTUATION
            elif letter.isalpha():
                total += _FOREIGN
            else:
                total += _UNDEFINED if letter == "\ufffd" or "\x80" <= letter <= "\x9f" else _SYMBOL
        before = letter
    return total


def _as_number(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("talkalike-as-number", _as_number)
