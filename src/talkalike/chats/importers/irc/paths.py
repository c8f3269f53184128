"""What a log's path tells: the network, the window (a channel or a person) and the day, each a part of its own.

Every client and bouncer lays its logs out differently. The parts are found in the same order whatever the layout: days
first, then the window, then the network beside or above it. Where a name could be read in two ways, the reading is
taken that can never make one window out of two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import unquote

from talkalike.chats.importers.irc.months import month_of, real_date

CHANNEL_SIGNS = ("#", "&", "+", "!")
SUFFIXES = (".log", ".txt", ".weechatlog", ".irc", ".xchatlog", ".chat")

_NETWORKS_WORDS = (
    "2600net abjects accessirc afternet anynet austnet azzurra bitlbee chatspike criten dalnet darkmyst ecnet "
    "efnet entropynet espernet euirc freenode furnet gamesurge geeknode geekshed german-elite gimpnet gnome "
    "hackint hashmark irc2go ircgate irchighway ircnet ircstorm kreynet krono krstarica libera linkerin "
    "mozilla newnet nightstar nullnet oftc oltreirc orpheusnet p2p-net pirateirc ptirc ptnet quakenet "
    "rezosup rizon rusnet scenep2p seion serenia shadowfire slashnet snoonet sohbet sorcerynet spotchat "
    "st-city stormbit swiftirc synirc tilde turlinet undernet ustream virtulus wenet "
    "xertion xnet "
)
_NETWORKS = frozenset(_NETWORKS_WORDS.split())
# Folders that hold logs: what stands to the left of one is a disk, not a network.
_ROOTS_WORDS = (
    "chat chatlogs chats data desktop documents dokumenty downloads eggdrop export exports hexchat home irc "
    "irclog irclogs irssi konversation limechat log logfiles logs lounge mirc moddata pidgin purple quassel "
    "scrollback textual thelounge transcript transcripts users weechat xchat xchat2 xchatlogs znc "
)
_ROOTS = frozenset(_ROOTS_WORDS.split())
# Folders that sort a network's windows, and words of no meaning: what stands to the left of one still counts.
_SORTING_WORDS = (
    "all archive archives backup backups channel channels console copy dev my new old part private queries "
    "query raw talk test the train "
)
_SORTING = frozenset(_SORTING_WORDS.split())
_HOST = re.compile(r"(?:[\w-]+\.)+(?:net|org|chat|com|info|[a-z]{2})", re.IGNORECASE)
_NOT_A_NAME = frozenset({"co", "com", "org", "net", "ac", "gov", "edu"})  # in irc.example.co.uk
_LOUNGE_ID = re.compile(r"-[0-9a-f-]*[0-9a-f]{4}-[0-9a-f]{12}$")
_TEXTUAL_ID = re.compile(r" \([0-9A-F]{5,}\)$")
_ROTATED = re.compile(r"(?:\.\d{1,3}|\.(?:old|bak|yesterday)|~)$", re.IGNORECASE)

_YEAR = r"(?P<y>(?:19|20)\d\d)"
_DAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d){_YEAR}(?P<s>[-_./]?)(?P<m>\d\d)(?P=s)(?P<d>\d\d)(?!\d)",
        rf"(?<!\d)(?P<d>\d\d)(?P<s>[-_.]?)(?P<mon>[^\W\d_]{{3,9}})(?P=s){_YEAR}(?!\d)",
        rf"(?<![\w.])(?P<d>\d\d)(?P<s>[-_.])(?P<m>\d\d)(?P=s){_YEAR}(?!\d)",
    )
)
_MONTHS = (
    re.compile(rf"(?:^|(?<=[-._])){_YEAR}(?P<s>[-_.])(?P<m>\d\d)$"),
    re.compile(rf"(?:^|(?<=[-._])){_YEAR}(?P<m>\d\d)$"),
)
_SHORT_DAY = re.compile(r"(?:^|(?<=[-._]))(?P<y>\d\d)(?P<m>\d\d)(?P<d>\d\d)$")
_MONTH_DAY = re.compile(r"(?:^|(?<=[-._]))(?P<m>\d\d)[-_.](?P<d>\d\d)$")
_NUMBER = re.compile(r"(?:^|(?<=[-._]))(?P<d>\d\d)$")
_TIME_OF_DAY = re.compile(r"^[.T_ -]?\d{6}(?:[+-]\d{4}[A-Za-z]*)?$")
_PART = re.compile(r"[-_.][a-z0-9]$")  # `2005-03-04.train-c`: the letter of a day's part
_SEPARATORS = "._- ,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a log comes from. "" and None stand for what its path does not tell."""

    network: str
    window: str  # `#channel`, or a person's nick
    day: date | None
    sure: bool  # whether the window is told by the log's own name, or only guessed from the folder above
    family: str  # the path without its dates: what one client wrote of one window has it in common

    @property
    def is_channel(self) -> bool:
        """Whether the window is a channel; anything else may be a talk of two, or no name at all."""
        return self.window.startswith(CHANNEL_SIGNS)


