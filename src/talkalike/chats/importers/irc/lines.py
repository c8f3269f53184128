"""The lines of IRC logs: what one line is. Every client writes its own; a file is read by the stamp that fits best.

A line becomes a `Line`. Some can only be told by the whole file (`=== bob waves`, `* bob waves`): whether they are
actions is decided by the reader, who knows its nicks and how its client writes events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from talkalike.chats.importers.irc.months import Day, day_in
from talkalike.chats.importers.irc.stamps import COLUMNS, STAMPS, LineTime, Stamp, Time


class LineKind(Enum):
    MESSAGE = auto()
    ACTION = auto()
    EVENT = auto()  # joins, parts, modes, topics, notices
    RENAME = auto()  # `nick` is now known as `text`
    UNCLEAR = auto()  # an action if its first word (`nick`) is a nick of this file
    DATE = auto()  # `date` begins; not a message
    HEADER = auto()  # the client's own remark; not a message


class Line(NamedTuple):
    """A parsed line: when, by whom, what, and in which channel, as far as the line says so."""

    kind: LineKind
    clock: Time | None = None
    nick: str = ""
    text: str = ""
    channel: str = ""
    date: Day | None = None
    starred: bool = False  # written after a single star, as some clients write actions and events alike


Parse = Callable[[str], Line | None]
"""None: the line is of no known form."""

_MODES = "@+%&~"
_MOMENTS = 4096
_CHANNEL = re.compile(r"(?:^|[\s(:])(#[^\s,:)\]]+)")

_SAID = re.compile(r"[ \t]?<([^>]+)>(?:[ \t](.*))?", re.DOTALL)
_STAR = re.compile(r"([ \t]*)\*[ \t]+(\S+)(?:[ \t](.*))?", re.DOTALL)
_CLIENT = re.compile(r"[ \t](?:\*\*\*|-!-) (.*)", re.DOTALL)
_NOTICE = re.compile(r" ?-([^:\s()]+)(?: ?\([^)]*\))?(?::(#[^\s]*?))?- (.*)", re.DOTALL)
_DAY_LINE = re.compile(r" (?:---|===) (.*)", re.DOTALL)
_EGGDROP_ACTION = re.compile(r" Action: (\S+)(?: (.*))?", re.DOTALL)
_EGGDROP_RENAME = re.compile(r" Nick change: (\S+) -> (\S+)\s*")
_KONVERSATION_EVENT = re.compile(r" [^\W\d_]+\t(.*)", re.DOTALL)
_NAME_LIST = re.compile(r" \[(?:Users #.*|[@+ ]\S+ *\](?: \[[@+ ]\S+ *\])*)\s*")
_PRIVATE = re.compile(r" \[([^\s()\]]+)\(([^)]*)\)\] (.*)", re.DOTALL)
_SESSION = re.compile(r"Session (Start|Close|Time|Ident): *(.*)")

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
# Whole sentences of mIRC, XChat, HexChat and ZNC: "bob gives ann a cookie" begins like one and is none.
_CLIENT_EVENTS = (
    *_EVENTS,
    re.compile(r"(?P<nick>\S+) [(\[][^()\[\]\s]*@[^()\[\]\s]*[)\]] \S.*"),  # NICK (user@host) …, in any language
    re.compile(r"(?P<nick>\S+) has (?:joined #\S+|left (?:#\S+|IRC)(?: [(\[].*)?|quit(?: IRC)?(?: [(\[].*)?)\.?"),
    re.compile(r"(?P<nick>\S+) sets modes?:? (?:on #\S+ |\[)?[-+]\S.*"),
    re.compile(r"(?P<nick>\S+) (?:gives|removes) (?:channel (?:half-)?operator status|voice) (?:to|from) \S+"),
    re.compile(r"(?P<nick>\S+) (?:sets|removes) (?:a )?(?:ban|quiet|exempt|invite exempt) on \S+"),
    re.compile(r"(?P<nick>\S+) (?:sets|removes) (?:channel keyword|channel limit|user limit)\b.*"),
    re.compile(r"(?P<nick>\S+) (?:has (?:set|changed) the topic|changes topic to)\b.*"),
    re.compile(r"(?P<nick>\S+) has (?:kicked \S+ from|set the channel) .*"),
    re.compile(r"(?:Joins|Parts|Quits|Kicks): .*"),
    re.compile(r"(?:Now talking|Rejoined channel|Attempting to rejoin(?: channel)?)(?: (?:in|on))? #\S+.*"),
    re.compile(r"(?:Topic is ['\"“].*|Set by \S+ on .*|Disconnected(?: \(.*)?)"),
)
_EGGDROP_EVENTS = (
    re.compile(r"#\S+: mode change '.*' by (?P<nick>[^!\s]+).*"),
    re.compile(r"Topic changed on #\S+ by (?P<nick>[^!\s]+)!.*"),
    re.compile(r"(?P<nick>\S+) kicked from #\S+ by .*"),
    re.compile(r"(?P<nick>\S+) (?:\S+ )?(?:got netsplit|got lost in the net-split|returned to #\S+)\."),
)


@lru_cache(maxsize=65_536)
def clean_nick(nick: str) -> str:
    """A nick without a mode sign and without the blanks some archives put after `]` (nicks hold none)."""
    bare = "".join(nick.split())
    return bare[1:] if len(bare) > 1 and bare[0] in _MODES else bare


def channel_in(text: str) -> str:
    """The first channel's name in a client's sentence."""
    found = _CHANNEL.search(text)
    return found[1].rstrip(".") if found else ""


def parser(stamp: Stamp) -> Parse:
    """Reads the lines of a file whose lines begin with `stamp`."""
    match, read = stamp.pattern.match, stamp.read
    columns = stamp is COLUMNS
    of_rest = _columns if columns else _rest
    moments: dict[str, LineTime | None] = {}  # most lines have the time of the one before, or of one of another day

    def parse(line: str) -> Line | None:
        found = match(line)
        if found is None:
            return _header(line)
        written = found[0]
        if written in moments:
            moment = moments[written]
        else:
            if len(moments) == _MOMENTS:
                moments.clear()
            moment = moments[written] = read(found)
        if moment is None:
            return None
        end = found.end()
        if not columns and (said := _SAID.fullmatch(line, end)):  # most lines
            nick, text = said.groups("")
            return Line(LineKind.MESSAGE, moment[0], clean_nick(nick), text, "", moment[1])
        return of_rest(line[end:], moment)

    return parse


def best_stamp(lines: Sequence[str]) -> tuple[Stamp, int]:
    """The stamp with which the most lines are explained, and how many are; 0 where not one line has a time."""
    best, most = STAMPS[0], 0
    for stamp in STAMPS:
        found = [line for line in map(parser(stamp), lines) if line is not None]
        if len(found) > most and any(line.clock for line in found):
            best, most = stamp, len(found)
        if most == len(lines):
            break
    return best, most


def _event(text: str, moment: LineTime | None, patterns: tuple[re.Pattern[str], ...]) -> Line | None:
    clock, date = moment or (None, None)
    renamed = _RENAME.fullmatch(text)
    if renamed:
        return Line(LineKind.RENAME, clock, clean_nick(renamed[1]), clean_nick(renamed[2]), date=date)
    for pattern in patterns:
        found = pattern.fullmatch(text)
        if found:
            nick = clean_nick(found.groupdict().get("nick") or "")
            return Line(LineKind.EVENT, clock, nick, text, channel_in(text), date)
    return None


def _remark(text: str, moment: LineTime) -> Line:
    """A sentence of the client's that is surely an event, whatever its words."""
    known = _event(text, moment, _CLIENT_EVENTS)
    return known or Line(LineKind.EVENT, moment.time, "", text, channel_in(text), moment.day)


