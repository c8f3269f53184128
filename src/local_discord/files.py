"""Attachments: their bytes (in memory, oldest dropped beyond a total), content types and image sizes."""

from __future__ import annotations

import io
import mimetypes
import re
import warnings
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 64_000_000  # beyond this an image is served as a plain file: its header is not to be trusted


@dataclass(frozen=True, slots=True)
class Held:
    data: bytes
    content_type: str


class FileStore:
    """Attachment id -> its bytes and content type. Holds `total` bytes at most; a dropped file is None."""

    def __init__(self, total: int = 256 * 1024 * 1024) -> None:
        self.total = total
        self._held = 0
        self._files: OrderedDict[int, Held] = OrderedDict()

    def put(self, file_id: int, data: bytes, content_type: str) -> None:
        self._files[file_id] = Held(data, content_type)
        self._held += len(data)
        while self._held > self.total and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            self._held -= len(dropped.data)

    def get(self, file_id: int) -> Held | None:
        return self._files.get(file_id)

    def drop(self, file_id: int) -> None:
        if (dropped := self._files.pop(file_id, None)) is not None:
            self._held -= len(dropped.data)


def safe_name(name: str) -> str:
    """A file name as Discord keeps it: no folders, and only signs that are harmless in a URL."""
    base = re.split(r"[/\\]", name)[-1]
    cleaned = re.sub(r"[^\w.\-]", "_", base, flags=re.ASCII).lstrip(".")
    return cleaned[-240:] or "file"


def describe(name: str, data: bytes) -> tuple[str, int | None, int | None]:
    """Content type, width and height. An image's come from its header alone: nothing is decompressed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a huge picture is our own business: see MAX_PIXELS
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                kind = Image.MIME.get(image.format or "", "")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        kind, width, height = "", 0, 0
    if kind and 0 < width * height <= MAX_PIXELS:
        return kind, width, height
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if guessed.startswith("text/"):
        guessed += "; charset=utf-8"
    return guessed, None, None
