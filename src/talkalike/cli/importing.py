"""`talkalike import`: exports into the archive, with an account of everything that was and was not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.archive import Archive
from talkalike.chats.importers.protocol import Choices
from talkalike.chats.importing import ImportReport, import_paths
from talkalike.chats.platform_lines import PlatformLine
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import FICTIONAL, JsonOption, day, emit, number, one_line, progress, quantity, table
from talkalike.cli.workspace import open_workspace
from talkalike.errors import UserError
from talkalike.workspace.files import plain

_ROWS = 40  # conversations shown; an export can have thousands
_FILES = 3  # named for each reason
_SENTENCES = 8  # of the platform's own


def import_chats(  # signature: typer
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders, files or zips of a chat export.")],
    format_: Annotated[
        str, typer.Option("--format", help="Format of the export, or auto; an unknown name lists the formats.")
    ] = "auto",
    encoding: Annotated[
        str | None,
        typer.Option(help="Character encoding of text files that are not UTF-8, such as cp1250. Default: detected."),
    ] = None,
    date_order: Annotated[
        str | None,
        typer.Option(
            metavar="ORDER",
            help="Order of day, month and year in dates such as 03/04/21, where a file does not tell: dmy, mdy, ymd or "
            "ydm.",
        ),
    ] = None,
    bridges: Annotated[
        list[str] | None,
        typer.Option(
            "--bridge",
            metavar="NICK",
            help="Nick of an IRC bot that relays others' messages (<bot> <alice> hello): they are attributed to those "
            "who wrote them. Can be repeated. `talkalike people` names such bots.",
        ),
    ] = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import chat exports into the workspace. Several parts can be given; importing again adds nothing twice."""
    workspace = open_workspace(workspace_dir)

    named = [path.expanduser() for path in paths]
    with progress("Importing", quiet=as_json, unit="bytes") as advance:
        report = import_paths(
            named,
            archive=Archive(workspace.chats),
            format=format_,
            progress=advance,
            choices=Choices(encoding=encoding, date_order=date_order),
            bridges=bridges or (),
        )
    data = {**plain(report), "fictional": workspace.is_fictional}
    emit(as_json, data, lambda screen: _show(report, screen, workspace.settings.chats.timezone, workspace.is_fictional))
    if not report.conversations:
        raise UserError(
            "Nothing was imported: no file held a message that can be read.",
            hint="Download the export again if it is damaged, and give the whole folder or zip.",
        )


def _show(report: ImportReport, screen: Console, timezone: str, fictional: bool) -> None:
    rows = sorted(report.conversations, key=lambda row: -sum(row.messages_by_kind.values()))
    if rows:
        screen.print(
            table(
                ["conversation", "from", ">people", ">messages", ">new", ">known", ">updated", "first", "last"],
                [
                    [
                        row.title,
                        row.platform,
                        number(row.people),
                        number(sum(row.messages_by_kind.values())),
                        number(row.new),
                        number(row.already_there),
                        number(row.updated),
                        day(row.first_ms, timezone),
                        day(row.last_ms, timezone),
                    ]
                    for row in rows[:_ROWS]
                ],
            )
        )
    if len(rows) > _ROWS:
        screen.print(f"and {len(rows) - _ROWS:,} more conversations (all of them with --json)")
    files = quantity(report.files_read, "file")
    screen.print(
        f"{quantity(report.new, 'new message')}, {report.already_there:,} known already, {report.updated:,} updated, "
        f"in {quantity(len(rows), 'conversation')} from {files}.",
        soft_wrap=True,
    )
    kinds = Counter[str]()
    for row in rows:
        kinds.update(row.messages_by_kind)
    if kinds:
        parts = ", ".join(f"{kind} {amount:,}" for kind, amount in kinds.most_common())
        screen.print(f"Stored by kind: {parts}.", soft_wrap=True)
    if fictional:
        screen.print(f"({FICTIONAL})")
    show_platform_lines(screen, report.platform_lines)
    _show_losses(report, screen)
    if rows:
        screen.print("Next: talkalike people")


def _show_losses(report: ImportReport, screen: Console) -> None:
    """What was not read, and why; damage in red."""
    if report.skipped:
        screen.print(
            table(
                [">files", "skipped because", "such as"],
                [
                    [number(skipped.count), skipped.reason, ", ".join(skipped.files[:_FILES])]
                    for skipped in report.skipped
                ],
            )
        )
    for reason, amount in report.unreadable.items():
        files = ", ".join(report.unreadable_in.get(reason, ())[:_FILES])
        where = f" (such as in {files})" if files else ""
        screen.print(one_line(f"Not readable: {amount:,} × {reason}{where}.", style="yellow"), soft_wrap=True)
    if report.replaced_characters:
        replaced = quantity(report.replaced_characters, "character")
        screen.print(f"{replaced} that no text can hold became \ufffd.")
    for file, amount in report.unmended.items():
        text = f"{quantity(amount, 'character')} in {file} could not be mended: the export's encoding is broken there."
        screen.print(one_line(text, style="yellow"), soft_wrap=True)
    for note in report.notes:
        screen.print(one_line(f"Note: {note}"))
    if report.damaged:
        screen.print(one_line(f"DAMAGED: {quantity(len(report.damaged), 'file')} could not be read whole.", "bold red"))
        for damaged in report.damaged:
            text = f"  {damaged.file}: {damaged.reason}"
            if damaged.messages_read or damaged.position:
                text += f" (at position {damaged.position:,}; {quantity(damaged.messages_read, 'message')} read)"
            screen.print(one_line(text, style="red"))
        rest = "Everything else was imported. " if report.conversations else ""
        screen.print(f"  {rest}Download these again and import them; nothing is doubled.")


def show_platform_lines(screen: Console, lines: Sequence[PlatformLine], *, learned: bool = False) -> None:
    """The most frequent lines that look like the platform's own words, a sample of each, and what becomes of them."""
    if not lines:
        return
    total = quantity(sum(line.count for line in lines), "message")
    fate = "are learned, as you asked" if learned else "are not learned as anybody's words"
    rows = [[number(line.count), line.sample, line.why] for line in lines[:_SENTENCES]]
    screen.print(table([">messages", "such as", "because it"], rows, title="Looks like the platform's own words"))
    more = f", {len(lines) - _SENTENCES:,} more sentences with --json" if len(lines) > _SENTENCES else ""
    screen.print(one_line(f"{total} look like the platform's own and {fate}{more}."))
    if not learned:
        screen.print("If people wrote them: talkalike prepare --platform-lines, or platform_lines in talkalike.toml.")
