"""A model in a process of its own: started, watched, started again when it dies, and reached through the engine API.

The parent opens the listening socket and hands it down, so the address outlives the child: what asks for a reply while
the model loads, or between a crash and the restart, waits in the socket's queue. The child reads the key that requests
must carry from the first line of its standard input, and ends when that closes: even if the parent is killed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import psutil

from talkalike.engine.listening import open_socket
from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a restart: doubled at each failure in a row
STEADY = 60.0  # seconds after which a process counts as healthy again
PATIENCE = 20.0  # seconds a reply waits for a process that is being started again
LOAD_TIMEOUT = 600.0
LAST_WORDS = 2000  # bytes of the child's log that a failure quotes from


class ProcessEngine:
    """An `Engine` whose model lives in a child process.

    `command` gives the child's argv for the number of the listening socket it inherits; `log` takes its output.
    `address` (with the version) and `key` are for what else the process offers.
    """

    def __init__(self, model: str, *, command: Callable[[int], Sequence[str]], log: Path) -> None:
        self.model = model
        self.restarts = 0
        self.problem = ""
        self._command = command
        self._log = log
        self.key = secrets.token_urlsafe(32)
        self._socket = open_socket("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._process: asyncio.subprocess.Process | None = None
        self._remote: RemoteEngine | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Returns when the model can answer. Raises TalkalikeError when its process ends before that."""
        try:
            await self._launch()
        except BaseException:
            await self.close()
            raise
        self._watcher = asyncio.create_task(self._watch(), name=f"watch the model {self.model}")

    @property
    def name(self) -> str:
        return self.model

    @property
    def context_length(self) -> int:
        """As the process states it."""
        return self._client().context_length

    @property
    def running(self) -> bool:
        """Whether the model can answer now."""
        return self._ready.is_set()

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory (resident set); 0 while it does not run."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) if self._process else 0
        except psutil.Error:
            return 0

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        return self._client().count_tokens(turns)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply. Waits a while for a process that is being restarted, then raises TalkalikeError."""
        await self.wait_until_running()
        async with aclosing(self._client().stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                yield piece

    async def wait_until_running(self) -> None:
        """Waits a while for a process that is being restarted. Raises TalkalikeError where it is not back by then."""
        try:
            await asyncio.wait_for(self._ready.wait(), PATIENCE)
        except TimeoutError:
            raise TalkalikeError(
                f"The model '{self.model}' is not running: {self.problem or 'it is still being started.'}",
                hint="It is started again by itself; ask again in a minute.",
            ) from None

    def beside(self, model: str) -> DoubleInProcess:
        """Another model that the process offers, which has the same context."""
        server = RemoteServer(base_url=self.address, model=model, context_length=self.context_length, is_ours=True)
        return DoubleInProcess(self, RemoteEngine(server, api_key=self.key))

    async def close(self) -> None:
        """Ends the process. Safe to call twice."""
        self._closing = True
        self._ready.clear()
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        await self._end()
        if self._remote:
            await self._remote.close()
        self._socket.close()

    def _client(self) -> RemoteEngine:
        if self._remote is None:
            raise TalkalikeError(f"The model '{self.model}' has not been started.")
        return self._remote

    async def _launch(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        listening = self._socket.fileno()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(listening),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(listening,),
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the child in order
            )
        assert self._process.stdin
        self._process.stdin.write(f"{self.key}\n".encode())
        ended = asyncio.create_task(self._process.wait())
        asked = asyncio.create_task(self._connect())
        try:
            done, _ = await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED, timeout=LOAD_TIMEOUT)
            if asked in done:
                await self._adopt(asked.result())
                return
            if ended in done:
                raise TalkalikeError(self._last_words(), hint=f"Its log is {self._log}.")
            raise TalkalikeError(f"The model '{self.model}' took more than {LOAD_TIMEOUT:g} seconds to load.")
        finally:
            for task in (ended, asked):
                task.cancel()
            await asyncio.gather(ended, asked, return_exceptions=True)

    async def _adopt(self, remote: RemoteEngine) -> None:
        """After a restart the first connection goes on: the address is the same, and replies may be waiting on it."""
        if self._remote is None:
            self._remote = remote
        else:
            await remote.close()
        self._ready.set()

    async def _connect(self) -> RemoteEngine:
        """The first request waits in the socket's queue until the child has loaded the model."""
        while True:
            try:
                return await RemoteEngine.connect(self.address, model=self.model, api_key=self.key)
            except UserError:
                raise
            except TalkalikeError:
                await asyncio.sleep(0.2)  # a large model loads longer than a request waits

    async def _watch(self) -> None:
        """Starts the process again whenever it ends, ever more slowly while it keeps failing."""
        loop = asyncio.get_running_loop()
        pause, began = FIRST_PAUSE, loop.time()
        while not self._closing:
            assert self._process
            await self._process.wait()
            self._ready.clear()
            self.problem = self._last_words()
            pause = FIRST_PAUSE if loop.time() - began > STEADY else pause
            await asyncio.sleep(pause)
            pause, began = min(LONGEST_PAUSE, pause * 2), loop.time()
            self.restarts += 1
            try:
                await self._launch()
            except TalkalikeError as failure:
                self.problem = failure.what
                await self._end()

    def _last_words(self) -> str:
        """How the process ended, with the error it printed last."""
        code = self._process.returncode if self._process else None
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_WORDS))
                lines = log.read().decode("utf-8", "replace").split("\n")
        except OSError:
            lines = []
        said = next((line.strip() for line in reversed(lines) if line.startswith("error:")), "")
        return f"The process of the model '{self.model}' {how}" + (f" ({said})." if said else ".")

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


class DoubleInProcess:
    """An `Engine` for one of the other models in a process. Closing it ends its connection; the process goes on."""

    def __init__(self, process: ProcessEngine, remote: RemoteEngine) -> None:
        self._process = process
        self._remote = remote

    @property
    def name(self) -> str:
        return self._remote.name

    @property
    def context_length(self) -> int:
        """As the process states it for its first model."""
        return self._remote.context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        return self._remote.count_tokens(turns)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply. Waits a while for a process that is being restarted, then raises TalkalikeError."""
        await self._process.wait_until_running()
        async with aclosing(self._remote.stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        await self._remote.close()
