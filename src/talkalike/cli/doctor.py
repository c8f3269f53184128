"""`talkalike doctor`: what is installed, found, missing or slow, and what to do about it. It asks nobody outside."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.archive import Archive
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.doctor_engines import engine_checks
from talkalike.cli.doctor_eyes import eye_check
from talkalike.cli.doctor_machine import Check, installation, machine
from talkalike.cli.fitting import check_training
from talkalike.cli.output import FICTIONAL, JsonOption, emit, number, one_line, quantity, size, table
from talkalike.cli.workspace import DATABASE_VARIABLE, Workspace, database_url, discord_token, find_root, open_workspace
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.opening import open_examples
from talkalike.models.damage import damaged_files
from talkalike.store.servers import all_servers
from talkalike.store.store import open_store
from talkalike.workspace.paths import SETTINGS_FILE
from talkalike.workspace.privacy import close_to_others, open_to_others

_LITTLE_SPACE = 2e9  # a base and a training's checkpoints
_OLD_SECONDS = 3600.0
_UNFINISHED = frozenset({"running", "stopped", "failed"})


def doctor(
    engines: Annotated[
        bool,
        typer.Option(
            "--engines", help="Also measure how fast our own engine and llama.cpp write here. It takes some seconds."
        ),
    ] = False,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, this machine and the workspace. Exits with 1 if something does not work."""
    checks = examine(workspace_dir, engines=engines)
    worst = next((state for state in ("problem", "warning") if any(c.state == state for c in checks)), "ok")
    emit(as_json, {"state": worst, "checks": checks}, lambda screen: _show(screen, checks))
    if worst == "problem":
        raise typer.Exit(1)


def examine(workspace_dir: Path | None, *, engines: bool = False) -> list[Check]:
    """Runs every check, in the order in which a person wants to see them. `engines`: measures those, too."""
    return [*installation(), *machine(), *workspace_checks(workspace_dir, engines=engines)]


def _show(screen: Console, checks: list[Check]) -> None:
    styles = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    screen.print(
        table(
            ["", "check", "result"],
            [[one_line(check.state, styles[check.state]), check.name, check.found] for check in checks],
        )
    )
    for check in checks:
        if check.todo:
            screen.print(one_line(f"{check.name}: {check.todo}", styles[check.state]))
    if not any(check.todo for check in checks):
        screen.print("Everything is in order.")


# ----------------------------------------------------------------------------------------------------- the workspace
def workspace_checks(directory: Path | None, *, engines: bool = False) -> Iterator[Check]:
    """Everything about the workspace; outside of one, only that."""
    root = find_root(directory)
    if not (root / SETTINGS_FILE).exists():
        todo = "Make one with `talkalike init DIR`, or name yours with --workspace DIR."
        yield Check(name="workspace", state="warning", found=f"{root} is not a workspace", todo=todo)
        return
    privacy = _privacy(root)  # first, for opening it closes the folder
    try:
        workspace = open_workspace(directory)
    except UserError as error:
        yield Check(name="settings", state="problem", found=error.what, todo=error.hint or "Correct talkalike.toml.")
        return
    yield Check(name="workspace", state="ok", found=str(root))
    if workspace.is_fictional:
        yield Check(name="note", state="ok", found=FICTIONAL)
    yield _storage(root)
    yield privacy
    yield Check(name="settings", state="ok", found=str(workspace.settings_file))
    yield from _chats(workspace)
    yield from _examples(workspace)
    yield from _models(workspace)
    yield from check_training(workspace)
    yield from _trainings(workspace)
    yield from engine_checks(workspace, measure=engines)
    yield eye_check(workspace)
    yield _discord(workspace)
    yield _database(workspace)


def _privacy(root: Path) -> Check:
    """Whether other accounts of this computer can read anything of it; where they can, that is mended."""
    found = open_to_others(root)
    if not found:
        return Check(name="privacy", state="ok", found="only your account can read the workspace")
    left = [path for path in found if not close_to_others(path)]
    names = ", ".join(str(path.relative_to(root.parent)) for path in (left or found)[:3])
    some = f"{names} and {number(len(left or found) - 3)} more" if len(left or found) > 3 else names
    if left:
        todo = "Move the workspace to a drive that keeps the permissions of files, and run `talkalike doctor` again."
        return Check(name="privacy", state="problem", found=f"other accounts can still read {some}", todo=todo)
    todo = "If others use this computer, change what was secret: the bot's token, and the passwords of the website."
    said = f"other accounts could read {some}; now only yours can"
    return Check(name="privacy", state="warning", found=said, todo=todo)


def _storage(root: Path) -> Check:
    if not os.access(root, os.W_OK):
        todo = "Change its permissions, or use another workspace."
        return Check(name="disk", state="problem", found="the workspace is read-only", todo=todo)
    free = shutil.disk_usage(root).free
    if free < _LITTLE_SPACE:
        todo = "Free some space before fetching a model or training."
        return Check(name="disk", state="warning", found=f"{size(free)} free", todo=todo)
    return Check(name="disk", state="ok", found=f"{size(free)} free")


def _chats(workspace: Workspace) -> Iterator[Check]:
    try:
        summaries = Archive(workspace.chats).summaries().values()
    except UserError as error:
        yield Check(name="chats", state="problem", found=error.what, todo=error.hint)
        return
    if not summaries:
        todo = "Import an export: talkalike import PATH"
        yield Check(name="chats", state="warning", found="none are imported", todo=todo)
        return
    messages = quantity(sum(summary.messages for summary in summaries), "message")
    found = f"{messages} in {quantity(len(summaries), 'conversation')}"
    if is_locked(workspace.chats / ".lock"):
        found += "; an import is running"
    yield Check(name="chats", state="ok", found=found)


