"""Replies by token ids, as vLLM and llama.cpp take and give them at OpenAI's address `completions`.

One body serves both, each reads the fields it knows:

- vLLM (`vllm/entrypoints/openai/completion/protocol.py`): `prompt` as ids, `stop_token_ids`, `skip_special_tokens`,
  `return_token_ids`, and where that is not known yet `return_tokens_as_token_ids` with `logprobs`.
- llama.cpp (`tools/server/README.md`): `prompt` as ids, `n_probs`, which also tells the ids, `cache_prompt`,
  `repeat_penalty`. It ends at the tokens that its file marks as ends. While it streams it leaves out the id of a token
  that ends in the middle of a character, but not its bytes: these stand before those of the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from talkalike.engine.protocol import Sampling

LEAST_TOP_P = 1e-6  # the likeliest token alone; some servers take no 0
_NEVER = -100  # the strongest wish against a token that OpenAI's protocol has
_TOKEN_ID = re.compile(r"token_id:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What is asked of a server: to go on after `ids` by at most `max_tokens` tokens, until one of `stops`.

    `filtered`: whether what narrows the choice holds (top-k, top-p, min-p, repetition), or only the temperature.
    `conversation` names the cache to reuse.
    """

    ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    seed: int | None = None
    stops: frozenset[int] = frozenset()
    banned: frozenset[int] = frozenset()
    filtered: bool = True
    conversation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenToken:
    """A token that a server wrote, as far as it tells: its id, the bytes since the one before, or only text.

    `finish` comes with the last: "length" where the limit ended it, else "stop".
    """

    token: int | None = None
    data: bytes | None = None
    text: str = ""
    logprob: float | None = None
    finish: str = ""


def request_fields(asked: Continuation) -> dict[str, Any]:
    """The fields of the request, for both kinds of servers; the model's name is the caller's."""
    sampling = asked.sampling if asked.filtered else Sampling(temperature=asked.sampling.temperature, top_p=1.0)
    fields: dict[str, Any] = {
        "prompt": list(asked.ids),
        "max_tokens": asked.max_tokens,
        "temperature": sampling.temperature,
        "top_p": max(sampling.top_p, LEAST_TOP_P),
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": len(asked.ids) + asked.max_tokens,
        "stop_token_ids": sorted(asked.stops),
        "skip_special_tokens": False,
        "logit_bias": {str(token): _NEVER for token in sorted(asked.banned)},
        "logprobs": 0,
        "n_probs": 1,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "cache_prompt": True,
    }
    return fields if asked.seed is None else fields | {"seed": asked.seed}


def said_in(choice: Mapping[str, Any]) -> Iterator[WrittenToken]:
    """The tokens in what a server sent, in order; at the end an empty one with how it ended."""
    logprobs = choice.get("logprobs") or {}
    listed = logprobs.get("content")
    if listed:
        for one in listed:
            data = one.get("bytes")
            yield WrittenToken(
                token=one.get("id"),
                data=bytes(data) if data is not None else None,
                text=str(one.get("token") or ""),
                logprob=one.get("logprob"),
            )
    else:
        ids = choice.get("token_ids") or [int(found[1]) for found in _named_ids(logprobs.get("tokens") or [])]
        given = logprobs.get("token_logprobs") or []
        values = given if len(given) == len(ids) else [None] * len(ids)
        for token, value in zip(ids, values, strict=True):
            yield WrittenToken(token=token, logprob=value)
        if not ids and choice.get("text"):
            yield WrittenToken(text=str(choice["text"]))
    if choice.get("finish_reason"):
        yield WrittenToken(finish="length" if choice["finish_reason"] == "length" else "stop")


def _named_ids(tokens: list[str]) -> list[re.Match[str]]:
    """vLLM's older way to tell ids; nothing where one of them is not told so."""
    found = [match for token in tokens if (match := _TOKEN_ID.fullmatch(str(token)))]
    return found if len(found) == len(tokens) else []
