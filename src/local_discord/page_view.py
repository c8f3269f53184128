"""What one person sees on the page: their places, people and messages, as plain JSON values. Ids are strings.

Nothing is given out here that the world's permissions keep from that person.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from local_discord import payloads
from local_discord.clock import iso
from local_discord.model import Channel, ChannelType, Message, MessageFlag, MessageType, Server, User
from local_discord.permissions import Permission
from local_discord.world import World

View = dict[str, Any]
BATCH = 60  # messages of a channel sent at once; older ones are asked for

_EDITABLE = (MessageType.DEFAULT, MessageType.REPLY)


def people_to_be(world: World) -> list[User]:
    """Who can sit at the page: persons, those on a server first. A bot's owner who is nowhere is left out."""
    persons = [u for u in world.users.values() if not u.bot]
    on_server = {i for s in world.servers.values() for i in s.members}
    owners = {getattr(u, "owner_id", None) for u in world.users.values()}
    found = [u for u in persons if u.id in on_server or u.id not in owners] or persons
    return sorted(found, key=lambda u: u.id not in on_server)


def visible_channels(world: World, viewer_id: int) -> list[Channel]:
    """Where the viewer can read: text channels, threads and their own DMs."""
    return [
        c
        for c in world.channels.values()
        if c.type != ChannelType.CATEGORY and world.permissions(viewer_id, c) & Permission.VIEW_CHANNEL
    ]


# ------------------------------------------------------------------------------------------------- people and places
def person(who: User, server: Server | None = None) -> View:
    member = None if server is None else server.members.get(who.id)
    nick = member.nick if member is not None else None
    return {"id": str(who.id), "name": nick or who.display_name, "color": who.avatar_color, "bot": who.bot}


def places(world: World, viewer_id: int) -> View:
    """What a viewer's page shows beside messages: servers, channels and people."""
    seen = visible_channels(world, viewer_id)
    servers = [s for s in world.servers.values() if viewer_id in s.members]
    known: dict[int, View] = {viewer_id: person(world.users[viewer_id])}
    dms = [c for c in seen if c.type == ChannelType.DM]
    for channel in dms:
        known |= {i: person(world.users[i]) for i in channel.recipient_ids}
    for server in servers:
        known |= {i: person(world.users[i], server) for i in server.members}
    return {
        "me": known[viewer_id],
        "users": [person(u) for u in people_to_be(world)],
        "people": list(known.values()),
        "servers": [_server(world, s, viewer_id, seen) for s in servers],
        "dms": [_dm(world, c, viewer_id) for c in dms],
    }


def _server(world: World, it: Server, viewer_id: int, seen: list[Channel]) -> View:
    ranked = sorted(it.roles.values(), key=lambda r: -r.position)
    here = sorted((c for c in seen if c.server_id == it.id), key=lambda c: c.position)
    threads: dict[int | None, list[View]] = {}
    for channel in here:
        if channel.is_thread:
            threads.setdefault(channel.parent_id, []).append(_channel(world, channel, viewer_id))
    return {
        "id": str(it.id),
        "name": it.name,
        "owner_id": str(it.owner_id),
        "roles": [{"id": str(r.id), "name": r.name} for r in ranked],
        "members": [
            {"id": str(m.user_id), "roles": [str(r.id) for r in ranked if r.id in m.role_ids]}
            for m in it.members.values()
        ],
        "categories": [
            {"id": str(c.id), "name": c.name} for c in it.channels.values() if c.type == ChannelType.CATEGORY
        ],
        "channels": [
            _channel(world, c, viewer_id) | {"threads": threads.get(c.id, [])} for c in here if not c.is_thread
        ],
    }


def _channel(world: World, it: Channel, viewer_id: int) -> View:
    granted = world.permissions(viewer_id, it)
    send = Permission.SEND_MESSAGES_IN_THREADS if it.is_thread else Permission.SEND_MESSAGES
    everyone = it.overwrites.get(it.server_id or 0)
    return {
        "id": str(it.id),
        "kind": "thread" if it.is_thread else "dm" if it.type == ChannelType.DM else "text",
        "type": int(it.type),
        "name": it.name,
        "server_id": None if it.server_id is None else str(it.server_id),
        "parent_id": str(it.parent_id) if it.is_thread else None,
        "category_id": None if it.is_thread or it.parent_id is None else str(it.parent_id),
        "topic": it.topic,
        "private": it.type == ChannelType.PRIVATE_THREAD
        or bool(everyone is not None and everyone.deny & Permission.VIEW_CHANNEL),
        "archived": it.archived,
        "can_send": bool(granted & send) and not (it.locked and not granted & Permission.MANAGE_THREADS),
        "can_attach": bool(granted & Permission.ATTACH_FILES),
        "can_react": bool(granted & Permission.ADD_REACTIONS and granted & Permission.READ_MESSAGE_HISTORY),
        "can_thread": it.type == ChannelType.TEXT and bool(granted & Permission.CREATE_PUBLIC_THREADS),
        "can_manage": it.type != ChannelType.DM and bool(granted & Permission.MANAGE_MESSAGES),
    }


def _dm(world: World, it: Channel, viewer_id: int) -> View:
    other_id = next((i for i in it.recipient_ids if i != viewer_id), viewer_id)
    return _channel(world, it, viewer_id) | {"name": world.users[other_id].display_name, "with": str(other_id)}