def _examples(workspace: Workspace) -> Iterator[Check]:
    """The sets that cannot be read; how many there are says `talkalike examples`."""
    for name in workspace.example_names():
        try:
            open_examples(workspace.examples, name)
        except UserError as error:
            yield Check(name="examples", state="problem", found=error.what, todo=error.hint)


def _models(workspace: Workspace) -> Iterator[Check]:
    catalog = workspace.catalog()
    cards = catalog.cards()
    made = [card for card in cards if card.kind != "base"]
    rewards = sum(card.kind == "reward" for card in made)
    base = Path(workspace.settings.model.base).name.lower()  # the catalog's name of a hub id or folder, too
    if catalog.exists(workspace.settings.model.base) or catalog.exists(base):
        yield Check(name="base", state="ok", found=f"{workspace.settings.model.base} is here")
    else:
        found = f"{workspace.settings.model.base} is not here yet"
        yield Check(name="base", state="ok", found=f"{found}; prepare and train fetch it")
    found = quantity(len(made) - rewards, "double") + (f", {quantity(rewards, 'reward model')}" if rewards else "")
    yield Check(name="models", state="ok", found=found)
    for folder in catalog.damaged():
        found = f"The card of {catalog.path(folder)} cannot be read"
        todo = "Move that folder away, or fetch or train the model again."
        yield Check(name="models", state="problem", found=found, todo=todo)
    for card in cards:
        for file in damaged_files(catalog.path(card.name)):
            found = f"{catalog.path(card.name) / file} is damaged or cut off"
            todo = "Delete that model's folder, then fetch or train it again."
            yield Check(name="models", state="problem", found=found, todo=todo)
    for card in made:
        if not catalog.exists(card.base):
            found = f"{card.name} needs the base {card.base}, which is gone"
            todo = f"Bring it back: talkalike models fetch {card.base}"
            yield Check(name="models", state="problem", found=found, todo=todo)
    leftovers = [path for path in workspace.root.glob("*/.*") if path.is_dir() and _is_old(path)]
    if leftovers and not is_locked(workspace.runs / ".training.lock"):
        names = ", ".join(str(path.relative_to(workspace.root)) for path in leftovers)
        todo = "Something was interrupted while writing; unless talkalike is at work now, these folders can be deleted."
        yield Check(name="leftovers", state="warning", found=names, todo=todo)


def _trainings(workspace: Workspace) -> Iterator[Check]:
    running = is_locked(workspace.runs / ".training.lock")
    if running:
        owner = (workspace.runs / ".training.lock").read_text(encoding="utf-8").strip()
        yield Check(name="training", state="ok", found=f"one is running (process {owner or 'unknown'})")
    unfinished: dict[str, list[str]] = {}  # names by the command that continues them
    for file in sorted(workspace.runs.glob("*/run.json")):
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            about = {"state": "failed"}
        if isinstance(about, dict) and about.get("state") in _UNFINISHED:
            kind = str(about.get("kind", ""))
            command = f"align {kind} --resume" if kind else "train --resume"
            if file.parent.name.startswith("loop-"):  # a part of a round, which the same command continues
                command = "align loop"
            unfinished.setdefault(command, []).append(file.parent.name)
    if not running:
        for command, names in unfinished.items():
            todo = f"Continue with `talkalike {command}`, or delete their folders under runs/."
            found = f"not finished: {', '.join(names)}"
            yield Check(name="training", state="warning", found=found, todo=todo)
    if not running and not unfinished:
        yield Check(name="training", state="ok", found="none is running or unfinished")


def _is_old(folder: Path) -> bool:
    """Whether nothing was put into this scratch folder for so long that its owner must be gone."""
    return time.time() - folder.stat().st_mtime > _OLD_SECONDS


def is_locked(file: Path) -> bool:
    """Whether a process holds this lock file; the file itself outlives its holder and says nothing."""
    try:
        with file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


# --------------------------------------------------------------------------------------------------------- the faces
def _discord(workspace: Workspace) -> Check:
    try:
        token = discord_token(workspace)
    except UserError as error:
        return Check(name="discord", state="problem", found=error.what, todo=error.hint)
    if not token:
        return Check(name="discord", state="ok", found="no token; `talkalike discord setup` makes a bot")
    if workspace.settings.discord.owner_id is None:
        todo = "Set owner_id in [discord] of talkalike.toml to your Discord id, or run: talkalike discord setup"
        return Check(name="discord", state="warning", found="there is a token, but the bot has no owner", todo=todo)
    return Check(name="discord", state="ok", found="there is a token, and an owner")


def _database(workspace: Workspace) -> Check:
    if not os.environ.get(DATABASE_VARIABLE) and not workspace.database.exists():
        return Check(name="database", state="ok", found="none yet; `talkalike serve` makes it")
    try:
        with open_store(database_url(workspace)) as store:
            servers = store.call(all_servers)
            return Check(name="database", state="ok", found=f"{store.name}, {quantity(len(servers), 'server')}")
    except TalkalikeError as error:
        return Check(name="database", state="problem", found=error.what, todo=error.hint or "See the log.")
