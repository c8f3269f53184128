"""The gateway: WebSocket connections speaking Discord's protocol version 10 (JSON, plain or zlib-stream).

HELLO, IDENTIFY or RESUME, heartbeats, events in order. One writer per connection sends everything, so nothing needs a
lock. A connection that stays silent for one and a half heartbeats is closed; its session lives on for a RESUME.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import zlib
from collections import deque
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from local_discord.events import Event
from local_discord.sessions import KEPT_SECONDS, Session, forbidden_intents
from local_discord.world_state import State

# As on a real network: discord.py notes when a heartbeat was sent only after sending it, and takes an answer that is
# quicker than that for one to the heartbeat before.
_ACK_SECONDS = 0.02
_SENDS_PER_MINUTE = 120


class Gateway:
    """All connections and sessions. `heartbeat_seconds` is what clients are told to keep."""

    def __init__(self, world: State, *, heartbeat_seconds: float = 41.25) -> None:
        self.world = world
        self.heartbeat_seconds = heartbeat_seconds
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        world.listen(self._hear)
        world.faults.on_drop(self._drop)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False)
        await socket.prepare(request)
        connection = Connection(self, request, socket)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
        return socket

    def open_session(self, session: Session) -> None:
        self._expire()
        self.sessions[session.id] = session

    def end_session(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self.count_online()

    def count_online(self) -> None:
        self.world.online = {s.bot.id for s in self.sessions.values() if s.connected}

    def _expire(self) -> None:
        oldest = self.world.clock.now() - KEPT_SECONDS
        for session in [s for s in self.sessions.values() if not s.connected and s.left_at < oldest]:
            self.end_session(session)

    def _hear(self, event: Event) -> None:
        self._expire()
        for session in tuple(self.sessions.values()):
            session.hear(self.world, event)

    def _drop(self, how: str, bot_id: int | None, code: int) -> int:
        hit = [c for c in self.connections if c.session and (bot_id is None or c.session.bot.id == bot_id)]
        for connection in hit:
            connection.disturb(how, code)
        return len(hit)

    async def close(self) -> None:
        self.world.unlisten(self._hear)
        self.world.faults.forget_drop(self._drop)
        for connection in tuple(self.connections):
            connection.disturb("close", 1001)
        deadline = asyncio.get_running_loop().time() + 2.0
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)


class Connection:
    """One WebSocket of a client, before and after it has a session."""

    def __init__(self, gateway: Gateway, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.session: Session | None = None
        self._gateway = gateway
        self._request = request
        self._socket = socket
        self._control: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._sent = 0  # the last event number that went out
        self._close_code: int | None = None
        self._received: deque[float] = deque(maxlen=_SENDS_PER_MINUTE)
        streamed = request.query.get("compress") == "zlib-stream"
        self._compressor = zlib.compressobj() if streamed else None

    # ------------------------------------------------------------------------------------------------- both ways
    async def run(self) -> None:
        self._say(10, {"heartbeat_interval": int(self._gateway.heartbeat_seconds * 1000)})
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            self._leave_session()
            self._close_code = self._close_code or 1000
            self._wake.set()
            await writer

    async def _read(self) -> None:
        while self._close_code is None:
            try:
                frame = await self._socket.receive(timeout=self._gateway.heartbeat_seconds * 1.5)
            except TimeoutError:
                self.disturb("close", 4009)
                return
            if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self._said_goodbye(frame)
                return
            self._take(frame)

    def _said_goodbye(self, frame: WSMessage) -> None:
        """A client that closes with 1000 or 1001 gives up its session; any other way leaves it to be resumed."""
        ended = frame.type == WSMsgType.CLOSE and frame.data in (1000, 1001)
        if ended and self.session is not None and self._close_code is None:
            self._gateway.end_session(self.session)
        self._close_code = self._close_code or 1000

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # the other side is gone: the reader notices it too
            while True:
                self._wake.clear()
                for frame in self._due():
                    await self._send(frame)
                if self._close_code is not None:
                    break
                await self._wake.wait()
        if not self._socket.closed:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self._socket.close(code=self._close_code or 4000)

    def _due(self) -> list[str]:
        frames = []
        while self._control:
            frames.append(json.dumps(self._control.popleft()))
        if self.session is not None and self._close_code is None:
            waiting = self.session.after(self._sent)
            if waiting is None:  # too slow: more has gone by than is kept
                self._close_code = 4008
                return frames
            if waiting:
                self._sent = waiting[-1][0]
                frames += [text for _, text in waiting]
        return frames

    async def _send(self, text: str) -> None:
        if self._compressor is None:
            await self._socket.send_str(text)
            return
        packed = self._compressor.compress(text.encode()) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self._socket.send_bytes(packed)

    def _say(self, op: int, data: Any = None) -> None:
        self._control.append({"op": op, "d": data, "s": None, "t": None})
        self._wake.set()

    def disturb(self, how: str, code: int) -> None:
        """Closes, cuts, or tells the client to reconnect: see `Faults`."""
        if how == "reconnect":
            self._say(7)
            return
        if how == "invalidate":
            if self.session is not None and not code:
                self._gateway.end_session(self.session)
            self._say(9, bool(code))
            return
        self._leave_session()
        self._close_code = code or 4000
        if how == "abort" and self._request.transport is not None:
            self._request.transport.abort()
        self._wake.set()

    def _leave_session(self) -> None:
        session, self.session = self.session, None
        if session is not None and session.wake is self._wake:
            session.connected = False
            session.left_at = self._gateway.world.clock.now()
            session.wake = asyncio.Event()
            self._gateway.count_online()

    def _take_session(self, session: Session, sent: int) -> None:
        session.connected = True
        session.wake = self._wake
        self.session = session
        self._sent = sent
        self._gateway.count_online()
        self._wake.set()

    # -------------------------------------------------------------------------------------------------- opcodes
    def _take(self, frame: WSMessage) -> None:
        try:
            message = json.loads(frame.data)
            op, data = message["op"], message.get("d")
        except (ValueError, KeyError, TypeError):
            self.disturb("close", 4002)
            return
        now = asyncio.get_running_loop().time()
        if len(self._received) == _SENDS_PER_MINUTE and now - self._received[0] < 60:
            self.disturb("close", 4008)
            return
        self._received.append(now)
        if op == 1:
            if not self._gateway.world.faults.mute_heartbeats:
                asyncio.get_running_loop().call_later(_ACK_SECONDS, self._say, 11)
        elif op == 2:
            self._identify(data)
        elif op == 6:
            self._resume(data)
        elif op not in (3, 4, 8, 31):
            self.disturb("close", 4001)
        elif self.session is None:
            self.disturb("close", 4003)
        elif op == 8:
            self.session.member_chunks(self._gateway.world, data)

    def _identify(self, data: dict[str, Any]) -> None:
        bot = self._gateway.world.bot_by_token(str(data.get("token", "")).removeprefix("Bot "))
        if self.session is not None:
            self.disturb("close", 4005)
        elif bot is None:
            self.disturb("close", 4004)
        elif not 0 <= (shard := tuple(data.get("shard") or (0, 1)))[0] < shard[1]:
            self.disturb("close", 4010)
        elif forbidden_intents(bot, intents := int(data.get("intents") or 0)):
            self.disturb("close", 4014)
        else:
            session = Session(id=secrets.token_hex(16), bot=bot, intents=intents, shard=(shard[0], shard[1]))
            self._gateway.open_session(session)
            self._take_session(session, 0)
            session.ready(self._gateway.world, self._gateway.url)

    def _resume(self, data: dict[str, Any]) -> None:
        session = self._gateway.sessions.get(str(data.get("session_id")))
        seq = data.get("seq")
        if session is None or not isinstance(seq, int):
            self._say(9, False)
        elif session.bot.token != str(data.get("token", "")).removeprefix("Bot "):
            self.disturb("close", 4004)
        elif seq > session.seq:
            self.disturb("close", 4007)
        elif session.after(seq) is None:
            self._gateway.end_session(session)
            self._say(9, False)
        else:
            for other in self._gateway.connections:
                if other is not self and other.session is session:
                    other.disturb("close", 4000)  # half dead, and replaced by this one
            self._take_session(session, seq)
            session.dispatch("RESUMED", {})
