"""Shows pairs one after the other and takes what people choose."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from talkalike.store.judging import judges, locks, outcomes, pairs, serving, undoing, voting
from talkalike.store.judging.judgement_values import (
    COUNTS_FOR_NEITHER,
    Choice,
    Comparison,
    Given,
    Reason,
    RefusedError,
    Side,
    Type,
)
from talkalike.store.judging.judgements import JudgementRow
from talkalike.store.judging.pairs import BatchState
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import answer, redirect, wants_part
from talkalike.website.data import read, write
from talkalike.website.judge import showing
from talkalike.website.once import once
from talkalike.website.visitors import judge_of

FACE = "web"
GO_ON = "judge_go_on"  # in the session: a choice leads to the next pair at once


@needs(Role.JUDGE)
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The batches, and whether the judge agrees that what they say is used."""
    judge = judge_of(request)
    found = read(pairs.batches)
    open_ = [
        {"row": row, "progress": read(showing.progress_of, judge.id, row.id)}
        for row in found
        if row.state is BatchState.OPEN
    ]
    revealed = [row for row in found if row.state is BatchState.REVEALED]
    return render(request, "website/judge/index.html", {"judge": judge, "batches": open_, "revealed": revealed})


@needs(Role.JUDGE)
@require_POST
def consent(request: HttpRequest) -> HttpResponse:
    """Notes whether what they say may be exported and learned from; it can be changed at any time."""
    agreed = request.POST.get("agreed") == "yes"
    write(judges.set_consent, judge_of(request).id, agreed)
    words = "Thank you. What you say here may be used." if agreed else "What you say here stays in the statistics only."
    messages.success(request, words)
    return redirect(request, "judge:index")


@needs(Role.JUDGE)
@require_safe
def go_on(request: HttpRequest, batch: int) -> HttpResponse:
    """The pair that this judge has open, or the next; when there is none, how the batch stands."""
    return next_answer(request, judge_of(request).id, batch)


@needs(Role.JUDGE)
@require_safe
def pair(request: HttpRequest, batch: int, pair: int, again: bool) -> HttpResponse:
    """A pair that this judge was shown, with what they said; with the models' names once those are known."""
    judge = judge_of(request)
    state = read(pairs.state_of, batch)
    view = read(serving.find_shown, pair, judge.id, repeat=again)
    if state is None or view is None or view.batch_id != batch:
        raise Http404(locks.GONE)
    names = None
    if state is BatchState.REVEALED:
        a, b = read(pairs.names, pair)
        names = (a, b) if view.a_left else (b, a)
    else:
        read(locks.open_batch, batch)
    return pair_answer(request, view, judge.id, models=names)


@needs(Role.JUDGE)
@require_POST
@once
def vote(request: HttpRequest, batch: int, pair: int, again: bool) -> HttpResponse:
    """Takes a choice. The answer is the same pair with it, or the next where the judge wants to go on at once."""
    judge = judge_of(request)
    chosen = _choice(request.POST.get("choice", ""))
    at_once = request.POST.get("go_on") == "on"
    given = Given(batch_id=batch, pair_id=pair, repeat=again)
    try:
        view = write(voting.vote, given, judge.id, chosen, seconds=_seconds(request), face=FACE, go_on=at_once)
    except RefusedError as refused:
        raise _not_found(refused) from None
    if request.session.get(GO_ON, False) is not at_once:
        request.session[GO_ON] = at_once
    said = _words(chosen)
    if not wants_part(request):
        return _to(request, said, *(("judge:batch", batch) if at_once else ("judge:pair", batch, pair, again)))
    return pair_answer(request, view, judge.id, said=said) if view else _done(request, judge.id, batch, said)


@needs(Role.JUDGE)
@require_POST
@once
def undo(request: HttpRequest, batch: int) -> HttpResponse:
    """Takes the last thing this judge said back; a choice leads back to its pair, anything else stays where it was."""
    judge = judge_of(request)
    undone = write(undoing.undo, judge.id)
    here = (batch, _number(request, "pair"), request.POST.get("again") == "1")
    if undone is None:
        return shown_answer(request, judge.id, here, said="There is nothing to undo.")
    row = undone.taken_back
    said = f"Taken back: {_what(row)}."
    if undone.holds_again is not None:
        said += f" Your earlier judgement counts again: {_what(undone.holds_again)}."
    if row.pair_id is not None:
        view = read(serving.find_shown, row.pair_id, judge.id, repeat=row.repeat)
        if view is not None and view.batch_id is not None:
            here = (view.batch_id, view.id, view.repeat)
    return shown_answer(request, judge.id, here, said=said)


@needs(Role.JUDGE)
@require_POST
def reveal(request: HttpRequest, batch: int) -> HttpResponse:
    """Shows the names: the owner when they like, judges once no pair of the batch waits for anybody."""
    if not write(_reveal, batch, anyway=visitor_of(request).owner):
        raise RefusedError(
            Reason.CLOSED,
            "The names stay hidden: there are pairs left to judge.",
            hint="They are shown when the batch is done, because knowing them would sway people.",
        )
    return redirect(request, "judge:batch", batch)


