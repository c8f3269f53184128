"""Tasks by example: who has which, their versions, and their pictures.

A task belongs to a server, to one person's direct messages, or to everybody (the owner's). Versions are only added. A
removed task loses its examples and texts, but not its numbers: one of the same name goes on counting, so that no
version ever stands for two things. Who may change a task is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from talkalike.chat.seeing.checking import check_task, split_name
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture, PictureRef
from talkalike.store import storable
from talkalike.store.seeing import kept
from talkalike.store.tables import seeing_tables as tables

if TYPE_CHECKING:
    from talkalike.store.seeing.models import PictureTask, TaskExample, TaskVersion

_REMOVED = ""  # the template of a version whose task was removed


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlace:
    """Whose tasks: a server's, or (server 0) those of one person's direct messages; with neither, everybody's."""

    server_id: int = 0
    owner_id: int = 0

    @property
    def words(self) -> str:
        """Whose they are, in words."""
        if self.server_id:
            return f"server {self.server_id}"
        return "one person's direct messages" if self.owner_id else "everybody"


EVERYBODY = TaskPlace()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """A version of a task. `card`: what it scored, empty before it was measured."""

    place: TaskPlace
    spec: TaskSpec
    number: int
    by: int
    at: datetime
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Which version it is, in a sentence."""
        count = len(self.spec.shots)
        examples = f"{count:,} example{'' if count == 1 else 's'}"
        return f"The task '{self.spec.name}' of {self.place.words} has its version {self.number}, with {examples}."


def register(place: TaskPlace, spec: TaskSpec, pictures: Mapping[str, Picture], *, by: int) -> int:
    """Adds a task, with the bytes of its pictures by hash; returns the number of its version.

    Raises UserError for what no task can be, where there is one of this name, or where a picture is missing.
    """
    check_task(spec)
    with transaction.atomic():
        row, made = tables.PictureTask.objects.get_or_create(**_key(place, spec.name))
        row = tables.PictureTask.objects.select_for_update().get(pk=row.pk)
        if not made and row.removed_at is None:
            raise UserError(
                f"There is a task '{spec.name}' already.", hint="Choose another name, or edit it: that adds a version."
            )
        tables.PictureTask.objects.filter(pk=row.pk).update(removed_at=None)
        return _add_version(row, spec, pictures, by)


def revise(place: TaskPlace, spec: TaskSpec, pictures: Mapping[str, Picture], *, by: int) -> int:
    """Adds a version to a task of this place; returns its number. `pictures`: those that are not kept yet.

    Raises as `register` does, and where this place has no such task.
    """
    check_task(spec)
    with transaction.atomic():
        row = tables.PictureTask.objects.select_for_update().filter(removed_at=None, **_key(place, spec.name)).first()
        if row is None:
            raise UserError(f"There is no task '{spec.name}' here to be edited.", hint="Add it first.")
        return _add_version(row, spec, pictures, by)


def lock(place: TaskPlace, name: str) -> None:
    """Nobody else changes this task until the transaction ends."""
    list(tables.PictureTask.objects.select_for_update().filter(**_key(place, name)).values_list("pk"))


def find(place: TaskPlace, typed: str) -> StoredTask | None:
    """The task of this name here, else everybody's; "name" is the newest version, "name@3" an older one.

    None where there is no such task. Raises UserError for what is no name, and for a version that there is not.
    """
    name, number = split_name(typed)
    for where in dict.fromkeys((place, EVERYBODY)):
        row = tables.PictureTask.objects.filter(removed_at=None, **_key(where, name)).first()
        if row is None:
            continue
        newest = row.versions.exclude(template=_REMOVED).order_by("-number")
        version = newest.first() if number is None else newest.filter(number=number).first()
        if version is None:
            numbers = ", ".join(str(one) for one in sorted(newest.values_list("number", flat=True)))
            raise UserError(f"The task '{name}' has no version {number}.", hint=f"It has: {numbers}.")
        return _stored(version)
    return None


def tasks_of(place: TaskPlace) -> tuple[StoredTask, ...]:
    """The newest version of each task that can be used here, everybody's included, by name."""
    found = {}
    for where in (EVERYBODY, place):
        rows = tables.PictureTask.objects.filter(removed_at=None, server_id=where.server_id, owner_id=where.owner_id)
        for row in rows:
            version = row.versions.exclude(template=_REMOVED).order_by("-number").first()
            if version is not None:
                found[row.name] = _stored(version)
    return tuple(found[name] for name in sorted(found))


def servers_with_tasks() -> tuple[int, ...]:
    """The servers that have tasks of their own, by id."""
    rows = tables.PictureTask.objects.filter(removed_at=None).exclude(server_id=0)
    return tuple(rows.order_by("server_id").values_list("server_id", flat=True).distinct())


def versions_of(place: TaskPlace, name: str) -> tuple[StoredTask, ...]:
    """Every version of a task of this very place, the newest first; none where there is no such task."""
    rows = tables.TaskVersion.objects.filter(
        **{f"task__{key}": value for key, value in _key(place, name).items()}, task__removed_at=None
    )
    return tuple(_stored(row) for row in rows.exclude(template=_REMOVED).order_by("-number"))


def remove(place: TaskPlace, name: str) -> bool:
    """Removes a task of this very place with all versions, and pictures that nothing else needs; False if none is."""
    with transaction.atomic():
        row = tables.PictureTask.objects.select_for_update().filter(removed_at=None, **_key(place, name)).first()
        if row is None:
            return False
        _empty(row.versions.all())
        tables.PictureTask.objects.filter(pk=row.pk).update(removed_at=timezone.now())
        return True


