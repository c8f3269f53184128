"""Begins to measure a task; the page then tells how far it is."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from talkalike.chat.seeing.card import make_card
from talkalike.chat.seeing.trials import TrialPlan, plan_trials
from talkalike.errors import UserError
from talkalike.replying.picture_questions import require_eye
from talkalike.store.seeing.tasks import StoredTask
from talkalike.store.seeing.usable import trial_plan
from talkalike.website.access import Role, needs
from talkalike.website.answers import redirect
from talkalike.website.data import aread
from talkalike.website.services import services
from talkalike.website.tasks.asking import reading_engine
from talkalike.website.tasks.measured import MEASURED, Measuring
from talkalike.website.tasks.views import one_task, own_version


@needs(Role.OWNER)
@require_POST
async def measure(request: HttpRequest, server: int, name: str) -> HttpResponse:
    """Asks about the task's own examples, in the background. It costs no budget; ends with the site."""
    eye = require_eye(services().onlooker)
    stored, plan = await aread(_read, request, server, name)
    trials = plan_trials(plan)
    if not trials:
        raise UserError(" ".join(make_card(plan, [], eye=eye.name).says))
    engine = None if eye.sight.answers else await reading_engine()
    store = services().store
    MEASURED.begin(Measuring(task=stored, plan=plan, trials=trials, eye=eye, engine=engine, store=store))
    return redirect(request, "tasks:task", server, name)


def _read(request: HttpRequest, server: int, name: str) -> tuple[StoredTask, TrialPlan]:
    found = one_task(request, server, name)
    stored = own_version(found, server)
    if stored is None:
        raise UserError(f"The task '{found.spec.name}' is {found.whose} and cannot be measured here.")
    return stored, trial_plan(found)