# --------------------------------------------------------------------------------------------------------------- inside
def next_answer(request: HttpRequest, judge_id: int, batch: int, *, said: str = "") -> HttpResponse:
    """The next pair, or that there is none."""
    try:
        view = write(serving.next_pair, judge_id, batch)
    except RefusedError as refused:
        if refused.reason in (Reason.CLOSED, Reason.REVEALED):
            return _done(request, judge_id, batch, said)
        raise _not_found(refused) from None
    if view is None:
        return _done(request, judge_id, batch, said)
    if request.method == "POST" and not wants_part(request):
        return _to(request, said, "judge:batch", batch)
    return pair_answer(request, view, judge_id, said=said)


def shown_answer(request: HttpRequest, judge_id: int, here: tuple[int, int, bool], *, said: str) -> HttpResponse:
    """The pair `here` (its batch, its id, whether it is the repetition) again, after something was stored."""
    batch, pair, again = here
    if not wants_part(request):
        return _to(request, said, *(("judge:pair", batch, pair, again) if pair else ("judge:batch", batch)))
    view = read(serving.find_shown, pair, judge_id, repeat=again) if pair else None
    if view is None or view.batch_id != batch:
        return next_answer(request, judge_id, batch, said=said)
    return pair_answer(request, view, judge_id, said=said)


def pair_answer(
    request: HttpRequest, view: Comparison, judge_id: int, *, said: str = "", models: tuple[str, str] | None = None
) -> HttpResponse:
    """A pair as a page, or as the part of it that changes."""
    context: dict[str, Any] = read(showing.pair_context, view, judge_id, models=models)
    context |= {"said": said, "go_on": request.session.get(GO_ON, False)}
    context["url"] = reverse("judge:pair", args=[view.batch_id, view.id, view.repeat])
    return answer(request, page="website/judge/pair.html", part="website/judge/_pair.html", context=context)


def _done(request: HttpRequest, judge_id: int, batch: int, said: str) -> HttpResponse:
    row = read(pairs.batch, batch)
    judged = read(outcomes.judged_by, judge_id, batch)
    wins: dict[str, int] = {}
    for one in judged:
        for model in (one.a, one.b):
            wins[model] = wins.get(model, 0) + (one.winner == model)
    context = {
        "row": row,
        "batch": batch,
        "url": reverse("judge:batch", args=[batch]),
        "may_reveal": row is not None and row.state is not BatchState.REVEALED and row.left == 0,
        "progress": read(showing.progress_of, judge_id, batch),
        "judged": judged,
        "wins": sorted(wins.items(), key=lambda won: -won[1]),
        "said": said,
    }
    if request.method == "POST" and not wants_part(request):
        return _to(request, said, "judge:batch", batch)
    return answer(request, page="website/judge/done.html", part="website/judge/_done.html", context=context)


def _to(request: HttpRequest, said: str, to: str, *where: object) -> HttpResponse:
    """Without a script: what was done is said on the page that comes next."""
    messages.success(request, said)
    return redirect(request, to, *where)


def _not_found(refused: RefusedError) -> Exception:
    return Http404(refused.what) if refused.reason is Reason.UNKNOWN else refused


def _reveal(batch: int, *, anyway: bool) -> bool:
    """One thread writes, so no pair is added and no choice taken back in between."""
    row = pairs.batch(batch)
    if row is None:
        raise locks.unknown_error("batch")
    if row.left and not anyway:
        return False
    pairs.reveal_batch(batch)
    return True


def _choice(given: str) -> Choice | Side:
    if given in (Side.LEFT, Side.RIGHT):
        return Side(given)
    if given in (Choice.TIE, Choice.BOTH_BAD, Choice.SKIP):
        return Choice(given)
    raise RefusedError(Reason.INVALID, "That choice does not exist.", hint="Use the buttons below the replies.")


def _words(chosen: Choice | Side) -> str:
    if isinstance(chosen, Side):
        return f"Saved: reply {chosen.number} is better."
    return f"Saved: {chosen.words}.{' ' + COUNTS_FOR_NEITHER if chosen is Choice.SKIP else ''}"


def _what(row: JudgementRow) -> str:
    """What was said, in a few words that give no name away."""
    if row.type is Type.RATING and row.scale is not None:
        return f"{row.value} of 5 for “{row.scale.words()}”"
    if row.choice is not None:
        return row.choice.words
    return {Type.CORRECTION: "a better version", Type.FLAG: "a flag", Type.SKIP: "a skip"}.get(row.type, "a judgement")


def _seconds(request: HttpRequest) -> float | None:
    """How long they looked: measured by the page's script, which knows when it was seen; None without it."""
    try:
        return float(request.POST.get("seconds", ""))
    except ValueError:
        return None


def _number(request: HttpRequest, name: str) -> int:
    given = request.POST.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
