"""What the templates of the chat page are given. Runs in the site's threads: it reads the store."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone

from talkalike.chat.engines import Voice
from talkalike.chat.history import is_side_talk
from talkalike.chat.options import Resolved
from talkalike.errors import UserError
from talkalike.store.judging import judgements
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.recording import ReplyState
from talkalike.store.talking import conversations, messages
from talkalike.store.talking.values import EntryKind, MessageRow, TalkRow, Tree
from talkalike.website.access import visitor_of
from talkalike.website.chat import settings_form
from talkalike.website.chat.reply import LIVE
from talkalike.website.chat.talk import options_of
from talkalike.website.data import read, write
from talkalike.website.services import services
from talkalike.website.visitors import judge_of

SHOWN = 40  # the last messages of a long branch; the rest is one link away
PATIENCE = timedelta(seconds=10)  # a reply that nobody writes any more is older than that
GOOD, BAD = 5, 1  # what a thumb says on the scale "sounds like me"

STATES = {
    ReplyState.SILENT: "It read this and chose not to reply.",
    ReplyState.CANCELLED: "You stopped it here.",
    ReplyState.LOST: "This reply is incomplete: the site was stopped while it was being written.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMessage:
    """A message as it is shown. `place` counts from 1 within `branches`; `thumb` is "up", "down" or ""."""

    row: MessageRow
    branches: tuple[int, ...]
    place: int
    aside: bool = False
    live: bool = False
    note: str = ""
    thumb: str = ""

    @property
    def is_reply(self) -> bool:
        """Whether the double wrote this message."""
        return self.row.kind is EntryKind.REPLY

    @property
    def is_reset(self) -> bool:
        """Whether the double forgets what is above this mark."""
        return self.row.kind is EntryKind.RESET

    @property
    def before(self) -> int | None:
        """The branch before this one."""
        return self.branches[self.place - 2] if self.place > 1 else None

    @property
    def after(self) -> int | None:
        """The branch after this one."""
        return self.branches[self.place] if self.place < len(self.branches) else None


def own_conversation(request: HttpRequest, conversation_id: int) -> TalkRow:
    """The conversation of that number, if it is theirs; another's is as unknown to them as one that never was."""
    found = read(conversations.get, visitor_of(request).key, conversation_id)
    if found is None:
        raise Http404("There is no such conversation of yours. It may have been deleted.")
    return found


def own_tree(request: HttpRequest, conversation_id: int) -> tuple[TalkRow, Tree]:
    """The conversation with all that was said in it; what nobody writes any more is marked as broken off."""
    conversation = own_conversation(request, conversation_id)
    tree = Tree(read(messages.all_of, conversation_id))
    if any(_is_abandoned(row) for row in tree.rows):
        write(
            messages.break_off,
            conversation_id,
            but=[one.face.reply_id for one in LIVE.of_conversation(conversation_id)],
        )
        tree = Tree(read(messages.all_of, conversation_id))
    return conversation, tree


def _is_abandoned(row: MessageRow) -> bool:
    return row.state is ReplyState.WRITING and LIVE.get(row.id) is None and timezone.now() - row.at > PATIENCE


def entries(request: HttpRequest, rows: Iterable[MessageRow], tree: Tree, options: Resolved) -> list[ShownMessage]:
    """Messages of a branch, as they are shown."""
    thumbs = _Thumbs(request)
    sign = options.value("side_talk")
    made = []
    for row in rows:
        branches = tuple(tree.branches(row))
        made.append(
            ShownMessage(
                row=row,
                branches=branches,
                place=branches.index(row.id) + 1,
                aside=row.kind is EntryKind.SAID and is_side_talk(row.text, sign),
                live=row.state is ReplyState.WRITING,
                note=row.problem or STATES.get(row.state, "") if row.state else "",
                thumb=thumbs.of(row),
            )
        )
    return made


class _Thumbs:
    """What the visitor said about replies; who they judge as is found out when there is one to ask about."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._judge: int | None = None

    def of(self, row: MessageRow) -> str:
        if row.item_id is None:
            return ""
        if self._judge is None:
            self._judge = judge_of(self._request).id
        for one in read(judgements.of_item, row.item_id, self._judge):
            if one.scale is Scale.SOUNDS_LIKE_ME and one.value in (GOOD, BAD):
                return "up" if one.value == GOOD else "down"
        return ""


def thread(request: HttpRequest, conversation_id: int) -> dict[str, Any]:
    """The branch that is shown, for `_thread.html`."""
    conversation, tree = own_tree(request, conversation_id)
    path = tree.path(conversation.head)
    first = 0 if request.GET.get("all") else max(0, len(path) - SHOWN)
    shown = entries(request, path[first:], tree, read(options_of, conversation))
    return {
        "conversation": conversation,
        "entries": shown,
        "earlier": first,
        "token": secrets.token_urlsafe(18),
        "writing": any(entry.live for entry in shown),
        "double": _double(conversation),
    }


def one_entry(request: HttpRequest, conversation_id: int, message_id: int) -> dict[str, Any]:
    """A single message, for `_message.html`. Raises Http404 where there is none."""
    conversation, tree = own_tree(request, conversation_id)
    row = tree.get(message_id)
    if row is None:
        raise Http404("There is no such message in this conversation.")
    entry = entries(request, [row], tree, read(options_of, conversation))[0]
    return {"conversation": conversation, "entry": entry, "double": _double(conversation)}


def page(request: HttpRequest, conversation_id: int | None = None) -> dict[str, Any]:
    """The whole page: the list, the settings, and a conversation if one is open."""
    visitor = visitor_of(request)
    search = request.GET.get("q", "").strip()[:200]
    context: dict[str, Any] = {"token": secrets.token_urlsafe(18)}
    if conversation_id is not None:
        context = thread(request, conversation_id)
    conversation: TalkRow | None = context.get("conversation")
    wide = read(options_of, None)
    given = conversation.options if conversation else {}
    return {
        **context,
        "search": search,
        "found": read(conversations.of_owner, visitor.key, search=search),
        "voices": voices(),
        "model": model_of(conversation),
        "gone": bool(conversation and conversation.model and conversation.model not in {v.model for v in voices()}),
        "name": (conversation.name if conversation else "") or visitor.name,
        "first_fields": list(settings_form.fields(settings_form.FIRST, given, wide)),
        "more_fields": list(settings_form.fields(settings_form.MORE, given, wide)),
        "double": _double(conversation),
    }


def voices() -> tuple[Voice, ...]:
    """Everybody one can talk to; nobody where the site has no models."""
    engines = services().engines
    return engines.voices() if engines else ()


def known_model(model: str) -> str:
    """The model that was chosen, "" for none. Raises UserError where it is gone."""
    if model and model not in {voice.model for voice in voices()}:
        raise UserError(
            "The model that you chose is no longer available.", hint="Load the page again and choose another."
        )
    return model


def model_of(conversation: TalkRow | None) -> str:
    """The model that answers in a conversation."""
    if conversation and conversation.model:
        return conversation.model
    engines = services().engines
    return engines.default if engines and engines.voices() else ""


def _double(conversation: TalkRow | None) -> str:
    """The name of the person whose double answers."""
    model = model_of(conversation)
    return next((one.speaker for one in voices() if one.model == model), "") or "The double"
