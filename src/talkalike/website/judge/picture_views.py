"""Pictures that stand in what a pair's replies answer."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from talkalike.store.judging import serving
from talkalike.store.talking import pictures
from talkalike.website.access import Role, needs
from talkalike.website.answers import image
from talkalike.website.data import read
from talkalike.website.visitors import judge_of


@needs(Role.JUDGE)
@require_safe
def picture(request: HttpRequest, batch: int, pair: int, again: bool, picture_id: int) -> HttpResponse:
    """A picture of the context, for a judge to whom the pair was given."""
    view = read(serving.find_shown, pair, judge_of(request).id, repeat=again)
    if view is None or view.batch_id != batch:
        raise Http404("This pair is not there any more, or it was not given to you.")
    found = read(pictures.data_of, (view.left.item_id, view.right.item_id), picture_id)
    if found is None:
        raise Http404("There is no such picture with this pair.")
    return image(*found)
