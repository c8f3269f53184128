"""The dialects of IRC logs: what one line is. Every client writes its own; a file is read by the one that fits best.

A line becomes a `Line`; which of the ambiguous ones (`=== bob waves`) are actions is decided by the reader, who knows
the nicks of the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple


class LineKind(Enum):
    """What a line of a log is."""

    MESSAGE = auto()
    ACTION = auto()
    EVENT = auto()  # joins, parts, modes, topics, notices
    RENAME = auto()  # `nick` is now known as `text`
    UNCLEAR = auto()  # an action if its first word (`nick`) is a nick of this file
    DATE = auto()  # `date` begins; not a message
    HEADER = auto()  # the client's own remark; not a message


class Line(NamedTuple):
    """A parsed line. `clock` is (hour, minute, second), `date` (year, month, day), where the line has them."""

    kind: LineKind
    clock: tuple[int, int, int] | None = None
    nick: str = ""
    text: str = ""
    channel: str = ""
    date: tuple[int, int, int] | None = None


class Dialect(NamedTuple):
    """A log format: its name and its parser (None: the line is not of this format)."""

    name: str
    parse: Callable[[str], Line | None]


_MONTHS = {
    m: n for n, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_MODES = "@+%&~"
_CHANNEL = re.compile(r"(?:^|[\s(:])(#[^\s,:)\]]+)")

_BRACKET = re.compile(r"\[(\d\d):(\d\d)(?::(\d\d))?\](.*)", re.DOTALL)
_SAID = re.compile(r" ?<([^>]+)>(?:[ \t](.*))?", re.DOTALL)
_STAR = re.compile(r"(\s+)\*\s+(\S+)(?: (.*))?", re.DOTALL)
_STARS = re.compile(r" \*\*\* (.*)", re.DOTALL)
_NOTICE = re.compile(r" ?-([^:\s()]+)(?:\([^)]*\))?(?::(#[^\s]*?))?- (.*)", re.DOTALL)
_RENAME = re.compile(r"(\S.*?) is now known as (\S+?)\.?\s*")
# Anchored by shape, never by bare words: "=== TD is quite aware" is something a person did.
_EVENTS = (
    re.compile(r"(?P<nick>.+?) +\[[^\]\s]+\] +has (?:joined|left|quit)\b.*"),
    re.compile(r"(?P<nick>\S+) (?:entered|left) the room(?: \(.*\))?\.?"),
    re.compile(r"mode/#\S* .* by (?P<nick>.+)"),
    re.compile(r"\.\.\[topic/#.*"),
    re.compile(r"(?P<nick>\S+) changed the topic of #.*"),
    re.compile(r"(?P<nick>\S+) was kicked (?:off|from|by) .*"),
    re.compile(r"(?:netjoined:|netsplit:|Netsplit ).*"),
    re.compile(r"(?:Starting|Ending) logfile.*"),
    re.compile(r"(?:Topic|Users|Channel) .*#\S+.*"),
)
_CLIENT_EVENTS = (
    *_EVENTS,
    re.compile(r"(?P<nick>\S+) \([^()\s]*@[^()\s]*\) (?:has )?(?:joined|left|quit)\b.*"),
    re.compile(r"(?P<nick>\S+) (?:has )?(?:quit|left|joined) (?:\(.*|#\S+.*|IRC.*)"),
    re.compile(r"(?:Joins|Parts|Quits|Disconnected|Now talking)\b.*"),
    re.compile(r"(?P<nick>\S+) (?:sets mode|gives|removes|has set the (?:topic|channel)|changes topic)\b.*"),
)


def clean_nick(nick: str) -> str:
    """A nick without a mode sign and without the blanks some archives put after `]` (nicks hold none)."""
    bare = "".join(nick.split())
    return bare[1:] if len(bare) > 1 and bare[0] in _MODES else bare


def _clock(found: re.Match[str]) -> tuple[int, int, int] | None:
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    return (hour, minute, second) if hour < 25 and minute < 60 and second < 61 else None


def _channel_in(text: str) -> str:
    found = _CHANNEL.search(text)
    return found[1].rstrip(".") if found else ""


def _event(text: str, clock: tuple[int, int, int] | None, patterns: tuple[re.Pattern[str], ...]) -> Line | None:
    renamed = _RENAME.fullmatch(text)
    if renamed:
        return Line(LineKind.RENAME, clock, clean_nick(renamed[1]), clean_nick(renamed[2]))
    for pattern in patterns:
        found = pattern.fullmatch(text)
        if found:
            nick = clean_nick(found.groupdict().get("nick") or "")
            return Line(LineKind.EVENT, clock, nick, text, _channel_in(text))
    return None


def _stamped(rest: str, clock: tuple[int, int, int]) -> Line | None:
    """What follows the time in bracketed logs and the clients' own."""
    if found := _SAID.fullmatch(rest):
        return Line(LineKind.MESSAGE, clock, clean_nick(found[1]), found[2] or "")
    if found := _STARS.fullmatch(rest):
        text = found[1]
        return _event(text, clock, _CLIENT_EVENTS) or Line(LineKind.EVENT, clock, "", text, _channel_in(text))
    if found := _STAR.fullmatch(rest):
        # One blank before the star is a client that writes events this way too; two are an action.
        said = f"{found[2]} {found[3] or ''}".rstrip()
        event = _event(said, clock, _CLIENT_EVENTS) if found[1] == " " else None
        return event or Line(LineKind.ACTION, clock, clean_nick(found[2]), found[3] or "")
    if found := _NOTICE.fullmatch(rest):
        return Line(LineKind.EVENT, clock, clean_nick(found[1]), found[3], found[2] or "")
    return None


