"""Google Chat, from Takeout: `Groups/<chat>/messages.json` and `group_info.json` with who takes part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    mapping,
    mappings,
    one_part,
    read_items,
    read_whole,
    string,
)
from talkalike.chats.importers.times import iso_ms, utc_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, Platform, Reaction, Speaker

_SHAPE = re.compile(rb'"creator"\s*:\s*\{|"created_date"\s*:')
_MEMBERS = re.compile(rb'"members"\s*:\s*\[')
_TIME = re.compile(r"^\w+, (\w+ \d{1,2}, \d{4}) (?:at )?(\d{1,2}:\d\d:\d\d)\s?([AP]M) UTC$")
_ABOUT_ME = "user_info.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleChat:
    """Direct messages and spaces of Google Chat."""

    choices: Choices = field(default_factory=Choices)
    name: str = "google-chat"
    described: str = "Google Chat (Takeout)"

    def recognises(self, entry: Entry) -> bool:
        """A chat's messages, or what is told about it or its owner."""
        if entry.name == "messages.json":
            return _SHAPE.search(entry.head()) is not None
        if entry.name == "group_info.json":
            return _MEMBERS.search(entry.head()) is not None
        return entry.name == _ABOUT_ME and b'"membership_info"' in entry.head()

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each folder."""
        about = {(entry.root, _folder(entry)): entry for entry in entries if entry.name == "group_info.json"}
        cast = Cast(Platform.GOOGLE_CHAT)
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            if entry.name != "messages.json":
                continue
            told = about.get((entry.root, _folder(entry)))
            info = mapping(read_whole(told, findings)) if told else {}
            name = string(info.get("name"))
            facts = ChatFacts(
                platform=Platform.GOOGLE_CHAT,
                key=entry.folder,
                title="" if name == "Group Chat" else name,
                is_group=not entry.folder.startswith("DM ") or len(mappings(info.get("members"))) > 2,
            )
            for member in mappings(info.get("members")):
                if person := _person(member, cast):
                    facts.met(person)
            yield ReadChat(facts, one_part(_messages(entry, facts, cast, findings)), findings)


def _folder(entry: Entry) -> str:
    return PurePosixPath(entry.path).parent.as_posix()


def _person(told: Mapping[str, object], cast: Cast) -> Speaker | None:
    name, email = string(told.get("name")), string(told.get("email"))
    return cast.person(email or name, name or email) if name or email else None


def _messages(entry: Entry, facts: ChatFacts, cast: Cast, findings: Findings) -> Iterator[Message]:
    names = {person.id.partition(":")[2]: person.name for person in facts.people.values()}
    for raw in read_items(entry, findings):
        when = _time(string(raw.get("created_date")))
        creator = mapping(raw.get("creator"))
        author = _person(creator, cast)
        deleted = raw.get("message_state") == "DELETED" or "deletion_metadata" in raw
        if author is None and deleted:
            author = cast.person("", "(deleted)")
        if when is None or author is None:
            findings.drop(NO_TIME if when is None else NO_AUTHOR, file=entry.path)
            continue
        attachments = tuple(_attachments(raw))
        text = string(raw.get("text"))
        quoted = mapping(raw.get("quoted_message_metadata"))
        yield Message(
            id=string(raw.get("message_id")),
            author=facts.met(author),
            sent_ms=when,
            kind=kind_of_message(text, attachments),
            text="" if deleted else text,
            reply_to=string(quoted.get("message_id")) or None,
            reactions=tuple(_reactions(raw.get("reactions"), names)),
            attachments=attachments,
            unsent=deleted,
            edited=bool(raw.get("updated_date")) or bool(mappings(raw.get("previous_message_versions"))),
            is_bot=string(creator.get("user_type")) == "Bot",
            source=entry.path,
        )


def _time(text: str) -> int | None:
    """`Tuesday, January 5, 2021 at 3:04:05 PM UTC`, lately with a narrow space before PM."""
    found = _TIME.match(text.replace("\u202f", " "))
    if found is None:
        return iso_ms(text)
    try:
        return utc_ms(datetime.strptime(" ".join(found.groups()), "%B %d, %Y %I:%M:%S %p"))
    except ValueError:
        return None


def _attachments(raw: Mapping[str, object]) -> Iterator[Attachment]:
    for file in mappings(raw.get("attached_files")):
        uri = string(file.get("export_name")) or string(file.get("original_name"))
        yield Attachment(kind=kind_of_file(uri), uri=uri)
    for note in mappings(raw.get("annotations")):
        if gif := mapping(note.get("gsuite_integration_metadata") or note.get("drive_metadata")):
            yield Attachment(kind=AttachmentKind.LINK, uri=string(gif.get("url")) or string(gif.get("title")))


def _reactions(found: object, names: Mapping[str, str]) -> Iterator[Reaction]:
    for reaction in mappings(found):
        emoji = mapping(reaction.get("emoji"))
        sign = string(emoji.get("unicode"))
        emails = reaction.get("reactor_emails")
        for email in emails if sign and isinstance(emails, list) else ():
            if isinstance(email, str):
                yield Reaction(actor=names.get(email, email), emoji=sign)
