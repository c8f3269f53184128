"""The GGUF file from which llama.cpp reads a model of the catalog: written on first use, named by its source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from talkalike.workspace.cards import Card, Catalog

_FORM = "1"  # of what is written: another number, and every file is written anew


def gguf_path(catalog: Catalog, card: Card, *, quant: str) -> Path:
    """Where the file lies, or is to be written: beside the model, under a name that tells its content's.

    Weights, configuration and vocabulary, of the base too, and the speaker: where one changes, so does the name.
    """
    content = hashlib.blake2b(f"{_FORM} {card.speakers[:1]}".encode(), digest_size=8)
    for file in _parts(catalog, card):
        content.update(file.name.encode())
        with file.open("rb") as data:
            content.update(hashlib.file_digest(data, "blake2b").digest())
    return catalog.path(card.name) / f"{_prefix(quant)}{content.hexdigest()}.gguf"


def write_gguf(catalog: Catalog, card: Card, file: Path, *, quant: str) -> None:
    """Writes it, and deletes those that were made of what the model was before. UserError for what no GGUF can hold."""
    from talkalike.engine import exporting  # torch: not needed where the file is there

    exporting.to_gguf(exporting.source_of(catalog, card), file, quant=quant)
    for old in file.parent.glob(f"{_prefix(quant)}*.gguf"):
        if old != file:
            old.unlink()


def text_folder(catalog: Catalog, card: Card) -> Path:
    """The folder with the model's vocabulary and shape: an adapter's are those of its base."""
    return catalog.path(card.base if card.kind == "adapter" else card.name)


def _prefix(quant: str) -> str:
    return f"llama.cpp-{quant}-"


def _parts(catalog: Catalog, card: Card) -> Iterator[Path]:
    for folder in dict.fromkeys((catalog.path(card.name), text_folder(catalog, card))):
        for pattern in ("*.safetensors", "*config.json", "tokenizer*"):
            yield from sorted(folder.glob(pattern))
