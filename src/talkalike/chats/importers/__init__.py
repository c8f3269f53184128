"""The export formats we read. A new one is a module beside these and one line here."""

from __future__ import annotations

from talkalike.chats.importers.discord_chats import DiscordChatExporter
from talkalike.chats.importers.discord_package import DiscordPackage
from talkalike.chats.importers.google_chat import GoogleChat
from talkalike.chats.importers.imessage import IMessage
from talkalike.chats.importers.instagram import Instagram
from talkalike.chats.importers.irc import Irc
from talkalike.chats.importers.matrix import Matrix
from talkalike.chats.importers.messenger import Messenger
from talkalike.chats.importers.messenger_e2ee import MessengerE2EE
from talkalike.chats.importers.protocol import Choices, Importer
from talkalike.chats.importers.signal import Signal
from talkalike.chats.importers.slack import Slack
from talkalike.chats.importers.tables import Tables
from talkalike.chats.importers.telegram import Telegram
from talkalike.chats.importers.whatsapp import WhatsApp


def importers_for(choices: Choices) -> tuple[Importer, ...]:
    """In the order they are asked whether a file is theirs, and in which their conversations are read."""
    return (
        Instagram(choices=choices),
        Messenger(),
        MessengerE2EE(),
        DiscordChatExporter(choices=choices),
        DiscordPackage(choices=choices),
        Telegram(choices=choices),
        Slack(choices=choices),
        GoogleChat(choices=choices),
        Matrix(choices=choices),
        Signal(choices=choices),
        IMessage(choices=choices),
        Tables(choices=choices),
        WhatsApp(choices=choices),
        Irc(encoding=choices.encoding, forced=choices.forced),
    )


IMPORTERS = importers_for(Choices())
