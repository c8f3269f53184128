"""Posting: what it takes to put a message into a channel. Rights are checked here, for people and bots alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local_discord import mentions, payloads, validation
from local_discord.errors import DiscordError, invalid_form, missing_permissions, too_large, unknown
from local_discord.events import Event
from local_discord.files import describe, safe_name
from local_discord.model import Attachment, Channel, ChannelType, Message, MessageFlag, MessageType
from local_discord.permissions import Permission
from local_discord.world_places import Places

_NONCE_SECONDS = 300.0
_MAX_EPHEMERAL = 500
_MAX_NONCES = 5000
_SETTABLE = (
    MessageFlag.SUPPRESS_EMBEDS | MessageFlag.EPHEMERAL | MessageFlag.SUPPRESS_NOTIFICATIONS | MessageFlag.COMPONENTS_V2
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    name: str
    data: bytes
    description: str | None = None


@dataclass(slots=True, kw_only=True)
class Draft:
    """What is to be posted. `body` has the API's keys: content, embeds, components, allowed_mentions, ..."""

    author_id: int
    channel_id: int
    body: dict[str, Any]
    files: Sequence[Upload] = ()
    type: int = MessageType.DEFAULT
    flags: int = 0
    application_id: int | None = None
    metadata: dict[str, Any] | None = None
    reference: dict[str, Any] | None = None
    only_for: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Posting(Places):
    # ---------------------------------------------------------------------------------------------------- posting
    def post(self, draft: Draft) -> Message:
        """Checks the author's rights in the channel, then posts. An enforced nonce gives the message it had made."""
        channel = self._writable(draft.author_id, draft.channel_id)
        if (again := self._same_nonce(channel, draft)) is not None:
            return again
        self._check_extras(draft, channel)
        return self.put_message(draft)

    def _writable(self, author_id: int, channel_id: int) -> Channel:
        channel = self.visible(author_id, channel_id)
        if channel.type == ChannelType.CATEGORY:
            raise DiscordError(400, 50008, "Cannot send messages in a non-text channel")
        if channel.type == ChannelType.DM:
            self._check_dm(channel, author_id)
            return channel
        needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        if not self.may(author_id, channel, needed):
            raise missing_permissions()
        if channel.is_thread and channel.archived:
            if channel.locked and not self.may(author_id, channel, Permission.MANAGE_THREADS):
                raise DiscordError(400, 50083, "Thread is archived")
            channel.archived = False
            self.channel_changed(channel)
        return channel

    def _check_dm(self, channel: Channel, author_id: int) -> None:
        other_id = next(i for i in channel.recipient_ids if i != author_id)
        other = self.users[other_id]
        known = other_id in channel.opened_by or any(
            author_id in s.members and other_id in s.members for s in self.servers.values()
        )
        if self.users[author_id].bot and (other.bot or not other.accepts_dms or not known):
            raise DiscordError(403, 50007, "Cannot send messages to this user")
        channel.opened_by |= {author_id}

    def _same_nonce(self, channel: Channel, draft: Draft) -> Message | None:
        nonce = draft.body.get("nonce")
        if nonce is None or not draft.body.get("enforce_nonce"):
            return None
        made = self.find_message(self._nonces.get((channel.id, draft.author_id, str(nonce)), 0))
        fresh = made is not None and made.timestamp > self.clock.now() - _NONCE_SECONDS
        return made if fresh else None

    def _check_extras(self, draft: Draft, channel: Channel) -> None:
        """The rights that files and embeds take, and what a reply refers to."""
        granted = self.permissions(draft.author_id, channel)
        if draft.files and not granted & Permission.ATTACH_FILES:
            raise missing_permissions()
        if draft.body.get("embeds") and not granted & Permission.EMBED_LINKS:
            raise missing_permissions()
        reference = draft.body.get("message_reference")
        if not reference:
            return
        try:
            pointed_id, forward = int(reference["message_id"]), reference.get("type", 0) == 1
        except (KeyError, TypeError, ValueError):
            raise invalid_form("message_reference.message_id", "BASE_TYPE_REQUIRED", "This field is required") from None
        pointed = self.find_message(pointed_id)
        if forward:
            self._forward(draft, pointed)
            return
        if pointed is None or pointed.channel_id != channel.id:
            if reference.get("fail_if_not_exists", True):
                raise invalid_form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            return
        if not granted & Permission.READ_MESSAGE_HISTORY:
            raise DiscordError(400, 160002, "Cannot reply without permission to read message history")
        draft.type = MessageType.REPLY
        draft.reference = {"type": 0, "message_id": str(pointed.id), **self.whereabouts(channel)}

    def _forward(self, draft: Draft, pointed: Message | None) -> None:
        if pointed is None:
            raise unknown("Message")
        source = self.visible(draft.author_id, pointed.channel_id)
        draft.reference = {"type": 1, "message_id": str(pointed.id), **self.whereabouts(source)}
        whole = payloads.message(self, pointed, nested=True)
        keys = ("type", "content", "embeds", "attachments", "timestamp", "edited_timestamp", "flags", "mentions")
        snapshot = {key: whole[key] for key in (*keys, "mention_roles", "components")}
        draft.extra["snapshots"] = [{"message": snapshot}]
        draft.flags |= MessageFlag.HAS_SNAPSHOT

    def put_message(self, draft: Draft) -> Message:
        """Makes the message without asking for rights (of interactions' answers, which need none)."""
        channel, body = self.channel(draft.channel_id), draft.body
        flags = draft.flags | int(body.get("flags") or 0) & _SETTABLE
        if draft.only_for is None:
            flags &= ~MessageFlag.EPHEMERAL
        else:
            flags |= MessageFlag.EPHEMERAL
        validation.check_message(body, flags=flags)
        validation.check_number("attachments", draft.files, validation.MAX_FILES)
        replied_to = self._replied_to(draft)
        found = mentions.find(
            body.get("content") or "",
            body.get("allowed_mentions"),
            may_everyone=self.may(draft.author_id, channel, Permission.MENTION_EVERYONE),
            replied_to=replied_to,
        )
        made = Message(
            id=self.ids.next(),
            channel_id=channel.id,
            server_id=channel.server_id,
            author_id=draft.author_id,
            content=body.get("content") or "",
            timestamp=self.clock.now(),
            type=draft.type,
            flags=flags,
            tts=bool(body.get("tts")),
            nonce=None if body.get("nonce") is None else str(body["nonce"]),
            embeds=[{"type": "rich", **e} for e in body.get("embeds") or []],
            components=numbered(body.get("components") or []),
            mention_ids=[i for i in found.users if i in self.users],
            mention_role_ids=list(found.roles),
            mention_everyone=found.everyone,
            reference=draft.reference,
            application_id=draft.application_id,
            interaction_metadata=draft.metadata,
            only_for=draft.only_for,
            **draft.extra,
        )
        empty = not (made.content.strip() or made.embeds or made.components or draft.files or made.snapshots)
        if empty and draft.type in (MessageType.DEFAULT, MessageType.REPLY) and not flags & MessageFlag.LOADING:
            raise DiscordError(400, 50006, "Cannot send an empty message")
        made.attachments = self._store(channel.id, draft.files, ephemeral=draft.only_for is not None)
        self._keep(channel, made)
        return made

    def _replied_to(self, draft: Draft) -> int | None:
        if draft.reference is None or draft.type != MessageType.REPLY:
            return None
        pointed = self.find_message(int(draft.reference["message_id"]))
        return None if pointed is None else pointed.author_id

    def _store(self, channel_id: int, files: Sequence[Upload], *, ephemeral: bool = False) -> list[Attachment]:
        if any(len(f.data) > self.faults.upload_cap for f in files):
            raise too_large()
        stored = []
        for file in files:
            name = safe_name(file.name)
            kind, width, height = describe(name, file.data)
            made = Attachment(
                id=self.ids.next(),
                channel_id=channel_id,
                filename=name,
                size=len(file.data),
                content_type=kind,
                width=width,
                height=height,
                description=file.description,
                ephemeral=ephemeral,
            )
            self.files.put(made.id, file.data, kind)
            stored.append(made)
        return stored

    def _keep(self, channel: Channel, made: Message) -> None:
        if made.only_for is not None:
            self.ephemeral[made.id] = made
            while len(self.ephemeral) > _MAX_EPHEMERAL:
                self.ephemeral.popitem(last=False)
            return
        channel.messages[made.id] = made
        channel.last_message_id = made.id
        channel.total_sent += 1
        self._message_channel[made.id] = channel.id
        if made.nonce is not None:
            self._nonces[channel.id, made.author_id, made.nonce] = made.id
            while len(self._nonces) > _MAX_NONCES:
                self._nonces.popitem(last=False)
        while len(channel.messages) > self.messages_per_channel:
            oldest = next(iter(channel.messages))
            del channel.messages[oldest]
            self._message_channel.pop(oldest, None)
        self._pull_in(channel, made)
        self.emit_in("MESSAGE_CREATE", payloads.message(self, made), channel, made)

    def _pull_in(self, channel: Channel, made: Message) -> None:
        """Whoever writes in a thread joins it, and so does whoever is mentioned there."""
        if channel.is_thread:
            members = self.servers[channel.server_id or 0].members
            for user_id in (made.author_id, *made.mention_ids):
                if user_id in members:
                    self.join_thread(channel, user_id)

    def join_thread(self, thread: Channel, user_id: int) -> None:
        if user_id in thread.member_ids:
            return
        thread.member_ids[user_id] = self.clock.now()
        if thread.type == ChannelType.PRIVATE_THREAD and self.permissions(user_id, thread):
            shown = payloads.channel(self, thread, viewer_id=user_id)
            self.emit(Event(name="THREAD_CREATE", payload=shown, server_id=thread.server_id, only=frozenset({user_id})))
        self.emit_in("THREAD_MEMBERS_UPDATE", payloads.thread_members(thread, joined=user_id), thread)


def numbered(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Discord gives every component of a message a number when it has none."""
    taken = {c["id"] for c in validation.walk(components) if c.get("id")}
    number = 0
    for component in validation.walk(components):
        if not component.get("id"):
            number += 1
            while number in taken:
                number += 1
            component["id"] = number
    return components
