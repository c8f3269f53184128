"""`talkalike doctor`: what is installed, found, missing or slow, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from talkalike.cli import doctor_checks, doctor_workspace
from talkalike.cli.doctor_checks import Check
from talkalike.cli.output import JsonOption, emit, shown, table
from talkalike.cli.workspace import WorkspaceOption


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check the installation, this machine and the workspace. Exits with 1 if something does not work."""
    checks = examine(workspace)
    worst = next((state for state in ("problem", "warning") if any(c.state == state for c in checks)), "ok")
    emit(as_json, {"state": worst, "checks": checks}, lambda screen: _show(screen, checks))
    if worst == "problem":
        raise typer.Exit(1)


def examine(workspace: Path | None) -> list[Check]:
    """Every check, in the order of a person's interest."""
    return [*doctor_checks.installation(), *doctor_checks.machine(), *doctor_workspace.workspace(workspace)]


def _show(screen: Console, checks: list[Check]) -> None:
    styles = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    screen.print(
        table(
            ["", "what", "found"],
            [[shown(check.state, styles[check.state]), check.name, check.found] for check in checks],
        )
    )
    for check in checks:
        if check.todo:
            screen.print(shown(f"{check.name}: {check.todo}", styles[check.state]))
    if not any(check.todo for check in checks):
        screen.print("Everything is in order.")
