"""Opening a store: addresses, durability, migrations, two processes at once, and everything that can be wrong."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from postgres_server import PostgresServer
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.errors import UserError
from talkalike.store import rules, servers
from talkalike.store.store import Store, StoreError, open_store

pytest_plugins = ("store_databases",)
CHILD = Path(__file__).with_name("store_child.py")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, CHILD, *arguments], stdin=-1, stdout=-1, stderr=-1, text=True)


def sql(statement: str) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_what_was_written_is_there_after_reopening(database_url: str) -> None:
    one = Rule(server_id=1, subject=Subject.USER, subject_id=5, level=Level.MOD)
    two = Rule(server_id=2, subject=Subject.CHANNEL, subject_id=5, access=Access.OPEN)
    for rule in (one, two):
        with open_store(database_url) as store:
            store.call(rules.put, rule, by=9)
    with open_store(database_url) as store:
        assert store.call(rules.all_rules) == (one, two)


def test_two_stores_in_one_process_keep_apart(database_url: str, tmp_path: Path) -> None:
    with open_store(database_url) as first, open_store(f"sqlite:///{tmp_path}/second.sqlite3") as second:
        first.call(servers.note_joined, 1, "first")
        second.call(servers.note_joined, 2, "second")
        assert [server.name for server in first.call(servers.all_servers)] == ["first"]
        assert [server.name for server in second.call(servers.all_servers)] == ["second"]


def test_sqlite_survives_a_power_cut_and_waits_for_writers(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/new/folder/store.sqlite3") as store:
        assert store.call(sql, "PRAGMA journal_mode") == [("wal",)]
        assert store.call(sql, "PRAGMA synchronous") == [(2,)]  # FULL
        assert store.call(sql, "PRAGMA foreign_keys") == [(1,)]
        assert store.call(sql, "PRAGMA busy_timeout") == [(30_000,)]


def test_the_migrations_say_what_the_models_say(store: Store) -> None:
    from django.core.management import call_command

    store.call(call_command, "makemigrations", check=True, dry_run=True, verbosity=0)  # SystemExit otherwise


def test_processes_that_open_a_new_database_at_once_all_succeed(database_url: str) -> None:
    children = [start("open", database_url) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert (child.returncode, errors) == (0, "")
    with open_store(database_url) as store:
        applied = store.call(sql, "SELECT name FROM django_migrations WHERE app = 'store'")
        assert len(applied) == len(set(applied)) >= 1


def test_states_of_replies_from_before_have_the_names_of_today(store: Store) -> None:
    """Replies on the website were "stopped" and "broken" where those on Discord were "cancelled" and "lost"."""
    from django.core.management import call_command

    states = ("writing", "done", "stopped", "broken", "stopped")
    store.call(call_command, "migrate", "store", "0004", verbosity=0)
    store.call(
        sql,
        "INSERT INTO store_webconversation (owner, title, name, model, options, head, version, made_at, changed_at)"
        " VALUES ('anna', '', '', '', '{}', 0, 0, '2026-01-01', '2026-01-01')",
    )
    for state in states:
        store.call(
            sql,
            "INSERT INTO store_webmessage (conversation_id, kind, text, parts, state, model, speaker, sampling, seen,"
            " tokens, seconds, problem, token, at) SELECT id, 'reply', '', '[]', '" + state + "', '', '', '{}', '{}',"
            " 0, 0, '', '', '2026-01-01' FROM store_webconversation",
        )
    store.call(call_command, "migrate", "store", verbosity=0)
    found = store.call(sql, "SELECT state FROM store_webmessage ORDER BY id")
    assert [state for (state,) in found] == ["writing", "done", "cancelled", "lost", "cancelled"]


def test_a_database_of_a_newer_talkalike_is_refused(database_url: str) -> None:
    with open_store(database_url) as store:
        store.call(
            sql, "INSERT INTO django_migrations (app, name, applied) VALUES ('store', '9999_later', '2030-01-01')"
        )
    with pytest.raises(UserError, match="newer version of talkalike") as refused:
        open_store(database_url)
    assert "Update talkalike" in refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://anna:secret-word@host/name",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://file.sqlite3",
        "postgres://anna:secret-word@host:port/name",
        "postgres://anna:secret-word@host:5432",
        "postgres://anna:secret-word@[host/name",
    ],
)
def test_an_address_that_makes_no_sense_is_explained_without_repeating_it(url: str) -> None:
    with pytest.raises(UserError) as refused:
        open_store(url)
    assert "secret-word" not in str(refused.value)
    assert "sqlite:///path" in refused.value.hint


def test_a_file_that_is_no_database_is_told_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "notes.sqlite3"
    file.write_text("these are my notes " * 100, encoding="utf-8")
    with pytest.raises(UserError, match=r"Cannot open the database .*notes\.sqlite3: file is not a database\."):
        open_store(f"sqlite:///{file}")
    assert file.read_text(encoding="utf-8") == "these are my notes " * 100


def test_a_database_of_another_program_with_tables_of_the_same_name_is_told(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.sqlite3") as other:
        other.execute("CREATE TABLE store_reply (what TEXT)")
    other.close()
    with pytest.raises(UserError, match="already exists"):
        open_store(f"sqlite:///{tmp_path}/other.sqlite3")


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"Cannot open the database {tmp_path}/folder"):
        open_store(f"sqlite:///{tmp_path}/folder")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=f"Cannot open the database {tmp_path}/file/store"):
        open_store(f"sqlite:///{tmp_path}/file/store.sqlite3")


def test_a_place_that_may_not_be_written_is_told() -> None:
    with pytest.raises(UserError, match=r"Cannot open the database /proc/store\.sqlite3"):
        open_store("sqlite:////proc/store.sqlite3")  # where not even a root may


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite3") as store:
        store.call(servers.note_joined, 1, "before")
        pages = store.call(sql, "PRAGMA page_count")[0][0]
        store.call(sql, f"PRAGMA max_page_count = {pages}")  # how SQLite lets one play a full disk
        with pytest.raises(StoreError, match=r"failed: database or disk is full") as failed:
            store.call(servers.note_joined, 2, "x" * 100_000)
        assert "free space" in failed.value.hint
        assert [server.id for server in store.call(servers.all_servers)] == [1]


def test_a_postgres_that_is_not_there_or_not_ours_is_told_without_the_password(postgres: PostgresServer) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"Postgres database 'name' on 127\.0\.0\.1") as refused:
            open_store(f"postgres://anna:secret-word@127.0.0.1:{nobody.getsockname()[1]}/name")
    assert "secret-word" not in str(refused.value)
    with pytest.raises(UserError, match="password authentication failed") as refused:
        open_store(postgres.url("postgres", password="secret-word"))
    assert "secret-word" not in str(refused.value)
    with pytest.raises(UserError, match='database "missing" does not exist') as refused:
        open_store(postgres.url("missing"))
    assert postgres.password not in str(refused.value)
    assert refused.value.__cause__ is None  # nor in a chained traceback


def test_a_postgres_that_restarts_is_told_once_and_found_again(postgres: PostgresServer) -> None:
    with open_store(postgres.new_database()) as store:
        store.call(servers.note_joined, 1, "before")
        postgres.stop()
        with pytest.raises(StoreError) as failed:
            store.call(servers.note_joined, 2, "meanwhile")
        assert postgres.password not in str(failed.value)
        postgres.start()
        store.call(servers.note_joined, 3, "after")
        assert [server.name for server in store.call(servers.all_servers)] == ["before", "after"]


def test_a_connection_that_was_cut_is_replaced_before_anybody_notices(postgres: PostgresServer) -> None:
    with open_store(postgres.new_database()) as store:
        store.call(servers.note_joined, 1, "before")
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'")
        store.call(servers.note_joined, 2, "after")
        assert len(store.call(servers.all_servers)) == 2


async def test_the_loop_goes_on_while_a_function_runs(store: Store) -> None:
    release = threading.Event()
    waiting = asyncio.create_task(store.run(release.wait, 60))
    await asyncio.sleep(0)  # with a blocked loop this line would never be reached before the minute is over
    assert not waiting.done()
    release.set()
    assert await waiting is True


async def test_a_write_whose_caller_is_cancelled_is_done_all_the_same(store: Store) -> None:
    release = threading.Event()
    blocker = asyncio.create_task(store.run(release.wait, 60))
    writing = asyncio.create_task(store.run(servers.note_joined, 1, "server"))
    await asyncio.sleep(0)
    writing.cancel()
    release.set()
    await blocker
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert [server.id for server in await store.run(servers.all_servers)] == [1]


async def test_what_waits_at_the_same_time_is_one_transaction_and_a_mistake_is_its_own(store: Store) -> None:
    """Also when the one who asked for it has gone."""
    release = threading.Event()
    batches: list[list[int]] = []

    def join(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        for number in numbers:
            servers.note_joined(number, "server")
        if 3 in numbers:
            raise KeyError("three")
        return [10 * number for number in numbers]

    blocker = asyncio.create_task(store.run(release.wait, 60))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(store.together(join, number)) for number in (1, 2, 3, 4)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    release.set()
    await blocker
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert told[:2] == [10, 20] and isinstance(told[2], KeyError) and isinstance(told[3], asyncio.CancelledError)
    assert batches == [[1, 2, 3, 4], [1], [2], [3], [4]]
    assert {server.id for server in await store.run(servers.all_servers)} == {1, 2, 4}
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        await store.together(join, 5)


def test_mistakes_in_a_function_reach_the_caller_and_undo_nothing_else(store: Store) -> None:
    def wrong() -> None:
        raise KeyError("x")

    store.call(servers.note_joined, 1, "server")
    with pytest.raises(KeyError):
        store.call(wrong)
    assert len(store.call(servers.all_servers)) == 1


def test_closing_twice_is_fine_and_a_closed_store_refuses(database_url: str) -> None:
    store = open_store(database_url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.call(servers.all_servers)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("talkalike.cli.main", ["django"]),
        ("talkalike.store.store", ["django", "talkalike.store.models"]),
        ("talkalike.store.people, talkalike.store.test_runs", ["talkalike.store.models"]),
    ],
)
def test_importing_is_cheap_and_configures_nothing(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