def parse_bracketed(line: str) -> Line | None:
    """Ubuntu's archive (old and new), the #linux logs, mIRC, eggdrop and ZNC: `[HH:MM(:SS)] <nick> text`."""
    if line.startswith("=== "):
        text = line[4:].strip()
        first, _, rest = text.partition(" ")
        return _event(text, None, _EVENTS) or Line(LineKind.UNCLEAR, None, clean_nick(first), rest)
    found = _BRACKET.fullmatch(line)
    clock = _clock(found) if found else None
    return _stamped(found[4], clock) if found and clock else None


_IRSSI_DATE = re.compile(
    r"--- (?:Log opened|Log closed|Day changed) \w{3} (\w{3}) +(\d{1,2})(?: \d\d:\d\d:\d\d)? (\d{4})\s*"
)
_BARE_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?( .*)", re.DOTALL)
_NAME_LIST = re.compile(r" \[(?:Users #.*|[@+ ]\S+ *\](?: \[[@+ ]\S+ *\])*)\s*")
_PRIVATE = re.compile(r" \[([^\s()\]]+)\(([^)]*)\)\] (.*)", re.DOTALL)


def parse_irssi(line: str) -> Line | None:
    """irssi's default theme, and other clients that write a bare `HH:MM(:SS) <nick> text`."""
    if line.startswith("--- "):
        found = _IRSSI_DATE.fullmatch(line)
        if not found or found[1].lower() not in _MONTHS:
            return None
        return Line(LineKind.DATE, date=(int(found[3]), _MONTHS[found[1].lower()], int(found[2])))
    found = _BARE_TIME.fullmatch(line)
    clock = _clock(found) if found else None
    if not found or not clock:
        return None
    rest = found[4]
    if rest.startswith(" -!- "):
        text = rest[5:]
        return _event(text, clock, _CLIENT_EVENTS) or Line(LineKind.EVENT, clock, "", text, _channel_in(text))
    if _NAME_LIST.fullmatch(rest):
        return Line(LineKind.HEADER, clock, channel=_channel_in(rest) if "Users" in rest else "")
    if private := _PRIVATE.fullmatch(rest):
        return Line(LineKind.MESSAGE, clock, clean_nick(private[1]), private[3])
    return _stamped(rest, clock)


_WEECHAT = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\t([^\t]*)\t(.*)", re.DOTALL)
_WEECHAT_EVENTS = frozenset({"-->", "<--", "--", "=!="})


def parse_weechat(line: str) -> Line | None:
    """WeeChat: three columns by tabs, told apart by the second one, as event texts follow the client's language."""
    found = _WEECHAT.fullmatch(line)
    if not found:
        return None
    date = (int(found[1]), int(found[2]), int(found[3]))
    clock = (int(found[4]), int(found[5]), int(found[6]))
    prefix, text = found[7].strip(), found[8]
    if prefix == "*":
        nick, _, said = text.partition(" ")
        return Line(LineKind.ACTION, clock, clean_nick(nick), said, date=date)
    if prefix in _WEECHAT_EVENTS or not prefix:
        event = _event(text, clock, _CLIENT_EVENTS) or Line(LineKind.EVENT, clock, "", text, _channel_in(text))
        return event._replace(date=date)
    return Line(LineKind.MESSAGE, clock, clean_nick(prefix), text, date=date)


_XCHAT = re.compile(r"(\w{3}) (\d\d) (\d\d):(\d\d):(\d\d)( .*)", re.DOTALL)
_XCHAT_DATE = re.compile(r"\*{4} (?:BEGIN|ENDING) LOGGING AT \w{3} (\w{3}) +(\d{1,2}) \d\d:\d\d:\d\d (\d{4})\s*")


def parse_xchat(line: str) -> Line | None:
    """XChat and HexChat: `Nov 08 04:01:03 <nick> text`, dated by their header lines."""
    found = _XCHAT_DATE.fullmatch(line)
    if found and found[1].lower() in _MONTHS:
        return Line(LineKind.DATE, date=(int(found[3]), _MONTHS[found[1].lower()], int(found[2])))
    found = _XCHAT.fullmatch(line)
    if not found or found[1].lower() not in _MONTHS:
        return None
    # The line names its day but not its year, which the header has: year 0 stands for "the current one".
    date = (0, _MONTHS[found[1].lower()], int(found[2]))
    parsed = _stamped(found[6].replace("\t", " ", 1), (int(found[3]), int(found[4]), int(found[5])))
    return parsed._replace(date=date) if parsed else None


DIALECTS = (
    Dialect("bracketed", parse_bracketed),
    Dialect("irssi", parse_irssi),
    Dialect("weechat", parse_weechat),
    Dialect("xchat", parse_xchat),
)
