"""The models of a workspace and its example sets, from the cards and manifests that lie beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkalike.jobs.files import mapping_of, number_of, read_json, text_of, texts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike a model writes to whom it was trained on, from 0 to 1; None where it was too little to say."""

    value: float | None
    low: float | None
    high: float | None
    replies: int
    bits: float | None  # per character
    bits_base: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known about a model. `parents`: what it was made from, oldest first."""

    name: str
    kind: str
    created: str = ""
    method: str = ""
    source: str = ""
    parents: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    examples: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    fictional: bool = False
    likeness: Likeness | None = None

    @property
    def base(self) -> str:
        """The model its weights stand on; itself for a base."""
        return self.parents[0] if self.parents else self.name

    @property
    def heldout(self) -> float | None:
        """Its held-out loss after training."""
        return number_of(self.scores, "heldout_loss")

    @property
    def heldout_before(self) -> float | None:
        """The held-out loss before training."""
        return number_of(self.scores, "heldout_loss_before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A set of examples that was prepared for training."""

    name: str
    speakers: tuple[str, ...]
    base: str
    learned: int  # messages to learn from
    prepared: int  # when, in nanoseconds


def cards(models: Path) -> tuple[ModelCard, ...]:
    """Every model with a readable card, oldest first."""
    found = (_card(path) for path in models.glob("[!.]*/card.json"))
    return tuple(sorted(filter(None, found), key=lambda card: (card.created, card.name)))


def damaged(models: Path) -> tuple[str, ...]:
    """The models whose card cannot be read."""
    return tuple(sorted(path.parent.name for path in models.glob("[!.]*/card.json") if _card(path) is None))


def example_sets(examples: Path) -> tuple[Examples, ...]:
    """The sets of examples, the one prepared last first."""
    found = []
    for path in examples.glob("[!.]*/manifest.json"):
        manifest = read_json(path)
        if manifest is not None:
            made = Examples(
                name=path.parent.name,
                speakers=texts_of(manifest, "speakers"),
                base=text_of(manifest, "base"),
                learned=int(number_of(mapping_of(manifest, "train"), "learned") or 0),
                prepared=path.stat().st_mtime_ns,
            )
            found.append(made)
    return tuple(sorted(found, key=lambda one: (-one.prepared, one.name)))


def _card(path: Path) -> ModelCard | None:
    values = read_json(path)
    if values is None or text_of(values, "name") != path.parent.name:
        return None
    scores = mapping_of(values, "scores")
    return ModelCard(
        name=path.parent.name,
        kind=text_of(values, "kind"),
        created=text_of(values, "created"),
        method=text_of(values, "method"),
        source=text_of(values, "source"),
        parents=texts_of(values, "parents"),
        speakers=texts_of(values, "speakers"),
        examples=text_of(values, "examples"),
        settings=mapping_of(values, "settings"),
        scores=scores,
        fictional=values.get("fictional") is True,
        likeness=_likeness(mapping_of(scores, "likeness")),
    )


def _likeness(values: Mapping[str, Any]) -> Likeness | None:
    if not values:
        return None
    return Likeness(
        value=number_of(values, "value"),
        low=number_of(values, "low"),
        high=number_of(values, "high"),
        replies=int(number_of(values, "replies") or 0),
        bits=number_of(values, "bits_per_character"),
        bits_base=number_of(values, "bits_per_character_base"),
    )
