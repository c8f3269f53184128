"""Routes of messages: posting, reading, editing, deleting, reactions, pins, typing."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local_discord import payloads
from local_discord.clock import iso
from local_discord.errors import missing_access
from local_discord.forms import answer, limit_of, nothing, number, path_id, read_message, read_object
from local_discord.keys import asking
from local_discord.model import Bot, Message
from local_discord.permissions import Permission
from local_discord.sessions import readable
from local_discord.world import World
from local_discord.world_posting import Draft

routes = web.RouteTableDef()
_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = _MESSAGES + "/{message_id}"
_REACTIONS = _MESSAGE + "/reactions"


def _shown(world: World, bot: Bot, message: Message) -> dict[str, Any]:
    made = payloads.message(world, message, viewer_id=bot.id)
    made.pop("member", None)  # roles come with events only, as at Discord
    return readable(world, made, bot, "message_content" in bot.privileged)


def _named(request: web.Request) -> tuple[World, Bot, Message]:
    """The message of the path, if the bot sees its channel."""
    world, bot = asking(request)
    channel = world.visible(bot.id, path_id(request, "channel_id"))
    return world, bot, world.message_in(channel.id, path_id(request, "message_id"))


@routes.get(_MESSAGES)
async def history(request: web.Request) -> web.Response:
    world, bot = asking(request)
    found = world.history(
        bot.id,
        path_id(request, "channel_id"),
        limit=limit_of(request, default=50, most=100),
        before=number(request.query.get("before")),
        after=number(request.query.get("after")),
        around=number(request.query.get("around")),
    )
    return answer([_shown(world, bot, m) for m in found])


@routes.get(_MESSAGES + "/pins")
async def pins(request: web.Request) -> web.Response:
    world, bot = asking(request)
    channel = world.visible(bot.id, path_id(request, "channel_id"))
    pinned = [m for m in reversed(channel.messages.values()) if m.pinned]
    items = [{"pinned_at": iso(m.timestamp), "message": _shown(world, bot, m)} for m in pinned]
    return answer({"items": items, "has_more": False})


@routes.get(_MESSAGE)
async def one(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    channel = world.channel(message.channel_id)
    if not world.may(bot.id, channel, Permission.READ_MESSAGE_HISTORY):
        raise missing_access()
    return answer(_shown(world, bot, message))


@routes.post(_MESSAGES)
async def post(request: web.Request) -> web.Response:
    world, bot = asking(request)
    body, files = await read_message(request, cap=world.faults.upload_cap)
    draft = Draft(author_id=bot.id, channel_id=path_id(request, "channel_id"), body=body, files=files)
    return answer(_shown(world, bot, world.post(draft)))


@routes.patch(_MESSAGE)
async def edit(request: web.Request) -> web.Response:
    world, bot, _ = _named(request)
    body, files = await read_message(request, cap=world.faults.upload_cap)
    _, _, message = _named(request)  # again: it may have been deleted while the body came in
    return answer(_shown(world, bot, world.change(bot.id, message, body, files)))


@routes.delete(_MESSAGE)
async def delete(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    world.remove(bot.id, message)
    return nothing()


@routes.post(_MESSAGES + "/bulk-delete")
async def bulk_delete(request: web.Request) -> web.Response:
    world, bot = asking(request)
    body = await read_object(request)
    ids = [int(i) for i in body.get("messages") or []]
    world.remove_many(bot.id, path_id(request, "channel_id"), ids)
    return nothing()


# ------------------------------------------------------------------------------------------------------- reactions
@routes.put(_REACTIONS + "/{emoji}/@me")
async def react(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    world.add_reaction(bot.id, message, request.match_info["emoji"])
    return nothing()


@routes.delete(_REACTIONS + "/{emoji}/{user_id}")
async def unreact(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    user_id = bot.id if request.match_info["user_id"] == "@me" else path_id(request, "user_id")
    world.remove_reaction(bot.id, message, request.match_info["emoji"], user_id)
    return nothing()


@routes.get(_REACTIONS + "/{emoji}")
async def reactors(request: web.Request) -> web.Response:
    world, _, message = _named(request)
    after = number(request.query.get("after")) or 0
    who = sorted(i for i in message.reactions.get(request.match_info["emoji"], []) if i > after)
    limit = limit_of(request, default=25, most=100)
    return answer([payloads.user(world.users[i]) for i in who[:limit]])


@routes.delete(_REACTIONS)
@routes.delete(_REACTIONS + "/{emoji}")
async def clear_reactions(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    world.clear_reactions(bot.id, message, request.match_info.get("emoji"))
    return nothing()


# --------------------------------------------------------------------------------------------------- pins and typing
@routes.put(_MESSAGES + "/pins/{message_id}")
@routes.delete(_MESSAGES + "/pins/{message_id}")
async def pin(request: web.Request) -> web.Response:
    world, bot, message = _named(request)
    world.pin(bot.id, message, pinned=request.method == "PUT")
    return nothing()


@routes.post("/channels/{channel_id}/typing")
async def typing(request: web.Request) -> web.Response:
    world, bot = asking(request)
    world.typing(bot.id, path_id(request, "channel_id"))
    return nothing()
