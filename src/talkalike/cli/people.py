"""`talkalike people`: who speaks in the imported chats, and whose export it seems to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.archive import Archive
from talkalike.chats.bridges import Bridge, BridgeWatch
from talkalike.chats.people import OwnerGuess, PersonRow, suggest_owner
from talkalike.chats.people import people as everybody
from talkalike.chats.values import Message
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import (
    FICTIONAL,
    Advance,
    JsonOption,
    day,
    emit,
    number,
    one_line,
    percent,
    progress,
    table,
)
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.workspace.files import plain

_ROWS = 20
_BRIDGED = 5  # people named of those a bot speaks for
_OFTEN = 4096  # messages between two movements of the bar


def people(
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"Maximum number of people to list. Default: {_ROWS} in the table, all with --json."),
    ] = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who speaks and how much, and guess whose export it is."""
    workspace = open_workspace(workspace_dir)
    archive = open_archive(workspace)

    watch = BridgeWatch()
    rows = count_people(archive, quiet=as_json, watch=watch)
    guess = suggest_owner(archive.conversations())
    shown_rows = rows[: limit or (None if as_json else _ROWS)]
    data = {
        "people": [_as_json(row) for row in shown_rows],
        "of": len(rows),
        "owner": {
            "id": guess.person.id if guess.person else None,
            "name": guess.person.name if guess.person else None,
            "reason": guess.reason,
        },
        "bridges": [plain(bridge) for bridge in watch.suspects()],
        "fictional": workspace.is_fictional,
    }

    def render(screen: Console) -> None:
        _show(shown_rows, screen, workspace.settings.chats.timezone)
        if len(rows) > len(shown_rows):
            screen.print(f"and {len(rows) - len(shown_rows):,} more (--limit {len(rows)})")
        if workspace.is_fictional:
            screen.print(f"({FICTIONAL})")
        for bridge in watch.suspects():
            _advise_bridge(bridge, screen)
        carriers = {bridge.name for bridge in watch.suspects()}
        _advise(guess, [row for row in rows if row.person.name not in carriers] or rows, screen)

    emit(as_json, data, render)


def open_archive(workspace: Workspace) -> Archive:
    """The imported chats; UserError if there are none yet."""
    archive = Archive(workspace.chats)
    if archive.is_empty:
        raise UserError(f"No chats are imported in {workspace.root} yet.", hint="Run: talkalike import PATH")
    return archive


def count_people(archive: Archive, *, quiet: bool, watch: BridgeWatch | None = None) -> list[PersonRow]:
    """Everybody in the archive, most messages first; shows how far it is, because it reads every message.

    `watch` is shown each message as it passes.
    """
    total = sum(summary.messages for summary in archive.summaries().values())
    done = 0

    def count_each(messages: Iterable[Message], advance: Advance) -> Iterator[Message]:
        nonlocal done
        for message in messages:
            if watch is not None:
                watch.see(message)
            yield message
            done += 1
            if done % _OFTEN == 0:
                advance(done, total)

    with progress("Counting", quiet=quiet, unit="messages") as advance:
        chats = archive.conversations()
        return everybody((chat, count_each(archive.messages(chat.id), advance)) for chat in chats)


def _as_json(row: PersonRow) -> dict[str, object]:
    return {
        "id": row.person.id,
        "name": row.person.name,
        "conversations": row.conversations,
        "messages": row.messages,
        "words": row.words,
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
        "share": row.share,
    }


def _show(rows: list[PersonRow], screen: Console, timezone: str) -> None:
    screen.print(
        table(
            ["person", ">messages", ">share", ">words", ">conversations", "first", "last", "id"],
            [
                [
                    row.person.name,
                    number(row.messages),
                    percent(row.share),
                    number(row.words),
                    number(row.conversations),
                    day(row.first_ms, timezone),
                    day(row.last_ms, timezone),
                    row.person.id,
                ]
                for row in rows
            ],
        )
    )


def _advise_bridge(bridge: Bridge, screen: Console) -> None:
    others = ", ".join(bridge.speaks_for[:_BRIDGED])
    more = len(bridge.speaks_for) - _BRIDGED
    others += f" and {more} more" if more > 0 else ""
    screen.print(
        one_line(
            f"{bridge.name} seems to be a bot that relays others' messages: {bridge.messages:,} of them, of {others}. "
            f'To give each to its author, import the same logs again with --bridge "{bridge.name}".'
        )
    )


def _advise(guess: OwnerGuess, rows: list[PersonRow], screen: Console) -> None:
    if guess.person is None:
        screen.print(one_line(f"It is not clear whose export this is: {guess.reason}."))
    else:
        screen.print(one_line(f"Probably the owner: {guess.person.name}, who {guess.reason}."))
    example = guess.person or (rows[0].person if rows else None)
    if example is not None:
        screen.print(one_line(f'Next: talkalike prepare --speaker "{example.name}"'))
