"""Writes one chat in every format we read, as the platforms do: for the round trip, the mutations and the benchmark.

Each writer takes messages in order, (author, time in seconds, text), and gives files by their paths.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from html import escape
from pathlib import Path

Said = tuple[str, int, str]
Files = dict[str, bytes]
CHANNEL = "123456789012345678"


def _time(seconds: int, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _ids(said: Sequence[Said]) -> dict[str, str]:
    """A number for each author."""
    return {name: str(200_000_000_000_000_000 + at) for at, name in enumerate(dict.fromkeys(s[0] for s in said))}


def whatsapp(said: Sequence[Said]) -> Files:
    lines = [f"[{_time(at, '%d/%m/%Y, %H:%M:%S')}] {name}: {text}" for name, at, text in said]
    return {"WhatsApp Chat - Room/_chat.txt": "\n".join(lines).encode()}


def instagram(said: Sequence[Said]) -> Files:
    def double(text: str) -> str:
        return text.encode().decode("latin-1")

    messages = [{"sender_name": double(n), "timestamp_ms": at * 1000, "content": double(t)} for n, at, t in said]
    people = [{"name": double(name)} for name in _ids(said)]
    content = {"participants": people, "messages": messages[::-1], "title": "Room", "thread_path": "inbox/room_1"}
    return {"your_instagram_activity/messages/inbox/room_1/message_1.json": json.dumps(content).encode()}


def telegram(said: Sequence[Said]) -> Files:
    ids = _ids(said)
    messages = [
        {
            "id": at,
            "type": "message",
            "date": _time(when, "%Y-%m-%dT%H:%M:%S"),
            "date_unixtime": str(when),
            "from": name,
            "from_id": f"user{ids[name]}",
            "text": [text[:3], {"type": "bold", "text": text[3:]}] if at % 3 == 0 else text,
        }
        for at, (name, when, text) in enumerate(said, 1)
    ]
    chat = {"name": "Room", "type": "private_supergroup", "id": 77, "messages": messages}
    return {"result.json": _json({"about": "Here is the data", "chats": {"about": "x", "list": [chat]}})}


def discord_chat_exporter(said: Sequence[Said]) -> Files:
    ids = _ids(said)
    messages = [
        {
            "id": str(300_000_000_000_000_000 + at),
            "type": "Default",
            "timestamp": _time(when, "%Y-%m-%dT%H:%M:%S.000+00:00"),
            "timestampEdited": None,
            "content": text,
            "author": {"id": ids[name], "name": name, "nickname": name, "isBot": False},
            "attachments": [],
            "reactions": [],
        }
        for at, (name, when, text) in enumerate(said)
    ]
    guild, channel = {"id": "5", "name": "Server"}, {"id": CHANNEL, "type": "GuildTextChat", "name": "room"}
    return {"Server - room.json": _json({"guild": guild, "channel": channel, "messages": messages})}


def discord(said: Sequence[Said]) -> Files:
    """The data package of the first author, with nobody else's messages."""
    name, user = next(iter(_ids(said).items()), ("", ""))
    messages = [
        {
            "ID": 300_000_000_000_000_000 + at,
            "Timestamp": _time(when, "%Y-%m-%d %H:%M:%S"),
            "Contents": text,
            "Attachments": "",
        }
        for at, (author, when, text) in enumerate(said)
        if author == name
    ]
    channel = {"id": CHANNEL, "type": 0, "name": "room", "guild": {"id": "5", "name": "Server"}}
    return {
        "Account/user.json": _json({"id": user, "username": name}),
        "Messages/index.json": _json({CHANNEL: "room in Server"}),
        f"Messages/c{CHANNEL}/channel.json": _json(channel),
        f"Messages/c{CHANNEL}/messages.json": _json(messages),
    }