def place_of(path: str, container: str = "") -> Place:
    """Reads a log's path inside an export; `container` is the export's own name."""
    *folders, name = path.split("/")
    days = _Days()
    kept = [bare for folder in folders if (bare := days.take(unquote(folder), whole=True))]
    bare = _without_suffix(unquote(name))
    stem = days.take(bare, whole=False)
    network, window, sure = _place(kept, stem, container, dated=stem != bare)
    network = network or (container if is_network(container) else "")
    family = "/".join([container, *kept, _PART.sub("", stem)])
    return Place(network=network, window=window, day=days.day(), sure=sure, family=family)


@lru_cache(maxsize=4096)
def network_key(network: str) -> str:
    """One name for a network, however it is written: `irc.libera.chat`, `Libera.Chat` and `libera` are one."""
    name = network.casefold()
    if _HOST.fullmatch(name):
        labels = name.split(".")[:-1]
        if len(labels) > 1 and labels[-1] in _NOT_A_NAME:
            labels.pop()
        name = labels[-1]
    return {"liberachat": "libera", "gnome": "gimpnet", "freenode-net": "freenode"}.get(name, name)


class _Days:
    """Collects the pieces of a date on the way down a path, and gives back what is left of each name."""

    def __init__(self) -> None:
        self._year: int | None = None
        self._month: int | None = None
        self._number: int | None = None
        self._full: date | None = None

    def day(self) -> date | None:
        """The day the path names; the first of the month where it names no more than that."""
        if self._full is not None:
            return self._full
        if self._year is None or self._month is None:
            return date(self._year, 1, 1) if self._year is not None else None
        return real_date(self._year, self._month, self._number or 1)

    def take(self, name: str, *, whole: bool) -> str:
        """`name` without its date. A folder (`whole`) may be nothing but a year, a month or a day's number."""
        if whole and name.isdigit():
            if len(name) == 4 and name[:2] in ("19", "20"):
                self._year, self._month, self._number = int(name), None, None
                return ""
            if len(name) <= 2 and self._year is not None and self._number is None:
                if self._month is None:
                    self._month = int(name)
                else:
                    self._number = int(name)
                return ""
        for pattern in _DAYS:
            for found in reversed(list(pattern.finditer(name))):
                day = _as_day(found)
                if day is not None:
                    self._full = day
                    return _cut(name, found)
        return self._take_part(name)

    def _take_part(self, name: str) -> str:
        """A month alone, or a day without a year that a folder above names (`2019/…/#chan.12-31.log`)."""
        for pattern in _MONTHS:
            found = pattern.search(name)
            if found and 1 <= int(found["m"]) <= 12:
                self._year, self._month = int(found["y"]), int(found["m"])
                return _cut(name, found)
        found = _SHORT_DAY.search(name)
        if found and (day := real_date(2000 + int(found["y"]), int(found["m"]), int(found["d"]))):
            self._full = day
            return _cut(name, found)
        if self._year is None or not name:
            return name
        found = _MONTH_DAY.search(name)
        if self._month is None and found and (day := real_date(self._year, int(found["m"]), int(found["d"]))):
            self._full = day
            return _cut(name, found)
        found = _NUMBER.search(name)
        if found and 1 <= int(found["d"]) <= 31:
            if self._month is None and int(found["d"]) <= 12:
                self._month = int(found["d"])
                return _cut(name, found)
            if self._month is not None and self._number is None:
                self._number = int(found["d"])
                return _cut(name, found)
        return name


def _as_day(found: re.Match[str]) -> date | None:
    parts = found.groupdict()
    month = month_of(parts["mon"]) if parts.get("mon") else int(parts["m"])
    return real_date(int(parts["y"]), month or 0, int(parts["d"]))


def _cut(name: str, found: re.Match[str]) -> str:
    before, after = name[: found.start()], name[found.end() :]
    if _TIME_OF_DAY.match(after):
        after = ""
    before, after = before.rstrip(_SEPARATORS), after.lstrip(_SEPARATORS)
    return f"{before}-{after}" if before and after else before or after


