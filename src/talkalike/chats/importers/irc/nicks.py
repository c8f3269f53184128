"""Who is behind a nick, within one log: a nick change links two nicks, nothing else does."""

from __future__ import annotations

import re
from collections import Counter

from talkalike.chats.values import Platform, Speaker

_MAKESHIFT = re.compile(r"guest\d+|.+(?:_|\|\w*|[-_^](?:off|away|afk|brb|gone|sleep|work))")
"""A nick given by the server, or one's own with a sign of being away or connected twice."""
_ADDRESSED = re.compile(r"([^\s:,]{1,32})[:,](?:\s|$)")


def addressee(text: str) -> str:
    """The nick that a message begins with, as in `bob: hello`; "" where it calls nobody."""
    found = _ADDRESSED.match(text)
    return found[1] if found else ""


class _Slot:
    """One person while the log goes on: the nicks used so far."""

    __slots__ = ("nicks",)

    def __init__(self, nick: str) -> None:
        self.nicks = {nick: None}


class Nicks:
    """Follows nick changes through a log.

    A person's id is made of one of the nicks they used up to then: a proper one rather than `Guest123`, `bob_` or
    `bob|away`, then the one that spoke most in this log. The name is the nick as it was written.
    """

    def __init__(self, spoken: Counter[str]) -> None:
        self._spoken: Counter[str] = Counter()
        for nick, count in spoken.items():
            self._spoken[nick.lower()] += count
        self._slots: dict[str, _Slot] = {}
        self._people: dict[str, Speaker] = {}

    def person(self, nick: str) -> Speaker:
        """Who is called `nick` at this point of the log."""
        found = self._people.get(nick)
        if found is None:
            best = max(self._slot(nick).nicks, key=lambda n: (not _MAKESHIFT.fullmatch(n), self._spoken[n]))
            found = self._people[nick] = Speaker(id=f"{Platform.IRC}:{best}", name=nick)
        return found

    def rename(self, old: str, new: str) -> None:
        """`old` is called `new` from here on; whoever speaks as `old` next is somebody else."""
        slot = self._slot(old)
        self._slots.pop(old.lower())
        held = self._slots.get(new.lower())
        slot.nicks.update(held.nicks if held else {new.lower(): None})
        self._slots[new.lower()] = slot
        for nick in [n for n in self._people if n.lower() in (old.lower(), new.lower())]:
            del self._people[nick]

    def _slot(self, nick: str) -> _Slot:
        return self._slots.setdefault(nick.lower(), _Slot(nick.lower()))
