"""A Discord message becomes a `HistoryMessage`: names for numbers, files noted, forwarded texts kept.

Pure but for `read_file`. What the double's own messages reply to is left out: it is not part of its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import discord

from talkalike.chat.history import File, HistoryMessage
from talkalike.chat.permissions import Actor, Decision
from talkalike.chat.shared_pictures import SharedPicture
from talkalike.discord_bot.asking import Patience, UnreadError
from talkalike.discord_bot.markers import is_marker, is_notice, spoken_by
from talkalike.discord_bot.places import SPOKEN, actor_of

LARGEST_DOWNLOAD = 1024 * 1024  # bytes; of a larger text file nothing is read
NOT_DECIDED = Decision(allowed=False, rule="", explanation="Nobody has decided yet whether this may be seen.")
TEXT_SUFFIXES = (
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log"),
    *(".xml", ".html", ".css", ".py", ".js", ".ts", ".sh", ".c", ".h", ".cpp", ".rs", ".go", ".java", ".kt", ".rb"),
    *(".sql", ".tex", ".diff", ".patch", ".srt"),
)
TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml", "application/toml")

_MENTION = re.compile(
    r"<@!?(?P<user>\d{1,20})>|<@&(?P<role>\d{1,20})>|<#(?P<channel>\d{1,20})>|<a?(?P<emoji>:\w{1,40}:)\d{1,20}>"
    r"|<t:(?P<time>-?\d{1,13})(?::\w)?>|</(?P<command>[^:<>]{1,100}):\d{1,20}>"
)
Source = discord.Attachment | discord.StickerItem | str
"""Where a picture's bytes are: an attachment, a sticker, or an address of Discord's proxy for pictures elsewhere."""
_DRAWN = frozenset({discord.StickerFormatType.png, discord.StickerFormatType.apng, discord.StickerFormatType.gif})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A translated message, before anybody decided who may see it.

    `author` and `quoted_author` are who wrote it and what it replies to; `unread` are text files not downloaded yet,
    and `pictures` those nobody has looked at yet, in the places `said.files` has for them.
    """

    said: HistoryMessage
    author: Actor
    quoted_author: Actor | None = None
    member: bool = True  # False where Discord did not tell the author's roles
    unread: tuple[tuple[int, discord.Attachment], ...] = ()
    pictures: tuple[tuple[int, Source], ...] = ()


def translate(message: discord.Message, *, me: int) -> Heard:
    """The message in words. Raises nothing: what Discord does not tell is left out or named as unknown."""
    files = [_file(one) for one in message.attachments]
    unread = [(index, one) for index, one in enumerate(message.attachments) if _readable(one)]
    sources: list[Source | None] = [*message.attachments]
    forwarded: list[str] = []
    for snapshot in message.message_snapshots:
        forwarded.append(resolve(snapshot.content, message))
        files += [
            replace(_file(one), text="", note=f"forwarded; {_file(one).note}".rstrip("; "))
            for one in snapshot.attachments
        ]
        sources += snapshot.attachments
    for file, source in _aside(message):
        files.append(file)
        sources.append(source)
    pictures = [
        (index, source)
        for index, (file, source) in enumerate(zip(files, sources, strict=True))
        if file.picture is not None and source is not None
    ]
    reply_to, quoted, quoted_author = (None, "", None) if message.author.id == me else _quoted(message, me)
    system = message.type not in SPOKEN or is_notice(message, me)
    said = HistoryMessage(
        id=message.id,
        author_id=message.author.id,
        author=plain(message.author.display_name) or f"user {message.author.id}",
        text=plain(message.system_content or "") if message.type not in SPOKEN else _text(message),
        at=message.created_at,
        double=message.author.id == me,
        reply_to=reply_to,
        quoted=quoted,
        forwarded=tuple(forwarded),
        files=tuple(files),
        marker=is_marker(message, me),
        system=system,
        seen=NOT_DECIDED,
    )
    if by := spoken_by(message, me):
        author_id, name, words = by
        said = replace(said, author_id=author_id, author=plain(name), text=resolve(words, message), double=False)
        return Heard(said=said, author=Actor(user_id=author_id), member=False)
    member = message.guild is None or isinstance(message.author, discord.Member) or message.webhook_id is not None
    return Heard(
        said=said,
        author=actor_of(message.author),
        quoted_author=quoted_author,
        member=member,
        unread=tuple(unread),
        pictures=tuple(pictures),
    )


def resolve(text: str, message: discord.Message) -> str:
    """Mentions, channels, roles, emoji, times and commands by their names; links stay as they are."""
    people = {user.id: user.display_name for user in message.mentions}

    def name(match: re.Match[str]) -> str:
        if match["user"]:
            return "@" + (people.get(int(match["user"])) or _member_name(message.guild, int(match["user"])))
        if match["role"]:
            role = message.guild.get_role(int(match["role"])) if message.guild else None
            return f"@{role.name if role else 'some role'}"
        if match["channel"]:
            return "#" + _channel_name(message, int(match["channel"]))
        if match["time"]:
            return _time(int(match["time"]))
        return match["emoji"] or f"/{match['command']}"

    return plain(_MENTION.sub(name, text))


