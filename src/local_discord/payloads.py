"""The JSON of Discord's API v10: how each record of the world looks on the wire. Ids are strings, as there."""

from __future__ import annotations

from local_discord.clock import iso
from local_discord.events import Payload
from local_discord.model import Attachment, Bot, Channel, ChannelType, Member, Message, Role, Server, User
from local_discord.world_state import State


def user(who: User) -> Payload:
    """`avatar_color` is ours (the page draws the picture); clients ignore keys that they do not know."""
    return {
        "id": str(who.id),
        "username": who.name,
        "global_name": who.global_name,
        "discriminator": "0000" if who.bot else "0",
        "avatar": None,
        "bot": who.bot,
        "system": False,
        "public_flags": 0,
        "avatar_color": who.avatar_color,
    }


def role(it: Role) -> Payload:
    made = {
        "id": str(it.id),
        "name": it.name,
        "color": it.color,
        "colors": {"primary_color": it.color, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": it.position,
        "permissions": str(int(it.permissions)),
        "managed": it.managed_by is not None,
        "mentionable": True,
        "flags": 0,
    }
    if it.managed_by is not None:
        made["tags"] = {"bot_id": str(it.managed_by)}
    return made


def partial_member(it: Member) -> Payload:
    """Without the user, as inside messages."""
    return {
        "roles": [str(r) for r in sorted(it.role_ids)],
        "nick": it.nick,
        "avatar": None,
        "joined_at": iso(it.joined),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
        "communication_disabled_until": None,
    }


def member(world: State, it: Member) -> Payload:
    return {**partial_member(it), "user": user(world.users[it.user_id])}


def attachment(world: State, it: Attachment) -> Payload:
    url = f"{world.base_url}/attachments/{it.channel_id}/{it.id}/{it.filename}"
    made: Payload = {
        "id": str(it.id),
        "filename": it.filename,
        "size": it.size,
        "url": url,
        "proxy_url": url,
        "content_type": it.content_type,
    }
    if it.width is not None:
        made |= {"width": it.width, "height": it.height}
    if it.description:
        made["description"] = it.description
    if it.ephemeral:
        made["ephemeral"] = True
    return made


def emoji(key: str) -> Payload:
    """From the form used in URLs: a sign, or `name:id`."""
    name, _, number = key.partition(":")
    return {"id": number or None, "name": name, "animated": False} if number else {"id": None, "name": key}


def reactions(it: Message, viewer_id: int | None) -> list[Payload]:
    return [
        {
            "emoji": emoji(key),
            "count": len(who),
            "count_details": {"burst": 0, "normal": len(who)},
            "burst_colors": [],
            "me": viewer_id in who,
            "me_burst": False,
        }
        for key, who in it.reactions.items()
    ]


def message(world: State, it: Message, *, viewer_id: int | None = None, nested: bool = False) -> Payload:
    """A message. `nested`: inside another as the one replied to, where the chain ends."""
    author = world.users[it.author_id]
    server = world.servers.get(it.server_id or 0)
    made: Payload = {
        "id": str(it.id),
        "channel_id": str(it.channel_id),
        "author": user(author),
        "content": it.content,
        "timestamp": iso(it.timestamp),
        "edited_timestamp": iso(it.edited),
        "tts": it.tts,
        "mention_everyone": it.mention_everyone,
        "mentions": [_mentioned(world, server, i) for i in it.mention_ids if i in world.users],
        "mention_roles": [str(r) for r in it.mention_role_ids],
        "attachments": [attachment(world, a) for a in it.attachments],
        "embeds": it.embeds,
        "components": it.components,
        "reactions": reactions(it, viewer_id),
        "pinned": it.pinned,
        "type": int(it.type),
        "flags": it.flags,
    }
    if server is not None:
        made["guild_id"] = str(server.id)
        if (as_member := server.members.get(it.author_id)) is not None:
            made["member"] = partial_member(as_member)
    if it.nonce is not None:
        made["nonce"] = it.nonce
    if it.application_id is not None:
        made |= {"application_id": str(it.application_id), "webhook_id": str(it.application_id)}
    if it.interaction_metadata is not None:
        made["interaction_metadata"] = it.interaction_metadata
    if it.snapshots:
        made["message_snapshots"] = it.snapshots
    if it.thread_id is not None and (in_thread := world.channels.get(it.thread_id)) is not None:
        made["thread"] = channel(world, in_thread)
    if it.reference is not None:
        made["message_reference"] = it.reference
        if not nested and it.reference.get("type", 0) == 0:
            pointed = world.find_message(int(it.reference.get("message_id", 0)))
            made["referenced_message"] = None if pointed is None else message(world, pointed, nested=True)
    return made


def _mentioned(world: State, server: Server | None, user_id: int) -> Payload:
    made = user(world.users[user_id])
    if server is not None and user_id in server.members:
        made["member"] = partial_member(server.members[user_id])
    return made


def channel(world: State, it: Channel, *, viewer_id: int | None = None) -> Payload:
    """Any channel. A DM shows the other side to its viewer; a thread shows the viewer's own membership."""
    made: Payload = {"id": str(it.id), "type": int(it.type), "flags": 0, "last_message_id": _text(it.last_message_id)}
    if it.type == ChannelType.DM:
        others = [world.users[i] for i in it.recipient_ids if i != viewer_id]
        return made | {"recipients": [user(u) for u in others]}
    made |= {"name": it.name, "guild_id": str(it.server_id), "parent_id": _text(it.parent_id), "nsfw": it.nsfw}
    made["rate_limit_per_user"] = it.slowmode
    if it.is_thread:
        return made | _thread_fields(it, viewer_id)
    return made | {
        "position": it.position,
        "topic": it.topic,
        "permission_overwrites": [
            {"id": str(o.target_id), "type": o.type, "allow": str(int(o.allow)), "deny": str(int(o.deny))}
            for o in it.overwrites.values()
        ],
        "default_auto_archive_duration": 4320,
    }


def _thread_fields(it: Channel, viewer_id: int | None) -> Payload:
    made: Payload = {
        "owner_id": str(it.owner_id),
        "message_count": len(it.messages),
        "total_message_sent": it.total_sent,
        "member_count": len(it.member_ids),
        "thread_metadata": {
            "archived": it.archived,
            "auto_archive_duration": it.auto_archive_minutes,
            "archive_timestamp": iso(it.archived_at or it.created),
            "locked": it.locked,
            "invitable": it.invitable,
            "create_timestamp": iso(it.created),
        },
    }
    if viewer_id in it.member_ids:
        made["member"] = thread_member(it, viewer_id)
    return made


def thread_members(thread: Channel, *, joined: int | None = None, left: int | None = None) -> Payload:
    """That somebody joined or left."""
    return {
        "id": str(thread.id),
        "guild_id": str(thread.server_id),
        "member_count": len(thread.member_ids),
        "added_members": [] if joined is None else [thread_member(thread, joined)],
        "removed_member_ids": [] if left is None else [str(left)],
    }


def thread_member(thread: Channel, user_id: int) -> Payload:
    return {
        "id": str(thread.id),
        "user_id": str(user_id),
        "join_timestamp": iso(thread.member_ids[user_id]),
        "flags": 0,
    }


_EMPTY = (
    *("icon", "splash", "discovery_splash", "banner", "description", "afk_channel_id", "application_id"),
    *("system_channel_id", "rules_channel_id", "public_updates_channel_id", "vanity_url_code"),
)


def server(world: State, it: Server) -> Payload:
    """A server without its channels and members (those come with GUILD_CREATE)."""
    return {
        "id": str(it.id),
        "name": it.name,
        "owner_id": str(it.owner_id),
        "roles": [role(r) for r in it.roles.values()],
        "emojis": [],
        "stickers": [],
        "features": [],
        **dict.fromkeys(_EMPTY),
        "region": "local",
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "system_channel_flags": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "max_members": 500000,
        "approximate_member_count": len(it.members),
        "approximate_presence_count": len(it.members),
    }


def guild_create(world: State, it: Server, viewer: Bot, *, all_members: bool = False) -> Payload:
    """What a bot is told of a server it is on. Every channel, as Discord does it; only the threads it can see."""
    members = it.members.values() if all_members else [it.members[viewer.id]]
    return server(world, it) | {
        "joined_at": iso(it.members[viewer.id].joined),
        "large": len(it.members) > 250,
        "member_count": len(it.members),
        "members": [member(world, m) for m in members],
        "channels": [channel(world, c) for c in it.channels.values()],
        "threads": [
            channel(world, t, viewer_id=viewer.id)
            for t in it.threads.values()
            if not t.archived and world.permissions(viewer.id, t)
        ],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def application(world: State, bot: Bot) -> Payload:
    """The flags say which privileged intents are switched on (the ones of an app below the review threshold)."""
    bits = {"presences": 1 << 13, "members": 1 << 15, "message_content": 1 << 19}
    return {
        "id": str(bot.id),
        "name": bot.name,
        "icon": None,
        "description": bot.description,
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": user(world.users[bot.owner_id]),
        "flags": sum(bits[name] for name in bot.privileged),
        "team": None,
        "summary": "",
        "install_params": None,
        "approximate_guild_count": sum(bot.id in s.members for s in world.servers.values()),
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