def slack(said: Sequence[Said]) -> Files:
    ids = _ids(said)
    days: dict[str, list[object]] = {}
    for at, (name, when, text) in enumerate(said):
        escaped = escape(text, quote=False)
        message = {"type": "message", "user": f"U{ids[name]}", "text": escaped, "ts": f"{when}.{at % 1000:03}000"}
        days.setdefault(_time(when, "%Y-%m-%d"), []).append(message)
    users = [{"id": f"U{key}", "name": "x", "profile": {"display_name": name}} for name, key in ids.items()]
    channels = [{"id": "C1", "name": "room", "created": 1, "members": []}]
    lists = {"users.json": _json(users), "channels.json": _json(channels)}
    return {**lists, **{f"room/{day}.json": _json(messages) for day, messages in days.items()}}


def signal(said: Sequence[Said]) -> Files:
    lines = [
        json.dumps(
            {
                "date": _time(when, "%Y-%m-%dT%H:%M:%S"),
                "sender": name,
                "body": f"{text}  ",
                "quote": "",
                "sticker": "",
                "reactions": [],
                "attachments": [],
            },
            ensure_ascii=False,
        )
        for name, when, text in said
    ]
    return {"Room/data.json": "\n".join(lines).encode()}


def signal_text(said: Sequence[Said]) -> Files:
    lines = [f"[{_time(when, '%Y-%m-%d %H:%M:%S')}] {name}: {text}  \n" for name, when, text in said]
    return {"Room/chat.md": "\n".join(lines).encode()}


def signal_desktop(said: Sequence[Said]) -> Files:
    ids = {name: str(at) for at, name in enumerate(_ids(said), 2)}
    lines: list[object] = [{"version": "1", "backupTimeMs": "1", "mediaRootBackupKey": "x"}]
    lines += [
        {"recipient": {"id": key, "contact": {"aci": f"aci{key}", "profileGivenName": n}}} for n, key in ids.items()
    ]
    title = {"snapshot": {"title": {"title": "Room"}}, "masterKey": "key"}
    lines += [{"recipient": {"id": "1000", "group": title}}, {"chat": {"id": "7", "recipientId": "1000"}}]
    lines += [
        {
            "chatItem": {
                "chatId": "7",
                "authorId": ids[name],
                "dateSent": str(when * 1000 + at % 1000),
                "incoming": {},
                "standardMessage": {"text": {"body": text}, "reactions": []},
            }
        }
        for at, (name, when, text) in enumerate(said)
    ]
    return {"signal-export/main.jsonl": b"\n".join(map(_json, lines))}


def imessage(said: Sequence[Said]) -> Files:
    parts = [f"{_time(when, '%b %d, %Y %I:%M:%S %p')}\n{name}\n{text}\n" for name, when, text in said]
    return {"Room - 12.txt": "\n".join(parts).encode()}


def archived(text: str) -> bytes:
    """A text as an archived object holds it."""
    raw = text.encode()
    length = bytes([len(raw)]) if len(raw) < 0x80 else b"\x81" + len(raw).to_bytes(2, "little")
    return (
        b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x08NSString\x01\x94\x84\x01+"
        + length
        + raw
        + b"\x86\x84"
    )


