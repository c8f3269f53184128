"""Where everything of one owner lies: the folder with `talkalike.toml`, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from talkalike.workspace.cards import Catalog
from talkalike.workspace.example_sets import example_names
from talkalike.workspace.eyes import EyeCatalog

SETTINGS_FILE = "talkalike.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePaths:
    """A workspace as its folder has it; whoever needs its settings, too, is `cli`."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / SETTINGS_FILE

    @property
    def chats(self) -> Path:
        return self.root / "chats"

    @property
    def examples(self) -> Path:
        return self.root / "examples"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def eyes(self) -> Path:
        return self.root / "eyes"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def database(self) -> Path:
        """The database, where no other is named."""
        return self.root / "talkalike.db"

    @property
    def reference_cache(self) -> Path:
        """What a frozen model made of judged replies, by the model's and the replies' hashes."""
        return self.root / "cache" / "reference-logprobs"

    @property
    def prefixes(self) -> Path:
        """Beginnings of conversations as models read them (`workspace.prefixes`)."""
        return self.root / "cache" / "prefixes"

    def catalog(self) -> Catalog:
        """Opens the catalog of the models."""
        return Catalog(self.models)

    def eye_catalog(self) -> EyeCatalog:
        """Opens the catalog of the eyes."""
        return EyeCatalog(self.eyes)

    def example_names(self) -> list[str]:
        """The example sets, the one prepared last first."""
        return example_names(self.examples)
