"""What somebody changes in a task, or begins one with: what was typed becomes a task, the same way in every face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """None: that stays as it is. `add`: further examples; `drop`: numbers, from 1, of those that go."""

    add: tuple[Shot, ...] = ()
    drop: tuple[int, ...] = ()
    instruction: str | None = None
    template: str | None = None
    stop: tuple[str, ...] | None = None
    selection: Selection | None = None
    max_shots: int | None = None

    def started(self, name: str) -> TaskSpec:
        """A new task of that name, which may still be none that can be (`checking.check_task`)."""
        return self._of(TaskSpec(name=name.strip().casefold()))

    def applied(self, old: TaskSpec) -> TaskSpec:
        """The task with the change. Raises UserError where that changes nothing, or for a number that there is not."""
        new = self._of(old)
        if new == old:
            raise UserError("Nothing was to be changed.", hint="Say what is: an example, the template, or the stop.")
        return new

    def _of(self, old: TaskSpec) -> TaskSpec:
        return replace(
            old,
            shots=(*_without(old, self.drop), *self.add),
            instruction=old.instruction if self.instruction is None else self.instruction,
            template=old.template if self.template is None else self.template,
            stop=old.stop if self.stop is None else self.stop,
            selection=self.selection or old.selection,
            max_shots=old.max_shots if self.max_shots is None else self.max_shots,
        )


def typed_stops(typed: Iterable[str]) -> tuple[str, ...]:
    """Texts at which an answer ends, with line ends and tabs as people can type them."""
    return tuple(stop.replace("\\n", "\n").replace("\\t", "\t") for stop in typed if stop)


def shown_stops(stops: Sequence[str]) -> tuple[str, ...]:
    """The same as they were typed."""
    return tuple(stop.replace("\n", "\\n").replace("\t", "\\t") for stop in stops)


def _without(spec: TaskSpec, drop: Sequence[int]) -> tuple[Shot, ...]:
    """The examples without those of these numbers."""
    if wrong := [number for number in drop if not 0 < number <= len(spec.shots)]:
        raise UserError(
            f"The task '{spec.name}' has no example {wrong[0]}.", hint=f"It has {len(spec.shots)}, counted from 1."
        )
    return tuple(shot for number, shot in enumerate(spec.shots, start=1) if number not in drop)
