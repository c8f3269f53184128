"""What every template gets."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from talkalike.website.access import visitor_of
from talkalike.website.pages import pages_of
from talkalike.website.services import services


def frame(request: HttpRequest) -> dict[str, Any]:
    """`visitor`, `navigation` (only what they may open), `site_title`."""
    visitor = visitor_of(request)
    name = services().settings.name
    navigation = [
        {"title": page.title, "url": (url := f"{reverse('home')}{page.name}/"), "here": request.path.startswith(url)}
        for page in pages_of(visitor)
    ]
    return {
        "visitor": visitor,
        "navigation": navigation,
        "site_title": f"{name}'s double" if name else "The double",
        "invitations_url": reverse("invitations"),
    }
