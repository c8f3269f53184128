"""The one renderer: a multi-party chat as token ids, for training and for serving.

A conversation is a sequence of turns, each opened by the speaker's name (ChatML with the speaker as role, or the base
model's own form). A prompt is a strict prefix of the training rendering of the same conversation, because every piece
(markers, names, texts) is tokenised on its own and then joined. Names and texts are encoded with special tokens
switched off, so nothing a person types can open or close a turn.

What is learned (`mask`): the text of a chosen speaker's turn, the marker that closes it, and the tokens that decide
whether the burst goes on - the next header up to the first token in which it differs from the speaker's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from talkalike.errors import UserError

TokenIds = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as the model sees it. An empty name is allowed nowhere; `text` may be anything."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How turns are marked. Each part is a sequence of special tokens and plain strings.

    `begin NAME-HEADER(opening name after_name) text closing ... ended`: `ended` says that nobody spoke for hours.
    """

    name: str
    begin: tuple[str, ...] = ()
    opening: tuple[str, ...] = ()
    after_name: tuple[str, ...] = ("\n",)
    closing: tuple[str, ...]
    ended: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """The parts that must be special tokens of the vocabulary; plain strings contain whitespace only."""
        parts = self.begin + self.opening + self.after_name + self.closing + self.ended
        return tuple(part for part in parts if part.strip())


CHATML = Form(name="chatml", opening=("<|im_start|>",), closing=("<|im_end|>", "\n"), ended=("<|endoftext|>",))
FORMS = (
    CHATML,
    Form(
        name="llama3",
        begin=("<|begin_of_text|>",),
        opening=("<|start_header_id|>",),
        after_name=("<|end_header_id|>", "\n\n"),
        closing=("<|eot_id|>",),
        ended=("<|end_of_text|>",),
    ),
    Form(
        name="gemma",
        begin=("<bos>",),
        opening=("<start_of_turn>",),
        closing=("<end_of_turn>", "\n"),
        ended=("<eos>",),
    ),
)
END_OF_TEXT = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[SEP]")


def form_for(tokenizer: Tokenizer) -> Form:
    """The form whose markers all exist in this vocabulary; else turns closed by the end-of-text token (GPT-2, T5)."""
    for form in FORMS:
        if all(tokenizer.token_to_id(marker) is not None for marker in form.markers):
            return form
    for token in END_OF_TEXT:
        if tokenizer.token_to_id(token) is not None:
            return Form(name="plain", closing=(token,), ended=(token,))
    raise UserError(
        "This model's tokenizer has neither chat markers nor an end-of-text token.",
        hint=f"Choose a base model whose vocabulary has one of: {', '.join(END_OF_TEXT)}.",
    )


