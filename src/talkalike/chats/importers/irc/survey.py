"""The first reading of a log: how its client writes, who speaks in it, which channel and which day it is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from talkalike.chats.importers.irc.clock import Clock
from talkalike.chats.importers.irc.lines import LineKind, Parse, best_stamp, parser
from talkalike.chats.importers.irc.months import Day
from talkalike.chats.importers.irc.paths import Place, network_key, place_of
from talkalike.chats.importers.irc.stamps import BRACKETED, DAY_FIRST, MONTH_AND_DAY, MONTH_FIRST, Stamp
from talkalike.chats.importers.irc.text import first_lines, lines_of
from talkalike.chats.importers.protocol import Findings
from talkalike.chats.sources import Entry

SAMPLE_LINES = 500
_SOME_DAY = date(2000, 1, 1)
_UBUNTU_HAD_ALL_HOURS = date(2007, 10, 1)


@dataclass(slots=True)
class Survey:
    """What the first reading of a file tells."""

    entry: Entry
    place: Place
    stamp: Stamp
    encoding: str
    nicks: Counter[str] = field(default_factory=Counter)  # as written, by lines spoken
    others: set[str] = field(default_factory=set)  # in small letters: who is told of in events
    channels: Counter[str] = field(default_factory=Counter)
    foreign: bytearray = field(default_factory=bytearray)  # lines that are not UTF-8
    start: date = _SOME_DAY
    undated: bool = False
    unsure_order: bool = False  # whether 03/04 is April or March cannot be told
    half_day_clock: bool = False
    stars_are_actions: bool = True
    tells_seconds: bool = False

    @property
    def parse(self) -> Parse:
        return parser(self.stamp)


def survey(entry: Entry, encoding: str, findings: Findings) -> Survey | None:
    """Reads a file once; None, and a line for the report, where nothing in it can be read."""
    sample: list[str] = []
    for line in lines_of(entry, encoding):
        if line.strip():
            sample.append(line)
        if len(sample) == SAMPLE_LINES:
            break
    if not sample:
        findings.skipped.append((entry.path, "holds no lines"))
        return None
    stamp, explained = best_stamp(sample)
    if not explained:
        reason = f"no line has a known IRC log format; the first line is: {sample[0][:80]}"
        findings.skipped.append((entry.path, reason))
        return None
    found = Survey(entry, place_of(entry.path, entry.container), stamp, encoding)
    if stamp in (DAY_FIRST, MONTH_FIRST):
        found.stamp, found.unsure_order = _order_of_numbers(entry, encoding)
    _read(found)
    return found


def looks_like_a_log(entry: Entry, encoding: str, share: float) -> bool:
    """Whether most of a file's first lines are of one client."""
    lines = first_lines(entry, encoding, SAMPLE_LINES)
    return bool(lines) and best_stamp(lines)[1] >= share * len(lines)


def _read(found: Survey) -> None:
    parse = found.parse
    probe = Clock(_SOME_DAY, half_day=False)
    first_day: Day | None = None
    spoke_before = told_seconds = star_events = remarks = False
    latest_hour = 0
    stars: Counter[str] = Counter()
    for line in lines_of(found.entry, found.encoding, foreign=found.foreign):
        parsed = parse(line)
        if parsed is None:
            continue
        kind, clock = parsed.kind, parsed.clock
        if kind is LineKind.MESSAGE or kind is LineKind.ACTION:
            found.nicks[parsed.nick] += 1
        elif parsed.starred and kind is LineKind.UNCLEAR:
            stars[parsed.nick] += 1
        elif kind is LineKind.EVENT or kind is LineKind.RENAME:
            found.others.add(parsed.nick.lower())
            if kind is LineKind.RENAME:
                found.others.add(parsed.text.lower())
            star_events |= parsed.starred
            remarks |= not parsed.starred
        elif kind is LineKind.DATE and clock is None:
            star_events |= line.startswith(("****", "Session"))
        if parsed.channel and parsed.channel[0] == "#":
            found.channels[parsed.channel.lower()] += 1
        if clock is not None:
            if clock[0] > latest_hour:
                latest_hour = clock[0]
            if clock[2]:
                told_seconds = True
        if first_day is None:
            if parsed.date is not None and parsed.date[0]:
                first_day = parsed.date
            elif found.place.day is None:
                spoke_before = spoke_before or clock is not None
                probe.tick(clock, parsed.date)
            else:
                spoke_before = True
    found.tells_seconds = told_seconds
    # A client that has another mark for events needs the star for actions alone.
    found.stars_are_actions = remarks or not star_events
    known = {nick.lower() for nick in found.nicks} | found.others
    found.nicks.update({n: c for n, c in stars.items() if found.stars_are_actions or n.lower() in known})
    _date(found, first_day, probe if spoke_before else None)
    # Ubuntu's archive had no AM/PM before October 2007; a file that never shows an hour above 12 is taken for one.
    before = found.undated or found.start < _UBUNTU_HAD_ALL_HOURS
    found.half_day_clock = found.stamp is BRACKETED and latest_hour <= 12 and before


