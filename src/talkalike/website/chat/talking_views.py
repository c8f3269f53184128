"""Saying something, asking again, editing, stopping: all that makes the double write, and following it as it does."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from talkalike.chat.history import is_side_talk
from talkalike.chat.options import Budget, refusal
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES
from talkalike.replying.session import OngoingReply
from talkalike.replying.writing import today
from talkalike.store import usage
from talkalike.store.talking import conversations, messages
from talkalike.store.talking.messages import Saying
from talkalike.store.talking.values import EntryKind, MessageRow, NewPicture, TalkRow, Tree
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import redirect, wants_part
from talkalike.website.chat import view_models
from talkalike.website.chat.reply import LIVE, WebReply, sse, stream
from talkalike.website.chat.talk import forget_saved, options_of
from talkalike.website.data import aread, awrite, read
from talkalike.website.services import services
from talkalike.website.visitors import judge_of

ROLES = (Role.JUDGE, Role.VIEWER)
LONGEST_TEXT = 20_000
MOST_PICTURES = 4
MOST_MESSAGES = 5_000  # of a conversation, all branches together
RESET = "/reset"


@needs(*ROLES)
@require_POST
async def new(request: HttpRequest) -> HttpResponse:
    """A new conversation, begun with what was said."""
    text, pictures = await aread(_read_posted, request)
    model = view_models.known_model(request.POST.get("model", ""))
    await _require_room(request)
    if not model and not view_models.voices():
        raise UserError("There is no model to talk to: the site runs without one.")
    owner, name = visitor_of(request).key, visitor_of(request).name
    conversation_id = await awrite(conversations.begin, owner, name=name, model=model)
    conversation = await aread(view_models.own_conversation, request, conversation_id)
    live = await _say(request, conversation, Saying(parent=None, text=text, pictures=pictures))
    if live and not wants_part(request):
        await live.wait()
    return redirect(request, f"{reverse('chat:conversation', args=[conversation_id])}#end")


@needs(*ROLES)
@require_POST
async def say(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """Says something at the end of the branch that the visitor saw."""
    text, pictures = await aread(_read_posted, request)
    conversation, tree = await aread(view_models.own_tree, request, conversation_id)
    _require_space(tree)
    parent = _parent(request, conversation, tree)
    if text.lower() == RESET and not pictures:
        if parent is not None:
            await awrite(messages.reset, conversation_id, parent)
            forget_saved(conversation_id)
        return await _show_branch(request, conversation_id, None)
    token = request.POST.get("token", "")[:40]
    live = await _say(request, conversation, Saying(parent=parent, text=text, token=token, pictures=pictures))
    return await _show_branch(request, conversation_id, live)


@needs(*ROLES)
@require_POST
async def again(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """Another reply to the same message. One that is still being written is stopped."""
    conversation, tree = await aread(view_models.own_tree, request, conversation_id)
    row = _of_kind(tree, message_id, EntryKind.REPLY)
    _require_space(tree)
    running = LIVE.get(row.id)
    if running is not None:
        await LIVE.stop(running)
    await _require_room(request)
    assert row.parent is not None  # a reply answers something
    model = view_models.model_of(conversation)
    reply_id = await awrite(messages.answer, conversation_id, row.parent, model=model)
    return await _show_branch(request, conversation_id, await _start(request, conversation, reply_id, model))


@needs(*ROLES)
async def edit(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """The form for a message of one's own; sent, it is a branch beside the old one, and the double answers it."""
    conversation, tree = await aread(view_models.own_tree, request, conversation_id)
    row = _of_kind(tree, message_id, EntryKind.SAID)
    if request.method != "POST":
        return await aread(_edit_form, request, conversation, row)
    text, pictures = await aread(_read_posted, request, kept=len(row.pictures))
    _require_space(tree)
    kept = await aread(_pictures_of, conversation, row)
    token = request.POST.get("token", "")[:40]
    saying = Saying(parent=row.parent, text=text, token=token, pictures=(*kept, *pictures))
    return await _show_branch(request, conversation_id, await _say(request, conversation, saying))


