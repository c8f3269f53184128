"""A byte-level vocabulary as llama.cpp reads it from a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer

from talkalike.errors import UserError

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA_3: "llama-bpe", _LLAMA_3.replace("{1,3}", ""): "qwen2"}  # what llama.cpp calls these ways to cut


def write_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, *, size: int, stop_id: int) -> None:
    """Writes `size` tokens, the merges, and that a reply ends at `stop_id`.

    Raises UserError for a vocabulary that is no byte-level BPE, or is cut in a way that llama.cpp has no name for.
    """
    about: Mapping[str, Any] = json.loads(tokenizer.to_str())
    model = about["model"]
    if model["type"] != "BPE" or (about.get("decoder") or {}).get("type") != "ByteLevel":
        raise UserError(
            f"Only byte-level BPE vocabularies can be exported to GGUF, and this one is {model['type']}.",
            hint="Export it with --to hf instead, and convert that with llama.cpp's own program.",
        )
    tokens = [f"[UNUSED_{number}]" for number in range(size)]
    kinds = [TokenType.UNUSED] * size
    for token, place in model["vocab"].items():
        tokens[place], kinds[place] = token, TokenType.NORMAL
    for added in about["added_tokens"]:
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]] = added["content"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_way_of_cutting(about.get("pre_tokenizer") or {}))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(stop_id)
    writer.add_eot_token_id(stop_id)
    writer.add_add_bos_token(False)  # our template writes what a conversation begins with
    writer.add_add_space_prefix(False)


def _way_of_cutting(pre_tokenizer: Mapping[str, Any]) -> str:
    """What llama.cpp calls the way in which a text is cut before tokens are merged."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        found = _SPLITS.get((steps[0].get("pattern") or {}).get("Regex", ""))
        if found:
            return found
    raise UserError(
        "llama.cpp has no name that is known here for the way in which this vocabulary cuts texts.",
        hint="Export it with --to hf instead, and convert that with llama.cpp's own program.",
    )