def _date(found: Survey, first_day: Day | None, probe: Clock | None) -> None:
    """The day of the first line: what a line or header says, else the path, else counted back from the last change."""
    named = found.place.day
    passed = (probe.today - _SOME_DAY) if probe else timedelta()
    if first_day is not None:
        found.start = date(*first_day)
        if probe is not None:
            found.start = named if named and named < found.start else found.start - passed - timedelta(days=1)
    elif named is not None:
        found.start = named
    else:
        found.undated = True
        last = found.entry.modified or date(1970, 1, 1)
        if found.stamp is MONTH_AND_DAY and probe is not None:  # lines name their day, but not the year
            wraps = probe.today.year - _SOME_DAY.year
            not_yet = (probe.today.month, probe.today.day) > (last.month, last.day)
            found.start = date(last.year - wraps - not_yet, 1, 1)
        else:
            found.start = last - passed


def _order_of_numbers(entry: Entry, encoding: str) -> tuple[Stamp, bool]:
    """Whether a file's dates begin with the day or the month: by what is possible, then by what goes forward."""
    parses = {stamp: parser(stamp) for stamp in (DAY_FIRST, MONTH_FIRST)}
    before = dict.fromkeys(parses, (0, 0, 0))
    scores = {stamp: [0, 0] for stamp in parses}
    for line in lines_of(entry, encoding):
        for stamp, parse in parses.items():
            parsed = parse(line)
            if parsed is not None and parsed.date is not None and parsed.clock is not None:
                scores[stamp][0] += 1
                scores[stamp][1] -= parsed.date < before[stamp]
                before[stamp] = parsed.date
    same = scores[DAY_FIRST] == scores[MONTH_FIRST]
    return max(parses, key=lambda stamp: (scores[stamp], stamp is DAY_FIRST)), same


def by_window(surveys: Sequence[Survey]) -> dict[tuple[str, str], list[Survey]]:
    """Puts the logs of each window together, under the network's name and the window's."""
    families: dict[tuple[str, ...], list[Survey]] = {}
    for found in surveys:
        place = found.place
        named = (network_key(place.network), place.window.lower())
        families.setdefault(named if place.window else (named[0], "", place.family), []).append(found)
    windows: dict[tuple[str, str], list[Survey]] = {}
    for (network, *_), members in families.items():
        windows.setdefault((network, _window(members)), []).extend(members)
    return windows


def _window(members: Sequence[Survey]) -> str:
    """What a window is called: by its path, or where that is a mere file's name, by what the logs themselves tell."""
    place = members[0].place
    if place.is_channel:
        return place.window.lower()
    votes: Counter[str] = sum((found.channels for found in members), Counter())
    told = votes.most_common(1)[0][0] if votes else ""
    speakers = {nick.lower() for found in members for nick in found.nicks}
    if told and (not place.sure or len(speakers) > 2 or told.lstrip("#") == place.window.lower()):
        return told
    return place.window.lower() or place.family.rpartition("/")[2].lower() or "log"
