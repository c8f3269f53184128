"""Routes of interactions: the first answer, and the messages that follow it, by the interaction's own token."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local_discord import interactions, payloads
from local_discord.errors import unknown
from local_discord.forms import answer, nothing, path_id, read_message
from local_discord.keys import WORLD
from local_discord.model import Interaction, Message
from local_discord.world import World

routes = web.RouteTableDef()
_WEBHOOK = "/webhooks/{application_id}/{token}"
_MESSAGE = _WEBHOOK + "/messages/{message_id}"


@routes.post("/interactions/{interaction_id}/{token}/callback")
async def callback(request: web.Request) -> web.Response:
    """Answers with JSON whether or not `with_response` is asked for: discord.py cannot read anything else."""
    world = request.app[WORLD]
    body, files = await read_message(request, cap=world.faults.upload_cap)
    it = interactions.fresh(world, path_id(request, "interaction_id"), request.match_info["token"])
    message = interactions.first_answer(world, it, body, files)
    return answer(_called_back(world, it, message))


def _called_back(world: World, it: Interaction, message: Message | None) -> dict[str, Any]:
    told: dict[str, Any] = {"id": str(it.id), "type": int(it.type)}
    made: dict[str, Any] = {"interaction": told, "resource": {"type": it.callback}}
    if message is not None:
        told["response_message_id"] = str(message.id)
        told["response_message_loading"] = bool(message.flags & 128)
        told["response_message_ephemeral"] = message.only_for is not None
        made["resource"]["message"] = payloads.message(world, message, viewer_id=it.bot_id)
    return made


def _following(request: web.Request) -> tuple[World, Interaction]:
    world = request.app[WORLD]
    it = interactions.by_token(world, path_id(request, "application_id"), request.match_info["token"])
    return world, it


def _named(world: World, it: Interaction, request: web.Request) -> Message:
    told = request.match_info["message_id"]
    message_id = it.original_id if told == "@original" else path_id(request, "message_id")
    if message_id is None or message_id not in it.message_ids:
        raise unknown("Message")
    return world.ephemeral.get(message_id) or world.message(message_id)


@routes.post(_WEBHOOK)
async def follow_up(request: web.Request) -> web.Response:
    world, it = _following(request)
    body, files = await read_message(request, cap=world.faults.upload_cap)
    return answer(_shown(world, it, interactions.follow_up(world, it, body, files)))


@routes.get(_MESSAGE)
async def one(request: web.Request) -> web.Response:
    world, it = _following(request)
    return answer(_shown(world, it, _named(world, it, request)))


@routes.patch(_MESSAGE)
async def edit(request: web.Request) -> web.Response:
    world, it = _following(request)
    body, files = await read_message(request, cap=world.faults.upload_cap)
    message = _named(world, it, request)
    return answer(_shown(world, it, interactions.edit(world, it, message, body, files)))


@routes.delete(_MESSAGE)
async def delete(request: web.Request) -> web.Response:
    world, it = _following(request)
    interactions.delete(world, it, _named(world, it, request))
    return nothing()


def _shown(world: World, it: Interaction, message: Message) -> dict[str, Any]:
    return payloads.message(world, message, viewer_id=it.bot_id)
