"""Instagram's export ("Download your information", JSON): the same files as Messenger's, under folders of its own.

Texts are encoded twice in the same way, the platform's sentences are Messenger's, and there are no message ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from talkalike.chats.importers.messenger import Messenger, thread_drafts
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.sources import Entry
from talkalike.chats.values import Platform

_FOLDER = re.compile(r"your_instagram_activity|instagram(?:[-_ ].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instagram:
    """Instagram's direct messages, in Messenger's form."""

    choices: Choices = field(default_factory=Choices)
    name: str = "instagram"
    described: str = "Instagram (Download your information, JSON)"

    def recognises(self, entry: Entry) -> bool:
        """A thread's file below a folder of Instagram's."""
        return (self.choices.forced or is_instagram(entry)) and Messenger().recognises(entry)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft per folder, as Messenger's."""
        return thread_drafts(entries, findings, Platform.INSTAGRAM)


def is_instagram(entry: Entry) -> bool:
    """Whether a folder above the messages says so; below it are the names of chats, which say nothing."""
    above, messages, _ = f"{entry.container}/{entry.path}".lower().partition("/messages/")
    return bool(messages) and any(_FOLDER.fullmatch(folder) for folder in above.split("/"))
