"""`talkalike eye photos`: an eye looks at the photos of an export, so that they can be told in words."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.archive import Archive
from talkalike.chats.sources import READ_ERRORS, Entry, Sources
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.eye_opening import EyeOption, eye_here
from talkalike.cli.output import Advance, JsonOption, emit, number, one_line, progress, quantity
from talkalike.cli.people import open_archive
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.engine.eyes import Eye, Grade
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.photos import FILE, SeenPhoto, append_seen, photos_in, read_seen
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, UnreadablePictureError

_ADDRESS = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotosSeen:
    """What came of it. `recognised` of those `looked_at` now; `left_out` by the reason in words."""

    sent: int
    already_seen: int
    looked_at: int
    recognised: int
    left_out: Mapping[str, int]


def look_at_photos(  # signature: typer
    exports: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="The exports that were imported: folders or zips.")
    ],
    eye: EyeOption = "",
    again: Annotated[bool, typer.Option("--again", help="Look anew at photos that another eye has looked at.")] = False,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the photos of imported chats.

    Then `talkalike prepare --photos` tells the double what others' photos showed. Ctrl-C keeps what was seen so far.
    """
    workspace = open_workspace(workspace_dir)
    archive = open_archive(workspace)
    with Sources(exports) as sources, progress("Looking", quiet=as_json, unit="photos") as advance:
        done = asyncio.run(_look(workspace, archive, sources.entries, eye, again=again, advance=advance))

    def render(screen: Console) -> None:
        words = f"{quantity(done.looked_at, 'photo')} looked at, something recognised in {number(done.recognised)}"
        if done.already_seen:
            words += f"; {number(done.already_seen)} had been looked at before"
        screen.print(one_line(f"{words}."))
        for reason, count in done.left_out.items():
            screen.print(one_line(f"Not looked at: {number(count)} ({reason})."))
        screen.print("Next: talkalike prepare --photos")

    emit(as_json, asdict(done), render)


async def _look(
    workspace: Workspace, archive: Archive, entries: Iterable[Entry], who: str, *, again: bool, advance: Advance
) -> PhotosSeen:
    file = workspace.chats / FILE
    eye = await eye_here(workspace, who)
    try:
        uris = _sent(archive)
        seen = read_seen(file)
        known = {uri for uri in uris if uri in seen and (not again or seen[uri].eye == eye.name)}
        files, left_out = _find([uri for uri in uris if uri not in known], entries)
        recognised = looked_at = 0
        for number_, (uri, entry) in enumerate(files.items(), start=1):
            found = await _look_at(eye, uri, entry, left_out)
            if found is not None:
                append_seen(file, found)
                looked_at += 1
                recognised += found.sure
            advance(number_, len(files))
    finally:
        await eye.close()
    return PhotosSeen(
        sent=len(uris), already_seen=len(known), looked_at=looked_at, recognised=recognised, left_out=dict(left_out)
    )


def _sent(archive: Archive) -> list[str]:
    """The paths of all photos that people sent, each once."""
    sent: dict[str, None] = {}
    for conversation in archive.conversations():
        for message in archive.messages(conversation.id):
            sent |= dict.fromkeys(photos_in(message))
    if not sent:
        raise UserError("There are no photos in the imported chats.", hint="Export them with media.")
    return list(sent)


def _find(uris: Iterable[str], entries: Iterable[Entry]) -> tuple[dict[str, Entry], Counter[str]]:
    """The files of these photos: by path, else by a name that only one file has."""
    left_out: Counter[str] = Counter()
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    found: dict[str, Entry] = {}
    for uri in uris:
        if uri.startswith(_ADDRESS):
            left_out["only an address is in the export, and nothing is fetched"] += 1
            continue
        named = by_name.get(uri.rpartition("/")[2], [])
        exact = [entry for entry in named if f"/{entry.path}".endswith(f"/{uri}") or uri.endswith(f"/{entry.path}")]
        if len(exact) == 1 or len(named) == 1:
            found[uri] = (exact or named)[0]
        else:
            left_out["their file is not there" if not named else "several files have their name"] += 1
    return found, left_out


async def _look_at(eye: Eye, uri: str, entry: Entry, left_out: Counter[str]) -> SeenPhoto | None:
    try:
        picture = await asyncio.to_thread(lambda: normalise(_read(entry)))
    except (UnreadablePictureError, *READ_ERRORS):
        left_out["they are no pictures that can be read"] += 1
        return None
    try:
        looked = await eye.look(picture, grade=Grade.GLANCE)
    except UserError:
        raise  # every other would fail as well
    except TalkalikeError:
        left_out["the eye could not be reached"] += 1
        return None
    if looked.refused:
        left_out["the gate let nobody look"] += 1
        return None
    return SeenPhoto(uri=uri, eye=eye.name, words=looked.words, sure=looked.sure)


def _read(entry: Entry) -> bytes:
    with entry.open() as stream:
        return stream.read(MAX_BYTES + 1)