@needs(*ROLES)
@require_POST
async def stop(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """Stops whatever is being written in a conversation; what is there stays."""
    await aread(view_models.own_conversation, request, conversation_id)
    for live in LIVE.of_conversation(conversation_id)[::-1]:  # those that wait first: none begins meanwhile
        await LIVE.stop(live)
    return await _show_branch(request, conversation_id, None)


@needs(*ROLES)
@require_safe
async def events(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponseBase:
    """A reply as it is written, as server-sent events; "end" alone where it is written already."""
    await aread(view_models.own_conversation, request, conversation_id)
    live = LIVE.get(message_id)
    last = request.headers.get("Last-Event-ID", "")
    headers = {"X-Accel-Buffering": "no"}
    if live is None or live.face.conversation_id != conversation_id:
        return HttpResponse(sse(1, "end", {}), content_type="text/event-stream", headers=headers)
    body = stream(live.face.followers, int(last) if last.isascii() and last.isdigit() else 0)
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=headers)


async def _say(request: HttpRequest, conversation: TalkRow, saying: Saying) -> OngoingReply[WebReply] | None:
    """Stores it, and begins the reply unless it was said aside, or the form was sent before."""
    options = await aread(options_of, conversation)
    answered = not is_side_talk(saying.text, options.value("side_talk"))
    model = view_models.model_of(conversation)
    if answered:
        await _require_room(request)
    stored = replace(saying, answered=answered, model=model)
    _, reply_id, fresh = await awrite(messages.say, conversation.id, stored)
    if reply_id is None:
        return None
    return await _start(request, conversation, reply_id, model) if fresh else LIVE.get(reply_id)


async def _start(request: HttpRequest, conversation: TalkRow, reply_id: int, model: str) -> OngoingReply[WebReply]:
    given = services()
    if given.engines is None:
        raise UserError("There is no model to talk to: the site runs without one.")
    face = WebReply(
        store=given.store,
        engines=given.engines,
        judge=await aread(judge_of, request),
        reply_id=reply_id,
        conversation_id=conversation.id,
        owner=conversation.owner,
        model=model,
        onlooker=given.onlooker,
    )
    return LIVE.start(face)


async def _show_branch(request: HttpRequest, conversation_id: int, live: OngoingReply[WebReply] | None) -> HttpResponse:
    """The branch as it is now; without JavaScript the page, once the reply is written."""
    if wants_part(request):
        return await aread(_thread, request, conversation_id)
    if live is not None:
        await live.wait()
    return redirect(request, f"{reverse('chat:conversation', args=[conversation_id])}#end")


def _thread(request: HttpRequest, conversation_id: int) -> HttpResponse:
    return render(request, "website/chat/_thread.html", view_models.thread(request, conversation_id))


def _read_posted(request: HttpRequest, *, kept: int = 0) -> tuple[str, tuple[NewPicture, ...]]:
    """What was typed, and the pictures, written anew. Raises UserError for what cannot be sent."""
    text = request.POST.get("text", "").replace("\r\n", "\n").strip()
    files = [file for file in request.FILES.getlist("pictures") if file.size]
    if not text and not files and not kept:
        raise UserError("There is nothing to send yet.", hint="Write something, or add a picture.")
    if len(text) > LONGEST_TEXT:
        raise UserError(
            f"The message has {len(text):,} characters, but at most {LONGEST_TEXT:,} are allowed.",
            hint="Send it in parts.",
        )
    if len(files) + kept > MOST_PICTURES:
        raise UserError(f"A message can have {MOST_PICTURES} pictures at most.")
    return text, tuple(_picture(file) for file in files)


def _picture(file: UploadedFile[Any]) -> NewPicture:
    made = normalise(file.read(MAX_BYTES + 1))
    return NewPicture(
        name=file.name or "picture",
        content_type=made.content_type,
        width=made.width,
        height=made.height,
        data=made.data,
    )


def _pictures_of(conversation: TalkRow, row: MessageRow) -> list[NewPicture]:
    """The pictures of a message, for the branch beside it."""
    kept = []
    for one in row.pictures:
        found = read(messages.picture, conversation.owner, conversation.id, one.id)
        if found is not None:
            sizes: dict[str, Any] = {"width": one.width, "height": one.height}
            kept.append(NewPicture(name=one.name, content_type=found[1], data=found[0], **sizes))
    return kept


def _parent(request: HttpRequest, conversation: TalkRow, tree: Tree) -> int | None:
    """What the visitor saw last: another tab may have gone on since, and this becomes a branch then."""
    asked = request.POST.get("parent", "")
    row = tree.get(int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 18 else None
    return row.id if row else conversation.head or None


def _of_kind(tree: Tree, message_id: int, kind: EntryKind) -> MessageRow:
    row = tree.get(message_id)
    if row is None or row.kind is not kind:
        raise Http404("There is no such message in this conversation.")
    return row


async def _require_room(request: HttpRequest) -> None:
    """Raises UserError where the visitor has as many replies under way, or had as many today, as one may."""
    key = visitor_of(request).key
    LIVE.require_room(key)
    if words := await aread(_used_up, request, LIVE.count(key)):
        raise UserError(words, hint="Nothing of what you wrote just now was sent.")


def _used_up(request: HttpRequest, under_way: int) -> str:
    """Why there is no reply any more today; "" while there is room. Talk here counts as direct messages do."""
    budget = options_of(None).budget()
    if budget == Budget():
        return ""
    used = usage.read_used(usage.on_website(judge_of(request).id), None, today())
    return refusal(budget, replace(used, replies_user=used.replies_user + under_way))


def _require_space(tree: Tree) -> None:
    if len(tree.rows) >= MOST_MESSAGES:
        raise UserError(f"This conversation has {len(tree.rows):,} messages and is full.", hint="Start a new one.")


def _edit_form(request: HttpRequest, conversation: TalkRow, row: MessageRow) -> HttpResponse:
    context = {"conversation": conversation, "row": row, "token": secrets.token_urlsafe(18)}
    template = "website/chat/_edit.html" if wants_part(request) else "website/chat/edit.html"
    return render(request, template, context)
