"""Building the world: people, bots, servers, roles, channels, DMs; and taking them away again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from local_discord import payloads
from local_discord.errors import unknown
from local_discord.events import Event
from local_discord.model import PRIVILEGED, Bot, Channel, ChannelType, Member, Overwrite, Role, Server, User
from local_discord.permissions import EVERYONE_DEFAULT, Permission
from local_discord.world_state import State


class Places(State):
    """Whoever calls these is the world's maker: no permissions are asked. (REST checks before it calls.)"""

    # ---------------------------------------------------------------------------------------------------- people
    def add_user(self, name: str, avatar_color: str = "", *, global_name: str | None = None) -> User:
        made = User(id=self.ids.next(), name=name, avatar_color=avatar_color, global_name=global_name)
        self.users[made.id] = made
        return made

    def add_bot(
        self, name: str, *, owner: User | None = None, privileged: Iterable[str] = PRIVILEGED, token: str = ""
    ) -> Bot:
        """A bot and its application. `privileged`: the intents switched on for it (see `model.PRIVILEGED`)."""
        owner = owner or self.add_user(f"{name}-developer")
        made = Bot(
            id=self.ids.next(),
            name=name,
            bot=True,
            owner_id=owner.id,
            token=token or f"local.{secrets.token_urlsafe(24)}",
            privileged=frozenset(privileged),
        )
        self.users[made.id] = made
        return made

    # --------------------------------------------------------------------------------------------------- servers
    def add_server(self, name: str, owner: User) -> Server:
        made = Server(id=self.ids.next(), name=name, owner_id=owner.id)
        made.roles[made.id] = Role(id=made.id, server_id=made.id, name="@everyone", permissions=EVERYONE_DEFAULT)
        self.servers[made.id] = made
        self.add_member(made, owner)
        return made

    def add_role(
        self, server: Server, name: str, position: int | None = None, permissions: int = 0, *, color: int = 0
    ) -> Role:
        if position is None:
            position = max(r.position for r in server.roles.values()) + 1
        made = Role(
            id=self.ids.next(),
            server_id=server.id,
            name=name,
            position=position,
            permissions=int(permissions),
            color=color,
        )
        server.roles[made.id] = made
        self.emit_on("GUILD_ROLE_CREATE", {"guild_id": str(server.id), "role": payloads.role(made)}, server)
        return made

    def set_role_permissions(self, server: Server, role: Role, permissions: int) -> None:
        """Also of @everyone (the role with the server's id)."""
        role.permissions = int(permissions)
        self.emit_on("GUILD_ROLE_UPDATE", {"guild_id": str(server.id), "role": payloads.role(role)}, server)

    def add_member(self, server: Server, user: User, roles: Iterable[Role] = ()) -> Member:
        made = Member(user_id=user.id, joined=self.clock.now(), role_ids={r.id for r in roles})
        server.members[user.id] = made
        self._member_changed(server, made, "GUILD_MEMBER_ADD")
        return made

    def set_member_roles(self, server: Server, user: User, roles: Iterable[Role]) -> None:
        server.members[user.id].role_ids = {r.id for r in roles if r.id != server.id}
        self._member_changed(server, server.members[user.id])

    def set_nick(self, server: Server, user: User, nick: str | None) -> None:
        server.members[user.id].nick = nick or None
        self._member_changed(server, server.members[user.id])

    def _member_changed(self, server: Server, member: Member, event: str = "GUILD_MEMBER_UPDATE") -> None:
        self.emit_on(event, payloads.member(self, member) | {"guild_id": str(server.id)}, server)

    def invite(self, server: Server, bot: Bot, permissions: int = 0) -> Member:
        """Puts a bot on a server. With `permissions` it gets a managed role of its own, as from an invite link."""
        roles = []
        if permissions:
            roles = [self.add_role(server, bot.name, permissions=permissions)]
            roles[0].managed_by = bot.id
        member = self.add_member(server, bot, roles)
        payload = payloads.guild_create(self, server, bot)
        self.emit(Event(name="GUILD_CREATE", payload=payload, server_id=server.id, only=frozenset({bot.id})))
        return member

    def remove_member(self, server: Server, user: User) -> None:
        """A person leaves, or a bot is thrown out."""
        member = server.members.pop(user.id, None)
        if member is None:
            raise unknown("Member")
        self.emit_on("GUILD_MEMBER_REMOVE", {"guild_id": str(server.id), "user": payloads.user(user)}, server)
        gone = {"id": str(server.id)}
        self.emit(Event(name="GUILD_DELETE", payload=gone, server_id=server.id, only=frozenset({user.id})))

    # -------------------------------------------------------------------------------------------------- channels
    def add_category(self, server: Server, name: str) -> Channel:
        return self._put_channel(server, Channel(id=self.ids.next(), type=ChannelType.CATEGORY, name=name))

    def add_channel(
        self,
        server: Server,
        name: str,
        category: Channel | None = None,
        private_for: Iterable[Role | User] | None = None,
        *,
        topic: str | None = None,
    ) -> Channel:
        """A text channel. With `private_for` (roles and people) nobody else sees it, administrators excepted."""
        made = Channel(id=self.ids.next(), type=ChannelType.TEXT, name=name, topic=topic)
        if category is not None:
            made.parent_id = category.id
            made.overwrites = dict(category.overwrites)
        if private_for is not None:
            view = Permission.VIEW_CHANNEL
            made.overwrites[server.id] = Overwrite(server.id, 0, deny=view)
            for target in private_for:
                made.overwrites[target.id] = Overwrite(target.id, 0 if isinstance(target, Role) else 1, allow=view)
        return self._put_channel(server, made)

    def _put_channel(self, server: Server, made: Channel) -> Channel:
        made.server_id = server.id
        made.position = len(server.channels)
        made.created = self.clock.now()
        server.channels[made.id] = self.channels[made.id] = made
        self.emit_on("CHANNEL_CREATE", payloads.channel(self, made), server)
        return made

    def set_overwrite(self, channel: Channel, target: Role | User, *, allow: int = 0, deny: int = 0) -> None:
        """What one role or member may and may not do in one channel. Neither: the overwrite goes."""
        kind = 0 if isinstance(target, Role) else 1
        if allow or deny:
            channel.overwrites[target.id] = Overwrite(target.id, kind, allow=int(allow), deny=int(deny))
        else:
            channel.overwrites.pop(target.id, None)
        self.channel_changed(channel)

    def channel_changed(self, channel: Channel) -> None:
        """Tells everybody how a channel or thread is now."""
        payload = payloads.channel(self, channel)
        if channel.is_thread:
            self.emit_in("THREAD_UPDATE", payload, channel)
        elif channel.server_id is not None:
            self.emit_on("CHANNEL_UPDATE", payload, self.servers[channel.server_id])

    def delete_channel(self, channel_id: int) -> None:
        """A channel with its threads, a category (its channels stay), or one thread."""
        channel = self.channel(channel_id)
        server = self.server(channel.server_id or 0)
        for thread in [t for t in server.threads.values() if t.parent_id == channel_id]:
            self._drop_channel(server, thread)
        for child in server.channels.values():
            if child.parent_id == channel_id:
                child.parent_id = None
                self.channel_changed(child)
        self._drop_channel(server, channel)

    def _drop_channel(self, server: Server, channel: Channel) -> None:
        seen_by = frozenset(u for u in server.members if self.permissions(u, channel))
        payload = payloads.channel(self, channel)
        for message_id, message in channel.messages.items():
            self._message_channel.pop(message_id, None)
            for file in message.attachments:
                self.files.drop(file.id)
        del self.channels[channel.id]
        if channel.is_thread:
            del server.threads[channel.id]
            keys = ("id", "guild_id", "parent_id", "type")
            gone = {key: payload[key] for key in keys}
            self.emit(Event(name="THREAD_DELETE", payload=gone, server_id=server.id, only=seen_by))
        else:
            del server.channels[channel.id]
            self.emit_on("CHANNEL_DELETE", payload, server)

    # ------------------------------------------------------------------------------------------------------- DMs
    def open_dm(self, opener_id: int, other_id: int) -> Channel:
        """The one DM channel of two users, made when it is not there yet."""
        pair = frozenset({opener_id, other_id})
        if len(pair) < 2:
            raise unknown("User")
        self.user(opener_id), self.user(other_id)
        channel_id = self._dm_of.get(pair)
        if channel_id is None:
            made = Channel(id=self.ids.next(), type=ChannelType.DM, name="", recipient_ids=(opener_id, other_id))
            self._dm_of[pair] = made.id
            self.channels[made.id] = made
            for viewer in pair:
                payload = payloads.channel(self, made, viewer_id=viewer)
                self.emit(Event(name="CHANNEL_CREATE", payload=payload, only=frozenset({viewer})))
            channel_id = made.id
        channel = self.channels[channel_id]
        channel.opened_by |= {opener_id}
        return channel
