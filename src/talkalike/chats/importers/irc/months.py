"""Dates in words: clients write the names of months in the language of the computer they run on.

A name is known by how it begins (without accents and case, the longest beginning first), so that short forms, full
names and their cases all count: `čec`, `červenec`, `července`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache

Day = tuple[int, int, int]
"""Year, month and day. Year 0 stands for "the current one"."""

_LANGUAGES = {
    "English": "jan feb mar apr may jun jul aug sep oct nov dec",
    "German": "jan feb mär apr mai jun jul aug sep okt nov dez",
    "Austrian": "jän feb mär apr mai jun jul aug sep okt nov dez",
    "Dutch": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "Dutch, in full": "jan feb maart apr mei jun jul aug sep okt nov dec",
    "Swedish and Danish": "jan feb mar apr maj jun jul aug sep okt nov dec",
    "Norwegian": "jan feb mar apr mai jun jul aug sep okt nov des",
    "Finnish": "tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu",
    "Estonian": "jaan veeb märts apr mai juuni juuli aug sept okt nov dets",
    "Latvian": "jan feb mar apr mai jūn jūl aug sep okt nov dec",
    "Lithuanian": "saus vas kov bal geg bir liep rugp rugs spal lapkr gruod",
    "French": "janv fév mars avr mai juin juil aoû sep oct nov déc",
    "Spanish": "ene feb mar abr may jun jul ago sep oct nov dic",
    "Catalan": "gen feb març abr maig jun jul ag set oct nov des",
    "Portuguese": "jan fev mar abr mai jun jul ago set out nov dez",
    "Italian": "gen feb mar apr mag giu lug ago set ott nov dic",
    "Romanian": "ian feb mar apr mai iun iul aug sep oct nov dec",
    "Czech": "led úno bře dub kvě čen čec srp zář říj lis pro",
    "Czech, in full": "led úno bře dub kvě červn červenc srp zář říj lis pro",
    "Czech, the first case": "led úno bře dub kvě červen červenec srp zář říj lis pro",
    "Slovak": "jan feb mar apr máj jún júl aug sep okt nov dec",
    "Polish": "sty lut mar kwi maj cze lip sie wrz paź lis gru",
    "Slovenian": "jan feb mar apr maj jun jul avg sep okt nov dec",
    "Croatian": "sij velj ožu tra svi lip srp kol ruj lis stu pro",
    "Hungarian": "jan feb már ápr máj jún júl aug szept okt nov dec",
    "Turkish": "oca şub mar nis may haz tem ağu eyl eki kas ara",
    "Greek": "ιαν φεβ μαρ απρ μαι ιουν ιουλ αυγ σεπ οκτ νοε δεκ",
    "Russian": "янв фев мар апр мая июн июл авг сен окт ноя дек",
    "Bulgarian": "яну фев мар апр май юни юли авг сеп окт ное дек",
    "Ukrainian": "січ лют бер кві тра чер лип сер вер жов лис гру",
}
# Three Croatian names are other months in Czech or Polish: the day of the week, where it is written, tells them apart.
_SLAVIC_WEEKDAYS = {
    **dict.fromkeys(["po"], 0),
    **dict.fromkeys(["ut", "wt"], 1),
    **dict.fromkeys(["st", "sr"], 2),
    **dict.fromkeys(["ct", "ce", "cz"], 3),
    **dict.fromkeys(["pa", "pe", "pi"], 4),
    **dict.fromkeys(["so", "su"], 5),
    **dict.fromkeys(["ne", "ni"], 6),
}

_WORD = r"(?:\d{1,2}[月월]|[^\W\d_]{2,}\.?)"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_NUMBER = r"(?P<day>\d{1,2})"
_IN_WORDS = tuple(
    re.compile(pattern)
    for pattern in (
        # Mon Nov  8 14:01:03 2010 · Út pro 30 2015 · 8月  3 2010
        rf"(?:(?P<weekday>[^\W\d_]{{2,}})\.? +)?(?P<month>{_WORD}) +{_NUMBER}[.,日일]?"
        rf"(?: +\d{{1,2}}:\d\d(?::\d\d)?)?(?: [A-Z]{{2,5}})? +{_YEAR}",
        # Monday 08 November 2010 · 30. prosince 2015
        rf"(?:(?P<weekday>[^\W\d_]{{2,}})[.,]* +)?(?<!\d){_NUMBER}\.?[ -](?P<month>{_WORD})[ -]{_YEAR}",
        rf"{_YEAR}[-./](?P<number>\d\d)[-./](?P<day>\d\d)(?!\d)",
        rf"{_YEAR}[年년] ?(?P<number>\d{{1,2}})[月월] ?(?P<day>\d{{1,2}})[日일]",
    )
)


def _fold(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))


def _beginnings() -> dict[str, int]:
    found: dict[str, int] = {}
    for months in _LANGUAGES.values():
        for number, beginning in enumerate(months.split(), 1):
            found.setdefault(_fold(beginning), number)
    return found


_MONTHS = _beginnings()
_CROATIAN = {word: number for number, word in enumerate(map(_fold, _LANGUAGES["Croatian"].split()), 1)}
_LONGEST = max(map(len, _MONTHS))


@lru_cache(maxsize=1024)
def month_of(word: str) -> int | None:
    """The month a word names, in any of the languages known; None where it names none."""
    if word[-1:] in "月월" and word[:-1].isdigit():
        return int(word[:-1]) if 1 <= int(word[:-1]) <= 12 else None
    folded = _fold(word).removesuffix(".")
    for length in range(min(_LONGEST, len(folded)), 1, -1):
        if folded[:length] in _MONTHS:
            return _MONTHS[folded[:length]]
    return None


@lru_cache(maxsize=4096)
def day_in(text: str) -> Day | None:
    """The first full date in a line of words: `Mon Nov 8 14:01:03 2010`, `30. prosince 2015`, `2015-12-30`."""
    for pattern in _IN_WORDS:
        found = pattern.search(text)
        if not found:
            continue
        parts = found.groupdict()
        year, day = int(parts["year"]), int(parts["day"])
        month = int(parts["number"]) if "number" in parts else _month_on(parts, year, day)
        if month and real_date(year, month, day):
            return year, month, day
    return None


def _month_on(parts: dict[str, str | None], year: int, day: int) -> int | None:
    word = parts["month"] or ""
    month = month_of(word)
    other = _CROATIAN.get(_fold(word)[:3])
    weekday = _SLAVIC_WEEKDAYS.get(_fold(parts["weekday"] or "")[:2])
    if month and other and other != month and weekday is not None:
        named = [m for m in (month, other) if (d := real_date(year, m, day)) and d.weekday() == weekday]
        month = named[0] if named else month
    return month


def real_date(year: int, month: int, day: int) -> date | None:
    """The date; None where there is none such."""
    try:
        return date(year, month, day)
    except ValueError:
        return None
