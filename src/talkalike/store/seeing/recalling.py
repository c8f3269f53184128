"""What was seen, for an `Onlooker`: kept in the store, so that no picture is looked at twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from talkalike.engine.eyes import Grade, Looked
from talkalike.store.seeing import words
from talkalike.store.store import Store


class StoredWords:
    """`talkalike.chat.looking.KeptWords` over the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def recall(self, hashes: Collection[str], *, eye: str, grade: Grade) -> Mapping[str, Looked]:
        """What this eye saw in those of these pictures that it has looked at."""
        return await self._store.run(words.all_words_of, hashes, eye=eye, grade=grade)

    async def keep(self, hash: str, looked: Looked, *, eye: str, grade: Grade) -> None:  # noqa: A002  # its own word
        """Keeps what was seen in a picture that a message or a task holds."""
        await self._store.run(words.keep_words, hash, looked, eye=eye, grade=grade)
