"""The export formats we read. A new one is a module beside these and one line here."""

from __future__ import annotations

from talkalike.chats.importers.irc import Irc
from talkalike.chats.importers.messenger import Messenger
from talkalike.chats.importers.messenger_e2ee import MessengerE2EE
from talkalike.chats.importers.protocol import Importer

IMPORTERS: tuple[Importer, ...] = (Messenger(), MessengerE2EE(), Irc())
"""In the order they are asked whether a file is theirs, and in which their conversations are read."""
