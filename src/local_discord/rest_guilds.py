"""Routes of servers ("guilds" on the wire), their members and roles, and of users and DMs."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local_discord import payloads
from local_discord.errors import invalid_form, missing_access, missing_permissions, unknown
from local_discord.forms import answer, limit_of, nothing, number, path_id, read_object
from local_discord.keys import asking
from local_discord.model import Bot, Member, Server
from local_discord.permissions import Permission, top_position
from local_discord.validation import check_length
from local_discord.world import World

routes = web.RouteTableDef()
_GUILD = "/guilds/{guild_id}"


def _server(request: web.Request) -> tuple[World, Bot, Server]:
    world, bot = asking(request)
    server = world.server(path_id(request, "guild_id"))
    if bot.id not in server.members:
        raise missing_access()
    return world, bot, server


def _check_right(world: World, bot: Bot, server: Server, needed: Permission) -> None:
    if world.server_permissions(bot.id, server) & needed != needed:
        raise missing_permissions()


# ------------------------------------------------------------------------------------------------------------ users
@routes.get("/users/@me")
@routes.patch("/users/@me")
async def me(request: web.Request) -> web.Response:
    _, bot = asking(request)
    body = await read_object(request) if request.method == "PATCH" else {}
    if "username" in body:
        check_length("username", body["username"], 32, 2)
        bot.name = body["username"]
    return answer(payloads.user(bot) | {"verified": True, "mfa_enabled": False, "email": None, "flags": 0})


@routes.get("/users/@me/guilds")
async def my_guilds(request: web.Request) -> web.Response:
    world, bot = asking(request)
    mine = [s for s in world.servers.values() if bot.id in s.members]
    return answer([payloads.server(world, s) | {"owner": s.owner_id == bot.id, "permissions": "0"} for s in mine])


@routes.delete("/users/@me/guilds/{guild_id}")
async def leave(request: web.Request) -> web.Response:
    world, bot, server = _server(request)
    world.remove_member(server, bot)
    return nothing()


@routes.post("/users/@me/channels")
async def open_dm(request: web.Request) -> web.Response:
    world, bot = asking(request)
    body = await read_object(request)
    recipient = body.get("recipient_id") or next(iter(body.get("recipients") or []), None)
    if recipient is None:
        raise invalid_form("recipient_id", "BASE_TYPE_REQUIRED", "This field is required")
    if int(recipient) not in world.users:
        raise invalid_form("recipient_id", "CANNOT_MESSAGE_USER", "There is no such user.")
    channel = world.open_dm(bot.id, int(recipient))
    return answer(payloads.channel(world, channel, viewer_id=bot.id))


@routes.get("/users/{user_id}")
async def user(request: web.Request) -> web.Response:
    world, _ = asking(request)
    return answer(payloads.user(world.user(path_id(request, "user_id"))))


# ---------------------------------------------------------------------------------------------------------- servers
@routes.get(_GUILD)
async def guild(request: web.Request) -> web.Response:
    world, _, server = _server(request)
    return answer(payloads.server(world, server))


@routes.get(_GUILD + "/channels")
async def channels(request: web.Request) -> web.Response:
    world, _, server = _server(request)
    return answer([payloads.channel(world, c) for c in server.channels.values()])


@routes.post(_GUILD + "/channels")
async def create_channel(request: web.Request) -> web.Response:
    world, bot, server = _server(request)
    _check_right(world, bot, server, Permission.MANAGE_CHANNELS)
    body = await read_object(request)
    check_length("name", body.get("name"), 100, 1)
    if body.get("type") == 4:
        return answer(payloads.channel(world, world.add_category(server, body["name"])), status=201)
    parent = server.channels.get(int(body.get("parent_id") or 0))
    made = world.add_channel(server, body["name"], parent, topic=body.get("topic"))
    return answer(payloads.channel(world, made), status=201)


# ---------------------------------------------------------------------------------------------- members and roles
@routes.get(_GUILD + "/members")
async def members(request: web.Request) -> web.Response:
    world, bot, server = _server(request)
    if "members" not in bot.privileged:
        raise missing_access()
    after = number(request.query.get("after")) or 0
    found = sorted(i for i in server.members if i > after)[: limit_of(request, default=1, most=1000)]
    return answer([payloads.member(world, server.members[i]) for i in found])


@routes.get(_GUILD + "/members/search")
async def search(request: web.Request) -> web.Response:
    world, _, server = _server(request)
    start = request.query.get("query", "").lower()
    named = [m for m in server.members.values() if (m.nick or world.users[m.user_id].name).lower().startswith(start)]
    limit = limit_of(request, default=1, most=1000)
    return answer([payloads.member(world, m) for m in named[:limit]])


def _member(request: web.Request) -> tuple[World, Bot, Server, Member]:
    world, bot, server = _server(request)
    told = request.match_info["user_id"]
    found = server.members.get(bot.id if told == "@me" else path_id(request, "user_id"))
    if found is None:
        raise unknown("Member")
    return world, bot, server, found


@routes.get(_GUILD + "/members/{user_id}")
async def one_member(request: web.Request) -> web.Response:
    world, _, _, found = _member(request)
    return answer(payloads.member(world, found))


@routes.patch(_GUILD + "/members/{user_id}")
async def edit_member(request: web.Request) -> web.Response:
    world, bot, server, found = _member(request)
    body = await read_object(request)
    if "nick" in body:
        own = found.user_id == bot.id
        _check_right(world, bot, server, Permission.CHANGE_NICKNAME if own else Permission.MANAGE_NICKNAMES)
        check_length("nick", body["nick"] or "", 32)
        world.set_nick(server, world.user(found.user_id), body["nick"])
    if "roles" in body:
        wanted = {int(i) for i in body["roles"] or []}
        for role_id in wanted ^ found.role_ids:
            _check_role(world, bot, server, role_id)
        world.set_member_roles(server, world.user(found.user_id), [server.roles[i] for i in wanted])
    return answer(payloads.member(world, found))


def _check_role(world: World, bot: Bot, server: Server, role_id: int) -> None:
    """That the bot may give and take the role: it is below its own highest one."""
    if (role := server.roles.get(role_id)) is None:
        raise unknown("Role")
    _check_right(world, bot, server, Permission.MANAGE_ROLES)
    if role.position >= top_position(server, server.members[bot.id]):
        raise missing_permissions()


@routes.put(_GUILD + "/members/{user_id}/roles/{role_id}")
@routes.delete(_GUILD + "/members/{user_id}/roles/{role_id}")
async def give_or_take_role(request: web.Request) -> web.Response:
    world, bot, server, found = _member(request)
    role_id = path_id(request, "role_id")
    _check_role(world, bot, server, role_id)
    wanted = found.role_ids | {role_id} if request.method == "PUT" else found.role_ids - {role_id}
    world.set_member_roles(server, world.user(found.user_id), [server.roles[i] for i in wanted])
    return nothing()


@routes.get(_GUILD + "/roles")
async def roles(request: web.Request) -> web.Response:
    _, _, server = _server(request)
    return answer([payloads.role(r) for r in server.roles.values()])


@routes.post(_GUILD + "/roles")
async def create_role(request: web.Request) -> web.Response:
    world, bot, server = _server(request)
    _check_right(world, bot, server, Permission.MANAGE_ROLES)
    body: dict[str, Any] = await read_object(request)
    granted = int(body.get("permissions") or 0)
    made = world.add_role(server, body.get("name") or "new role", 1, granted, color=body.get("color") or 0)
    return answer(payloads.role(made))
