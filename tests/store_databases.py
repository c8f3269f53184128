"""Fixtures for tests of the store: each test runs over SQLite and over a Postgres of our own, on an empty database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_server import PostgresServer
from talkalike.store.store import Store, open_store


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server, started once."""
    with PostgresServer.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Databases whose tables were made, to be copied: the address of each kind's, once a test needed it."""
    return {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('template')}/store.sqlite3"}


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, templates: dict[str, str]) -> Iterator[Store]:
    """An open store without content."""
    if request.param == "sqlite":
        file = Path(templates["sqlite"].removeprefix("sqlite:///"))
        if not file.exists():
            open_store(templates["sqlite"]).close()  # and so the WAL is merged into the file
        url = f"sqlite:///{shutil.copy(file, tmp_path)}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        if "postgres" not in templates:
            templates["postgres"] = server.new_database()
            open_store(templates["postgres"]).close()
        url = server.new_database(like=templates["postgres"].rpartition("/")[2])
    with open_store(url) as opened:
        yield opened
