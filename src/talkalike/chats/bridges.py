"""Bots that carry a chat from another network: on IRC everybody there speaks as the bot, `<relay> <alice> hello`.

Whether a bot is a bridge only its owner can say (people paste such lines, too), so it is an option of the import, and
what the archive holds tells which bots to ask about. A message keeps its id, so that a later import finds it again,
with or without the option.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.columns import with_column
from talkalike.chats.importers.irc.nicks import addressee
from talkalike.chats.values import Message, MessageKind, Platform, Speaker

_RELAYED = re.compile(
    r"(?:\[[^\]\s]{1,20}\] ?)?<([^<>\n]{1,40})>:? (.*)"  # <alice> hello · [discord] <alice> hello
    r"|\[([^\[\]\n]{1,40})\]:? (.*)"
    r"|\(([^()\n]{1,40})\):? (.*)",
    re.DOTALL,
)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")  # put into nicks so that nobody is called by them
_ENOUGH, _OTHERS, _SHARE = 3, 2, 0.5  # messages for others, how many others, and of all that the bot said


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """Somebody who seems to carry others' messages."""

    name: str
    messages: int
    speaks_for: tuple[str, ...]  # the most talkative first


class BridgeWatch:
    """Sees messages pass, and tells who seems to be a bridge."""

    def __init__(self) -> None:
        self._said: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._for: dict[str, Counter[str]] = defaultdict(Counter)

    def see(self, message: Message) -> None:
        author = message.author
        if message.kind is not MessageKind.TEXT or not author.id.startswith(f"{Platform.IRC}:"):
            return
        self._said[author.id] += 1
        if message.text[:1] in ("<", "[", "(") and (carried := _read_carried(message.text)):
            self._for[author.id][carried[0]] += 1
            self._names[author.id] = author.name

    def suspects(self) -> list[Bridge]:
        """Those who mostly say what others said, the busiest first."""
        found = [
            Bridge(name=self._names[id_], messages=others.total(), speaks_for=tuple(n for n, _ in others.most_common()))
            for id_, others in self._for.items()
            if others.total() >= max(_ENOUGH, _SHARE * self._said[id_]) and len(others) >= _OTHERS
        ]
        return sorted(found, key=lambda bridge: -bridge.messages)


def resolve_bridges(table: pa.Table, bridges: Collection[str]) -> tuple[pa.Table, list[Speaker], int]:
    """A table with the bridges' messages given to those who wrote them; who these are; how many messages it were."""
    wanted = {name.casefold() for name in bridges}
    if not wanted:
        return table, [], 0
    names = table["author_name"].to_pylist()
    rows = [at for at, name in enumerate(names) if name.casefold() in wanted]
    if not rows:
        return table, [], 0
    columns = {name: table[name].to_pylist() for name in ("author_id", "text", "reply_to", "kind", "origin", "is_bot")}
    known = {name.casefold(): name for name in names}
    people: dict[str, Speaker] = {}
    changed = 0
    for at in rows:
        if columns["kind"][at] != MessageKind.TEXT or columns["origin"][at] != Platform.IRC:
            continue
        if carried := _read_carried(columns["text"][at]):
            name, text = carried
            person = people.setdefault(name.casefold(), Speaker(id=f"{Platform.IRC}:{name.lower()}", name=name))
            known.setdefault(name.casefold(), name)
            names[at], columns["author_id"][at], columns["text"][at] = name, person.id, text
            called = addressee(text)
            columns["reply_to"][at] = known.get(called.casefold()) if called else None
            columns["is_bot"][at] = False
            changed += 1
    for at, text in enumerate(columns["text"] if people else ()):
        if not columns["reply_to"][at] and (whom := people.get(addressee(text).casefold())):
            columns["reply_to"][at] = whom.name
    for name, values in {**columns, "author_name": names}.items():
        table = with_column(table, name, values)
    return table, list(people.values()), changed


def speakers(table: pa.Table) -> set[str]:
    """The ids of those who said something in a table."""
    spoken = pc.is_in(table["kind"].cast(pa.string()), value_set=pa.array([MessageKind.TEXT, MessageKind.ACTION]))
    return set(pc.unique(table.filter(spoken)["author_id"]).to_pylist())


def _read_carried(text: str) -> tuple[str, str] | None:
    """Who said it over there, and what."""
    found = _RELAYED.fullmatch(text)
    if not found:
        return None
    name, said = next((found[n], found[n + 1]) for n in (1, 3, 5) if found[n] is not None)
    name = _INVISIBLE.sub("", name).strip().lstrip("@+%&~")
    return (name, said) if name else None
