"""A prompt as the tokens that an engine reads, and what is known of it beside them. Torch-free."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from talkalike.engine.protocol import ContextTooLongError, Prompt
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn, deciding_length


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt as tokens. `text_ids` are the tokens people wrote (markers and names left out), `header` the speaker's
    own header, of which the first `deciding` tokens tell the speaker from everybody else here. `stops`: the tokens that
    end a message.
    """

    prompt_ids: list[int]
    text_ids: list[int]
    header: list[int]
    closing: list[int]
    deciding: int
    stops: frozenset[int]


async def read_within(renderer: Renderer, prompt: Prompt, *, others: Sequence[str], limit: int) -> Reading:
    """The prompt in tokens, fewer than `limit`; else ContextTooLongError.

    What is far too long is refused by its length; the rest is encoded in a thread, so that nobody else waits for it.
    """
    raw = prompt.raw
    if isinstance(raw, tuple):
        fewest = len(raw)
    else:
        fewest = renderer.fewest_tokens([raw] if raw else [turn.text for turn in prompt.turns])
    if fewest >= limit:
        raise _too_long(f"at least {fewest:,}", limit)
    if raw is not None:
        reading = await asyncio.to_thread(read_raw, renderer, raw)
    else:
        reading = await asyncio.to_thread(read_prompt, renderer, prompt.turns, prompt.speaker, others)
    if len(reading.prompt_ids) >= limit:
        raise _too_long(f"{len(reading.prompt_ids):,}", limit)
    return reading


def read_prompt(renderer: Renderer, turns: Sequence[Turn], speaker: str, others: Sequence[str]) -> Reading:
    """Renders the prompt. `others`: names that may speak next besides those in `turns`."""
    texts = renderer.encode_texts([turn.text for turn in turns])
    header = renderer.header(speaker)
    headers = [renderer.header(name) for name in {*(turn.speaker for turn in turns), *others}]
    lengths = [deciding_length(header, other) for other in headers if other != header]
    return Reading(
        prompt_ids=renderer.prompt(turns, speaker, encoded=texts),
        text_ids=[token for ids in texts for token in ids],
        header=header,
        closing=renderer.closing_ids,
        deciding=min(len(header), max(lengths)) if lengths else len(header),
        stops=frozenset({renderer.stop_id}),
    )


def read_raw(renderer: Renderer, raw: str | Sequence[int]) -> Reading:
    """A prompt that is continued as it is; its one message ends with a turn, or with the text."""
    ids = renderer.encode_marked(raw) if isinstance(raw, str) else list(raw)
    unknown = [token for token in ids if renderer.tokenizer.id_to_token(token) is None]
    if unknown or not ids:
        raise UserError(
            f"The model's vocabulary has no token {unknown[0]}." if unknown else "The prompt holds no token.",
            hint="Give the prompt as text, or as token ids of this model's own tokenizer.",
        )
    stops = frozenset({renderer.stop_id, *renderer.ended_ids[:1]})
    return Reading(prompt_ids=ids, text_ids=ids, header=[], closing=[], deciding=0, stops=stops)


def special_ids(renderer: Renderer) -> frozenset[int]:
    """Every marker and special token but the one that closes a turn: none of them may stand inside a text."""
    tokenizer = renderer.tokenizer
    special = {token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
    markers = {tokenizer.token_to_id(marker) for marker in renderer.form.markers}
    return frozenset(token for token in special | markers if token is not None) - {renderer.stop_id}


def _too_long(tokens: str, context: int) -> ContextTooLongError:
    return ContextTooLongError(
        f"The conversation has {tokens} tokens, but the model reads {context:,}, its reply included.",
        hint="Leave out the oldest messages.",
    )
