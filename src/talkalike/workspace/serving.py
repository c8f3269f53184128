"""Which model serves where none is named: a marker in the workspace that the owner sets. Knows nothing of torch."""

from __future__ import annotations

from pathlib import Path

from talkalike.errors import UserError
from talkalike.workspace.cards import Catalog
from talkalike.workspace.files import now, read_json, write_json

SERVING_FILE = "serving.json"


def serving_model(root: Path) -> str | None:
    """The model that was promoted in the catalog at `root`; None where none was, or it is not there any more."""
    name = (read_json(root / SERVING_FILE) or {}).get("model")
    return name if isinstance(name, str) and Catalog(root).exists(name) else None


def promote(root: Path, name: str, by: str) -> None:
    """Marks the model as the one that serves. Raises UserError, and changes nothing, for one that cannot be used."""
    card = Catalog(root).card(name)  # there, and readable
    if card.kind == "reward":
        raise UserError(f"'{name}' is a reward model: it scores replies and cannot write any.", hint="Choose a double.")
    if card.kind == "eye":
        raise UserError(f"'{name}' is an eye: it cannot write by itself.", hint="Choose a double.")
    if card.kind == "adapter" and not Catalog(root).exists(card.base):
        raise UserError(
            f"'{name}' needs its base model '{card.base}', which is not here.",
            hint="Fetch the base model first: talkalike models fetch",
        )
    write_json(root / SERVING_FILE, {"model": name, "by": by, "at": now(), "before": serving_model(root)})