# ---------------------------------------------------------------------------------------------------------- messages
def snapshot(world: World, viewer_id: int) -> View:
    """Places, the newest messages of each, and the viewer's private answers."""
    latest: dict[str, list[View]] = {}
    complete = []
    for channel in visible_channels(world, viewer_id):
        batch, whole = history(world, viewer_id, channel.id)
        latest[str(channel.id)] = batch
        if whole:
            complete.append(str(channel.id))
    for own in world.ephemeral.values():
        if own.only_for == viewer_id and str(own.channel_id) in latest:
            latest[str(own.channel_id)].append(message(world, own, viewer_id))
    return {"t": "snapshot", **places(world, viewer_id), "messages": latest, "complete": complete}


def history(world: World, viewer_id: int, channel_id: int, *, before: int | None = None) -> tuple[list[View], bool]:
    """The newest messages (before one of them), oldest first; and whether there are no older ones."""
    found = world.history(viewer_id, channel_id, limit=BATCH + 1, before=before)
    batch = [message(world, m, viewer_id) for m in reversed(found[:BATCH])]
    return batch, len(found) <= BATCH


def message(world: World, it: Message, viewer_id: int) -> View:
    server = world.servers.get(it.server_id or 0)
    source = it
    if it.type == MessageType.THREAD_STARTER and (pointed := _pointed(world, it, viewer_id)) is not None:
        source = pointed
    thread = None if source is not it else world.channels.get(it.thread_id or 0)
    return {
        "id": str(it.id),
        "channel_id": str(it.channel_id),
        "author": person(world.users[source.author_id], server),
        "content": source.content,
        "at": iso(it.timestamp),
        "edited": it.edited is not None and it.interaction_metadata is None,  # answers are filled in by editing
        "kind": int(it.type),
        "ephemeral": it.only_for is not None,
        "thinking": bool(it.flags & MessageFlag.LOADING),
        "editable": it.author_id == viewer_id and it.type in _EDITABLE and not it.snapshots,
        "mentions_me": it.author_id != viewer_id and _names(it, server, viewer_id),
        "reply": _reply(world, it, server, viewer_id) if it.type == MessageType.REPLY else None,
        "forwarded": [_forwarded(s["message"]) for s in it.snapshots],
        "attachments": [_file(payloads.attachment(world, a)) for a in source.attachments],
        "embeds": [] if it.flags & MessageFlag.SUPPRESS_EMBEDS else _local_pictures(source, source.embeds),
        "components": it.components,
        "reactions": [
            {"emoji": key.partition(":")[0], "key": key, "count": len(who), "mine": viewer_id in who}
            for key, who in it.reactions.items()
        ],
        "interaction": _interaction(it),
        "thread": None if thread is None else {"id": str(thread.id), "name": thread.name},
    }


def _names(it: Message, server: Server | None, viewer_id: int) -> bool:
    member = None if server is None else server.members.get(viewer_id)
    roles = set() if member is None else member.role_ids
    return viewer_id in it.mention_ids or it.mention_everyone or bool(roles & set(it.mention_role_ids))


def _pointed(world: World, it: Message, viewer_id: int) -> Message | None:
    """The message referred to, if it is still there and in a place the viewer sees."""
    message_id = int((it.reference or {}).get("message_id", 0))
    own = world.ephemeral.get(message_id)
    if own is not None:
        return own if own.only_for == viewer_id else None
    found = world.find_message(message_id)
    if found is None or not world.permissions(viewer_id, world.channel(found.channel_id)):
        return None
    return found


def _reply(world: World, it: Message, server: Server | None, viewer_id: int) -> View:
    pointed = _pointed(world, it, viewer_id)
    if pointed is None:
        return {"gone": True}
    author = person(world.users[pointed.author_id], server)["name"]
    return {"gone": False, "id": str(pointed.id), "author": author, "content": pointed.content[:200]}


def _forwarded(inner: dict[str, Any]) -> View:
    files = [_file(a) for a in inner.get("attachments", [])]
    return {"content": inner.get("content", ""), "attachments": files}


def _file(wire: dict[str, Any]) -> View:
    return {
        "name": wire["filename"],
        "size": wire["size"],
        "type": wire.get("content_type", ""),
        "url": urlsplit(wire["url"]).path,
        "width": wire.get("width"),
        "height": wire.get("height"),
        "description": wire.get("description"),
    }


def _local_pictures(it: Message, embeds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`attachment://name` addresses stand for files of the same message."""
    names = {f"attachment://{a.filename}": f"/attachments/{a.channel_id}/{a.id}/{a.filename}" for a in it.attachments}
    shown = []
    for embed in embeds:
        made = dict(embed)
        for key in ("image", "thumbnail"):
            if made.get(key, {}).get("url") in names:
                made[key] = {**made[key], "url": names[made[key]["url"]]}
        shown.append(made)
    return shown


def _interaction(it: Message) -> View | None:
    metadata = it.interaction_metadata
    if metadata is None:
        return None
    name = metadata.get("name")
    if not name:
        return {"id": metadata["id"], "name": "", "user_id": metadata["user"]["id"]}
    slash = "/" if metadata.get("command_type", 1) == 1 else ""
    return {"id": metadata["id"], "name": f"{slash}{name}", "user_id": metadata["user"]["id"]}
