"""What an attachment is, by its name or its media type; and what a message is that has attachments and no words."""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.chats.values import Attachment, AttachmentKind, MessageKind

_SUFFIXES = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "heic", "bmp", "tif", "tiff"), AttachmentKind.PHOTO),
    **dict.fromkeys(("mp4", "mov", "webm", "mkv", "avi", "m4v", "3gp"), AttachmentKind.VIDEO),
    **dict.fromkeys(("mp3", "m4a", "aac", "ogg", "wav", "opus", "caf", "amr", "flac"), AttachmentKind.AUDIO),
    "gif": AttachmentKind.GIF,
}
_TYPES = {"image": AttachmentKind.PHOTO, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}
_LINKS = ("http://", "https://")


def kind_of_file(name: str) -> AttachmentKind:
    """By the suffix, of a path or of a link to a file (what follows a question mark is no part of the name)."""
    return _SUFFIXES.get(name.partition("?")[0].rpartition(".")[2].lower(), AttachmentKind.FILE)


def kind_of_media_type(media_type: str, name: str = "") -> AttachmentKind:
    """By "image/png" and alike; by the name where that says nothing."""
    if media_type == "image/gif":
        return AttachmentKind.GIF
    return _TYPES.get(media_type.partition("/")[0].lower()) or kind_of_file(name)


def is_link(uri: str) -> bool:
    """Whether it leads to a page rather than to a file of the export."""
    return uri.startswith(_LINKS)


def kind_of_attachments(attachments: Sequence[Attachment]) -> MessageKind:
    """What a message without words is, by what was attached."""
    kinds = {attachment.kind for attachment in attachments}
    if kinds == {AttachmentKind.STICKER}:
        return MessageKind.STICKER
    return MessageKind.SHARE if kinds == {AttachmentKind.LINK} else MessageKind.MEDIA


def kind_of_message(text: str, attachments: Sequence[Attachment]) -> MessageKind:
    """TEXT for words, with or without something attached; else what was attached."""
    return kind_of_attachments(attachments) if attachments and not text else MessageKind.TEXT