def speaker_name(name: str) -> str:
    """A display name as it stands in a header: one line, no runs of whitespace, never empty."""
    return " ".join(name.split()) or "someone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Tokens of one conversation piece, length T. `mask_T[t]` says that token t is to be predicted (has loss).

    `text_spans[i]` is the half-open token range of turn i's text; the token after it is the closing marker.
    """

    ids_T: TokenIds
    mask_T: Mask
    text_spans: tuple[tuple[int, int], ...]

    @property
    def loss_tokens(self) -> int:
        """How many tokens have loss."""
        return int(self.mask_T.sum())


class Renderer:
    """Renders turns for one tokenizer. Holds no state but the tokenizer and a cache of encoded headers."""

    def __init__(self, tokenizer: Tokenizer, form: Form | None = None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # once: setting it while another thread encodes is an error
        self.tokenizer = tokenizer
        self.form = form or form_for(tokenizer)
        self._marker_ids = frozenset(self._marker_id(marker) for marker in self.form.markers)
        self.begin_ids = self._encode_parts(self.form.begin)
        self.closing_ids = self._encode_parts(self.form.closing)
        self.ended_ids = self._encode_parts(self.form.ended)
        self._headers: dict[str, list[int]] = {}

    @property
    def stop_id(self) -> int:
        """The token that closes a turn."""
        return self.closing_ids[0]

    def header(self, speaker: str) -> list[int]:
        """The tokens that open a turn of this speaker."""
        name = speaker_name(speaker)
        if name not in self._headers:
            opening = self._encode_parts(self.form.opening)
            after = self._encode_parts(self.form.after_name)
            self._headers[name] = opening + self.encode_text(name) + after
        return self._headers[name]

    def turn_cost(self, speaker: str, text_tokens: int) -> int:
        """Tokens a turn takes up when its text takes `text_tokens`."""
        return len(self.header(speaker)) + text_tokens + len(self.closing_ids)

    def count_tokens(self, turns: Sequence[Turn]) -> list[int]:
        texts = self.encode_texts([turn.text for turn in turns])
        return [self.turn_cost(turn.speaker, len(ids)) for turn, ids in zip(turns, texts, strict=True)]

    def encode_text(self, text: str) -> list[int]:
        """What a person typed, as tokens; never yields a marker, whatever they typed."""
        return self.encode_texts([text])[0]

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Many texts at once (the tokenizer works in parallel, without Python's lock)."""
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            encoding.ids if self._marker_ids.isdisjoint(encoding.ids) else self._encode_defused(text)
            for text, encoding in zip(texts, encoded, strict=True)
        ]

    def fewest_tokens(self, texts: Sequence[str]) -> int:
        """A number of tokens below which turns of these texts cannot come, found without encoding them."""
        return sum(len(self.closing_ids) + int(len(text) / self._longest_token) for text in texts)

    @cached_property
    def _longest_token(self) -> float:
        """Characters that a token can stand for, at most; no bound where one token stands for anything unknown."""
        tokenizer = self.tokenizer
        if not (isinstance(tokenizer.decoder, ByteLevel) or getattr(tokenizer.model, "byte_fallback", False)):
            return math.inf
        composed = 1 if tokenizer.normalizer is None else 4  # characters that a normal form may turn into one
        return composed * max(map(len, tokenizer.get_vocab(with_added_tokens=True)))

    def encode_marked(self, text: str) -> list[int]:
        """A prompt that somebody rendered by themselves: markers in it are markers. Empty: how any text begins."""
        added = self.tokenizer.get_added_tokens_decoder().items()
        special = {one.content: token for token, one in added if one.special}
        special |= {marker: self._marker_id(marker) for marker in self.form.markers}
        markers = "|".join(re.escape(marker) for marker in sorted(special, key=len, reverse=True))
        parts = re.split(f"({markers})", text) if markers else [text]
        ids = [token for part in parts for token in ([special[part]] if part in special else self.encode_text(part))]
        if ids[: len(self.begin_ids)] != self.begin_ids:
            ids = self.begin_ids + ids
        return ids or self.ended_ids[:1]

    def prompt(self, turns: Sequence[Turn], speaker: str, *, encoded: Sequence[list[int]] | None = None) -> list[int]:
        """Tokens after which the model writes the next message of `speaker`. `encoded`: the texts' tokens, if known."""
        texts = encoded if encoded is not None else self.encode_texts([turn.text for turn in turns])
        ids = list(self.begin_ids)
        for turn, text_ids in zip(turns, texts, strict=True):
            ids += self.header(turn.speaker) + text_ids + self.closing_ids
        return ids + self.header(speaker)

    def conversation(
        self,
        turns: Sequence[Turn],
        learn: Sequence[bool],
        *,
        ended: bool = False,
        next_speaker: str | None = None,
        encoded: Sequence[list[int]] | None = None,
    ) -> Rendered:
        """The training rendering of `turns`, with loss on those where `learn` is true.

        What comes after the last turn tells whether its burst goes on: `ended` says that silence follows (rendered as
        the end-of-conversation token), `next_speaker` whose turn follows without being part of this piece (rendered
        as far as it decides). `encoded`: the texts' tokens, where the caller has them from `encode_texts` already.
        """
        texts = encoded if encoded is not None else self.encode_texts([turn.text for turn in turns])
        headers = [self.header(turn.speaker) for turn in turns]
        after = self.ended_ids if ended else self.header(next_speaker) if next_speaker is not None else []
        followers = [*headers[1:], after]
        ids: list[int] = list(self.begin_ids)
        targets: list[tuple[int, int]] = []
        spans: list[tuple[int, int]] = []
        for index, text_ids in enumerate(texts):
            ids += headers[index]
            start = len(ids)
            ids += text_ids
            spans.append((start, len(ids)))
            ids += self.closing_ids
            if learn[index]:
                targets.append((start, len(ids) + deciding_length(headers[index], followers[index])))
        if turns and learn[-1]:
            ids += after[: deciding_length(headers[-1], after)]
        mask_T = np.zeros(len(ids), dtype=np.bool_)
        for start, stop in targets:
            mask_T[start:stop] = True
        return Rendered(ids_T=np.asarray(ids, dtype=np.int32), mask_T=mask_T, text_spans=tuple(spans))

    def decode_text(self, ids: Sequence[int]) -> str:
        """The text of tokens made by `encode_text`; exact for byte-level vocabularies."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def _marker_id(self, marker: str) -> int:
        token_id = self.tokenizer.token_to_id(marker)
        if token_id is None:
            raise UserError(f"The tokenizer has no token {marker!r}, which the form '{self.form.name}' needs.")
        return int(token_id)

    def _encode_parts(self, parts: Sequence[str]) -> list[int]:
        ids: list[int] = []
        for part in parts:
            ids += [self._marker_id(part)] if part.strip() else self.encode_text(part)
        return ids

    def _encode_defused(self, text: str) -> list[int]:
        """For vocabularies that match markers even with special tokens off: cut inside every marker, so none forms."""
        pieces = [text]
        for marker in self.form.markers:
            pieces = [cut for piece in pieces for cut in _cut_inside(piece, marker)]
        ids = [token for piece in pieces for token in self.tokenizer.encode(piece, add_special_tokens=False).ids]
        return [token for token in ids if token not in self._marker_ids]


def deciding_length(own: Sequence[int], following: Sequence[int]) -> int:
    """How many of the `following` header's tokens tell whether the speaker goes on: up to the first difference."""
    for index, (mine, theirs) in enumerate(zip(own, following, strict=False)):
        if mine != theirs:
            return index + 1
    return len(following)


def _cut_inside(text: str, marker: str) -> list[str]:
    pieces = text.split(marker)
    head, tail = marker[0], marker[1:]
    cut = [pieces[0]]
    for piece in pieces[1:]:
        cut[-1] += head
        cut.append(tail + piece)
    return cut