def imessage_database(said: Sequence[Said]) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chat.db")
        with closing(sqlite3.connect(path)) as database:
            database.executescript(
                "CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT);"
                "CREATE TABLE chat (ROWID INTEGER PRIMARY KEY, guid TEXT, chat_identifier TEXT, display_name TEXT,"
                " style INTEGER);"
                "CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT, text TEXT, attributedBody BLOB,"
                " is_from_me INTEGER, handle_id INTEGER, date INTEGER, associated_message_type INTEGER,"
                " associated_message_guid TEXT,"
                " associated_message_emoji TEXT, item_type INTEGER, thread_originator_guid TEXT, date_edited INTEGER,"
                " date_retracted INTEGER, group_title TEXT);"
                "CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER);"
                "CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);"
                "CREATE TABLE attachment (ROWID INTEGER PRIMARY KEY, filename TEXT, mime_type TEXT,"
                " transfer_name TEXT);"
                "CREATE TABLE message_attachment_join (message_id INTEGER, attachment_id INTEGER);"
                "CREATE INDEX chat_index ON chat_message_join (chat_id, message_id);"
                "INSERT INTO chat VALUES (1, 'iMessage;+;chat1', 'chat1', 'Room', 43);"
            )
            ids = {name: at for at, name in enumerate(_ids(said), 1)}
            database.executemany("INSERT INTO handle VALUES (?, ?)", [(at, name) for name, at in ids.items()])
            rows = [
                (
                    at,
                    f"guid{at}",
                    None if at % 2 else text,
                    archived(text),
                    ids[name],
                    (when - 978_307_200) * 10**9 + at,
                )
                for at, (name, when, text) in enumerate(said, 1)
            ]
            database.executemany(
                "INSERT INTO message (ROWID, guid, text, attributedBody, is_from_me, handle_id, date) "
                "VALUES (?, ?, ?, ?, 0, ?, ?)",
                rows,
            )
            database.executemany("INSERT INTO chat_message_join VALUES (1, ?)", [(row[0],) for row in rows])
            database.commit()
        return {"Messages/chat.db": path.read_bytes()}


def google_chat(said: Sequence[Said]) -> Files:
    messages = [
        {
            "creator": {"name": name, "email": f"{key}@example.com", "user_type": "Human"},
            "created_date": _time(when, "%A, %B %d, %Y at %I:%M:%S\u202f%p UTC"),
            "text": text,
            "topic_id": "t",
            "message_id": f"room/t/{at}",
        }
        for ids in [_ids(said)]
        for at, (name, when, text) in enumerate(said)
        for key in [ids[name]]
    ]
    members = [{"name": name, "email": f"{key}@example.com"} for name, key in _ids(said).items()]
    folder = "Takeout/Google Chat/Groups/Space AAAA"
    return {
        f"{folder}/messages.json": _json({"messages": messages}),
        f"{folder}/group_info.json": _json({"name": "Room", "members": members}),
    }


def matrix(said: Sequence[Said]) -> Files:
    ids = _ids(said)
    events: list[object] = [
        {
            "type": "m.room.member",
            "sender": f"@u{key}:example.org",
            "state_key": f"@u{key}:example.org",
            "event_id": f"$join{key}",
            "origin_server_ts": 1_000_000_000_000,
            "content": {"membership": "join", "displayname": name},
        }
        for name, key in ids.items()
    ]
    events += [
        {
            "type": "m.room.message",
            "room_id": "!room:example.org",
            "sender": f"@u{ids[name]}:example.org",
            "event_id": f"${at}",
            "origin_server_ts": when * 1000,
            "content": {"msgtype": "m.text", "body": text},
        }
        for at, (name, when, text) in enumerate(said)
    ]
    header = {
        "room_name": "Room",
        "room_creator": "@u:example.org",
        "topic": "",
        "export_date": "today",
        "exported_by": "x",
    }
    return {"matrix - Room.json": _json({**header, "messages": events})}


def table_csv(said: Sequence[Said]) -> Files:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["Date", "Channel", "Author", "Content"])
    rows.writerows([_time(when, "%Y-%m-%d %H:%M:%S"), "Room", name, words] for name, when, words in said)
    return {"chat.csv": text.getvalue().encode()}


def table_jsonl(said: Sequence[Said]) -> Files:
    return {"chat.jsonl": b"\n".join(_json({"author": n, "text": t, "time": at}) for n, at, t in said)}


WRITERS: Mapping[str, Callable[[Sequence[Said]], Files]] = {
    "whatsapp": whatsapp,
    "instagram": instagram,
    "telegram": telegram,
    "discord-chat-exporter": discord_chat_exporter,
    "discord": discord,
    "slack": slack,
    "signal": signal,
    "signal-text": signal_text,
    "signal-desktop": signal_desktop,
    "imessage": imessage,
    "imessage-database": imessage_database,
    "google-chat": google_chat,
    "matrix": matrix,
    "csv": table_csv,
    "jsonl": table_jsonl,
}
"""By the name of the format, and of its form where it has two."""
