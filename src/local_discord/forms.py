"""Requests and answers of the API: JSON bodies, multipart bodies with files, queries, and JSON answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from local_discord.errors import DiscordError, invalid_form, too_large
from local_discord.world_posting import Upload

_FILE_FIELD = re.compile(r"files\[(\d{1,2})\]$")
_CHUNK = 256 * 1024


def answer(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer whose Content-Type is exactly `application/json`: discord.py reads anything else as text."""
    body = json.dumps(data, ensure_ascii=False).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def nothing() -> web.Response:
    return web.Response(status=204)


async def read_json(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return {}
    try:
        return json.loads(raw)
    except ValueError:
        raise DiscordError(400, 50109, "The request body contains invalid JSON.") from None


async def read_object(request: web.Request) -> dict[str, Any]:
    body = await read_json(request)
    if not isinstance(body, dict):
        raise invalid_form("_", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    return body


async def read_message(request: web.Request, *, cap: int) -> tuple[dict[str, Any], list[Upload]]:
    """A message's body and its files. A file above `cap` bytes is 40005 (what follows is read and thrown away)."""
    if request.content_type != "multipart/form-data":
        return await read_object(request), []
    body: dict[str, Any] = {}
    files: dict[int, tuple[str, bytes]] = {}
    over = False
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        data = await _read_part(part, cap if part.filename else _CHUNK * 16)
        over = over or data is None
        if data is None:
            continue
        if part.name == "payload_json":
            body = _payload(data)
        elif (found := _FILE_FIELD.match(part.name or "")) is not None:
            files[int(found[1])] = (part.filename or "file", data)
    if over:
        raise too_large()
    return body, _named(body, files)


async def _read_part(part: BodyPartReader, cap: int) -> bytes | None:
    held = bytearray()
    size = 0
    while chunk := await part.read_chunk(_CHUNK):
        size += len(chunk)
        if size <= cap:
            held += chunk
    return bytes(held) if size <= cap else None


def _payload(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        raise DiscordError(400, 50109, "The request body contains invalid JSON.") from None
    if not isinstance(body, dict):
        raise invalid_form("payload_json", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    return body


def _named(body: dict[str, Any], files: dict[int, tuple[str, bytes]]) -> list[Upload]:
    """`attachments` in the body may rename and describe the files by their number."""
    told = body.get("attachments") or (body.get("data") or {}).get("attachments") or []
    said = {str(entry.get("id")): entry for entry in told}
    uploads = []
    for number in sorted(files):
        name, data = files[number]
        entry = said.get(str(number), {})
        uploads.append(Upload(name=entry.get("filename") or name, data=data, description=entry.get("description")))
    return uploads


def number(text: str | None) -> int | None:
    """A snowflake of a query, None when it is not given."""
    if text is None:
        return None
    if not text.isdigit():
        raise invalid_form("id", "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')
    return int(text)


def path_id(request: web.Request, name: str) -> int:
    found = number(request.match_info[name])
    return found or 0


def limit_of(request: web.Request, *, default: int, most: int) -> int:
    found = number(request.query.get("limit"))
    chosen = default if found is None else found
    if not 1 <= chosen <= most:
        raise invalid_form("limit", "NUMBER_TYPE_MAX", f"int value should be between 1 and {most}.")
    return chosen
