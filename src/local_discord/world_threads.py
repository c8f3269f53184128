"""Threads: made from a message or without one, joined and left."""

from __future__ import annotations

from local_discord import payloads
from local_discord.errors import DiscordError, missing_permissions
from local_discord.events import Event
from local_discord.model import Channel, ChannelType, Message, MessageFlag, MessageType
from local_discord.permissions import Permission
from local_discord.validation import check_length
from local_discord.world_messages import Messages
from local_discord.world_posting import Draft


class Threads(Messages):
    def start_thread(
        self,
        owner_id: int,
        channel_id: int,
        name: str,
        *,
        message: Message | None = None,
        private: bool = False,
        auto_archive_minutes: int = 4320,
    ) -> Channel:
        """A thread in a text channel. From a message it has that message's id, as Discord does it."""
        kind = Permission.CREATE_PRIVATE_THREADS if private else Permission.CREATE_PUBLIC_THREADS
        parent = self.visible(owner_id, channel_id)
        if parent.type != ChannelType.TEXT:
            raise DiscordError(400, 50024, "Cannot execute action on this channel type")
        if not self.may(owner_id, parent, kind):
            raise missing_permissions()
        check_length("name", name, 100, 1)
        if message is not None and message.thread_id is not None:
            raise DiscordError(400, 160004, "A thread has already been created for this message")
        made = Channel(
            id=message.id if message is not None else self.ids.next(),
            type=ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD,
            name=name,
            server_id=parent.server_id,
            parent_id=parent.id,
            owner_id=owner_id,
            created=self.clock.now(),
            member_ids={owner_id: self.clock.now()},
            auto_archive_minutes=auto_archive_minutes,
        )
        self.server(parent.server_id or 0).threads[made.id] = self.channels[made.id] = made
        self._announce(made, parent, message)
        return made

    def _announce(self, made: Channel, parent: Channel, message: Message | None) -> None:
        owner_id = made.owner_id or 0
        seen_by = frozenset(u for u in self.server(made.server_id or 0).members if self.permissions(u, made))
        for viewers in (frozenset({owner_id}), seen_by - {owner_id}):  # the owner is told of being a member, too
            payload = payloads.channel(self, made, viewer_id=min(viewers, default=None)) | {"newly_created": True}
            self.emit(Event(name="THREAD_CREATE", payload=payload, server_id=made.server_id, only=viewers))
        place = {"channel_id": str(made.id), "guild_id": str(made.server_id)}
        if message is not None:
            message.thread_id = made.id
            message.flags |= MessageFlag.HAS_THREAD
            self.message_changed(message)
            reference = {"type": 0, "message_id": str(message.id), **self.whereabouts(parent)}
            starter = Draft(author_id=owner_id, channel_id=made.id, body={}, type=MessageType.THREAD_STARTER)
            starter.reference = reference
            self.put_message(starter)
        elif made.type == ChannelType.PUBLIC_THREAD:
            note = Draft(
                author_id=owner_id, channel_id=parent.id, body={"content": made.name}, type=MessageType.THREAD_CREATED
            )
            note.reference = place
            self.put_message(note)

    def leave_thread(self, thread: Channel, user_id: int) -> None:
        if thread.member_ids.pop(user_id, None) is None:
            return
        payload = payloads.thread_members(thread, left=user_id)
        reached = frozenset(u for u in self.server(thread.server_id or 0).members if self.permissions(u, thread))
        event = Event(
            name="THREAD_MEMBERS_UPDATE", payload=payload, server_id=thread.server_id, only=reached | {user_id}
        )
        self.emit(event)
