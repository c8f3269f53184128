"""What there is to judge, for the home page."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse

from talkalike.store.judging import judges, pairs, serving
from talkalike.store.judging.pairs import BatchState
from talkalike.website.access import Visitor
from talkalike.website.data import read
from talkalike.website.pages import Todo

MOST = 3  # batches shown
NOBODY = 0  # an account that never judged


def todo(visitor: Visitor) -> Iterator[Todo]:
    """The open batches in which something waits."""
    judge_id = visitor.judge_id
    if visitor.account_id is not None:
        known = read(judges.known_account, visitor.account_id)
        judge_id = known.id if known else NOBODY
    if judge_id is None:
        return
    waiting = [row for row in read(pairs.batches, state=BatchState.OPEN) if row.left]
    for row in waiting[:MOST]:
        yield Todo(
            title=f"Judge: {row.name}",
            text="Two replies side by side: which one is better?",
            action="Go on" if read(serving.has_begun, judge_id, row.id) else "Start",
            url=reverse("judge:batch", args=[row.id]),
            count=row.left,
        )
