"""What happens to messages once they are there: edits, deletions, reactions, pins, reading; and typing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_discord import mentions, payloads, validation
from local_discord.clock import seconds_of
from local_discord.errors import DiscordError, missing_permissions, unknown
from local_discord.model import Channel, ChannelType, Message, MessageFlag
from local_discord.permissions import Permission
from local_discord.world_posting import Posting, Upload, numbered

_BULK_DELETE_SECONDS = 14 * 24 * 3600


class Messages(Posting):
    # --------------------------------------------------------------------------------------- editing and deleting
    def change(self, author_id: int, message: Message, body: dict[str, Any], files: Sequence[Upload] = ()) -> Message:
        """An author's edit. Absent keys stay; `attachments` lists those kept."""
        if message.author_id != author_id:
            raise DiscordError(403, 50005, "Cannot edit a message authored by another user")
        return self.put_change(message, body, files)

    def put_change(self, message: Message, body: dict[str, Any], files: Sequence[Upload] = ()) -> Message:
        flags = message.flags
        if "flags" in body:
            changeable = int(MessageFlag.SUPPRESS_EMBEDS) | int(MessageFlag.COMPONENTS_V2)
            flags = flags & ~int(MessageFlag.SUPPRESS_EMBEDS) | int(body["flags"] or 0) & changeable
        validation.check_message(body, flags=flags)
        fresh = self._store(message.channel_id, files, ephemeral=message.only_for is not None)
        if body.get("attachments") is not None:
            kept = {int(a["id"]) for a in body["attachments"] if str(a.get("id", "")).isdigit()}
            for gone in [a for a in message.attachments if a.id not in kept]:
                message.attachments.remove(gone)
                self.files.drop(gone.id)
        message.attachments += fresh
        message.flags = flags
        if "content" in body:
            message.content = body["content"] or ""
            self._mention_again(message, body)
        if "embeds" in body:
            message.embeds = [{"type": "rich", **e} for e in body["embeds"] or []]
        if "components" in body:
            message.components = numbered(body["components"] or [])
        message.edited = self.clock.now()
        self.message_changed(message)
        return message

    def _mention_again(self, message: Message, body: dict[str, Any]) -> None:
        channel = self.channel(message.channel_id)
        may = self.may(message.author_id, channel, Permission.MENTION_EVERYONE)
        found = mentions.find(message.content, body.get("allowed_mentions"), may_everyone=may)
        message.mention_ids = [i for i in found.users if i in self.users]
        message.mention_role_ids, message.mention_everyone = list(found.roles), found.everyone

    def message_changed(self, message: Message) -> None:
        channel = self.channel(message.channel_id)
        if message.only_for is None:
            self.emit_in("MESSAGE_UPDATE", payloads.message(self, message), channel, message)

    def remove(self, actor_id: int, message: Message) -> None:
        """One's own message, or with Manage Messages anybody's."""
        channel = self.visible(actor_id, message.channel_id)
        if message.author_id != actor_id:
            if channel.type == ChannelType.DM:
                raise DiscordError(403, 50003, "Cannot execute action on a DM channel")
            if not self.may(actor_id, channel, Permission.MANAGE_MESSAGES):
                raise missing_permissions()
        self.put_remove(message)

    def put_remove(self, message: Message) -> None:
        channel = self.channel(message.channel_id)
        self._forget(channel, message)
        if message.only_for is None:
            payload = {"id": str(message.id), **self.whereabouts(channel)}
            self.emit_in("MESSAGE_DELETE", payload, channel)

    def _forget(self, channel: Channel, message: Message) -> None:
        channel.messages.pop(message.id, None)
        self.ephemeral.pop(message.id, None)
        self._message_channel.pop(message.id, None)
        for file in message.attachments:
            self.files.drop(file.id)

    def remove_many(self, actor_id: int, channel_id: int, message_ids: Sequence[int]) -> None:
        """2 to 100 messages not older than 14 days; ids of messages that are not there count, but do nothing."""
        channel = self.allowed(actor_id, channel_id, Permission.MANAGE_MESSAGES)
        if channel.type == ChannelType.DM:
            raise DiscordError(403, 50003, "Cannot execute action on a DM channel")
        if not 2 <= len(message_ids) <= 100:
            raise DiscordError(400, 50016, "Provided too few or too many messages to delete. Must provide 2 to 100.")
        if any(seconds_of(i) < self.clock.now() - _BULK_DELETE_SECONDS for i in message_ids):
            raise DiscordError(400, 50034, "You can only bulk delete messages that are under 14 days old.")
        there = [channel.messages[i] for i in message_ids if i in channel.messages]
        for message in there:
            self._forget(channel, message)
        payload = {"ids": [str(m.id) for m in there], **self.whereabouts(channel)}
        self.emit_in("MESSAGE_DELETE_BULK", payload, channel)

    # -------------------------------------------------------------------------------------- reactions and typing
    def add_reaction(self, user_id: int, message: Message, emoji: str) -> None:
        channel = self.allowed(user_id, message.channel_id, Permission.READ_MESSAGE_HISTORY)
        if not emoji or (emoji.isascii() and ":" not in emoji):
            raise unknown("Emoji")
        if emoji not in message.reactions:
            if not self.may(user_id, channel, Permission.ADD_REACTIONS):
                raise missing_permissions()
            if len(message.reactions) >= 20:
                raise DiscordError(400, 30010, "Maximum number of reactions reached (20)")
        who = message.reactions.setdefault(emoji, [])
        if user_id not in who:
            who.append(user_id)
            self._reacted("MESSAGE_REACTION_ADD", channel, message, user_id, emoji)

    def remove_reaction(self, actor_id: int, message: Message, emoji: str, user_id: int) -> None:
        channel = self.visible(actor_id, message.channel_id)
        if actor_id != user_id and not self.may(actor_id, channel, Permission.MANAGE_MESSAGES):
            raise missing_permissions()
        who = message.reactions.get(emoji, [])
        if user_id not in who:
            raise unknown("Emoji")
        who.remove(user_id)
        if not who:
            del message.reactions[emoji]
        self._reacted("MESSAGE_REACTION_REMOVE", channel, message, user_id, emoji)

    def clear_reactions(self, actor_id: int, message: Message, emoji: str | None = None) -> None:
        channel = self.allowed(actor_id, message.channel_id, Permission.MANAGE_MESSAGES)
        place = {"message_id": str(message.id), **self.whereabouts(channel)}
        if emoji is None:
            message.reactions.clear()
            self.emit_in("MESSAGE_REACTION_REMOVE_ALL", place, channel)
        elif message.reactions.pop(emoji, None) is not None:
            payload = {**place, "emoji": payloads.emoji(emoji)}
            self.emit_in("MESSAGE_REACTION_REMOVE_EMOJI", payload, channel)

    def _reacted(self, name: str, channel: Channel, message: Message, user_id: int, emoji: str) -> None:
        payload: dict[str, Any] = {
            "user_id": str(user_id),
            "message_id": str(message.id),
            "message_author_id": str(message.author_id),
            "emoji": payloads.emoji(emoji),
            "burst": False,
            "type": 0,
            **self.whereabouts(channel),
        }
        server = self.servers.get(channel.server_id or 0)
        if server is not None and user_id in server.members and name.endswith("ADD"):
            payload["member"] = payloads.member(self, server.members[user_id])
        self.emit_in(name, payload, channel)

    def typing(self, user_id: int, channel_id: int) -> None:
        channel = self._writable(user_id, channel_id)
        payload: dict[str, Any] = {
            "user_id": str(user_id),
            "timestamp": int(self.clock.now()),
            **self.whereabouts(channel),
        }
        server = self.servers.get(channel.server_id or 0)
        if server is not None:
            payload["member"] = payloads.member(self, server.members[user_id])
        self.emit_in("TYPING_START", payload, channel)

    def pin(self, actor_id: int, message: Message, *, pinned: bool) -> None:
        channel = self.allowed(actor_id, message.channel_id, Permission.MANAGE_MESSAGES)
        message.pinned = pinned
        self.emit_in("CHANNEL_PINS_UPDATE", {**self.whereabouts(channel), "last_pin_timestamp": None}, channel)
        self.message_changed(message)

    # ---------------------------------------------------------------------------------------------------- reading
    def history(
        self,
        user_id: int,
        channel_id: int,
        *,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
    ) -> list[Message]:
        """Newest first. Without the right to read the history: nothing."""
        channel = self.visible(user_id, channel_id)
        if not self.may(user_id, channel, Permission.READ_MESSAGE_HISTORY):
            return []
        there = list(channel.messages.values())
        if around is not None:
            half = limit // 2
            older = [m for m in there if m.id <= around][-half - 1 :]
            newer = [m for m in there if m.id > around][:half]
            return (older + newer)[::-1]
        if after is not None:
            return [m for m in there if m.id > after][:limit][::-1]
        if before is not None:
            there = [m for m in there if m.id < before]
        return there[-limit:][::-1]
