"""`talkalike score`: how much a model writes like its owner, as a table, a JSON file and a page."""

from __future__ import annotations

from typing import Annotated

import typer

from talkalike.cli.output import JsonOption, emit
from talkalike.cli.talking import chosen_double
from talkalike.cli.workspace import WorkspaceOption, open_workspace
from talkalike.errors import UserError
from talkalike.workspace.cards import Card


def score(
    model: Annotated[str | None, typer.Option(help="Which model. Default: the one trained last.")] = None,
    against: Annotated[str, typer.Option(help="What it is compared with: base, or another model's name.")] = "base",
    speaker: Annotated[str | None, typer.Option(help="Which of its speakers. Default: every one.")] = None,
    replies: Annotated[int, typer.Option(min=10, help="Held-out moments that each model answers.")] = 100,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model's likeness on held-out sessions. Its base model, or another model, is scored beside it."""
    opened = open_workspace(workspace)
    card = chosen_double(opened, model)
    other = opened.catalog().card(card.base if against == "base" else against)
    speakers = [_speaker(card, speaker)] if speaker else list(card.speakers)
    # torch and scikit-learn: the help, and a wrong name, do not wait for them
    from talkalike.cli.scoring_run import score_model, show

    reports = score_model(opened, card, other, speakers, replies=replies, quiet=as_json)
    folder = opened.catalog().path(card.name) / "likeness"
    data = {
        "model": card.name,
        "against": other.name,
        "reports": [report.as_json() for report, _ in reports],
        "pages": [page for _, page in reports],
        "folder": folder,
    }
    emit(as_json, data, lambda screen: show(screen, reports))


def _speaker(card: Card, wanted: str) -> str:
    for name in card.speakers:
        if name.casefold() == wanted.casefold():
            return name
    raise UserError(f"'{card.name}' was not trained on '{wanted}'.", hint=f"It talks like: {', '.join(card.speakers)}.")
