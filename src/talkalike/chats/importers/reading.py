"""What importers share: whole files and lists of messages read with an account of what was not, people, and a draft."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.protocol import Damaged, Findings, Part
from talkalike.chats.importers.text_lines import raw_lines
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Conversation, Message, Platform, Reaction, Speaker

NO_TIME = "without a usable time"
NO_AUTHOR = "without an author"
NO_MESSAGES = "holds no messages"
NO_OBJECT = "not a message object"
_LARGEST_LIST = 64 * 1024 * 1024  # bytes of a file that is read whole: lists of people and channels
_SURROGATES = re.compile("[\ud800-\udfff]+")
_PAIR = 2


class Cast:
    """The people of one platform's export or chat, each made once, under the last name they were seen with."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._people: dict[str, Speaker] = {}

    def person(self, key: str, name: str) -> Speaker:
        """The person whom the export knows by `key`."""
        found = self._people.get(key)
        if found is None or (name and found.name != name):
            found = Speaker(id=mended(f"{self._platform}:{key}"), name=mended(name or key) or "(no name)")
            self._people[key] = found
        return found

    def everybody(self) -> tuple[Speaker, ...]:
        """Everybody made so far, in order."""
        return tuple(self._people.values())


@dataclass(slots=True, kw_only=True)
class ChatFacts:
    """What is known of a chat while it is read. `is_group` None: a chat of more than two people."""

    platform: Platform
    key: str
    title: str = ""
    is_group: bool | None = None
    people: dict[str, Speaker] = field(default_factory=dict)

    def met(self, person: Speaker) -> Speaker:
        """The same person, who takes part from now on."""
        self.people[person.id] = person
        return person

    def conversation(self) -> Conversation:
        """As far as it was read."""
        people = tuple(self.people.values())
        return Conversation(
            id=mended(f"{self.platform}:{self.key}"),
            platform=self.platform,
            title=mended(self.title) or ", ".join(person.name for person in people) or self.key,
            is_group=len(people) > _PAIR if self.is_group is None else self.is_group,
            participants=people,
        )


class ReadChat:
    """A draft whose messages are read as they are asked for."""

    alone = True

    def __init__(self, facts: ChatFacts, parts: Iterable[Part], findings: Findings) -> None:
        self._facts = facts
        self._parts = parts
        self._findings = findings

    def parts(self) -> Iterator[Part]:
        """Each telling as it is read, with what no encoding can hold replaced and counted."""
        for part in self._parts:
            storable = (_storable(message, self._findings) for message in part.messages)
            yield Part(messages=storable, newest_first=part.newest_first)

    def conversation(self) -> Conversation:
        """The chat as far as it was read."""
        return self._facts.conversation()

    def twin_key(self) -> str:
        """These exports name their chats: there are no twins."""
        return ""


def one_part(messages: Iterable[Message]) -> Iterator[Part]:
    """The messages of a chat that one file tells whole."""
    yield Part(messages=messages)


def only_messages(read: Iterable[Message | str | None], findings: Findings, *, file: str) -> Iterator[Message]:
    """The messages of a file as they are read. A reason in the place of one is counted; None is told elsewhere."""
    for each in read:
        if isinstance(each, str):
            findings.drop(each, file=file)
        elif each is not None:
            yield each


def read_items(
    entry: Entry, findings: Findings, *, array: str = "messages", header: dict[str, object] | None = None
) -> Iterator[Mapping[str, object]]:
    """The objects in a JSON file's list of messages. What else stands there, and damage, goes to `findings`."""
    try:
        stream = entry.open()
    except READ_ERRORS as error:
        cannot_open(entry, findings, error)
        return
    with closing(stream):
        thread = JsonThread(stream, array=array)
        for item in thread.items():
            if isinstance(item, dict):
                yield item
            else:
                findings.drop(NO_OBJECT, file=entry.path)
        if header is not None:
            header.update(thread.header)
    told_damage(entry, thread, findings)
    if not thread.count and thread.damage is None:
        findings.skipped.append((entry.path, NO_MESSAGES))


def read_json_lines(entry: Entry, findings: Findings) -> Iterator[tuple[bytes, Mapping[str, object]]]:
    """Each line of a file of JSON objects, as it is and as an object."""
    for raw in raw_lines(entry, "utf_8", findings):
        if not raw or raw.isspace():
            continue
        found = parse_object(raw)
        if found is None:
            findings.drop("a line that is no JSON object", file=entry.path)
        else:
            yield raw, found


def parse_object(raw: bytes) -> Mapping[str, object] | None:
    """A line's JSON object; None where it is none."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        try:
            found = json.loads(raw.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def read_whole(entry: Entry, findings: Findings) -> object:
    """A small JSON file (a list of people); None, and a line in the report, where it cannot be read."""
    if entry.size > _LARGEST_LIST:
        findings.skipped.append((entry.path, "too large for a list of people or chats"))
        return None
    try:
        with closing(entry.open()) as stream:
            return json.loads(stream.read().decode("utf-8-sig", "replace"))
    except (*READ_ERRORS, ValueError, RecursionError) as error:
        cannot_open(entry, findings, error)
        return None


def cannot_open(entry: Entry, findings: Findings, error: Exception) -> None:
    """Report a file whose bytes or JSON cannot be read at all."""
    reason = f"it cannot be opened ({error})"
    findings.damaged.append(Damaged(file=entry.path, reason=reason, position=0, messages_read=0))


def told_damage(entry: Entry, thread: JsonThread, findings: Findings) -> None:
    """Report where a file could not be read on."""
    if thread.damage is not None:
        findings.damaged.append(
            Damaged(file=entry.path, reason=thread.damage, position=thread.position, messages_read=thread.count)
        )


def string(value: object) -> str:
    """A field that should be a text; "" for anything else."""
    return value if isinstance(value, str) else ""


def mended(text: str) -> str:
    """The text without what no encoding can hold: half a surrogate pair, bytes that were no UTF-8."""
    if text.isascii() or not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _storable(message: Message, findings: Findings) -> Message:
    text = mended(message.text)
    if text is not message.text:
        findings.replaced_characters += text.count("\ufffd") - message.text.count("\ufffd")
        message = replace(message, text=text)
    told = (message.id, message.reply_to or "", *(a.uri for a in message.attachments))
    named = [part for r in message.reactions for part in (r.actor, r.emoji)]
    if all(part.isascii() or not _SURROGATES.search(part) for part in (*told, *named)):
        return message
    return replace(
        message,
        id=mended(message.id),
        reply_to=mended(message.reply_to) if message.reply_to else None,
        attachments=tuple(replace(a, uri=mended(a.uri)) for a in message.attachments),
        reactions=tuple(Reaction(actor=mended(r.actor), emoji=mended(r.emoji)) for r in message.reactions),
    )


def mapping(value: object) -> Mapping[str, object]:
    """A field that should be an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Mapping[str, object]]:
    """The objects in a field that should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def identifier(value: object) -> str:
    """An id, which may be a number or a text; "" where there is none."""
    return "" if value is None or isinstance(value, bool | dict | list) else str(value)
