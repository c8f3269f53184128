"""The owner's page of invitation links, and the page that a link opens."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.website import problems
from talkalike.website.access import Role, needs, open_to_all, visitor_of
from talkalike.website.answers import redirect
from talkalike.website.data import read, write
from talkalike.website.invitations import (
    LONGEST,
    MOST_USES,
    WORDS,
    all_invitations,
    invitation_of,
    invite,
    revoke_invitation,
    use,
)
from talkalike.website.visitors import SESSION_GUEST, SESSION_INVITATION


class InvitationForm(forms.Form):
    """A new link."""

    role = forms.ChoiceField(
        label="They may", choices=[(role.value, words) for role, words in WORDS.items()], initial=Role.GUESSER.value
    )
    uses = forms.IntegerField(label="For how many people", min_value=1, max_value=MOST_USES, initial=10)
    days = forms.IntegerField(label="For how many days", min_value=1, max_value=LONGEST.days, initial=14)
    note = forms.CharField(label="For whom", max_length=200, required=False, help_text="A note for you. Optional.")


@needs(Role.OWNER)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitations(request: HttpRequest) -> HttpResponse:
    """Lists the links and makes new ones. The answer to the form shows the link, once."""
    form = InvitationForm(request.POST or None)
    link, now = "", timezone.now()
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        token = write(
            invite,
            Role(given["role"]),
            by=visitor_of(request).name,
            now=now,
            lasts=timedelta(days=given["days"]),
            uses=given["uses"],
            note=given["note"],
        )
        link = request.build_absolute_uri(reverse("accept", args=[token]))
        form = InvitationForm()
    context = {"form": form, "link": link, "invitations": read(all_invitations, now)}
    return render(request, "website/invitations.html", context, status=400 if form.errors else 200)


@needs(Role.OWNER)
@require_POST
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Ends a link and the visits that came with it."""
    ended = write(revoke_invitation, number, timezone.now())
    messages.success(request, "The link no longer works." if ended else "That link had ended already.")
    return redirect(request, "invitations")


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """What a link opens. Opening takes no use (messengers open links to preview them), starting does."""
    now = timezone.now()
    found = read(invitation_of, token, now)
    if found is None or not found.holds:
        return _refused(request, "This link does not work. It may be mistyped, over, or withdrawn.")
    visitor = visitor_of(request)
    if visitor.known and (not visitor.guest or request.session.get(SESSION_INVITATION) == found.number):
        return redirect(request, "home")  # is in already: no use is taken, and no log-in given up
    if request.method != "POST" and found.used < found.uses:
        words = f"With this link you may {found.words}."
        return render(request, "website/accept.html", {"words": words, "expires": found.expires_at})
    if request.method != "POST" or write(use, token, now) is None:
        return _refused(request, "As many people as this link was for have used it.")
    request.session.flush()  # a new name, so that nobody who knew the old one comes along
    request.session[SESSION_INVITATION] = found.number
    request.session[SESSION_GUEST] = secrets.token_hex(12)
    return redirect(request, "home")


def _refused(request: HttpRequest, what: str) -> HttpResponse:
    return problems.page(request, 403, "This invitation does not hold", what, "Ask whoever sent it for a new one.")
