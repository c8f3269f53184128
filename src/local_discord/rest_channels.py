"""Routes of channels and threads."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local_discord import payloads
from local_discord.errors import DiscordError, missing_permissions, unknown
from local_discord.forms import answer, nothing, path_id, read_object
from local_discord.keys import asking
from local_discord.model import Bot, Channel, ChannelType, Overwrite
from local_discord.permissions import Permission
from local_discord.validation import check_length
from local_discord.world import World

routes = web.RouteTableDef()
_CHANNEL = "/channels/{channel_id}"


def _channel(request: web.Request) -> tuple[World, Bot, Channel]:
    world, bot = asking(request)
    return world, bot, world.visible(bot.id, path_id(request, "channel_id"))


def _thread(request: web.Request) -> tuple[World, Bot, Channel]:
    world, bot, channel = _channel(request)
    if not channel.is_thread:
        raise DiscordError(400, 50024, "Cannot execute action on this channel type")
    return world, bot, channel


@routes.get(_CHANNEL)
async def one(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    return answer(payloads.channel(world, channel, viewer_id=bot.id))


@routes.patch(_CHANNEL)
async def edit(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    body = await read_object(request)
    _check_editor(world, bot, channel, body)
    if "name" in body:
        check_length("name", body["name"], 100, 1)
        channel.name = body["name"]
    if "topic" in body:
        check_length("topic", body["topic"] or "", 1024)
        channel.topic = body["topic"]
    channel.slowmode = int(body.get("rate_limit_per_user") or channel.slowmode)
    channel.nsfw = bool(body.get("nsfw", channel.nsfw))
    if "parent_id" in body and not channel.is_thread:
        channel.parent_id = None if body["parent_id"] is None else int(body["parent_id"])
    if body.get("permission_overwrites") is not None and not channel.is_thread:
        channel.overwrites = {o.target_id: o for o in map(_overwrite, body["permission_overwrites"])}
    if channel.is_thread:
        _edit_thread(world, channel, body)
    world.channel_changed(channel)
    return answer(payloads.channel(world, channel, viewer_id=bot.id))


def _check_editor(world: World, bot: Bot, channel: Channel, body: dict[str, Any]) -> None:
    if channel.type == ChannelType.DM:
        raise DiscordError(403, 50003, "Cannot execute action on a DM channel")
    needed = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
    if world.may(bot.id, channel, needed):
        return
    unarchives = set(body) <= {"archived"} and not channel.locked
    if channel.is_thread and ((channel.owner_id == bot.id and "locked" not in body) or unarchives):
        return
    raise missing_permissions()


def _edit_thread(world: World, thread: Channel, body: dict[str, Any]) -> None:
    if "archived" in body:
        thread.archived = bool(body["archived"])
        thread.archived_at = world.clock.now()
    thread.locked = bool(body.get("locked", thread.locked))
    thread.invitable = bool(body.get("invitable", thread.invitable))
    thread.auto_archive_minutes = int(body.get("auto_archive_duration") or thread.auto_archive_minutes)


def _overwrite(told: dict[str, Any]) -> Overwrite:
    return Overwrite(int(told["id"]), int(told["type"]), int(told.get("allow") or 0), int(told.get("deny") or 0))


@routes.delete(_CHANNEL)
async def delete(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    payload = payloads.channel(world, channel, viewer_id=bot.id)
    if channel.type != ChannelType.DM:  # a DM is only closed, and stays for the other side
        needed = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        world.allowed(bot.id, channel.id, needed)
        world.delete_channel(channel.id)
    return answer(payload)


@routes.put(_CHANNEL + "/permissions/{target_id}")
@routes.delete(_CHANNEL + "/permissions/{target_id}")
async def overwrite(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    world.allowed(bot.id, channel.id, Permission.MANAGE_ROLES)
    target_id = path_id(request, "target_id")
    if request.method == "PUT":
        channel.overwrites[target_id] = _overwrite({**await read_object(request), "id": target_id})
    else:
        channel.overwrites.pop(target_id, None)
    world.channel_changed(channel)
    return nothing()


# ---------------------------------------------------------------------------------------------------------- threads
@routes.post(_CHANNEL + "/messages/{message_id}/threads")
@routes.post(_CHANNEL + "/threads")
async def start_thread(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    body = await read_object(request)
    message = None
    if "message_id" in request.match_info:
        message = world.message_in(channel.id, path_id(request, "message_id"))
    made = world.start_thread(
        bot.id,
        channel.id,
        body.get("name", ""),
        message=message,
        private=message is None and body.get("type", ChannelType.PRIVATE_THREAD) == ChannelType.PRIVATE_THREAD,
        auto_archive_minutes=body.get("auto_archive_duration") or 4320,
    )
    made.invitable = message is not None or bool(body.get("invitable", True))
    return answer(payloads.channel(world, made, viewer_id=bot.id), status=201)


@routes.get("/guilds/{guild_id}/threads/active")
async def active(request: web.Request) -> web.Response:
    world, bot = asking(request)
    server = world.server(path_id(request, "guild_id"))
    threads = [t for t in server.threads.values() if not t.archived and world.permissions(bot.id, t)]
    return answer(_listed(world, bot, threads))


@routes.get(_CHANNEL + "/threads/archived/{kind:public|private}")
@routes.get(_CHANNEL + "/users/@me/threads/archived/{kind:private}")
async def archived(request: web.Request) -> web.Response:
    world, bot, channel = _channel(request)
    private = request.match_info["kind"] == "private"
    wanted = ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD
    server = world.server(channel.server_id or 0)
    there = [t for t in server.threads.values() if t.parent_id == channel.id and t.type == wanted and t.archived]
    there = [t for t in there if world.permissions(bot.id, t)]
    return answer(_listed(world, bot, sorted(there, key=lambda t: -t.archived_at)))


def _listed(world: World, bot: Bot, threads: list[Channel]) -> dict[str, Any]:
    return {
        "threads": [payloads.channel(world, t, viewer_id=bot.id) for t in threads],
        "members": [payloads.thread_member(t, bot.id) for t in threads if bot.id in t.member_ids],
        "has_more": False,
    }


def _member_named(request: web.Request, bot: Bot) -> int:
    return bot.id if request.match_info["user_id"] == "@me" else path_id(request, "user_id")


@routes.get(_CHANNEL + "/thread-members")
async def thread_members(request: web.Request) -> web.Response:
    _, _, thread = _thread(request)
    return answer([payloads.thread_member(thread, i) for i in thread.member_ids])


@routes.get(_CHANNEL + "/thread-members/{user_id}")
async def thread_member(request: web.Request) -> web.Response:
    _, bot, thread = _thread(request)
    user_id = _member_named(request, bot)
    if user_id not in thread.member_ids:
        raise unknown("Member")
    return answer(payloads.thread_member(thread, user_id))


@routes.put(_CHANNEL + "/thread-members/{user_id}")
async def join(request: web.Request) -> web.Response:
    world, bot, thread = _thread(request)
    user_id = _member_named(request, bot)
    if user_id not in world.server(thread.server_id or 0).members:
        raise unknown("Member")
    world.join_thread(thread, user_id)
    return nothing()


@routes.delete(_CHANNEL + "/thread-members/{user_id}")
async def leave(request: web.Request) -> web.Response:
    world, bot, thread = _thread(request)
    user_id = _member_named(request, bot)
    if user_id != bot.id and thread.owner_id != bot.id:
        world.allowed(bot.id, thread.id, Permission.MANAGE_THREADS)
    world.leave_thread(thread, user_id)
    return nothing()
