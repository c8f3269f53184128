"""Tasks and answers as the pages show them."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from talkalike.charts.plotter import for_page, percent
from talkalike.chat.seeing.card import TaskCard, arm_words, card_charts, gain_words, read_card
from talkalike.chat.seeing.changing import shown_stops
from talkalike.store.seeing.tasks import StoredTask
from talkalike.store.seeing.usable import UsableTask
from talkalike.website.insights.tables import Column, Table, Value

MOST_SHOWN = 60  # examples on a task's page; so many pictures are loaded with it


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """A task in a list. `server`: what stands for its place in an address; `own`: it is of the place that is listed."""

    task: UsableTask
    server: int
    gain: str
    own: bool

    @property
    def examples(self) -> int:
        """How many it has."""
        return len(self.task.spec.shots)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCard:
    """What a task scored, in charts, in a table and in sentences."""

    card: TaskCard
    charts: tuple[Markup, ...]
    table: Table


def line_of(task: UsableTask, server: int) -> TaskLine:
    """The task as it stands in the list of a server's tasks (0: of everybody's)."""
    card = read_card(task.stored.card) if task.stored else None
    own = task.stored is not None and task.stored.place.server_id == server
    return TaskLine(task=task, server=server, gain=gain_words(card) if card else "–", own=own)


def card_of(stored: StoredTask | None) -> ShownCard | None:
    """Its card; None where it was not measured."""
    card = read_card(stored.card) if stored else None
    if card is None:
        return None
    columns = [Column("Shown"), Column(card.measure.capitalize()), Column("95 % interval"), Column("Examples", _number)]
    rows: list[list[Value]] = [
        [
            arm_words(arm.name),
            percent(arm.share.share or 0.0),
            f"{percent(arm.share.low or 0.0)} to {percent(arm.share.high or 0.0)}",
            arm.shots,
        ]
        for arm in card.arms
    ]
    table = Table(name="card", title=f"{card.n} examples asked about, with {card.eye}", columns=columns, rows=rows)
    return ShownCard(card=card, charts=tuple(map(for_page, card_charts(card))), table=table)


def facts_of(task: UsableTask) -> list[tuple[str, str]]:
    """What it is made of, in words."""
    spec = task.spec
    return [
        ("Whose", task.whose),
        ("Instruction", spec.instruction or "none"),
        ("Template", spec.template),
        ("An answer ends at", ", ".join(shown_stops(spec.stop)) or "its own end"),
        ("Examples", f"{len(spec.shots):,}, of which at most {spec.max_shots} are shown ({spec.selection})"),
    ]


def _number(value: float) -> str:
    return f"{value:.1f}"
