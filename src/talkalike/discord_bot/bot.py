"""The Discord client: hands what Discord tells to the conversation handler, and keeps the store's list of servers.

Events come raw, so that messages from before the bot's start count too; discord.py's own message cache is off.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from typing import Any

import discord
from discord import app_commands

from talkalike.discord_bot import commands, silence
from talkalike.discord_bot.buttons import BUTTONS, ReplyButtons, cancel_button
from talkalike.discord_bot.client import BotClient
from talkalike.discord_bot.conversations import ConversationHandler
from talkalike.discord_bot.disclosure import disclosure, whose
from talkalike.discord_bot.missed import Missed, answer_unfinished
from talkalike.discord_bot.services import Services
from talkalike.errors import TalkalikeError
from talkalike.store import people, replies, scoped, servers
from talkalike.store.replies import ReplyRow

SERVERS_LOGGED = 20  # whose rules and rights are written to the log at the start
ABOUT_LENGTH = 400  # Discord's limit for the profile's text

_log = logging.getLogger(__name__)


def intents() -> discord.Intents:
    """What the bot has to hear: servers, messages with their words, reactions, typing. No lists of members."""
    wanted = discord.Intents.none()
    wanted.guilds = wanted.messages = wanted.message_content = True
    wanted.reactions = wanted.typing = True
    return wanted


class Double(BotClient):
    """The double on Discord. `options` go to discord.py; `ShardedDouble` is the same over several connections.

    `sync_commands`: tell Discord which commands there are; `describe`: put into the profile what the bot is.
    """

    conversations: ConversationHandler  # this and `missed` from the login on
    missed: Missed

    def __init__(
        self, services: Services, *, sync_commands: bool = True, describe: bool = True, **options: Any
    ) -> None:
        activity = discord.CustomActivity(name=f"AI double of {whose(services.settings.owner_name)}"[:128])
        options = {
            "intents": intents(),
            "activity": activity,
            "allowed_mentions": discord.AllowedMentions.none(),
            "max_messages": None,
            "chunk_guilds_at_startup": False,
            **options,
        }
        super().__init__(**options)
        self.services = services
        self.tree = app_commands.CommandTree(self)
        self._sync_commands = sync_commands
        self._describes = describe
        self._unfinished: tuple[ReplyRow, ...] = ()
        self._ready_before = False

    async def setup_hook(self) -> None:
        """After the login, before the first event."""
        self.conversations = ConversationHandler(
            self, self.services, reply_buttons=ReplyButtons, cancel_button=cancel_button
        )
        self.places, self.contexts = self.conversations.places, self.conversations.contexts
        self.missed = Missed(self.conversations)
        # Read before anything new is begun: these are the replies of a process that has ended.
        self._unfinished = await self.services.store.run(replies.unfinished)
        self.add_dynamic_items(*BUTTONS)
        commands.register(self)
        if self._sync_commands:
            await self.tree.sync()
        if self._describes:
            await self._describe()

    async def close(self) -> None:
        """Ends replies first, while there is still a connection to tidy up with."""
        if hasattr(self, "conversations"):
            await self.conversations.close()
        await super().close()

    async def on_connect(self) -> None:
        """Notes that a new session begins, before any event of it."""
        self.missed.new_session()

    async def on_ready(self) -> None:
        """A new session: messages may have been missed, so nothing kept of channels is trusted."""
        self.contexts.recent.clear()
        for guild in self.guilds:
            await self._store("servers", servers.note_joined, guild.id, guild.name)
        if not self._ready_before:
            self._ready_before = True
            await self._tell_silences()
            await answer_unfinished(self.conversations, self._unfinished)
        await self.missed.catch_up()

    async def on_message(self, message: discord.Message) -> None:
        """Handles every message, the bot's own included."""
        self.missed.note_heard(message)
        await _log_failure_of(f"The message {message.id}", self.conversations.on_message(message))

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Handles edits, also of messages from before the start."""
        await _log_failure_of(
            f"The edit of the message {payload.message_id}", self.conversations.on_edit(payload.message)
        )

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """What was stored stays until it expires or its author asks; nothing new comes of it."""
        await self._on_delete(payload.channel_id, (payload.message_id,))

    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Handles the deletion of many messages at once."""
        await self._on_delete(payload.channel_id, payload.message_ids)

    async def _on_delete(self, channel_id: int, message_ids: Iterable[int]) -> None:
        await _log_failure_of("What a webhook said", self.conversations.on_delete(channel_id, message_ids))

    async def on_raw_typing(self, payload: discord.RawTypingEvent) -> None:
        """Waits longer for somebody who is still typing."""
        self.conversations.on_typing(payload.channel_id, payload.user_id)

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """Cancels a reply when somebody reacts with a cross."""
        await _log_failure_of("A reaction", self.conversations.on_reaction(payload))

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        await self.conversations.on_channel_gone([channel.id])
        await self._store("channel", scoped.forget_channel, channel.id)

    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        await self.conversations.on_channel_gone([payload.thread_id])
        await self._store("thread", scoped.forget_channel, payload.thread_id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Nobody is answered there until somebody opens a place."""
        await self._store("server", servers.note_joined, guild.id, guild.name)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A server is back; it may have another name."""
        await self._store("server", servers.note_joined, guild.id, guild.name)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """What was kept of the server goes."""
        await self.conversations.on_channel_gone([one.id for one in (*guild.channels, *guild.threads)])
        await self._store("server", servers.note_left, guild.id)
        await self._store("server's data", people.forget_server, guild.id)

    async def _tell_silences(self) -> None:
        """What would keep the double silent, for its owner: a line in the log for each rule and each missing right."""
        place, rules = self.places.place, self.places.rules
        try:
            lines = [silence.in_direct_messages(await rules(None))]
            for guild in self.guilds[:SERVERS_LOGGED]:
                places = [(one, place(one)) for one in silence.channels(guild)]
                lines += silence.at_start(guild.name, places, await rules(guild.id))
        except TalkalikeError as error:
            lines = [f"What keeps the double silent could not be looked up: {error}"]
        for line in filter(None, lines):
            _log.warning("%s", line)

    async def _store(self, what: str, function: Any, *values: Any) -> None:
        try:
            await self.services.store.run(function, *values)
        except TalkalikeError as error:
            _log.error("The %s could not be noted: %s", what, error)

    async def _describe(self) -> None:
        """The profile says what the bot is; set once, and again only if somebody else changed it."""
        about = disclosure(self.services.settings.owner_name)[:ABOUT_LENGTH]
        application = self.application
        if application is None or application.description == about:
            return
        try:
            await application.edit(description=about)
        except discord.HTTPException as error:
            _log.warning("The profile's text could not be set: %s", error)


async def _log_failure_of(what: str, looking: Awaitable[None]) -> None:
    """Awaits something; where it fails, the log says so."""
    try:
        await looking
    except TalkalikeError as error:
        _log.error("%s could not be looked at: %s", what, error)


class ShardedDouble(discord.AutoShardedClient, Double):
    """Several connections, as discord.py shares servers between them. `shard_count` None: as Discord recommends."""

    def __init__(self, services: Services, **options: Any) -> None:
        super().__init__(services, **{"intents": intents(), **options})

    async def on_shard_ready(self, shard_id: int) -> None:
        """One connection has a new session; discord.py tells only the first time when all of them are ready."""
        if self._ready_before:
            await self.on_ready()