def _without_suffix(name: str) -> str:
    """A log's name without `.log` and what a rotation put behind it (`.log.1`, `.log.20230628`, `.log.08Nov2010`)."""
    lower = name.lower()
    for suffix in SUFFIXES:
        if lower.endswith(suffix):
            return name[: -len(suffix)]
        at = lower.rfind(suffix)
        rest = lower[at + len(suffix) :] if at > 0 else ""
        if rest and (_ROTATED.fullmatch(rest) or (rest[0] in ".-_" and not _Days().take(rest[1:], whole=False))):
            return name[:at] + ("" if _ROTATED.fullmatch(rest) else rest)
    return _ROTATED.sub("", name) if not name.startswith(CHANNEL_SIGNS) else name


def _place(folders: Sequence[str], stem: str, container: str, *, dated: bool) -> tuple[str, str, bool]:
    """Network, window, and whether the window is sure."""
    network, window = _split(stem)
    channel = next((at for at in range(len(folders) - 1, -1, -1) if "#" in folders[at]), None)
    if channel is not None and "#" not in stem:
        above, window = _split(folders[channel].removesuffix(".chat"))
        beside = stem if dated and not _is_plain(stem) else ""  # LimeChat's: #chan/2020-03-02_freenode.txt
        return above or beside or _network_above(folders[:channel]), window, True
    if window:
        return network or _network_above(folders), window, True
    folder = folders[-1].removesuffix(".chat") if folders else container
    above = _network_above(folders[:-1])
    if not _is_plain(folder) and not is_network(folder):
        return above, folder, bool(folders) and not stem
    return _network_above(folders), "", False


def _split(stem: str) -> tuple[str, str]:
    """The network and the window in one name: `irc.libera.#c`, `freenode_#c`, `FreeNode-bob`, `#c.QuakeNet`, `bob`."""
    at = stem.find("#")
    if at < 0 and stem.startswith(CHANNEL_SIGNS[1:]) and len(stem) > 1:
        at = 0
    if at >= 0:
        before, window = stem[:at].rstrip(_SEPARATORS), stem[at:].rstrip("._-")
        network = _after_plugin(before)
        name, _, behind = window.rpartition(".")
        if not network and len(name) > 1 and (is_network(behind) or (behind[:1].isupper() and len(behind) > 3)):
            return behind, name
        return network, window
    if stem.lower().startswith("irc.") and stem.count(".") >= 2:
        network, _, window = stem[4:].rpartition(".")
        return (window, network) if network == "server" else (network, window)
    for sign in "._-":
        before, _, after = stem.partition(sign)
        if after and sign != "." and is_network(before):
            return before, after
        if after and sign == "." and not _is_plain(before) and is_network(after):
            return after, before
    return "", "" if _is_plain(stem) or is_network(stem) else stem


def _after_plugin(before: str) -> str:
    """The network in what stands before `#`; WeeChat puts `irc.` in front of it."""
    bare = before[4:] if before.lower().startswith("irc.") else before
    return "" if _is_plain(bare) else bare


def _network_above(folders: Sequence[str]) -> str:
    """The nearest folder that can be a network's."""
    lower = [folder.lower() for folder in folders]
    if lower[-2:] == ["moddata", "log"] and len(lower) > 3 and lower[-4] == "networks":
        return folders[-3]  # ZNC's, loaded for one network: networks/NAME/moddata/log/WINDOW/
    for at in range(len(folders) - 1, -1, -1):
        name = folders[at].rpartition("@")[2]
        if lower[at] in _ROOTS or name.startswith("."):
            return ""
        if at and lower[at - 1] in ("users", "home"):
            return ""
        if not _is_plain(name):
            return _TEXTUAL_ID.sub("", _LOUNGE_ID.sub("", name))
    return ""


def _is_plain(name: str) -> bool:
    """Whether a name says nothing: only words such as "logs", numbers and the letters of a day's parts."""
    words = [word for word in re.split(r"[-_. ]+", name.lower()) if word]
    parts = [word for word in words if len(word) == 1 and word.isalpha()]
    plain = [word for word in words if word in _ROOTS or word in _SORTING or word.isdigit()]
    return len(parts) + len(plain) == len(words) and (bool(plain) or not words)


def is_network(name: str) -> bool:
    """Whether a name is surely a network's: a well-known one, or a server's host name."""
    return network_key(name) in _NETWORKS or bool(re.match(r"(?:irc|chat)\d*\.[\w-]+\.[a-z]{2,6}$", name.lower()))
