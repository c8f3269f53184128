"""Tasks that are being measured in the site's process: how far each is, and what went wrong."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass

from talkalike.chat.seeing.card import card_json, make_card
from talkalike.chat.seeing.comprehend import PicturesAtHand
from talkalike.chat.seeing.trials import Trial, TrialPlan, TrialResult, run_trials
from talkalike.engine.eyes import Eye
from talkalike.engine.protocol import Engine
from talkalike.errors import TalkalikeError, UserError
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import StoredTask
from talkalike.store.store import Store

REMEMBERED = 200

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class TaskProgress:
    """How far it is. `problem`: why it broke off, in words; "" while it has not."""

    of: int
    done: int = 0
    ended: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """What is measured, by whom, and where its card goes."""

    task: StoredTask
    plan: TrialPlan
    trials: tuple[Trial, ...]
    eye: Eye
    engine: Engine | None
    store: Store


class Measured:
    """The tasks that are being measured, or were since the site's start. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], TaskProgress] = {}
        self._running: set[asyncio.Task[None]] = set()

    def of(self, label: str, server: int) -> TaskProgress | None:
        """How far this version of a task of that server is; None where nobody measured it lately."""
        return self._known.get((server, label))

    def begin(self, wanted: Measuring) -> None:
        """Goes to work. Raises UserError where something is being measured already: an eye does one after the other."""
        if any(not one.ended for one in self._known.values()):
            raise UserError("A task is being measured already.", hint="Wait until it has its card.")
        key = (wanted.task.place.server_id, f"{wanted.task.spec.name}@{wanted.task.number}")
        self._known.pop(key, None)
        self._known[key] = progress = TaskProgress(of=len(wanted.trials))
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        running = asyncio.get_running_loop().create_task(_measure(wanted, progress), name=f"measure {key[1]}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)


async def _measure(wanted: Measuring, progress: TaskProgress) -> None:
    try:
        results: list[TrialResult] = []
        given = PicturesAtHand(gallery=wanted.plan.pictures, known=wanted.plan.known)
        async with aclosing(run_trials(wanted.trials, eye=wanted.eye, engine=wanted.engine, given=given)) as answers:
            async for result in answers:
                results.append(result)
                progress.done += 1
        card = make_card(wanted.plan, results, eye=wanted.eye.name)
        await wanted.store.run(tasks.keep_card, wanted.task, card_json(card))
    except UserError as error:
        progress.problem = str(error)
    except TalkalikeError as error:
        _log.warning("The measuring of %s broke off: %s", wanted.task.spec.name, error)
        progress.problem = "The eye can't be reached any more."
    finally:
        progress.ended = True


MEASURED = Measured()
