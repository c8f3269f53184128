"""Asking a task about a picture. What is sent is looked at, shown once beside the answer, and kept nowhere."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from talkalike.chat.options import refusal
from talkalike.chat.seeing.comprehend import SeenAnswer
from talkalike.chat.seeing.values import MOST_PICTURES
from talkalike.engine.protocol import Engine
from talkalike.errors import UserError
from talkalike.options import SAMPLING
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, Picture
from talkalike.pictures.pixels import as_jpeg
from talkalike.replying.picture_questions import AskedAbout, ask_about, require_eye
from talkalike.replying.queue import WaitingLine
from talkalike.replying.writing import today
from talkalike.store import usage
from talkalike.website.access import needs
from talkalike.website.answers import answer
from talkalike.website.chat.talk import options_of
from talkalike.website.chat.view_models import model_of
from talkalike.website.data import aread
from talkalike.website.services import services
from talkalike.website.tasks.views import ROLES, one_task, place_of, task_context
from talkalike.website.visitors import judge_of

LONGEST = 110.0  # seconds; a page waits for 120
SHOWN = 480  # pixels of a picture beside its answer
_LINE = WaitingLine(at_once=4, max_waiting=16)
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """An answer, with the pictures as addresses that hold them."""

    answer: SeenAnswer
    pictures: tuple[str, ...]


@needs(*ROLES)
@require_POST
async def ask(request: HttpRequest, server: int, name: str) -> HttpResponse:
    """The answer on the task's page, or alone where htmx asked."""
    found = await aread(one_task, request, server, name)
    eye = require_eye(services().onlooker)
    pictures = await aread(_read_pictures, request)
    judge = await aread(judge_of, request)
    async with _LINE.turn(judge.id, next(_NUMBERS)):  # one question at a time for each visitor
        sampling = await aread(_sampling, request, judge.id)
        asked = AskedAbout(
            place=place_of(request, server),
            pictures=pictures,
            task=found.label,
            prompt=request.POST.get("prompt", "").replace("\r\n", "\n"),
            sampling=sampling,
            by=usage.on_website(judge.id),
        )
        engine = None if eye.sight.answers else await reading_engine()
        said = await ask_about(services().store, asked, eye=eye, engine=engine, seconds=LONGEST)
    context = await aread(_context, request, server, name, _shown(said, pictures))
    return answer(request, page="website/tasks/task.html", part="website/tasks/_answer.html", context=context)


async def reading_engine() -> Engine | None:
    """The model in use, which reads what the eye saw; None where the site has none."""
    given, model = services(), model_of(None)
    return await given.engines.open(model) if given.engines is not None and model else None


def _read_pictures(request: HttpRequest) -> tuple[Picture, ...]:
    files = [file for file in request.FILES.getlist("pictures") if file.size]
    if not files:
        raise UserError("There is no picture to ask about.", hint="Choose one.")
    if len(files) > MOST_PICTURES:
        raise UserError(f"You can ask about at most {MOST_PICTURES} pictures at once, but there were {len(files)}.")
    return tuple(normalise(file.read(MAX_BYTES + 1)) for file in files)


def _sampling(request: HttpRequest, judge_id: int) -> Any:
    """The options that hold, with those that were typed. Raises UserError where today's budget is used up."""
    options = options_of(None)
    if words := refusal(options.budget(), usage.read_used(usage.on_website(judge_id), None, today())):
        raise UserError(words)
    typed = {key: request.POST.get(f"option-{key}", "").strip() for key in SAMPLING}
    return replace(options.sampling(), **{key: SAMPLING[key].parse(text) for key, text in typed.items() if text})


def _context(request: HttpRequest, server: int, name: str, shown: ShownAnswer) -> dict[str, Any]:
    return {**task_context(request, server, name), "shown": shown, "prompt": request.POST.get("prompt", "")}


def _shown(said: SeenAnswer, pictures: tuple[Picture, ...]) -> ShownAnswer:
    small = (base64.b64encode(as_jpeg(picture, SHOWN)).decode() for picture in pictures)
    return ShownAnswer(answer=said, pictures=tuple(f"data:image/jpeg;base64,{data}" for data in small))
