"""Eyes that say what a test wrote for them, and drawn pictures for them to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from talkalike.engine.eyes import EyeTurn, Grade, Looked, Sight
from talkalike.engine.protocol import Sampling
from talkalike.pictures.picture import Picture


def make_picture(name: str, *, width: int = 8, height: int = 6) -> Picture:
    """A picture that no viewer opens, which its name tells from others."""
    return Picture(data=name.encode() * 9, width=width, height=height, content_type="image/png")


class NamingEye:
    """An eye that has words for pictures (by hash) and answers no questions; `looked` are the hashes it looked at."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.looked: list[tuple[str, Grade]] = []
        self._words = words

    @property
    def name(self) -> str:
        return "small eye"

    @property
    def sight(self) -> Sight:
        return Sight(grades=(Grade.GLANCE, Grade.LOOK))

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        self.looked.append((picture.hash, grade))
        words = self._words.get(picture.hash, "")
        return Looked(words=words or "a wide picture, mostly grey", sure=bool(words), seconds=0.1)

    async def close(self) -> None:
        """Holds nothing."""


class AnsweringEye(NamingEye):
    """One that answers a question about one picture at a time."""

    def __init__(self, answer: Callable[[Picture, str], str]) -> None:
        super().__init__({})
        self._answer = answer

    @property
    def sight(self) -> Sight:
        return Sight(grades=tuple(Grade), answers=True)

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        self.looked.append((picture.hash, grade))
        return Looked(words=self._answer(picture, ask), sure=True, tokens=64)


class TalkingEye(NamingEye):
    """One that takes a conversation with pictures; `turns` keeps each it was given."""

    def __init__(self, answer: Callable[[tuple[EyeTurn, ...]], str], *, max_images: int = 9) -> None:
        super().__init__({})
        self.turns: list[tuple[EyeTurn, ...]] = []
        self.samplings: list[Sampling] = []
        self._answer, self._max_images = answer, max_images

    @property
    def name(self) -> str:
        return "talking eye"

    @property
    def sight(self) -> Sight:
        return Sight(grades=tuple(Grade), max_images=self._max_images, answers=True)

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        self.turns.append(turns)
        self.samplings.append(sampling)
        pictures = sum(isinstance(part, Picture) for turn in turns for part in turn.parts)
        return Looked(words=self._answer(turns), sure=True, tokens=64 * pictures)


class ChunkEye(NamingEye):
    """One that goes on with a text of chunks; `texts` keeps each it was given, with its pictures."""

    def __init__(self, answer: str) -> None:
        super().__init__({})
        self.texts: list[tuple[str, tuple[Picture, ...]]] = []
        self._answer = answer

    @property
    def sight(self) -> Sight:
        return Sight(grades=tuple(Grade), max_images=9, answers=True)

    async def go_on(
        self, text: str, pictures: tuple[Picture, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE
    ) -> Looked:
        self.texts.append((text, pictures))
        return Looked(words=self._answer, sure=True)
