"""What tests of trouble run in a process of its own: the double, or a model that lets nobody else in.

python fault_child.py bot API GATEWAY TOKEN STORE SECONDS_PER_WORD
python fault_child.py model SOCKET NAME SECONDS
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator

from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine


class Hog(ScriptedEngine):
    """Thinks for so long without ever giving way, as a model does that computes."""

    def __init__(self, seconds: float, name: str) -> None:
        super().__init__((("at last",),), name=name)
        self._seconds = seconds

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        time.sleep(self._seconds)
        async for piece in super().stream(prompt, sampling):
            yield piece


async def model(listening: int, name: str, seconds: float) -> None:
    from talkalike.engine.server import create_app, serve

    key = sys.stdin.readline().strip()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
    app = create_app(Hog(seconds, name), speaker="Anton", api_key=key)
    await serve(app, listening=socket.socket(fileno=listening), stop=stop)


async def bot(api: str, gateway: str, token: str, url: str, delay: float) -> None:
    from bot_server import PROMPTLY, VOICE, PromptDouble, echo
    from talkalike.chat.engines import OpenEngines
    from talkalike.discord_bot.running import point_at
    from talkalike.discord_bot.services import BotSettings, Services
    from talkalike.store.store import open_store

    point_at(api, gateway)
    engines = OpenEngines(engines={VOICE.model: ScriptedEngine(echo, delay=delay)}, described=(VOICE,))
    with open_store(url) as store:
        services = Services(store=store, engines=engines, settings=BotSettings(owner_name="Anton", options=PROMPTLY))
        double = PromptDouble(services, sync_commands=False, describe=False, guild_ready_timeout=0.1)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await double.login(token)
        running = asyncio.create_task(double.connect())
        await double.wait_until_ready()
        print("ready", flush=True)
        await stop.wait()
        await double.close()
        await running


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "model":
        asyncio.run(model(int(given[0]), given[1], float(given[2])))
    else:
        asyncio.run(bot(given[0], given[1], given[2], given[3], float(given[4])))
