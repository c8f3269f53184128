"""The pictures of a conversation on the website in words: looked at once, while their reply is prepared."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

from talkalike.chat.looking import Onlooker
from talkalike.chat.shared_pictures import SharedPicture
from talkalike.errors import TalkalikeError
from talkalike.pictures.picture import Picture, PictureRef
from talkalike.store.store import Store
from talkalike.store.talking import messages
from talkalike.store.talking.values import PictureRow

MOST = 8  # looked at for one reply, the newest ones
KNOWN = 5_000

_log = logging.getLogger(__name__)
_refs: OrderedDict[int, PictureRef] = OrderedDict()  # by the picture's number on the site


async def look_at(
    rows: Sequence[PictureRow], *, onlooker: Onlooker | None, store: Store, owner: str, conversation_id: int
) -> dict[int, SharedPicture]:
    """What was seen in these pictures, by their numbers, or why nothing was. Raises nothing: the reply comes first."""
    if onlooker is None or not rows:
        return {}
    words = await onlooker.words({_refs[row.id].hash for row in rows if row.id in _refs})
    seen = {
        row.id: SharedPicture(ref=_refs[row.id], looked=words[_refs[row.id].hash])
        for row in rows
        if row.id in _refs and _refs[row.id].hash in words
    }
    left = [row for row in rows if row.id not in seen]
    told = {row.id: SharedPicture(unseen="there are too many at once") for row in left[:-MOST]}
    try:
        pictures = await store.run(_read, left[-MOST:], owner, conversation_id)
    except TalkalikeError as error:
        _log.warning("The pictures of a conversation could not be read: %s", error)
        return seen
    looked = await onlooker.look(list(pictures.values()))
    for number, picture in pictures.items():
        _refs[number] = picture.ref
        if len(_refs) > KNOWN:
            _refs.popitem(last=False)
    return seen | told | dict(zip(pictures, looked, strict=True))


def _read(rows: Sequence[PictureRow], owner: str, conversation_id: int) -> dict[int, Picture]:
    found = {}
    for row in rows:
        stored = messages.picture(owner, conversation_id, row.id)
        if stored is not None:
            data, content_type = stored
            found[row.id] = Picture(data=data, width=row.width, height=row.height, content_type=content_type)
    return found
