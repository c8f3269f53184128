"""The blind tests that are open, for the home page."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse

from talkalike.store.judging import guesses
from talkalike.website.access import Visitor
from talkalike.website.data import read
from talkalike.website.pages import Todo

MOST = 3  # tests shown


def todo(visitor: Visitor) -> Iterator[Todo]:
    """Each open test with questions."""
    rounds = [row for row in read(guesses.rounds) if row.open and row.questions]
    for row in rounds[:MOST]:
        yield Todo(
            title=f"Blind test: {row.name}",
            text="Two replies. Which one did a person really write?",
            action="Take part",
            url=reverse("guess:ask", args=[row.id]),
        )
