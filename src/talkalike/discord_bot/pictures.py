"""The pictures of a channel's messages: each is fetched once, looked at once, and told in words from then on.

    said = await pictures.tell(said, heard, where, patience)  # raises nothing of Discord's, of the eye's or the store's

Only pictures of people who may be seen are fetched, the newest first, and only from where Discord keeps them. Bytes are
held no longer than it takes to look: what stays is the hash of a picture, and the words.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import discord

from talkalike.chat.history import HistoryMessage
from talkalike.chat.looking import Onlooker
from talkalike.chat.permissions import ChatPlace
from talkalike.chat.shared_pictures import SharedPicture
from talkalike.discord_bot.asking import Patience, UnreadError
from talkalike.discord_bot.recent import Recent
from talkalike.discord_bot.translate import Heard, Source, with_file
from talkalike.errors import TalkalikeError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, Picture, PictureRef, UnreadablePictureError
from talkalike.store.seeing import sent
from talkalike.store.store import Store

MOST = 8  # pictures looked at anew for one reply, the newest ones
IN_ONE = 4  # of one message
KNOWN = 5_000  # places of which the hash is in memory
PROXIES = frozenset(
    {"images-ext-1.discordapp.net", "images-ext-2.discordapp.net", "media.discordapp.net", "cdn.discordapp.com"}
)
_TOO_MANY = f"only {IN_ONE} of a message are looked at at once"
_LATER = "there are too many at once"

Place = tuple[int, int]  # a message, and the number among its files
Fetch = Callable[[str], Awaitable[bytes]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A picture that has no words yet."""

    message: HistoryMessage
    index: int
    source: Source

    @property
    def place(self) -> Place:
        return self.message.id, self.index


