"""A model's likeness to each of its speakers: scored, and saved with the model as a report, a page and a headline."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from talkalike.engine.local import LocalEngine
from talkalike.evaluation.likeness import Arm, LikenessReport, LikenessSettings, Material, Progress, score_likeness
from talkalike.evaluation.report_html import report_html
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_messages, load_replies
from talkalike.models.load import load_for_inference
from talkalike.models.reordered import reorder_weights
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import plain, read_json, write_atomically, write_json
from talkalike.workspace.naming import fingerprint, folder_name


def reports_folder(catalog: Catalog, model: str) -> Path:
    """The folder of a model's reports."""
    return catalog.path(model) / "likeness"


def open_arm(catalog: Catalog, model: str, *, dtype: str, device: str, quantize: str = "none") -> Arm:
    """Loads the model, to be compared."""
    folder = catalog.path(model)
    loaded = load_for_inference(folder, catalog=catalog, dtype=dtype, device=device, quantize=quantize)
    if not loaded.is_encoder_decoder:
        reorder_weights(loaded.model)
    fingerprint = _fingerprint(folder) + quantize.removeprefix("none")
    return Arm(engine=LocalEngine(loaded), loaded=loaded, fingerprint=fingerprint)


async def score_speakers(
    examples: ExampleSet,
    speakers: Sequence[str],
    arms: tuple[Arm, Arm],
    settings: LikenessSettings,
    *,
    progress: Progress,
) -> list[LikenessReport]:
    """Scores the first arm beside the second for each speaker, then closes both."""
    try:
        return [
            await score_likeness(
                material_of(examples, speaker), double=arms[0], base=arms[1], settings=settings, progress=progress
            )
            for speaker in speakers
        ]
    finally:
        for arm in arms:
            await arm.engine.close()


def keep_reports(catalog: Catalog, card: Card, reports: Sequence[LikenessReport]) -> list[Path]:
    """Writes each report and its page beside the model, and the headlines on its card; returns the pages."""
    folder = reports_folder(catalog, card.name)
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for report in reports:
        stem = report_name(folder, report.author)
        write_json(folder / f"{stem}.json", plain(report.as_json()))
        pages.append(folder / f"{stem}.html")
        write_atomically(pages[-1], report_html(report))
    headlines = {report.author: _headline(report) for report in reports}
    likeness: Mapping[str, Any] = {**dict(card.scores.get("likeness_by_speaker", {})), **headlines}
    scores = {**card.scores, "likeness": likeness.get(card.speakers[0]), "likeness_by_speaker": likeness}
    catalog.save_card(dataclasses.replace(card, scores=scores))
    return pages


def material_of(examples: ExampleSet, author: str) -> Material:
    """What the author and the others really wrote, by these examples."""
    return Material(
        author=author,
        heldout=load_replies(examples, "heldout"),
        training=load_replies(examples, "train"),
        heldout_messages=load_messages(examples, "heldout"),
        training_messages=load_messages(examples, "train"),
        fictional=examples.manifest.fictional,
    )


def report_name(folder: Path, author: str) -> str:
    """The author's name for their report; one that tells them from another whose report is called so already."""
    short = folder_name([author])
    theirs = (read_json(folder / f"{short}.json") or {}).get("author", author)
    return short if theirs == author else f"{short}-{fingerprint([author])}"


def _fingerprint(folder: Path) -> str:
    """Names the exact weights, so that replies of a model trained again are not mistaken for these."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


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
