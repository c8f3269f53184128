"""`talkalike score`: how much a model writes like its owner, as a table, a JSON file and a page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkalike.cli.output import FICTIONAL, JsonOption, emit, plain, progress, table
from talkalike.cli.talking import chosen_double, sampling_of
from talkalike.cli.workspace import Workspace, WorkspaceOption, fingerprint, folder_name, open_workspace
from talkalike.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from talkalike.evaluation.likeness import Arm, LikenessReport, LikenessSettings, Material
    from talkalike.examples.dataset import ExampleSet
    from talkalike.workspace.cards import Card

_REAL_REPLIES = 100  # of the author are read, however few are answered: reading costs little, and narrows the intervals
_LONGEST_REPLY = 96  # tokens, for every model alike: a base that rambles would cost minutes, and is told by then


def score(
    model: Annotated[str | None, typer.Option(help="Which model. Default: the one trained last.")] = None,
    against: Annotated[str, typer.Option(help="What it is compared with: base, or another model's name.")] = "base",
    speaker: Annotated[str | None, typer.Option(help="Which of its speakers. Default: every one.")] = None,
    replies: Annotated[int, typer.Option(min=10, help="Held-out moments that each model answers.")] = 100,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model's likeness on held-out sessions, beside its base model."""
    opened = open_workspace(workspace)
    card = chosen_double(opened, model)
    other = opened.catalog().card(card.base if against == "base" else against)
    speakers = [_speaker(card, speaker)] if speaker else list(card.speakers)
    reports = score_model(opened, card, other, speakers, replies=replies, quiet=as_json)
    folder = opened.catalog().path(card.name) / "likeness"
    data = {
        "model": card.name,
        "against": other.name,
        "reports": [report.as_json() for report, _ in reports],
        "pages": [page for _, page in reports],
        "folder": folder,
    }
    emit(as_json, data, lambda screen: _show(screen, reports))


def score_model(
    opened: Workspace, card: Card, other: Card, speakers: list[str], *, replies: int, quiet: bool
) -> list[tuple[LikenessReport, Path]]:
    """Scores each speaker, writes report and page beside the model, and notes the headline on its card."""
    import asyncio

    from talkalike.engine.local import LocalEngine
    from talkalike.evaluation.likeness import Arm, LikenessSettings
    from talkalike.models.load import load_for_inference

    catalog, wanted = opened.catalog(), opened.settings.model
    examples = _examples_of(opened, card)
    arms: list[Arm] = []
    for each in (card, other):
        loaded = load_for_inference(catalog.path(each.name), catalog=catalog, dtype=wanted.dtype, device=wanted.device)
        arms.append(Arm(engine=LocalEngine(loaded), loaded=loaded, fingerprint=_fingerprint(catalog.path(each.name))))
    folder = catalog.path(card.name) / "likeness"
    sampling = sampling_of(opened)
    settings = LikenessSettings(
        sampling=dataclasses.replace(
            sampling, seed=opened.settings.train.seed, max_tokens=min(sampling.max_tokens, _LONGEST_REPLY)
        ),
        replies=replies,
        bits_replies=max(replies, _REAL_REPLIES),
        cache_folder=folder / "replies",
    )
    scored = asyncio.run(_score(examples, speakers, (arms[0], arms[1]), settings, quiet=quiet))
    reports = [(report, _write(folder, report)) for report in scored]
    headlines = {report.author: _headline(report) for report, _ in reports}
    likeness = {**dict(card.scores.get("likeness_by_speaker", {})), **headlines}
    first = likeness.get(card.speakers[0])
    catalog.save_card(
        dataclasses.replace(card, scores={**card.scores, "likeness": first, "likeness_by_speaker": likeness})
    )
    return reports


async def _score(
    examples: ExampleSet, authors: list[str], arms: tuple[Arm, Arm], settings: LikenessSettings, *, quiet: bool
) -> list[LikenessReport]:
    from talkalike.evaluation.likeness import score_likeness

    reports = []
    try:
        for author in authors:
            with progress(f"scoring {author}", quiet=quiet) as advance:
                report = await score_likeness(
                    material_of(examples, author),
                    double=arms[0],
                    base=arms[1],
                    settings=settings,
                    progress=lambda _stage, done, total: advance(done, total),  # called within the loop
                )
            reports.append(report)
    finally:
        for arm in arms:
            await arm.engine.close()
    return reports


def material_of(examples: ExampleSet, author: str) -> Material:
    """What the author and the others really wrote, by these examples."""
    from talkalike.evaluation.likeness import Material
    from talkalike.examples.heldout import load_messages, load_replies

    return Material(
        author=author,
        heldout=load_replies(examples, "heldout"),
        training=load_replies(examples, "train"),
        heldout_messages=load_messages(examples, "heldout"),
        training_messages=load_messages(examples, "train"),
        fictional=examples.manifest.fictional,
    )


def _examples_of(opened: Workspace, card: Card) -> ExampleSet:
    examples = opened.example_set(card.examples)
    if examples.manifest.hash != card.examples_hash:
        raise UserError(
            f"The examples '{card.examples}' were prepared anew since '{card.name}' was trained: what is held out now "
            "may have been trained on.",
            hint="Train again, then score that model.",
        )
    return examples


def _speaker(card: Card, wanted: str) -> str:
    for name in card.speakers:
        if name.casefold() == wanted.casefold():
            return name
    raise UserError(f"'{card.name}' was not trained on '{wanted}'.", hint=f"It talks like: {', '.join(card.speakers)}.")


def _fingerprint(folder: Path) -> str:
    """Names the exact weights, so that replies of a model trained anew are not mistaken for these."""
    import hashlib

    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def report_name(folder: Path, author: str) -> str:
    """The author's name for their report; one that tells them from another whose report is called so already."""
    plain = folder_name([author])
    try:
        theirs = json.loads((folder / f"{plain}.json").read_text(encoding="utf-8")).get("author")
    except (OSError, ValueError, AttributeError):  # there is none, or none that can be read
        return plain
    return plain if theirs == author else f"{plain}-{fingerprint([author])}"


def _write(folder: Path, report: LikenessReport) -> Path:
    from talkalike.evaluation.report_html import report_html
    from talkalike.workspace.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    stem = report_name(folder, report.author)
    write_atomically(folder / f"{stem}.json", json.dumps(plain(report.as_json()), indent=2, ensure_ascii=False) + "\n")
    page = folder / f"{stem}.html"
    write_atomically(page, report_html(report))
    return page


def _headline(report: LikenessReport) -> dict[str, Any]:
    """The few numbers that a list of models shows."""
    recovery = report.style.recovery if report.style else None
    bits = report.bits
    return {
        "value": recovery.value if recovery else None,
        "low": recovery.low if recovery else None,
        "high": recovery.high if recovery else None,
        "replies": report.counts.replies,
        "bits_per_character": bits.double.bits_per_character.value if bits else None,
        "bits_per_character_base": bits.base.bits_per_character.value if bits else None,
        "auc": report.two_sample.double.value,
    }


def _show(screen: Console, reports: list[tuple[LikenessReport, Path]]) -> None:
    from talkalike.evaluation.words import headline, remarks, summary_table

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
