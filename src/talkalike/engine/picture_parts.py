"""Pictures in requests to a server of ours: `data:` URLs alone, so that nobody makes it fetch an address."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from talkalike.engine.api_fields import ApiError
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture

_DATA = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
PICTURE_TYPES = ("image_url", "input_image")


def read_picture(part: dict[str, Any], place: str) -> Picture:
    """The picture of a part of a message. ApiError (400) for anything but a picture inside the request.

    Takes up to a second: not for an event loop.
    """
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise ApiError(400, f"{place} has no picture: its image_url must hold a url.", param=place)
    head = _DATA.match(url)
    if head is None:
        raise ApiError(
            400,
            f"{place} is not a picture inside the request. Only data: URLs with base64 are taken "
            '("data:image/png;base64,..."); this server fetches no addresses and opens no files.',
            code="unsupported_content",
            param=place,
        )
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, f"The picture in {place} is not base64.", param=place) from None
    try:
        return normalise(data)
    except UserError as error:
        raise ApiError(400, f"{place}: {error}", param=place) from None
