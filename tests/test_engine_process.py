"""A model in a process of its own: killed, restarted, failing, and gone with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from talkalike.engine import process as process_module
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Turn

CHILD = Path(__file__).with_name("scripted_child.py")
PROMPT = Prompt(turns=(Turn("Bob", "hi"),), speaker="Ann")


def command(*more: str) -> Callable[[int], list[str]]:
    return lambda listening: [sys.executable, str(CHILD), str(listening), "ann-1", *more]


def engine_of(folder: Path, *more: str) -> ProcessEngine:
    return ProcessEngine("ann-1", command=command(*more), log=folder / "logs" / "ann-1.log")


async def messages(engine: ProcessEngine) -> list[str]:
    said: dict[int, str] = {}
    async for piece in engine.stream(PROMPT, Sampling()):
        said[piece.message] = said.get(piece.message, "") + piece.text
    return [text for text in said.values() if text]


def child_of(engine: ProcessEngine) -> int:
    assert engine._process
    return engine._process.pid


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ProcessEngine]:
    started = engine_of(tmp_path)
    await started.start()
    yield started
    await started.close()


async def test_it_answers_and_ends_with_close(engine: ProcessEngine) -> None:
    assert await messages(engine) == ["one", "two"]
    assert engine.running
    assert engine.memory_bytes > 1e6
    pid = child_of(engine)
    await engine.close()
    await engine.close()
    assert not psutil.pid_exists(pid)
    assert not engine.running


async def test_strangers_on_this_computer_have_no_key(engine: ProcessEngine) -> None:
    address = f"http://127.0.0.1:{engine._socket.getsockname()[1]}/v1/models"
    assert httpx.get(address).status_code == 401


async def test_a_killed_process_is_started_again(engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "FIRST_PAUSE", 0.01)
    before = child_of(engine)
    os.kill(before, signal.SIGKILL)
    assert await messages(engine) == ["one", "two"]  # the question waits in the socket until the next one is up
    while engine.restarts == 0 or not engine.running:
        await asyncio.sleep(0.01)
    assert child_of(engine) != before
    assert "killed by signal 9" in engine.problem
    assert await messages(engine) == ["one", "two"]


async def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(TalkalikeError, match=r"exit code 2 \(error: There is no such model\.\)") as caught:
        await engine_of(tmp_path, "fails").start()
    assert str(tmp_path / "logs" / "ann-1.log") in caught.value.hint


async def test_a_process_that_keeps_dying_is_told_to_who_asks(
    engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "PATIENCE", 0.2)
    engine._command = command("fails")
    os.kill(child_of(engine), signal.SIGKILL)
    while engine.running:
        await asyncio.sleep(0.01)
    with pytest.raises(TalkalikeError, match="'ann-1' is not running"):
        await messages(engine)


PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_engine_process import child_of, engine_of

async def main():
    engine = engine_of(Path({folder!r}))
    await engine.start()
    print(child_of(engine), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    program = PARENT.format(tests=str(CHILD.parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    for _ in range(500):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.02)
    pytest.fail("the model's process is still there")
