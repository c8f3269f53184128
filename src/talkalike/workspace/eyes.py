"""The eyes in a workspace: a folder each, with a card that tells what it is and where it comes from. Torch-free."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from talkalike.errors import UserError, did_you_mean
from talkalike.workspace.cards import CARD_FILE, check_name
from talkalike.workspace.files import read_json, text_of, write_json

SMALL = "small"
VISION = "vision"  # the kind of a vision model
OWN = "own"  # of an eye that was trained here, which lies among the models


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeCard:
    """What is known about one eye. `kind`: SMALL or VISION; `source`: where it came from; `created`: ISO 8601, UTC."""

    name: str
    kind: str
    source: str
    created: str


class EyeCatalog:
    """The eyes under one folder, found by their cards."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def cards(self) -> list[EyeCard]:
        """Every eye, oldest first. A folder without a readable card is none."""
        found = filter(None, (_read(file) for file in self.root.glob(f"*/{CARD_FILE}")))
        return sorted(found, key=lambda card: (card.created, card.name))

    def exists(self, name: str) -> bool:
        """Whether an eye of this name is complete."""
        return any(card.name == name for card in self.cards())

    def card(self, name: str) -> EyeCard:
        """Raises UserError with the nearest name where there is no such eye."""
        cards = {card.name: card for card in self.cards()}
        if name not in cards:
            fetch = f"Fetch it: talkalike eye fetch {name}" if name == SMALL else "Fetch one: talkalike eye fetch small"
            raise UserError(f"There is no eye '{name}' here.", hint=did_you_mean(name, cards, otherwise=fetch))
        return cards[name]

    def path(self, name: str) -> Path:
        """The eye's folder, whether or not it exists yet."""
        return self.root / check_name(name)

    def save_card(self, card: EyeCard) -> None:
        """Writes the card, which makes the folder an eye."""
        write_json(self.path(card.name) / CARD_FILE, dataclasses.asdict(card))


def _read(file: Path) -> EyeCard | None:
    values = read_json(file)
    if values is None or not text_of(values, "kind"):
        return None
    fields = {field.name: text_of(values, field.name) for field in dataclasses.fields(EyeCard)}
    return EyeCard(**fields | {"name": file.parent.name})
