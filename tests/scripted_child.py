"""A model's process for tests: a scripted engine behind the real API, on the socket and with the key of its parent.

python scripted_child.py SOCKET MODEL [lasts SECONDS | fails]
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app, serve


async def run(listening: int, model: str) -> None:
    key = sys.stdin.readline().strip()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
    engine = ScriptedEngine([["one", "two"]] * 100, delay=0.02, name=model)
    app = create_app(engine, speaker="Ann", api_key=key)
    await serve(app, listening=socket.socket(fileno=listening), stop=stop)


if sys.argv[3:] == ["fails"]:
    print("loading", "error: There is no such model.", "hint: none", sep="\n", flush=True)
    sys.exit(2)
asyncio.run(run(int(sys.argv[1]), sys.argv[2]))
