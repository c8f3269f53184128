"""The owner's page of invitation links, and the page that a link opens.

The store makes, checks and ends them (`store.judging.judges`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.store.judging import judges
from talkalike.store.judging.judges import Group, InvitationRow
from talkalike.website.access import IMPLIED, INVITABLE, Role, needs, open_to_all, visitor_of
from talkalike.website.answers import problem, redirect
from talkalike.website.data import read, write
from talkalike.website.pages import PAGES
from talkalike.website.visitors import SESSION_JUDGE, judge_of


def pages_opened_by(role: Role) -> str:
    """What the role lets somebody do: every page that it opens, and no other."""
    does = [page.does for page in PAGES if not IMPLIED[role].isdisjoint(page.roles)]
    return " and ".join(filter(None, (", ".join(does[:-1]), does[-1])))


WORDS = {role: pages_opened_by(role) for role in INVITABLE}
"""What an invitation may let somebody do. Nobody is made an owner by a link."""

OFFERED = tuple(role for role in INVITABLE if role.value in {group.value for group in Group})
MAX_DAYS = 365
MAX_USES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation in words. `holds`: whether it lets anybody in."""

    row: InvitationRow
    words: str
    state: str
    holds: bool


def describe(row: InvitationRow, now: datetime) -> Invited:
    """Describes an invitation for the list of links."""
    if row.revoked:
        state = "revoked"
    elif row.expires_at <= now:
        state = "expired"
    else:
        state = "used up" if row.used >= row.uses else "open"
    return Invited(row=row, words=words_of(row), state=state, holds=state == "open")


def may_chat(row: InvitationRow) -> bool:
    """Whether it lets somebody say things that are stored."""
    chat = next(page for page in PAGES if page.name == "chat")
    return not IMPLIED[Role(row.group.value)].isdisjoint(chat.roles)


def words_of(row: InvitationRow) -> str:
    """What an invitation lets somebody do."""
    return WORDS.get(Role(row.group.value), "look around")


MAX_NOTE = 200


class InvitationForm(forms.Form):
    """What a new invitation link allows, for how many people and how long."""

    role = forms.ChoiceField(label="They may", choices=[(role.value, WORDS[role]) for role in OFFERED])
    uses = forms.IntegerField(label="For how many people", min_value=1, max_value=MAX_USES, initial=10)
    days = forms.IntegerField(label="For how many days", min_value=1, max_value=MAX_DAYS, initial=14)
    note = forms.CharField(label="For whom", max_length=MAX_NOTE, required=False, help_text="A note for you. Optional.")


@needs(Role.OWNER)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitations(request: HttpRequest) -> HttpResponse:
    """Lists the links and makes new ones. The answer to the form shows the link, once."""
    form, link = InvitationForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        given, by = form.cleaned_data, judge_of(request).id
        group = Group(given["role"])
        token, _ = write(judges.invite, group, by=by, uses=given["uses"], days=given["days"], note=given["note"])
        link = request.build_absolute_uri(reverse("accept", args=[token]))
        form = InvitationForm()
    now = timezone.now()
    rows = [describe(row, now) for row in read(judges.all_invitations)]
    context = {"form": form, "link": link, "invitations": rows}
    return render(request, "website/invitations.html", context, status=400 if form.errors else 200)


@needs(Role.OWNER)
@require_POST
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Ends a link. Those who came with it stay; the admin can block each of them."""
    ended = write(judges.revoke, number)
    messages.success(request, "The link no longer works." if ended else "The link had already ended.")
    return redirect(request, "invitations")


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """What a link opens. Opening takes no use (messengers open links to preview them), starting does."""
    if visitor_of(request).known:
        return redirect(request, "home")  # is in already: no use is taken, and no log-in given up
    row = read(judges.invitation, token)
    if row is not None and request.method != "POST":
        words = f"With this link you may {words_of(row)}."
        return render(
            request, "website/accept.html", {"words": words, "expires": row.expires_at, "chats": may_chat(row)}
        )
    judge = write(judges.redeem, token) if row is not None else None
    if judge is None:
        return problem(
            request,
            403,
            "This invitation is not valid",
            "The link is mistyped, expired, revoked or used up.",
            "Ask the sender for a new link.",
        )
    request.session.flush()  # a new session, so that nobody who knew the old one comes along
    request.session[SESSION_JUDGE] = judge.id
    return redirect(request, "home")
