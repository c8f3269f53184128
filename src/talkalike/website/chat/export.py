"""A conversation as a file to keep or to show to somebody: text, JSON, or a page that needs nothing else."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from django.http import Http404
from django.template.loader import render_to_string
from django.utils import timezone

from talkalike.store.talking import messages
from talkalike.store.talking.values import EntryKind, MessageRow, TalkRow
from talkalike.website import zones
from talkalike.website.chat.talk import GUEST
from talkalike.website.data import read

TYPES = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "html": "text/html; charset=utf-8",
}


def write(form: str, conversation: TalkRow, path: Sequence[MessageRow]) -> str:
    """The branch as a text of that form. Raises Http404 for a form that there is not."""
    if form not in TYPES:
        raise Http404("A conversation can be had as txt, json or html.")
    if form == "json":
        return _json(conversation, path)
    return _text(conversation, path) if form == "txt" else _html(conversation, path)


def _text(conversation: TalkRow, path: Sequence[MessageRow]) -> str:
    lines = [conversation.title, f"begun {zones.at(conversation.made_at)}, times in {zones.named()}", ""]
    for row in path:
        at = f"[{zones.at(row.at)}]"
        if row.kind is EntryKind.RESET:
            lines.append(f"{at} --- reset: the double does not remember the messages above ---")
        elif row.kind is EntryKind.SAID:
            lines += [f"{at} (picture: {one.name})" for one in row.pictures]
            lines.append(f"{at} {_name(conversation)}: {_indent(row.text)}")
        else:
            who = row.speaker or "The double"
            said = [f"reacted {one.emoji}" if one.emoji else f"{who}: {_indent(one.text)}" for one in row.parts]
            lines += [f"{at} {line}" for line in said or [f"({who} said nothing)"]]
    return "\n".join(lines) + "\n"


def _json(conversation: TalkRow, path: Sequence[MessageRow]) -> str:
    told: dict[str, Any] = {
        "title": conversation.title,
        "begun": timezone.localtime(conversation.made_at).isoformat(),
        "zone": zones.named(),
        "messages": [_message(conversation, row) for row in path],
    }
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def _message(conversation: TalkRow, row: MessageRow) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": row.kind.value, "at": timezone.localtime(row.at).isoformat()}
    if row.kind is EntryKind.SAID:
        told |= {"speaker": _name(conversation), "text": row.text, "pictures": [one.name for one in row.pictures]}
    if row.kind is EntryKind.REPLY:
        parts = [{"reaction": one.emoji} if one.emoji else {"text": one.text} for one in row.parts]
        state = row.state.value if row.state else ""
        told |= {"speaker": row.speaker, "messages": parts, "model": row.model, "state": state}
    return told


def _html(conversation: TalkRow, path: Sequence[MessageRow]) -> str:
    rows = [{"row": row, "pictures": list(_pictures(conversation, row))} for row in path]
    context = {"conversation": conversation, "rows": rows, "name": _name(conversation)}
    return render_to_string("website/chat/transcript.html", context)


def _pictures(conversation: TalkRow, row: MessageRow) -> Sequence[dict[str, str]]:
    made = []
    for one in row.pictures:
        found = read(messages.picture, conversation.owner, conversation.id, one.id)
        if found is not None:
            made.append({"name": one.name, "url": f"data:{found[1]};base64,{b64encode(found[0]).decode('ascii')}"})
    return made


def _name(conversation: TalkRow) -> str:
    return conversation.name or GUEST


def _indent(text: str) -> str:
    """Further lines cannot be mistaken for somebody else's."""
    return text.replace("\n", "\n    ")
