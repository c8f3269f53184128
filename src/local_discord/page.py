"""The page of the local Discord: its files, a WebSocket that tells, and POST /page/act that does.

Whoever opens it may be anybody in the world: it is meant for one person trying things at their own computer. What has
to be kept out are other computers (loopback only), other web sites (Host, Origin and a token made at each start: no
forged requests, no DNS rebinding) and scripts in what people or bots write (a strict Content-Security-Policy, and
static/dom.js, which only ever makes text nodes).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, WSCloseCode, web

from local_discord import page_view
from local_discord.errors import DiscordError, PageError
from local_discord.events import Subscription
from local_discord.model import MessageFlag
from local_discord.page_acts import ACTIONS, Call, in_words
from local_discord.world import World

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_MAX_ORDER = 256 * 1024
_MAX_FILES = 10

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_MESSAGE_CHANGED = {
    "MESSAGE_UPDATE", "MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE", "MESSAGE_REACTION_REMOVE_ALL",
    "MESSAGE_REACTION_REMOVE_EMOJI",
}  # fmt: skip
_NOT_SHOWN = {"CHANNEL_PINS_UPDATE", "THREAD_MEMBERS_UPDATE", "INTERACTION_CREATE", "PRESENCE_UPDATE"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, world: World) -> None:
    """Adds the page at /page, and the way there from /. Its sockets are closed when the app shuts down."""
    page = _Page(world)
    app.router.add_get("/", page.guarded(page.front_door))
    app.router.add_get("/page", page.guarded(page.index))
    app.router.add_get("/page/", page.guarded(page.index))
    app.router.add_get("/page/static/{name}", page.guarded(page.static))
    app.router.add_get("/page/ws", page.guarded(page.socket, token=True))
    app.router.add_post("/page/act", page.guarded(page.act, token=True))
    app.on_response_prepare.append(_harden)
    app.on_shutdown.append(page.close)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.path.startswith("/page"):
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"


class _Page:
    def __init__(self, world: World) -> None:
        self.world = world
        self.token = secrets.token_urlsafe(24)
        self.files = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
        self.sockets: set[web.WebSocketResponse] = set()

    # ---------------------------------------------------------------------------------------------------- the door
    def guarded(self, handler: Handler, *, token: bool = False) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if (problem := self._problem(request, token=token)) is not None:
                return web.json_response({"error": problem}, status=403)
            return await handler(request)

        return checked

    def _problem(self, request: web.Request, *, token: bool) -> str | None:
        """Why this request is turned away; None for the page's own."""
        if not _is_loopback(request.remote):
            return "This page is only for the computer it runs on."
        if not token:
            return None
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            return "Another web site may not use this page."
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return "Another web site may not use this page."
        given = request.headers.get("X-Page-Token") or request.query.get("token", "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return "The local server was started anew. Reload the page."
        return None

    # ---------------------------------------------------------------------------------------------------- its files
    async def front_door(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/page")

    async def index(self, _request: web.Request) -> web.StreamResponse:
        text = (_STATIC / "index.html").read_text("utf-8").replace("{{token}}", self.token)
        return web.Response(text=text, content_type="text/html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        path = self.files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix], charset="utf-8")

    # ------------------------------------------------------------------------------------------------------ telling
    async def socket(self, request: web.Request) -> web.StreamResponse:
        """`?as=USER`: a snapshot of what that person sees, then events. What the page sends here is not read."""
        socket = web.WebSocketResponse(heartbeat=30, max_msg_size=4096)
        await socket.prepare(request)
        viewer_id = self._viewer(request.query.get("as", ""))
        if viewer_id is None:
            await socket.send_json({"t": "nobody"})
            await socket.close()
            return socket
        self.sockets.add(socket)
        subscription = self.world.subscribe(viewer_id)
        teller = asyncio.create_task(_Teller(self.world, viewer_id, socket).tell(subscription))
        try:
            async for _ in socket:
                pass
        finally:
            subscription.close()
            self.sockets.discard(socket)
            teller.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await teller
        return socket

    def _viewer(self, asked: str) -> int | None:
        """The person asked for; when there is none such, the first one can be."""
        people = page_view.people_to_be(self.world)
        return next((u.id for u in people if str(u.id) == asked), people[0].id if people else None)

    async def close(self, _app: web.Application) -> None:
        for socket in tuple(self.sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"The local server stops.")

    # ------------------------------------------------------------------------------------------------------- doing
    async def act(self, request: web.Request) -> web.StreamResponse:
        """`{"as": user id, "action": name, "args": {...}}`, as JSON, or as the part `order` of a form with `files`."""
        try:
            order, files = await self._order(request)
            user_id = self._acting(order.get("as"))
            action = ACTIONS.get(str(order.get("action")))
            args = order.get("args")
            if action is None or not isinstance(args, dict):
                raise PageError("The page asked for something unknown.", hint="Reload the page.")
            done = action(Call(world=self.world, user_id=user_id, args=args, files=files))
            return web.json_response(await done if inspect.isawaitable(done) else done)
        except DiscordError as error:
            return web.json_response({"error": in_words(error), "code": error.code}, status=error.status)
        except PageError as error:
            return web.json_response({"error": str(error)}, status=400)

    def _acting(self, asked: Any) -> int:
        found = next((u.id for u in self.world.users.values() if not u.bot and str(u.id) == asked), None)
        if found is None:
            raise PageError("There is no such person here.", hint="Choose who you are again.")
        return found

    async def _order(self, request: web.Request) -> tuple[dict[str, Any], tuple[tuple[str, bytes], ...]]:
        if request.content_type != "multipart/form-data":
            return _parsed(await request.read()), ()
        order: dict[str, Any] = {}
        files: list[tuple[str, bytes]] = []
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise PageError("The upload is not in a form this page sends.")
            if part.name == "order":
                order = _parsed(await _read(part, _MAX_ORDER))
            elif len(files) < _MAX_FILES:
                files.append((part.filename or "file", await _read(part, self.world.faults.upload_cap)))
        return order, tuple(files)


class _Teller:
    """Turns what happens in the world into the page's events, for one viewer."""

    def __init__(self, world: World, viewer_id: int, socket: web.WebSocketResponse) -> None:
        self.world, self.viewer_id, self.socket = world, viewer_id, socket
        self.lost = 0
        self.channels: set[int] = set()  # whose messages the page has

    async def tell(self, subscription: Subscription) -> None:
        await self._whole()
        async for name, payload in subscription:
            if subscription.lost > self.lost:  # too slow a browser: start over rather than show half
                self.lost = subscription.lost
                await self._whole()
            for event in self._events(name, payload):
                await self.socket.send_json(event)

    async def _whole(self) -> None:
        self.channels = {c.id for c in page_view.visible_channels(self.world, self.viewer_id)}
        await self.socket.send_json(page_view.snapshot(self.world, self.viewer_id))

    def _events(self, name: str, payload: dict[str, Any]) -> list[dict[str, Any]]:
        if name in _NOT_SHOWN:
            return []
        if name == "MESSAGE_CREATE":
            return self._message(int(payload["id"]), fresh=True)
        if name in _MESSAGE_CHANGED:
            return self._message(int(payload.get("message_id") or payload["id"]), fresh=False)
        if name in ("MESSAGE_DELETE", "MESSAGE_DELETE_BULK"):
            return [{"t": "gone", "channel_id": payload["channel_id"], "ids": payload.get("ids") or [payload["id"]]}]
        if name == "TYPING_START":
            return [{"t": "typing", "channel_id": payload["channel_id"], "user_id": payload["user_id"]}]
        if name == "INTERACTION_RESPONSE":
            return self._response(payload)
        return self._places()

    def _message(self, message_id: int, *, fresh: bool) -> list[dict[str, Any]]:
        found = self.world.find_message(message_id)
        if found is None or found.channel_id not in self.channels:
            return []
        return [{"t": "message", "fresh": fresh, "message": page_view.message(self.world, found, self.viewer_id)}]

    def _response(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        """A bot's answer to this person: a form, or a message that only they see (others come as usual)."""
        if payload.get("modal"):
            keys = ("interaction_id", "channel_id")
            modal = {key: payload["modal"].get(key) for key in ("title", "components")}
            return [{"t": "modal", **{key: payload[key] for key in keys}, **modal}]
        events: list[dict[str, Any]] = [{"t": "answered", "interaction_id": payload["interaction_id"]}]
        message = payload.get("message")
        if message is None:
            return events
        own = self.world.ephemeral.get(int(message["id"]))
        if own is None and not message["flags"] & MessageFlag.EPHEMERAL:
            return events
        if own is None or payload.get("deleted"):
            return [*events, {"t": "gone", "channel_id": message["channel_id"], "ids": [message["id"]]}]
        return [*events, {"t": "message", "fresh": True, "message": page_view.message(self.world, own, self.viewer_id)}]

    def _places(self) -> list[dict[str, Any]]:
        """The places anew, and the messages of those that this person sees only now."""
        now = {c.id for c in page_view.visible_channels(self.world, self.viewer_id)}
        events: list[dict[str, Any]] = [{"t": "places", **page_view.places(self.world, self.viewer_id)}]
        for channel_id in sorted(now - self.channels):
            batch, complete = page_view.history(self.world, self.viewer_id, channel_id)
            events.append({"t": "batch", "channel_id": str(channel_id), "messages": batch, "complete": complete})
        self.channels = now
        return events


async def _read(part: BodyPartReader, most: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > most:
            raise DiscordError(413, 40005, "Request entity too large")
    return bytes(data)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        order = json.loads(raw)
    except ValueError:
        order = None
    if not isinstance(order, dict):
        raise PageError("The page sent something that is not an order.", hint="Reload the page.")
    return order


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
