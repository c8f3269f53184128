"""Routes of the application itself: what it is, where the gateway is, and the commands that it registers."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local_discord import payloads
from local_discord.errors import invalid_form, missing_access, unknown
from local_discord.forms import answer, nothing, path_id, read_json, read_object
from local_discord.keys import GATEWAY, asking
from local_discord.model import Bot
from local_discord.validation import check_commands, check_length
from local_discord.world import World

routes = web.RouteTableDef()
_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


@routes.get("/gateway")
async def gateway(request: web.Request) -> web.Response:
    return answer({"url": request.config_dict[GATEWAY].url})


@routes.get("/gateway/bot")
async def gateway_bot(request: web.Request) -> web.Response:
    limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 16}
    return answer({"url": request.config_dict[GATEWAY].url, "shards": 1, "session_start_limit": limit})


@routes.get("/oauth2/applications/@me")
@routes.get("/applications/@me")
async def me(request: web.Request) -> web.Response:
    world, bot = asking(request)
    return answer(payloads.application(world, bot))


@routes.patch("/applications/@me")
async def edit(request: web.Request) -> web.Response:
    world, bot = asking(request)
    body = await read_object(request)
    if "description" in body:
        check_length("description", body["description"], 400)
        bot.description = body["description"]
    return answer(payloads.application(world, bot))


@routes.get("/applications/{application_id}/emojis")
async def emojis(request: web.Request) -> web.Response:
    return answer({"items": []})


# --------------------------------------------------------------------------------------------------------- commands
def _scope(request: web.Request) -> tuple[World, Bot, str | None]:
    """Whose commands, and on which server (None: everywhere)."""
    world, bot = asking(request)
    if path_id(request, "application_id") != bot.id:
        raise missing_access()
    guild = request.match_info.get("guild_id")
    if guild is not None and bot.id not in world.server(int(guild)).members:
        raise missing_access()
    return world, bot, guild


def _in_scope(bot: Bot, guild: str | None) -> list[dict[str, Any]]:
    return [c for c in bot.commands.values() if c.get("guild_id") == guild]


def _made(world: World, bot: Bot, guild: str | None, told: dict[str, Any]) -> dict[str, Any]:
    """A command as it is kept: the one of that kind and name keeps its id."""
    key = (told.get("type", 1), told.get("name"))
    earlier = next((c for c in _in_scope(bot, guild) if (c["type"], c["name"]) == key), None)
    made = {
        "description": "",
        "options": [],
        "default_member_permissions": None,
        "nsfw": False,
        **told,
        "type": told.get("type", 1),
        "id": str(world.ids.next()) if earlier is None else earlier["id"],
        "application_id": str(bot.id),
        "version": str(world.ids.next()),
    }
    if made["type"] != 1:
        made.pop("options")
    return made if guild is None else {**made, "guild_id": guild}


@routes.get(_GLOBAL)
@routes.get(_GUILD)
async def listed(request: web.Request) -> web.Response:
    _, bot, guild = _scope(request)
    return answer(_in_scope(bot, guild))


@routes.put(_GLOBAL)
@routes.put(_GUILD)
async def replace(request: web.Request) -> web.Response:
    world, bot, guild = _scope(request)
    told = await read_json(request)
    if not isinstance(told, list):
        raise invalid_form("_", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    check_commands(told)
    made = [_made(world, bot, guild, command) for command in told]
    others = {i: c for i, c in bot.commands.items() if c.get("guild_id") != guild}
    bot.commands = others | {int(c["id"]): c for c in made}
    return answer(made)


@routes.post(_GLOBAL)
@routes.post(_GUILD)
async def create(request: web.Request) -> web.Response:
    world, bot, guild = _scope(request)
    made = _made(world, bot, guild, await read_object(request))
    before = int(made["id"]) in bot.commands
    others = [c for c in _in_scope(bot, guild) if c["id"] != made["id"]]
    check_commands([*others, made])
    bot.commands[int(made["id"])] = made
    return answer(made, status=200 if before else 201)


def _command(request: web.Request) -> tuple[World, Bot, str | None, dict[str, Any]]:
    world, bot, guild = _scope(request)
    found = bot.commands.get(path_id(request, "command_id"))
    if found is None or found.get("guild_id") != guild:
        raise unknown("Application Command")
    return world, bot, guild, found


@routes.get(_GLOBAL + "/{command_id}")
@routes.get(_GUILD + "/{command_id}")
async def one(request: web.Request) -> web.Response:
    return answer(_command(request)[3])


@routes.patch(_GLOBAL + "/{command_id}")
@routes.patch(_GUILD + "/{command_id}")
async def change(request: web.Request) -> web.Response:
    world, bot, guild, found = _command(request)
    made = {**found, **await read_object(request), "id": found["id"], "version": str(world.ids.next())}
    check_commands([*(c for c in _in_scope(bot, guild) if c is not found), made])
    bot.commands[int(found["id"])] = made
    return answer(made)


@routes.delete(_GLOBAL + "/{command_id}")
@routes.delete(_GUILD + "/{command_id}")
async def delete(request: web.Request) -> web.Response:
    _, bot, _, found = _command(request)
    del bot.commands[int(found["id"])]
    return nothing()
