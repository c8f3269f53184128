"""The photos of an export in words: what an eye saw in them stands where they were sent.

The words are kept in a file beside the chats, by the photo's path inside its export. They become context only: what
the chosen speakers sent themselves stays what they wrote, because a double sends no pictures.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from talkalike.chats.values import AttachmentKind, Chats, Conversation, Message, MessageKind
from talkalike.examples.picture_words import in_brackets, neutral

FILE = "photo_words.jsonl"
_OF_PEOPLE = frozenset({MessageKind.TEXT, MessageKind.ACTION, MessageKind.MEDIA})


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPhoto:
    """What an eye saw in the photo at `uri`, its path inside the export. `sure`: False where it recognised nothing."""

    uri: str
    eye: str
    words: str
    sure: bool


def append_seen(file: Path, seen: SeenPhoto) -> None:
    """Adds one to the file, a line each. What was cut off by a crash is left out when the file is read."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(seen), ensure_ascii=False) + "\n")


def read_seen(file: Path) -> dict[str, SeenPhoto]:
    """All that was seen, by path; the last word on a photo counts. Empty where nobody looked."""
    found: dict[str, SeenPhoto] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            values = json.loads(line)
            seen = SeenPhoto(
                uri=str(values["uri"]),
                eye=str(values["eye"]),
                words=str(values["words"]),
                sure=bool(values["sure"]),
            )
        except (ValueError, KeyError, TypeError):
            continue
        found[seen.uri] = seen
    return found


def photos_in(message: Message) -> list[str]:
    """The paths of the photos that a person sent with this message."""
    if message.kind not in _OF_PEOPLE or message.unsent:
        return []
    return [item.uri for item in message.attachments if item.kind is AttachmentKind.PHOTO and item.uri]


class ChatsWithPhotos:
    """Chats in which others' photos are told in words. `seen` by path; `speakers` are the ids of the chosen ones."""

    def __init__(self, chats: Chats, seen: Mapping[str, SeenPhoto], *, speakers: Collection[str]) -> None:
        self._chats = chats
        self._seen = seen
        self._speakers = speakers

    def conversations(self) -> Sequence[Conversation]:
        return self._chats.conversations()

    def messages(self, conversation_id: str) -> Iterator[Message]:
        """The messages, in which nothing that people wrote stands for a picture."""
        for message in self._chats.messages(conversation_id):
            text = neutral(message.text)
            if message.author.id not in self._speakers:
                lines = [
                    in_brackets(seen.words)
                    for uri in photos_in(message)
                    if (seen := self._seen.get(uri)) is not None and seen.sure
                ]
                if lines:
                    kind = MessageKind.TEXT if message.kind is MessageKind.MEDIA else message.kind
                    yield replace(message, kind=kind, text="\n".join([*lines, *([text] if text.strip() else [])]))
                    continue
            yield message if text == message.text else replace(message, text=text)