def plain(text: str) -> str:
    """Without control signs and signs that turn the direction of writing; line ends and tabs stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


async def read_file(file: File, attachment: discord.Attachment, patience: Patience, *, cap: int) -> File:
    """The file with its text, or with a note why it could not be read. At most `cap` bytes of it."""
    if attachment.size > LARGEST_DOWNLOAD:
        return replace(file, note=f"too large to be read: {attachment.size:,} bytes")
    try:
        data = await patience.ask(attachment.read(), f"the file {file.name}")
    except UnreadError as error:
        return replace(file, note=error.why)
    if b"\x00" in data[:cap]:
        return replace(file, note="not a text file")
    text = plain(data[:cap].decode("utf-8-sig", errors="ignore" if len(data) > cap else "replace"))
    note = f"only the first {cap:,} of {len(data):,} bytes" if len(data) > cap else ""
    return replace(file, text=text, note=note)


def with_file(heard: Heard, index: int, file: File) -> Heard:
    """The message with one of its files read."""
    files = (*heard.said.files[:index], file, *heard.said.files[index + 1 :])
    return replace(
        heard,
        said=replace(heard.said, files=files),
        unread=tuple(one for one in heard.unread if one[0] != index),
        pictures=tuple(one for one in heard.pictures if one[0] != index),
    )


def _text(message: discord.Message) -> str:
    parts = [resolve(message.content, message)] if message.content else []
    parts += [f"[sticker: {plain(sticker.name)}]" for sticker in message.stickers]
    if message.poll is not None:
        answers = " / ".join(plain(answer.text) for answer in message.poll.answers)
        parts.append(f"[poll: {plain(message.poll.question)} {answers}]")
    return "\n".join(parts)


def _quoted(message: discord.Message, me: int) -> tuple[int | None, str, Actor | None]:
    """What it replies to: its id, its words, and who wrote them. Only of the same channel: a DM's words stay there."""
    reference = message.reference
    if reference is None or message.message_snapshots or message.type != discord.MessageType.reply:
        return None, "", None
    quoted = reference.resolved
    if reference.channel_id != message.channel.id or not isinstance(quoted, discord.Message):
        return reference.message_id, "", None
    if is_marker(quoted, me) or is_notice(quoted, me):
        return quoted.id, "", None
    return quoted.id, resolve(quoted.content, message), actor_of(quoted.author)


def _file(attachment: discord.Attachment) -> File:
    kind = attachment.content_type or ""
    return File(
        name=plain(attachment.filename),
        content_type=kind,
        size=attachment.size,
        picture=SharedPicture() if kind.startswith("image/") else None,
        url=attachment.url,
        note="" if kind.startswith("image/") or _readable(attachment) else "not a text file",
    )


def _aside(message: discord.Message) -> list[tuple[File, Source]]:
    """Stickers that are pictures, and the pictures of links, through Discord's proxy: their names are in the text."""
    found: list[tuple[File, Source]] = []
    for sticker in message.stickers:
        if sticker.format in _DRAWN:
            found.append((_picture_aside(sticker.name), sticker))
    for embed in message.embeds:
        for medium in (embed.image, embed.thumbnail):
            if medium.proxy_url:
                found.append((_picture_aside(embed.title or "a link"), medium.proxy_url))
                break
    return found


def _picture_aside(name: str) -> File:
    return File(name=plain(name), content_type="image", size=0, picture=SharedPicture(aside=True))


def _readable(attachment: discord.Attachment) -> bool:
    kind = attachment.content_type or ""
    return kind.startswith(TEXT_TYPES) or (
        not kind.startswith("image/") and attachment.filename.lower().endswith(TEXT_SUFFIXES)
    )


def _member_name(guild: discord.Guild | None, user_id: int) -> str:
    member = guild.get_member(user_id) if guild else None
    return member.display_name if member else "somebody"


def _channel_name(message: discord.Message, channel_id: int) -> str:
    """Only names that everybody on the server can see, and the own one: a name can be a secret too."""
    guild = message.guild
    channel = guild.get_channel_or_thread(channel_id) if guild else None
    if guild is None or channel is None:
        return "some channel"
    seen_in = channel.parent if isinstance(channel, discord.Thread) else channel
    open_to_all = (
        seen_in is not None
        and not (isinstance(channel, discord.Thread) and channel.is_private())
        and seen_in.permissions_for(guild.default_role).view_channel
    )
    return plain(channel.name) if open_to_all or channel_id == message.channel.id else "some channel"


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "some time"
