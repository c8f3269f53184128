"""`talkalike score`: how much a model writes like its owner, as a table, a JSON file and a page."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engines import choose_double, sampling_of
from talkalike.cli.output import FICTIONAL, JsonOption, emit, progress, table
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.opening import examples_of
from talkalike.workspace.cards import Card

if TYPE_CHECKING:
    from talkalike.evaluation.likeness import LikenessReport

_REAL_REPLIES = 100  # of the author are read, however few are answered: reading costs little, and narrows the intervals
_LONGEST_REPLY = 96  # tokens, for every model alike: a base that rambles would cost minutes, and is recognised by then


def score(
    model: Annotated[
        str | None, typer.Option(help="Model to score. Default: the promoted one, else the newest double.")
    ] = None,
    against: Annotated[str, typer.Option(help="Model to compare it with: base, or another model's name.")] = "base",
    speaker: Annotated[
        str | None, typer.Option(help="Speaker to score. Default: each of the model's speakers.")
    ] = None,
    replies: Annotated[int, typer.Option(min=10, help="Number of held-out prompts that each model replies to.")] = 100,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how much a model writes like its owner. Held-out sessions are used; another model is scored beside it."""
    workspace = open_workspace(workspace_dir)
    card = choose_double(workspace, model)
    other = workspace.catalog().card(card.base if against == "base" else against)
    speakers = [_speaker(card, speaker)] if speaker else list(card.speakers)
    reports = _score(workspace, (card, other), speakers, replies=replies, quiet=as_json)
    data = {
        "model": card.name,
        "against": other.name,
        "reports": [report.as_json() for report, _ in reports],
        "pages": [page for _, page in reports],
        "folder": reports[0][1].parent,
    }
    emit(as_json, data, lambda screen: _show(screen, reports))


def _score(
    workspace: Workspace, cards: tuple[Card, Card], speakers: Sequence[str], *, replies: int, quiet: bool
) -> list[tuple[LikenessReport, Path]]:
    # torch and scikit-learn: the help, and a wrong name, do not wait for them
    from talkalike.evaluation import likeness, scoring

    catalog = workspace.catalog()
    examples = examples_of(workspace.examples, cards[0])
    first, second = (scoring.open_arm(catalog, card.name, **workspace.settings.model.loading) for card in cards)
    sampling = sampling_of(workspace)
    longest = min(sampling.max_tokens, _LONGEST_REPLY)
    settings = likeness.LikenessSettings(
        sampling=dataclasses.replace(sampling, seed=workspace.settings.train.seed, max_tokens=longest),
        replies=replies,
        bits_replies=max(replies, _REAL_REPLIES),
        cache_folder=scoring.reports_folder(catalog, cards[0].name) / "replies",
    )
    with progress("scoring", quiet=quiet) as advance:
        reports = asyncio.run(
            scoring.score_speakers(
                examples,
                speakers,
                (first, second),
                settings,
                progress=lambda stage, done, total: advance(done, total, stage),
            )
        )
    return list(zip(reports, scoring.keep_reports(catalog, cards[0], reports), strict=True))


def _speaker(card: Card, wanted: str) -> str:
    for name in card.speakers:
        if name.casefold() == wanted.casefold():
            return name
    raise UserError(f"'{card.name}' was not trained on '{wanted}'.", hint=f"It talks like: {', '.join(card.speakers)}.")


def _show(screen: Console, reports: Sequence[tuple[LikenessReport, Path]]) -> None:
    from talkalike.evaluation.words import headline, remarks, summary_table  # torch: as above

    for report, page in reports:
        if report.fictional:
            screen.print(FICTIONAL, style="italic")
        screen.print(headline(report), markup=False)
        rows = [[row.measure, row.double, row.base, row.author, row.ideal] for row in summary_table(report)]
        columns = ["measure", f">{report.double}", f">{report.base}", f">{report.author}", "ideal"]
        screen.print(table(columns, rows))
        for remark in remarks(report):
            screen.print(remark, markup=False)
        screen.print(f"The whole report, with plots and samples: {page}", markup=False, soft_wrap=True)
