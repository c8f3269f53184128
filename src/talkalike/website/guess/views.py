"""Asks which of two replies is the real one, and shows the result after the last question."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from talkalike.errors import UserError
from talkalike.store.judging import guesses, judges
from talkalike.store.judging.guesses import Question, RoundRow
from talkalike.store.judging.judgement_values import Reason, RefusedError, Side
from talkalike.website.access import Role, needs
from talkalike.website.answers import answer, redirect, wants_part
from talkalike.website.data import read, write
from talkalike.website.guess import showing
from talkalike.website.once import once
from talkalike.website.visitors import judge_of

FACE = "web"
AGREED = "guess_agreed"  # in the session: that they read what the test is
OWN = "guess_own"  # in the session: {test: {question: whether it was right}}, for their own score


@needs(Role.GUESSER)
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The tests that are open, and the results of those that are over."""
    found = read(guesses.rounds)
    open_ = [row for row in found if row.open and row.questions]
    over = [row for row in found if not row.open and row.guesses]
    return render(request, "website/guess/index.html", {"open": open_, "over": over})


@needs(Role.GUESSER)
@require_safe
def ask(request: HttpRequest, number: int) -> HttpResponse:
    """What the test is, then its questions one by one, then the result."""
    row = _round(number)
    if row.open and not request.session.get(AGREED):
        judge = judge_of(request)
        first = write(guesses.next_question, row.id, judge.id)
        count = first.left_to_answer if first else 0
        return render(request, "website/guess/consent.html", {"round": row, "judge": judge, "count": count})
    return _next(request, row)


@needs(Role.GUESSER)
@require_POST
def start(request: HttpRequest, number: int) -> HttpResponse:
    """They agree to take part; apart from that, whether their guesses may be learned from."""
    row = _round(number)
    if request.POST.get("agreed") != "yes":
        raise UserError("To take part, please agree first.", hint="Or close the page: nothing is stored.")
    judge, learn = judge_of(request), request.POST.get("learn") == "yes"
    if learn and not judge.consent:
        write(judges.set_consent, judge.id, True)
    request.session[AGREED] = True
    return redirect(request, "guess:ask", row.id)


@needs(Role.GUESSER)
@require_POST
@once
def take(request: HttpRequest, number: int) -> HttpResponse:
    """Takes a guess and goes on. The first guess about a question stays."""
    row, judge = _round(number), judge_of(request)
    asked = showing.unseal(request.POST.get("asked", ""))
    side = request.POST.get("side", "")
    if asked is None or (asked.round, asked.judge) != (number, judge.id) or side not in (Side.LEFT, Side.RIGHT):
        raise RefusedError(
            Reason.INVALID,
            "This answer does not fit a question that you were asked.",
            hint="Nothing was stored. Open the test again: it goes on where you were.",
        )
    seconds = showing.seconds(asked, request.POST.get("seconds", ""))
    told = write(guesses.guess, asked.question, judge.id, Side(side), seconds=seconds, face=FACE)
    own = request.session.setdefault(OWN, {}).setdefault(str(number), {})
    twice = str(asked.question) in own or told.right is not (told.real == side)
    own[str(asked.question)] = told.right
    request.session.modified = True
    said = "You answered this one before. Your first answer counts." if twice else "Saved."
    if not wants_part(request):
        messages.success(request, said)
        return redirect(request, "guess:ask", number)
    return _next(request, row, said=said)


# --------------------------------------------------------------------------------------------------------------- inside
def _round(number: int) -> RoundRow:
    row = next((row for row in read(guesses.rounds) if row.id == number), None)
    if row is None:
        raise Http404("There is no such blind test, or no longer.")
    return row


def _next(request: HttpRequest, row: RoundRow, *, said: str = "") -> HttpResponse:
    judge = judge_of(request)
    question = write(guesses.next_question, row.id, judge.id) if row.open else None  # it locks the judge
    context: dict[str, Any] = {"round": row, "said": said}
    if question is None:
        own = request.session.get(OWN, {}).get(str(row.id), {})
        results = showing.shown(read(guesses.results, row.id))
        context |= {"own": len(own), "own_right": sum(own.values()), "results": results}
        return answer(request, page="website/guess/result.html", part="website/guess/_result.html", context=context)
    context |= _question(question, row.id, judge.id)
    return answer(request, page="website/guess/ask.html", part="website/guess/_ask.html", context=context)


def _question(question: Question, round_id: int, judge_id: int) -> dict[str, Any]:
    replies = question.replies
    asked = showing.Asked(question=replies.id, round=round_id, judge=judge_id, at=time.time())
    return {
        "question": question,
        "replies": replies,
        "asked": showing.seal(asked),
        "number": question.answered + 1,
        "all": question.answered + question.left_to_answer,
        "sides": [(side, replies.on(side).messages) for side in Side],
    }
