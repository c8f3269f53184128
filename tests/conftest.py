"""What every test gets: no network but loopback, no hub, no screen, fixed seeds, and a workspace to work in."""

from __future__ import annotations

import ipaddress
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Before the code under test imports a library that reads them; child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # no warning when a test starts a child process
os.environ["MPLBACKEND"] = "Agg"
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as processors: each with one thread
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist has it ignored, and so would child processes
os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "120"
for _name in [name for name in os.environ if name.startswith("TALKALIKE_")]:
    del os.environ[_name]  # the developer's own settings

settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,  # machines differ; a slow example is no bug
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", parent=settings.get_profile("ci"), max_examples=2000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


class NetworkBlockedError(OSError):
    """A test tried to reach another computer."""


def _is_local(host: object) -> bool:
    """Whether `host` (as given to connect or getaddrinfo; None and "" mean this computer) is a loopback one."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in ("", "localhost"):
        return True
    try:
        return isinstance(host, str) and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Lets sockets of this process reach only this computer, whatever library opens them."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise NetworkBlockedError(f"a test tried to connect to {address[0]!r}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise NetworkBlockedError(f"a test tried to look up {host!r}")
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """The same random numbers in every run and order. torch is seeded where a test has imported it already."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def tmp_workspace(tmp_path: Path) -> Path:
    """A workspace as `talkalike init` leaves it: a folder with the default talkalike.toml."""
    from talkalike.settings import default_toml

    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "talkalike.toml").write_text(default_toml(), encoding="utf-8")
    return workspace