class ChannelPictures:
    """Of all channels. `fetch` downloads an address of Discord's own hosts."""

    def __init__(self, onlooker: Onlooker | None, store: Store, recent: Recent, *, fetch: Fetch) -> None:
        self.onlooker = onlooker
        self._store = store
        self._recent = recent
        self._fetch = fetch
        self._refs: OrderedDict[Place, PictureRef] = OrderedDict()

    async def tell(
        self,
        said: Sequence[HistoryMessage],
        heard: Mapping[int, Heard],
        channel: discord.abc.Messageable,
        where: ChatPlace,
        patience: Patience,
    ) -> list[HistoryMessage]:
        """The messages with what was seen in their pictures, or with why it was not."""
        if self.onlooker is None:
            return list(said)
        wanted, told = _choose(said, heard)
        if wanted:
            told |= await self._look(self.onlooker, wanted, channel, where, patience)
        return [self._with(one, heard.get(one.id), told, where.channel_id) for one in said]

    async def on_delete(self, messages: Collection[int]) -> None:
        """What was seen in deleted messages goes. Raises TalkalikeError where the store fails."""
        if self.onlooker is not None:
            for place in [place for place in self._refs if place[0] in messages]:
                del self._refs[place]
            await self._store.run(sent.forget_messages, messages)

    def forget(self) -> None:
        """Somebody's data was deleted: nothing that was seen stays in memory."""
        self._refs.clear()
        if self.onlooker is not None:
            self.onlooker.forget()

    async def _look(
        self,
        onlooker: Onlooker,
        wanted: Sequence[_Wanted],
        channel: discord.abc.Messageable,
        where: ChatPlace,
        patience: Patience,
    ) -> dict[Place, SharedPicture]:
        refs = await self._known(wanted)
        words = await onlooker.words({ref.hash for ref in refs.values()})
        told = {
            place: SharedPicture(ref=ref, looked=words[ref.hash]) for place, ref in refs.items() if ref.hash in words
        }
        left = [one for one in wanted if one.place not in told]
        fetched = await asyncio.gather(*(self._read(one, channel, patience) for one in left))
        pictures: dict[Place, Picture] = {}
        for one, found in zip(left, fetched, strict=True):
            if isinstance(found, str):
                told[one.place] = SharedPicture(unseen=found)
            else:
                pictures[one.place] = found
        await self._note(left, pictures, where)
        looked = await onlooker.look(list(pictures.values()))
        return told | dict(zip(pictures, looked, strict=True))

    async def _known(self, wanted: Sequence[_Wanted]) -> dict[Place, PictureRef]:
        """The hashes that are known of these places: from before, or from before a restart."""
        missing = {one.message.id for one in wanted if one.place not in self._refs}
        if missing:
            try:
                for place, ref in (await self._store.run(sent.pictures_in, missing)).items():
                    self._remember(place, ref)
            except TalkalikeError as error:
                _log.warning("Which pictures are known could not be read: %s", error)
        return {one.place: self._refs[one.place] for one in wanted if one.place in self._refs}

    async def _read(self, one: _Wanted, channel: discord.abc.Messageable, patience: Patience) -> Picture | str:
        """The picture, or why there is none, in words."""
        source = one.source
        name = f"the picture {one.message.files[one.index].name}"
        if isinstance(source, discord.Attachment) and source.size > MAX_BYTES:
            return f"it is larger than {MAX_BYTES // 2**20} MiB"
        try:
            try:
                data = await patience.ask(self._bytes(source), name)
            except UnreadError as error:
                if not (error.absent and isinstance(source, discord.Attachment)):
                    raise
                message = await patience.ask(channel.fetch_message(one.message.id), name)  # its link has expired
                data = await patience.ask(_anew(source, message).read(), name)
        except UnreadError as error:
            return error.why
        try:
            return await asyncio.to_thread(normalise, data)
        except UnreadablePictureError as error:
            return error.what.removesuffix(".")

    async def _bytes(self, source: Source) -> bytes:
        if isinstance(source, str):
            if urlsplit(source).hostname not in PROXIES:
                raise ValueError("not one of Discord's hosts")
            return await self._fetch(source)
        return await source.read()

    async def _note(self, wanted: Sequence[_Wanted], pictures: Mapping[Place, Picture], where: ChatPlace) -> None:
        """Keeps which message holds which picture, without its bytes."""
        for one in wanted:
            picture = pictures.get(one.place)
            if picture is None:
                continue
            self._remember(one.place, picture.ref)
            row = sent.SentTo(
                message_id=one.message.id,
                channel_id=where.channel_id,
                server_id=where.server_id or 0,
                author_id=one.message.author_id,
            )
            try:
                await self._store.run(sent.record, row, one.index, picture.ref)
            except TalkalikeError as error:
                _log.warning("Which message holds a picture could not be kept: %s", error)

    def _with(
        self, said: HistoryMessage, heard: Heard | None, told: Mapping[Place, SharedPicture], channel_id: int
    ) -> HistoryMessage:
        files = list(said.files)
        for index, file in enumerate(files):
            shared = told.get((said.id, index))
            if shared is None or file.picture is None:
                continue
            files[index] = replace(file, picture=replace(shared, aside=file.picture.aside))
            if heard is not None and shared.looked is not None:
                heard = with_file(heard, index, files[index])
                self._recent.replace(channel_id, heard)
        return replace(said, files=tuple(files)) if tuple(files) != said.files else said

    def _remember(self, place: Place, ref: PictureRef) -> None:
        self._refs[place] = ref
        if len(self._refs) > KNOWN:
            self._refs.popitem(last=False)


def _anew(source: discord.Attachment, message: discord.Message) -> discord.Attachment:
    """The same attachment with the link that it has now. Raises UnreadError where it was taken away."""
    of_snapshots = [file for snapshot in message.message_snapshots for file in snapshot.attachments]
    found = [file for file in (*message.attachments, *of_snapshots) if file.id == source.id]
    if not found:
        raise UnreadError("the picture", "it is not there any more", absent=True)
    return found[0]


def _choose(
    said: Sequence[HistoryMessage], heard: Mapping[int, Heard]
) -> tuple[list[_Wanted], dict[Place, SharedPicture]]:
    """Which are looked at now, the newest message first; and those that are not, with the reason."""
    wanted: list[_Wanted] = []
    told: dict[Place, SharedPicture] = {}
    for one in reversed(said):
        there = heard.get(one.id)
        if there is None or not one.seen.allowed or one.double:
            continue
        here = [_Wanted(message=one, index=index, source=source) for index, source in there.pictures]
        told |= {each.place: SharedPicture(unseen=_TOO_MANY) for each in here[IN_ONE:]}
        free = MOST - len(wanted)
        told |= {each.place: SharedPicture(unseen=_LATER) for each in here[:IN_ONE][free:]}
        wanted += here[:IN_ONE][:free]
    return wanted, told
