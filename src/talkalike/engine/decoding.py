"""Tokens become text one at a time, never half a character."""

from __future__ import annotations

import codecs
from functools import lru_cache
from typing import Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel, DecodeStream


class TextDecoder(Protocol):
    """The text of one message as its tokens arrive."""

    def push(self, token: int) -> str:
        """The characters that are complete now; empty while a character is only half there."""
        ...


def text_decoder(tokenizer: Tokenizer) -> TextDecoder:
    """A decoder for a new message: on bytes where the vocabulary is byte-level, else the tokenizer's own stream."""
    if isinstance(tokenizer.decoder, ByteLevel):
        return _ByteLevelDecoder(tokenizer)
    return _StreamDecoder(tokenizer)


class Bytes:
    """Characters from bytes that arrive in parts."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, data: bytes) -> str:
        """The characters that are complete now; what can be none is replaced."""
        return self._utf8.decode(data)


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """What a token of a byte-level vocabulary stands for; nothing where it is unknown."""
    piece = tokenizer.id_to_token(token)
    return b"" if piece is None else _bytes_of(piece)


class _ByteLevelDecoder:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = Bytes()

    def push(self, token: int) -> str:
        return self._bytes.push(token_bytes(self._tokenizer, token))


class _StreamDecoder:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)

    def push(self, token: int) -> str:
        return self._stream.step(self._tokenizer, token) or ""


def _bytes_of(piece: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in piece):
        return bytes(table[character] for character in piece)
    return piece.encode()  # a token added by hand stands for itself


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the other bytes for U+0100 and up, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in printable}
    hidden = [byte for byte in range(256) if byte not in table.values()]
    return table | {chr(256 + index): byte for index, byte in enumerate(hidden)}
