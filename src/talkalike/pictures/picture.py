"""What a picture is to every other room: bytes that were checked and written anew, and a hash that names them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from talkalike.errors import UserError

MAX_BYTES = 8 * 2**20
MAX_PIXELS = 40_000_000
MAX_SIDE = 2048  # longer ones are scaled down
MOST_FRAMES = 4


class UnreadablePictureError(UserError):
    """A file that is no picture, a broken one, a kind that is not read, or more bytes or pixels than are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRef:
    """A picture by its hash, for what holds no pixels: turns, histories, tasks. Sizes in pixels."""

    hash: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An upright picture without metadata: "image/png" where it is see-through, else "image/jpeg".

    Of an animation, `frames` are a few of its `frame_count` pictures, the first one being `data`. `note` says in words
    what was left out of it, if anything.
    """

    data: bytes
    width: int
    height: int
    content_type: str
    frames: tuple[bytes, ...] = ()
    frame_count: int = 1
    note: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 over all of its frames and its size, in hexadecimal digits: the same for the same picture alone."""
        digest = hashlib.sha256(f"{self.width}x{self.height} {self.content_type}".encode())
        for frame in self.frames or (self.data,):
            digest.update(hashlib.sha256(frame).digest())
        return digest.hexdigest()

    @property
    def ref(self) -> PictureRef:
        return PictureRef(hash=self.hash, width=self.width, height=self.height)
