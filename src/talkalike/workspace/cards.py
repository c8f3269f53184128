"""The models in a workspace: a folder each, with a `card.json` that tells where it comes from and how good it is.

Knows nothing of torch, so that listing models is instant.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkalike.errors import UserError, did_you_mean
from talkalike.workspace.files import mapping_of, number_of, read_json, text_of, texts_of, time_of, write_json

CARD_FILE = "card.json"
EMBEDDED_NAME = "smollm2-135m-instruct"
EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_NEVER = "1970-01-01T00:00:00+00:00"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
class Card:
    """What is known about one model. `parents` names what it was made from, oldest first.

    An adapter's begin with the whole model that it stands on, whose card tells what that was made from.
    """

    name: str
    kind: str  # "base", "adapter" (PEFT's format), "full" (a whole model of our own), "reward" or "eye"
    created: str  # ISO 8601, UTC
    method: str = ""  # lora, dora, full, last-n, prompt; empty for a base
    source: str = ""  # where a base came from
    parents: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()  # whom it was trained to talk like
    examples: str = ""
    examples_hash: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    fictional: bool = False  # trained on the bundled, invented sample

    @property
    def base(self) -> str:
        """The model its weights stand on; itself for a base."""
        return self.parents[0] if self.parents else self.name

    @property
    def is_double(self) -> bool:
        """Whether it writes like somebody: bases, reward models and eyes do not."""
        return self.kind not in ("base", "reward", "eye")

    @property
    def likeness(self) -> Likeness | None:
        """Its likeness score, where it was scored."""
        values, alone = mapping_of(self.scores, "likeness"), number_of(self.scores, "likeness")
        if not values and alone is None:
            return None
        return Likeness(
            value=number_of(values, "value") if values else alone,
            low=number_of(values, "low"),
            high=number_of(values, "high"),
            replies=int(number_of(values, "replies") or 0),
            bits=number_of(values, "bits_per_character"),
            bits_base=number_of(values, "bits_per_character_base"),
        )

    @property
    def heldout(self) -> float | None:
        """Its held-out loss after training."""
        return number_of(self.scores, "heldout_loss")


def check_name(name: str) -> str:
    """A name that is safe as a folder's; raises UserError otherwise."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise UserError(
            f"'{name}' cannot be a model's name.",
            hint="Use up to 64 letters, digits, dots, dashes and underscores, starting with a letter or digit.",
        )
    return name


class Catalog:
    """The models under one folder, found by their cards."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def cards(self) -> list[Card]:
        """Every model, oldest first. A folder without a readable card is not a model."""
        cards = filter(None, map(read_card, self._files()))
        return sorted(cards, key=lambda card: (card.created, card.name))

    def damaged(self) -> list[str]:
        """The folders whose card cannot be read, by name."""
        return sorted(path.parent.name for path in self._files() if read_card(path) is None)

    def exists(self, name: str) -> bool:
        """Whether a model of this name is complete."""
        return bool(_NAME.fullmatch(name)) and (self.root / name / CARD_FILE).is_file()

    def path(self, name: str) -> Path:
        """The model's folder, whether or not it exists yet."""
        return self.root / check_name(name)

    def card(self, name: str) -> Card:
        """The card of a model; raises UserError with near names if there is none, or if the card is damaged."""
        path = self.path(name) / CARD_FILE
        if not path.is_file():
            raise UserError(f"There is no model called '{name}' in {self.root}.", hint=self._suggestion(name))
        card = read_card(path)
        if card is None or not card.kind:
            raise UserError(f"{path} is not a readable model card.", hint="Train or fetch it again.")
        return card

    def save_card(self, card: Card) -> None:
        """Writes the card atomically; a model exists from now on."""
        path = self.path(card.name) / CARD_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dataclasses.asdict(card))

    def address(self, name: str) -> str:
        """What other programs find this base by: its id on the hub where it has one, else its folder."""
        source = self.card(name).source if self.exists(name) else ""
        if source.startswith("hub:"):
            return source.removeprefix("hub:")
        return EMBEDDED_HUB_ID if name == EMBEDDED_NAME else str(self.path(name).resolve())

    def newest_double(self) -> Card | None:
        """The double trained last, if any. Bases and reward models are nobody's double."""
        doubles = [card for card in self.cards() if card.is_double]
        return doubles[-1] if doubles else None

    def size_bytes(self, name: str) -> int:
        return sum(file.stat().st_size for file in self.path(name).rglob("*") if file.is_file())

    def _files(self) -> Iterator[Path]:
        return self.root.glob(f"[!.]*/{CARD_FILE}")

    def _suggestion(self, name: str) -> str:
        names = [card.name for card in self.cards()]
        listed = f"Known models: {', '.join(names)}." if names else "Run `talkalike models fetch` first."
        return did_you_mean(name, names, otherwise=listed)


def read_card(path: Path) -> Card | None:
    """The card in this file; None where it cannot be read, or belongs to a folder of another name.

    Values of a wrong kind are left out. A time that cannot be read counts as 1970: the model sorts as the oldest.
    """
    values = read_json(path)
    if values is None or text_of(values, "name") != path.parent.name:
        return None
    seed = values.get("seed")
    return Card(
        name=path.parent.name,
        kind=text_of(values, "kind"),
        created=text_of(values, "created") if time_of(values, "created") else _NEVER,
        method=text_of(values, "method"),
        source=text_of(values, "source"),
        parents=texts_of(values, "parents"),
        speakers=texts_of(values, "speakers"),
        examples=text_of(values, "examples"),
        examples_hash=text_of(values, "examples_hash"),
        settings=mapping_of(values, "settings"),
        seed=seed if isinstance(seed, int) else None,
        scores=mapping_of(values, "scores"),
        fictional=values.get("fictional") is True,
    )