def keep_card(task: StoredTask, card: Mapping[str, Any]) -> bool:
    """Keeps what this version scored, instead of an earlier score; False where it was removed meanwhile."""
    rows = tables.TaskVersion.objects.filter(
        **{f"task__{key}": value for key, value in _key(task.place, task.spec.name).items()}, number=task.number
    )
    return rows.exclude(template=_REMOVED).update(card=storable.json(dict(card))) > 0


# ---------------------------------------------------------------------------------------------------- of a person
def count_about(user_id: int) -> dict[str, int]:
    """How many tasks a person has in their direct messages, and how many examples they gave elsewhere."""
    private = _private(user_id)
    return {
        "tasks": private.filter(removed_at=None).count(),
        "task_examples": _given(user_id).exclude(version__task__in=private).count(),
    }


def export_about(user_id: int) -> list[dict[str, Any]]:
    """The examples a person gave, and those of their own tasks, ready for JSON; pictures by hash."""
    rows = _given(user_id) | tables.TaskExample.objects.filter(version__task__in=_private(user_id))
    found: Any = rows.distinct().select_related("version__task")
    return [
        {
            "task": f"{row.version.task.name}@{row.version.number}",
            "server_id": str(row.version.task.server_id) if row.version.task.server_id else None,
            "picture": row.picture_id,
            "text": row.text,
            "output": row.output,
        }
        for row in found.order_by("version__task_id", "version__number", "place")
    ]


def forget_user(user_id: int) -> dict[str, int]:
    """Deletes a person's own tasks and, from all others, the examples they gave; returns how much of each kind went."""
    with transaction.atomic():
        gone = count_about(user_id)
        _forget_examples(_given(user_id))
        _forget_tasks(_private(user_id))
        tables.TaskVersion.objects.filter(by=user_id).update(by=0)
        return gone


def forget_server(server_id: int) -> dict[str, int]:
    """Deletes the tasks of a server; returns how many went."""
    with transaction.atomic():
        rows = tables.PictureTask.objects.filter(server_id=server_id).exclude(server_id=0)
        gone = {"tasks": rows.filter(removed_at=None).count()}
        _forget_tasks(rows)
        return gone


def _private(user_id: int) -> QuerySet[PictureTask]:
    return tables.PictureTask.objects.filter(server_id=0, owner_id=user_id).exclude(owner_id=0)


def _given(user_id: int) -> QuerySet[TaskExample]:
    return tables.TaskExample.objects.filter(by=user_id).exclude(by=0)


def _forget_tasks(rows: QuerySet[PictureTask]) -> None:
    _empty(tables.TaskVersion.objects.filter(task__in=rows))
    rows.delete()


def _empty(versions: QuerySet[TaskVersion]) -> None:
    """Takes from these versions all but their numbers."""
    _forget_examples(tables.TaskExample.objects.filter(version__in=versions))
    versions.update(template=_REMOVED, instruction="", stop=[], card={})


def _forget_examples(rows: QuerySet[TaskExample]) -> None:
    hashes = set(rows.exclude(picture=None).values_list("picture_id", flat=True))
    rows.delete()
    kept.forget_unused(hashes)


# -------------------------------------------------------------------------------------------------------- rows
def _key(place: TaskPlace, name: str) -> dict[str, Any]:
    return {"server_id": place.server_id, "owner_id": place.owner_id, "name": name}


def _add_version(task: PictureTask, spec: TaskSpec, pictures: Mapping[str, Picture], by: int) -> int:
    """Writes the version, its examples and its pictures. An example that the last version had stays its giver's."""
    wanted = {shot.picture.hash for shot in spec.shots if shot.picture}
    for hash_ in sorted(wanted & pictures.keys()):
        kept.keep(pictures[hash_])
    missing = wanted - kept.locked(wanted)
    if missing:
        raise UserError(
            f"{len(missing)} of the pictures of the task '{spec.name}' are not kept any more.", hint="Send them again."
        )
    last = task.versions.exclude(template=_REMOVED).order_by("-number").first()
    givers: dict[Shot, int] = {} if last is None else {_shot(row): row.by for row in _examples(last)}
    version = tables.TaskVersion.objects.create(
        task=task,
        number=1 + (task.versions.aggregate(last=Max("number"))["last"] or 0),
        instruction=storable.text(spec.instruction),
        template=storable.text(spec.template),
        stop=[storable.text(stop) for stop in spec.stop],
        selection=spec.selection.value,
        max_shots=spec.max_shots,
        by=by,
        at=timezone.now(),
    )
    tables.TaskExample.objects.bulk_create(
        tables.TaskExample(
            version=version,
            place=place,
            picture_id=shot.picture.hash if shot.picture else None,
            text=storable.text(shot.text),
            output=storable.text(shot.output),
            by=givers.get(shot, by),
        )
        for place, shot in enumerate(spec.shots)
    )
    return int(version.number)


def _stored(row: TaskVersion) -> StoredTask:
    return StoredTask(
        place=TaskPlace(server_id=row.task.server_id, owner_id=row.task.owner_id),
        spec=TaskSpec(
            name=row.task.name,
            instruction=row.instruction,
            shots=tuple(_shot(shot) for shot in _examples(row)),
            template=row.template,
            stop=tuple(row.stop),
            selection=Selection(row.selection),
            max_shots=row.max_shots,
        ),
        number=row.number,
        by=row.by,
        at=row.at,
        card=row.card,
    )


def _examples(version: TaskVersion) -> QuerySet[TaskExample]:
    rows: QuerySet[TaskExample] = version.examples.select_related("picture").order_by("place")
    return rows.defer("picture__data", "picture__frames")


def _shot(row: TaskExample) -> Shot:
    seen = row.picture
    ref = PictureRef(hash=seen.hash, width=seen.width, height=seen.height) if seen else None
    return Shot(picture=ref, text=row.text, output=row.output)
