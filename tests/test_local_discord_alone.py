"""The stand-in for Discord without talkalike: its own command, as another bot's author starts it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

SOURCES = Path(__file__).resolve().parent.parent / "src"
WITHOUT_TALKALIKE = (
    "import sys; sys.modules['talkalike'] = None; sys.path.insert(0, {path!r})\n"
    "from local_discord.__main__ import main; sys.exit(main({arguments!r}))"
)


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = WITHOUT_TALKALIKE.format(path=str(SOURCES), arguments=list(arguments))
    return subprocess.Popen(
        [sys.executable, "-B", "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_its_command_serves_a_world_with_a_bot_until_ctrl_c(tmp_path: Path) -> None:
    process = started(tmp_path, "--port", "0", "--bot", "Helper")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        told = "".join(lines)
        token = re.search(r"token: +(\S+)", told)
        api = re.search(r'Route\.BASE = "(\S+)"', told)
        page = re.search(r"talk in: +(\S+)", told)
        assert token and api and page, told
        me = httpx.get(f"{api[1]}/users/@me", headers={"Authorization": f"Bot {token[1]}"}, timeout=10)
        assert (me.status_code, me.json()["username"]) == (200, "Helper")
        assert "<html" in httpx.get(page[1], timeout=10, follow_redirects=True).text
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert list(tmp_path.iterdir()) == []  # nothing is kept
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = started(tmp_path, "--port", str(port))
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert f"Port {port} cannot be opened" in errors
    assert "--port" in errors
    assert "Traceback" not in errors
