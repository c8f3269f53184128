"""Files of an export that hold no messages we read, known by their names: why, and what to do instead."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from talkalike.chats.sources import Entry

_MEDIA = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".mp4", ".mov", ".webm", ".mkv", ".mp3", ".m4a", ".aac"}
    | {".ogg", ".opus", ".wav", ".pdf", ".svg", ".ico", ".css", ".js"}
)
_METADATA = frozenset(
    {"autofill_information.json", "messaging_settings.json", "secret_conversations.json", "secret_groups.json"}
    | {"support_messages.json", "your_cross-app_messaging_settings.json", "messenger_active_status_settings.json"}
    | {"community_chats_settings.json", "end-to-end_encryption_enabled_devices.json"}
    | {"information_about_your_devices.json"}
)
HTML_HINT = "Request the export again and choose the format JSON instead of HTML."
"""What to do about pages instead of data."""

_CHAT_PAGE = re.compile(r"(?:^|/)messages?(?:_?\d+)?(?:/|\.html?$)")
_OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_WHATSAPP_BACKUP = re.compile(r"(?:^|/)(?:msgstore|wa)\b.*\.(?:db|crypt\d*)$|\.crypt\d{1,2}$")
_SIGNAL_BACKUP = re.compile(r"signal-.*\.backup")
_SQLITE = b"SQLite format 3\0"
_TELEGRAM_DATA = "/tdata/"
_WHATSAPP_HOW = "on the phone open the chat, then More → Export chat"
_SIGNAL_HOW = "in Signal Desktop export your chat history, or use signal-export"
_PHONE_HOW = "export the chats from their apps, iMessage with imessage-exporter"


def known_reason(entry: Entry) -> str:
    """Why a file is not read at all; "" where an importer is to be asked."""
    suffix = PurePosixPath(entry.name).suffix.lower()
    if suffix in (".html", ".htm"):
        is_chat = _CHAT_PAGE.search(entry.path.lower()) is not None
        return f"HTML instead of JSON: {HTML_HINT}" if is_chat else "a page of the export, holds no messages"
    if suffix == ".zip":
        return "a zip inside an export: sent by somebody, or to be unpacked first"
    if entry.name.startswith("._") or entry.name in _OF_THE_SYSTEM:
        return "the computer's own file, holds no messages"
    if suffix in _MEDIA:
        return "an attachment or a page's decoration (messages keep its path)"
    if entry.name in _METADATA:
        return "the export's settings, holds no messages"
    return _backup(entry)


def _backup(entry: Entry) -> str:
    """Backups are encrypted, or an app's own database: what they hold is had as an export of the app."""
    name = entry.name.lower()
    if _WHATSAPP_BACKUP.search(name):
        return f"WhatsApp's {'own database' if name.endswith('.db') else 'encrypted backup'}: {_WHATSAPP_HOW}"
    if _SIGNAL_BACKUP.fullmatch(name):
        return f"Signal's encrypted backup: {_SIGNAL_HOW}"
    if name == "db.sqlite" and not entry.head(len(_SQLITE)).startswith(_SQLITE):
        return f"Signal Desktop's encrypted database: {_SIGNAL_HOW}"
    if name in ("manifest.db", "manifest.plist", "manifest.mbdb"):
        return f"a phone's backup, which may be encrypted: {_PHONE_HOW}"
    if _TELEGRAM_DATA in f"/{entry.path.lower()}":
        return "Telegram Desktop's encrypted store: in Telegram Desktop choose Export chat history, format JSON"
    return ""
