"""The models in a workspace: a folder each, with a `card.json` that tells where it comes from and how good it is.

Knows nothing of torch, so that listing models is instant.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkalike.errors import UserError

CARD_FILE = "card.json"
EMBEDDED_NAME = "smollm2-135m-instruct"
EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known about one model. `parents` names what it was made from, oldest first.

    An adapter's begin with the whole model that it stands on, whose card tells what that was made from.
    """

    name: str
    kind: str  # "base", "adapter" (PEFT's format) or "full" (a whole model of our own)
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
        if not self.root.is_dir():
            return []
        cards = [self.card(path.parent.name) for path in self.root.glob(f"*/{CARD_FILE}")]
        return sorted(cards, key=lambda card: (card.created, card.name))

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
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            known = {field.name for field in dataclasses.fields(Card)}
            card = Card(**{key: value for key, value in fields.items() if key in known})
        except (ValueError, TypeError, AttributeError) as problem:
            raise UserError(
                f"{path} is not a readable model card: {problem}.", hint="Train or fetch it again."
            ) from None
        return dataclasses.replace(card, parents=tuple(card.parents), speakers=tuple(card.speakers))

    def save_card(self, card: Card) -> None:
        """Writes the card atomically; a model exists from this moment on."""
        path = self.path(card.name) / CARD_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n")

    def address(self, name: str) -> str:
        """What other programs find this base by: its id on the hub where it has one, else its folder."""
        source = self.card(name).source if self.exists(name) else ""
        if source.startswith("hub:"):
            return source.removeprefix("hub:")
        return EMBEDDED_HUB_ID if name == EMBEDDED_NAME else str(self.path(name).resolve())

    def newest_double(self) -> Card | None:
        """The double trained last, if any. Bases and reward models are nobody's double."""
        doubles = [card for card in self.cards() if card.kind not in ("base", "reward")]
        return doubles[-1] if doubles else None

    def size_bytes(self, name: str) -> int:
        """What the model takes up on disk."""
        return sum(file.stat().st_size for file in self.path(name).rglob("*") if file.is_file())

    def _suggestion(self, name: str) -> str:
        names = [card.name for card in self.cards()]
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"Did you mean '{near[0]}'?"
        return f"Known models: {', '.join(names)}." if names else "Run `talkalike models fetch` first."


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file in one step that survives a crash: temporary file, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