def _header(line: str) -> Line | None:
    """A line without a time: the archive's events and actions, and the clients' lines about the log itself."""
    if line.startswith("=== "):
        text = line[4:].strip()
        first, _, rest = text.partition(" ")
        return _event(text, None, _EVENTS) or Line(LineKind.UNCLEAR, None, clean_nick(first), rest)
    if line.startswith(("--- ", "**** ")):
        day = day_in(line)
        return Line(LineKind.DATE, date=day) if day else None
    if session := _SESSION.fullmatch(line.rstrip()):
        day = day_in(session[2])
        if session[1] == "Ident" or day is None:
            return Line(LineKind.HEADER, channel=channel_in(session[2]))
        return Line(LineKind.DATE, date=day)
    return None


def _rest(rest: str, moment: LineTime) -> Line | None:
    """What follows the time of a line that is no message, in every client but WeeChat."""
    clock, date = moment
    if found := _CLIENT.fullmatch(rest):
        return _remark(found[1], moment)
    if found := _STAR.fullmatch(rest):
        said = f"{found[2]} {found[3] or ''}".rstrip()
        nick, text = clean_nick(found[2]), found[3] or ""
        if len(found[1]) > 1:  # two blanks before the star are an action in every client
            return Line(LineKind.ACTION, clock, nick, text, "", date)
        event = _event(said, moment, _CLIENT_EVENTS)
        return (event or Line(LineKind.UNCLEAR, clock, nick, text, "", date))._replace(starred=True)
    if found := _EGGDROP_ACTION.fullmatch(rest):
        return Line(LineKind.ACTION, clock, clean_nick(found[1]), found[2] or "", "", date)
    if found := _EGGDROP_RENAME.fullmatch(rest):
        return Line(LineKind.RENAME, clock, clean_nick(found[1]), clean_nick(found[2]), date=date)
    if (found := _DAY_LINE.fullmatch(rest)) and (day := day_in(found[1])):
        return Line(LineKind.DATE, clock, date=day)
    if found := _NOTICE.fullmatch(rest):
        return Line(LineKind.EVENT, clock, clean_nick(found[1]), found[3], found[2] or "", date)
    if _NAME_LIST.fullmatch(rest):
        return Line(LineKind.HEADER, clock, channel=channel_in(rest) if "Users" in rest else "", date=date)
    if found := _PRIVATE.fullmatch(rest):
        return Line(LineKind.MESSAGE, clock, clean_nick(found[1]), found[3], "", date)
    if found := _KONVERSATION_EVENT.fullmatch(rest):
        return _remark(found[1], moment)
    return _event(rest.strip(), moment, (_CLIENT_EVENTS[len(_EVENTS)], *_EGGDROP_EVENTS))


_COLUMN = re.compile(r"\t([^\t]*)\t(.*)", re.DOTALL)
_COLUMN_EVENTS = frozenset({"-->", "<--", "--", "=!=", ""})


def _columns(rest: str, moment: LineTime) -> Line | None:
    """WeeChat: columns by tabs, told apart by the first one, as event texts follow the client's language."""
    found = _COLUMN.fullmatch(rest)
    if not found:
        return None
    prefix, text = found[1].strip(), found[2]
    if prefix == "*":
        nick, _, said = text.partition(" ")
        return Line(LineKind.ACTION, moment.time, clean_nick(nick), said, date=moment.day)
    if prefix in _COLUMN_EVENTS:
        return _remark(text, moment)
    if len(prefix) > 2 and prefix[0] == "<" and prefix[-1] == ">":  # a setting puts them around nicks
        prefix = prefix[1:-1]
    return Line(LineKind.MESSAGE, moment.time, clean_nick(prefix), text, date=moment.day)
