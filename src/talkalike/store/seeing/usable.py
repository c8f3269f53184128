"""The tasks that can be used in a place: its own, everybody's, and those that are there from the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from talkalike.chat.seeing.changing import TaskChange
from talkalike.chat.seeing.checking import split_name
from talkalike.chat.seeing.defaults import default_pictures, default_tasks
from talkalike.chat.seeing.prints import prints_of
from talkalike.chat.seeing.selecting import KnownOfPictures
from talkalike.chat.seeing.trials import TrialPlan
from talkalike.chat.seeing.values import TaskSpec
from talkalike.errors import UserError, did_you_mean
from talkalike.pictures.picture import Picture
from talkalike.store.seeing import kept, tasks
from talkalike.store.seeing.tasks import StoredTask, TaskPlace

SHIPPED = "there from the start"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableTask:
    """A task, ready to be used. `stored`: None for one that was there from the start."""

    spec: TaskSpec
    stored: StoredTask | None = None

    @property
    def label(self) -> str:
        """The name with the version, as it stands under an answer."""
        return f"{self.spec.name}@{self.stored.number}" if self.stored else self.spec.name

    @property
    def whose(self) -> str:
        """Whose it is, in words."""
        return self.stored.place.words if self.stored else SHIPPED


def usable_tasks(place: TaskPlace) -> tuple[UsableTask, ...]:
    """What can be used there, by name; a task of somebody's stands for one of the same name from the start."""
    found = {name: UsableTask(spec=spec) for name, spec in default_tasks().items()}
    found |= {stored.spec.name: UsableTask(spec=stored.spec, stored=stored) for stored in tasks.tasks_of(place)}
    return tuple(found[name] for name in sorted(found))


def usable_task(place: TaskPlace, typed: str) -> UsableTask:
    """The task "name" or "name@3". Raises UserError with the nearest name where there is none."""
    stored = tasks.find(place, typed)
    if stored is not None:
        return UsableTask(spec=stored.spec, stored=stored)
    name, number = split_name(typed)
    if name in default_tasks() and number is None:
        return UsableTask(spec=default_tasks()[name])
    if name in default_tasks():
        raise UserError(f"The task '{name}' was there from the start and has no versions.", hint=f"Write: {name}")
    names = [task.spec.name for task in usable_tasks(place)]
    hint = did_you_mean(name, names, otherwise=f"There are: {', '.join(names)}.")
    raise UserError(f"There is no task '{name}' here.", hint=hint)


def own_task(place: TaskPlace, typed: str, *, to_be: str = "edited") -> StoredTask:
    """The task of this very place that is to be "edited" or "removed". Raises UserError for any other."""
    found = usable_task(place, typed)
    if found.stored is not None and found.stored.place == place:
        return found.stored
    whose = SHIPPED if found.stored is None else "for everybody"
    raise UserError(
        f"The task '{found.spec.name}' is {whose} and cannot be {to_be} here.",
        hint="Add one of your own: under the same name it stands in its place.",
    )


def begin_task(
    place: TaskPlace, name: str, given: TaskChange, pictures: Mapping[str, Picture], *, by: int
) -> StoredTask:
    """Adds a task, with the bytes of its pictures by hash. Raises UserError as `tasks.register` does."""
    spec = given.started(name)
    tasks.register(place, spec, pictures, by=by)
    return own_task(place, spec.name)


def change_task(
    place: TaskPlace, typed: str, change: TaskChange, pictures: Mapping[str, Picture], *, by: int
) -> StoredTask:
    """Adds a version to a task of this very place; to an older one where "name@1" was typed.

    What two people change at once is both in the newest version. Raises UserError.
    """
    with transaction.atomic():
        tasks.lock(place, split_name(typed)[0])
        spec = change.applied(own_task(place, typed).spec)
        tasks.revise(place, spec, pictures, by=by)
        return own_task(place, spec.name)


def trial_plan(found: UsableTask, *, seed: int = 0) -> TrialPlan:
    """All that a task is tried with, read."""
    gallery = pictures_of(found.spec)
    return TrialPlan(spec=found.spec, pictures=gallery, known=KnownOfPictures(prints=prints_of(gallery)), seed=seed)


def pictures_of(spec: TaskSpec) -> dict[str, Picture]:
    """The pictures of a task's examples, by hash."""
    wanted = {shot.picture.hash for shot in spec.shots if shot.picture}
    drawn = {hash_: picture for hash_, picture in default_pictures().items() if hash_ in wanted}
    return drawn | kept.pictures(wanted - drawn.keys())
