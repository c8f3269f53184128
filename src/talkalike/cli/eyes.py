"""`talkalike eye`: eyes are fetched, listed, and look at pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.eye_opening import EyeOption, chosen_eye, eye_here, eye_named
from talkalike.cli.eye_photos import look_at_photos
from talkalike.cli.output import JsonOption, emit, harmless, number, one_line, say, table
from talkalike.cli.tasks_opening import read_pictures
from talkalike.cli.workspace import open_workspace
from talkalike.engine.eyes import Eye, Grade, Looked
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.eyes.reading import can_read
from talkalike.pictures.picture import Picture
from talkalike.workspace.eyes import SMALL, EyeCard

app = typer.Typer(help="Fetch an eye, and have it look at pictures.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def eye() -> None:
    """Fetch an eye, and have it look at pictures."""


@app.command("fetch")
def fetch(  # signature: typer
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="[EYE]",
            help="The small one names things and reads text (small); a vision model describes and answers: "
            "smolvlm-256m, a folder, or OWNER/MODEL of the hub.",
        ),
    ] = SMALL,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring an eye into the workspace. The one fetched last is used, unless the settings name another."""
    workspace = open_workspace(workspace_dir)
    # torch: only where an eye is fetched
    from talkalike.models.eyes.fetching import fetch_eye

    card = fetch_eye(wanted, workspace.eye_catalog(), say=say)
    used = chosen_eye(workspace)
    lines = [f"The eye '{card.name}' is here ({card.source})."]
    if card.kind == SMALL and not can_read():
        lines.append("It reads text in pictures, too, with: pip install 'talkalike[eye]'")
    if used != card:
        lines.append(f"It is not used: [eye] of talkalike.toml names {used.name if used else 'another or none'}.")
    emit(as_json, _json(card), lambda screen: screen.print(one_line(" ".join(lines)), soft_wrap=True))


@app.command("list")
def list_eyes(workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the eyes in the workspace and say which one is used."""
    workspace = open_workspace(workspace_dir)
    own = [eye_named(workspace, card.name) for card in workspace.catalog().cards() if card.kind == "eye"]
    cards, used = [*workspace.eye_catalog().cards(), *own], chosen_eye(workspace)
    url = workspace.settings.eye.url

    def render(screen: Console) -> None:
        if cards:
            rows = [(card.name, card.source, "yes" if card == used else "") for card in cards]
            screen.print(table(("Eye", "From", "Used"), rows))
        else:
            screen.print("There are no eyes yet. The small one: talkalike eye fetch small")
        if url:
            screen.print(one_line(f"Pictures are sent to the vision server at {url}."))

    emit(as_json, {"eyes": [_json(card) for card in cards], "used": used.name if used else None, "url": url}, render)


app.command("photos")(look_at_photos)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A picture and what was seen in it, or why it was not."""

    file: Path
    picture: Picture | None
    looked: Looked | None
    problem: str = ""


@app.command("look")
def look(  # signature: typer
    pictures: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures to look at.")],
    ask: Annotated[
        str, typer.Option(help="A question about each picture, for an eye that answers.", show_default=False)
    ] = "",
    grade: Annotated[
        Grade | None,
        typer.Option(
            help="How closely to look: glance is quick, look sees details, study takes long. Default: as in the "
            "settings.",
            show_default=False,
        ),
    ] = None,
    who: EyeOption = "",
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what pictures show. Exits with 2 if one of them could not be looked at; the others are."""
    workspace = open_workspace(workspace_dir)
    closely = grade or Grade(workspace.settings.eye.grade)
    found, name = asyncio.run(_look(eye_here(workspace, who), pictures, ask=ask, grade=closely))

    def render(screen: Console) -> None:
        for seen in found:
            if seen.looked is None or seen.picture is None:
                screen.print(one_line(seen.problem, "red"), soft_wrap=True)
                continue
            unsure = "" if seen.looked.sure else "nothing recognised; "
            note = f" ({seen.picture.note})" if seen.picture.note else ""
            words = f"{seen.file}: {unsure}{harmless(seen.looked.words)}{note}"
            screen.print(one_line(f"{words}  [{number(seen.looked.seconds)} s]"), soft_wrap=True)

    emit(as_json, {"eye": name, "pictures": [_seen_json(seen) for seen in found]}, render)
    if any(seen.looked is None for seen in found):
        raise typer.Exit(UserError.exit_code)


async def _look(opening: Any, files: Sequence[Path], *, ask: str, grade: Grade) -> tuple[list[_Seen], str]:
    looking: Eye = await opening
    try:
        if ask and not looking.sight.answers:
            raise UserError(
                f"The eye '{looking.name}' says what pictures show, and answers no questions.",
                hint="Leave out --ask, or fetch a vision model: talkalike eye fetch smolvlm-256m",
            )
        return [await _look_at(looking, file, ask=ask, grade=grade) for file in files], looking.name
    finally:
        await looking.close()


async def _look_at(looking: Eye, file: Path, *, ask: str, grade: Grade) -> _Seen:
    try:
        picture = (await asyncio.to_thread(read_pictures, [file]))[file]
    except TalkalikeError as error:  # which names the file
        return _Seen(file=file, picture=None, looked=None, problem=str(error))
    try:
        return _Seen(file=file, picture=picture, looked=await looking.look(picture, grade=grade, ask=ask))
    except TalkalikeError as error:
        return _Seen(file=file, picture=picture, looked=None, problem=f"{file}: {error}")


def _seen_json(seen: _Seen) -> dict[str, Any]:
    looked = seen.looked
    return {
        "file": seen.file,
        "hash": seen.picture.hash if seen.picture else None,
        "words": looked.words if looked else None,
        "recognised": looked.sure if looked else None,
        "seconds": looked.seconds if looked else None,
        "problem": seen.problem or None,
    }


def _json(card: EyeCard) -> dict[str, str]:
    return {"name": card.name, "kind": card.kind, "source": card.source, "created": card.created}
