"""Judging a reply where it stands, and what the model saw when it wrote it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from talkalike.errors import UserError
from talkalike.store.judging import rating_forms
from talkalike.store.judging.judgement_values import RATINGS, Scale, Type, headings
from talkalike.store.judging.rating_forms import FormChange, RatingForm
from talkalike.store.talking import messages
from talkalike.store.talking.values import EntryKind, MessageRow, TalkRow
from talkalike.website.access import needs
from talkalike.website.answers import answer, redirect
from talkalike.website.chat import view_models
from talkalike.website.chat.talking_views import ROLES
from talkalike.website.data import read, write
from talkalike.website.visitors import judge_of

FACE = "web"
KEPT, TAKEN_BACK = "Thanks, your judgement is saved.", "Taken back."


@needs(*ROLES)
@require_safe
def details(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """The scales, the correction, and what it saw."""
    conversation, row = _reply(request, conversation_id, message_id)
    return _details(request, conversation, row)


@needs(*ROLES)
@require_POST
def rate(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """A rating on one scale; the same one again takes it back."""
    conversation, row = _reply(request, conversation_id, message_id)
    item = _item(row)
    scale, value = _rating(request)
    filled = write(rating_forms.toggle, item, judge_of(request).id, scale, value, face=FACE)
    if request.POST.get("from") == "thumb":
        return _message(request, conversation, row)
    return _details(request, conversation, row, done=KEPT if scale in filled.after.ratings else TAKEN_BACK)


@needs(*ROLES)
@require_POST
def correct(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """What the double should have said, or a flag with a reason; an empty one takes it back."""
    conversation, row = _reply(request, conversation_id, message_id)
    item, judge = _item(row), judge_of(request)
    flag = request.POST.get("type") == Type.FLAG
    text = request.POST.get("text", "").replace("\r\n", "\n").strip()
    change = FormChange(flag=text) if flag else FormChange(correction=text)
    filled = write(rating_forms.fill, item, judge.id, change, face=FACE)
    if not text and filled.before == filled.after:
        raise UserError("There is no text yet.", hint="Write what it should have said, or what is wrong with it.")
    return _details(request, conversation, row, done=KEPT if text else TAKEN_BACK)


def _reply(request: HttpRequest, conversation_id: int, message_id: int) -> tuple[TalkRow, MessageRow]:
    conversation, tree = view_models.own_tree(request, conversation_id)
    row = tree.get(message_id)
    if row is None or row.kind is not EntryKind.REPLY:
        raise Http404("There is no such reply in this conversation.")
    return conversation, row


def _item(row: MessageRow) -> int:
    if row.item_id is None:
        raise UserError("This reply cannot be judged: it was not finished, or has no words.")
    return row.item_id


def _rating(request: HttpRequest) -> tuple[Scale, int]:
    scale, value = request.POST.get("scale", ""), request.POST.get("value", "")
    if scale not in set(Scale) or value not in {str(number) for number in RATINGS}:
        raise UserError("A rating is a whole number from 1 to 5, on one of the scales.")
    return Scale(scale), int(value)


def _message(request: HttpRequest, conversation: TalkRow, row: MessageRow) -> HttpResponse:
    if HtmxDetails(request):
        context = view_models.one_entry(request, conversation.id, row.id)
        return render(request, "website/chat/_message.html", context)
    return redirect(request, f"{reverse('chat:conversation', args=[conversation.id])}#m{row.id}")


def _details(request: HttpRequest, conversation: TalkRow, row: MessageRow, *, done: str = "") -> HttpResponse:
    seen, sampling = read(messages.seen_of, conversation.id, row.id)
    form = RatingForm()
    if row.item_id is not None:
        form = read(rating_forms.read_form, row.item_id, judge_of(request).id)
    context: dict[str, Any] = {
        "conversation": conversation,
        "row": row,
        "done": done,
        "scales": [
            {"key": scale.value, "label": label, "values": [(n, form.ratings.get(scale) == n) for n in RATINGS]}
            for scale, label in headings().items()
        ],
        "correction": form.correction or row.text,
        "corrected": bool(form.correction),
        "reason": form.flag,
        "kept": seen.get("kept", ()),
        "left_out": seen.get("left_out", ()),
        "budget": seen.get("budget", 0),
        "seen_tokens": seen.get("tokens", 0),
        "sampling": sampling,
    }
    return answer(request, page="website/chat/details.html", part="website/chat/_details.html", context=context)
