"""A model folder's tokenizer and context length, without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer

from talkalike.errors import UserError


def load_tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer; one in an older format is converted by transformers. UserError if there is none."""
    file = folder / "tokenizer.json"
    if file.is_file():
        try:
            return Tokenizer.from_file(str(file))
        except Exception as problem:  # noqa: BLE001  # the library raises no narrower one
            raise UserError(
                f"{file} cannot be read: {problem}.", hint="Delete that model's folder, then fetch or train it again."
            ) from None
    from transformers import AutoTokenizer  # only here: it takes a second that the usual format does not need

    try:
        return cast(Tokenizer, AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer)
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{folder} has no tokenizer that can be read.", hint="It needs a tokenizer.json.") from None


def vocabulary_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 over the vocabulary's tokens and their ids, so that an adapter is not put on a base with another one."""
    pairs = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies a model folder's vocabulary, and its chat template, to another."""
    for pattern in ("tokenizer*", "special_tokens_map.json", "chat_template*"):
        for file in source.glob(pattern):
            (target / file.name).write_bytes(file.read_bytes())


def context_length(folder: Path) -> int | None:
    """The most tokens that the folder's model reads at once; None where it does not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        lengths = [
            config[key] for key in ("max_position_embeddings", "n_positions") if isinstance(config.get(key), int)
        ]
    except (OSError, ValueError, AttributeError):
        return None
    return lengths[0] if lengths else None
