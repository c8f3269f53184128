"""The registries of the world, looking things up in them, and handing out events. The base of `World`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from local_discord.clock import Clock, Snowflakes
from local_discord.errors import missing_access, missing_permissions, unknown
from local_discord.events import Event, Payload, Subscription
from local_discord.faults import Faults
from local_discord.files import FileStore
from local_discord.model import Bot, Channel, ChannelType, Interaction, Message, Server, User
from local_discord.permissions import DM_PERMISSIONS, Permission, base_permissions, channel_permissions

_T = TypeVar("_T")


class State:
    """Everything there is. `messages_per_channel` and `attachment_bytes` bound the memory.

    `base_url` is the server's address, for the addresses of attachments; set by `LocalDiscord`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        messages_per_channel: int = 2000,
        attachment_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self.clock = clock or Clock()
        self.ids = Snowflakes(self.clock)
        self.faults = Faults()
        self.files = FileStore(attachment_bytes)
        self.base_url = "http://127.0.0.1"
        self.messages_per_channel = messages_per_channel
        self.users: dict[int, User] = {}
        self.servers: dict[int, Server] = {}
        self.channels: dict[int, Channel] = {}  # of every kind, threads and DMs too
        self.ephemeral: OrderedDict[int, Message] = OrderedDict()
        self.interactions: OrderedDict[int, Interaction] = OrderedDict()
        self.online: set[int] = set()  # bots that are connected to the gateway
        self._message_channel: dict[int, int] = {}
        self._nonces: OrderedDict[tuple[int, int, str], int] = OrderedDict()  # channel, author, nonce -> message
        self._dm_of: dict[frozenset[int], int] = {}
        self._listeners: list[Callable[[Event], None]] = []

    # ------------------------------------------------------------------------------------------------ looking up
    def user(self, user_id: int) -> User:
        return _there(self.users.get(user_id), "User")

    def bot(self, bot_id: int) -> Bot:
        found = self.users.get(bot_id)
        return _there(found if isinstance(found, Bot) else None, "Application")

    def bot_by_token(self, token: str) -> Bot | None:
        return next((u for u in self.users.values() if isinstance(u, Bot) and u.token == token), None)

    def server(self, server_id: int) -> Server:
        return _there(self.servers.get(server_id), "Guild")

    def channel(self, channel_id: int) -> Channel:
        return _there(self.channels.get(channel_id), "Channel")

    def message(self, message_id: int) -> Message:
        return _there(self.find_message(message_id), "Message")

    def find_message(self, message_id: int) -> Message | None:
        """A message of any channel, None when there is none (any more)."""
        channel = self.channels.get(self._message_channel.get(message_id, 0))
        return None if channel is None else channel.messages.get(message_id)

    def message_in(self, channel_id: int, message_id: int) -> Message:
        found = self.message(message_id)
        if found.channel_id != channel_id:
            raise unknown("Message")
        return found

    # ----------------------------------------------------------------------------------------------- permissions
    def permissions(self, user_id: int, channel: Channel) -> int:
        """Of a person or bot in a channel; 0 where they do not see it."""
        if channel.type == ChannelType.DM:
            return int(DM_PERMISSIONS) if user_id in channel.recipient_ids else 0
        server = self.servers.get(channel.server_id or 0)
        if server is None or (member := server.members.get(user_id)) is None:
            return 0
        return channel_permissions(server, member, channel)

    def server_permissions(self, user_id: int, server: Server) -> int:
        member = server.members.get(user_id)
        return 0 if member is None else base_permissions(server, member)

    def may(self, user_id: int, channel: Channel, needed: Permission) -> bool:
        return self.permissions(user_id, channel) & needed == needed

    def visible(self, user_id: int, channel_id: int) -> Channel:
        """The channel, if that user sees it: else 10003 or 50001."""
        channel = self.channel(channel_id)
        if not self.permissions(user_id, channel):
            raise missing_access()
        return channel

    def allowed(self, user_id: int, channel_id: int, needed: Permission) -> Channel:
        """The channel, if that user sees it and may do all that is `needed`: else 50013."""
        channel = self.visible(user_id, channel_id)
        if not self.may(user_id, channel, needed):
            raise missing_permissions()
        return channel

    # ---------------------------------------------------------------------------------------------------- events
    def emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[Event], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def reaches(self, event: Event, user_id: int) -> bool:
        """Whether that user gets to know of it."""
        if event.only is not None:
            return user_id in event.only
        if event.channel_id is not None:
            channel = self.channels.get(event.channel_id)
            return channel is not None and bool(self.permissions(user_id, channel))
        if event.server_id is not None:
            server = self.servers.get(event.server_id)
            return server is not None and user_id in server.members
        return True

    def subscribe(self, user_id: int | None = None, *, limit: int = 10_000) -> Subscription:
        """All that happens from now on, as (name, payload); with `user_id` only what that user gets to know of."""

        def wanted(event: Event) -> bool:
            return user_id is None or self.reaches(event, user_id)

        def leave(subscription: Subscription) -> None:
            self.unlisten(subscription.push)

        made = Subscription(wanted, leave, limit)
        self.listen(made.push)
        return made

    # ------------------------------------------------------------------------------------------- shared by actions
    def emit_in(self, name: str, payload: Payload, channel: Channel, message: Message | None = None) -> None:
        """To everybody who sees the channel."""
        self.emit(
            Event(name=name, payload=payload, server_id=channel.server_id, channel_id=channel.id, message=message)
        )

    def emit_on(self, name: str, payload: Payload, server: Server) -> None:
        """To every member of the server."""
        self.emit(Event(name=name, payload=payload, server_id=server.id))

    def whereabouts(self, channel: Channel) -> Payload:
        """The keys that say where an event happened."""
        place = {"channel_id": str(channel.id)}
        return place if channel.server_id is None else place | {"guild_id": str(channel.server_id)}


def _there(found: _T | None, what: str) -> _T:
    if found is None:
        raise unknown(what)
    return found
