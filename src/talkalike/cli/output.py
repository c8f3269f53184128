"""What commands print: one JSON document or tables for people on stdout; progress and remarks on stderr."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Protocol
from zoneinfo import ZoneInfo

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from talkalike.workspace.files import plain

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


class Advance(Protocol):
    """Reports progress: how much is done of how much; `doing` names what is done where that changes."""

    def __call__(self, done: int, total: int, doing: str = "") -> None:
        """Shows how far the work is."""


FICTIONAL = "fictional: people and words are invented for the bundled sample"
# What a model writes must not steer the terminal: control characters are shown as their pictures.
_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
_CONTROLS |= dict.fromkeys((*range(128, 160), *range(0xD800, 0xE000)), 0xFFFD)
_PIPE_COLUMNS = 160  # where no terminal says how wide it is; narrower would break cells for nobody's benefit


# ------------------------------------------------------------------------------------------------------------ printing
def emit(as_json: bool, data: object, render: Callable[[Console], None]) -> None:
    """The result of a command on stdout: `data` as JSON, or what `render` makes of it for a person."""
    if not as_json:
        render(console())
        return
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(plain(data), indent=2, ensure_ascii=not utf8, allow_nan=False) + "\n")


def say(text: str) -> None:
    """Prints a remark on stderr."""
    print(text, file=sys.stderr, flush=True)


def console() -> Console:
    """Standard output: as wide as the terminal, or wide where there is none."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_COLUMNS
    return Console(highlight=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str = "") -> Table:
    """A table; a column whose name starts with `>` is aligned right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        name = column.removeprefix(">")
        right = column != name
        made.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        made.add_row(*(one_line(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def facts(rows: Iterable[Sequence[str]]) -> Table:
    """Names and values side by side."""
    made = Table.grid(padding=(0, 3))
    for name, value in rows:
        made.add_row(one_line(name, "dim"), one_line(value))
    return made


def one_line(text: str, style: str = "") -> Text:
    """Somebody's words on one line, with nothing in them that could steer the terminal."""
    return Text(harmless(" ".join(text.split())), style=style)


def harmless(text: str) -> str:
    """The text with control characters and half surrogates made visible."""
    return text.translate(_CONTROLS)


# ------------------------------------------------------------------------------------------------------------ progress
@contextmanager
def progress(doing: str, *, quiet: bool, unit: str = "") -> Iterator[Advance]:
    """A bar with the rate and the time left on stderr; nothing where no terminal shows it, or if `quiet`.

    `unit` names what is counted; "bytes" are shown as sizes.
    """
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.speed
            if not speed:
                return Text("")
            return Text(f"{size(speed)}/s" if unit == "bytes" else f"{number(speed)} {unit}/s".replace(" /", "/"))

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, Speed(), TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def advance(done: int, total: int, doing: str = "") -> None:
            if doing and doing != bar.tasks[0].description:
                bar.reset(task, description=doing)
            bar.update(task, completed=done, total=total)

        yield advance


def no_progress(done: int, total: int, doing: str = "") -> None:
    """Reports progress to nobody."""


# ------------------------------------------------------------------------------------------------------------- numbers
def number(value: float) -> str:
    """1234567 as 1,234,567; small numbers with the digits that matter."""
    if value and abs(value) < 10 and value != int(value):
        return f"{value:.2f}"
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1 as a percentage."""
    return f"{100 * share:.1f} %"


def size(count: float) -> str:
    """Bytes for people, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """A time span in the one or two units that matter."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90 and minutes != 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.1f} days"


def day(time_ms: int | None, timezone: str) -> str:
    """The date of a UTC time in milliseconds in the named zone ("auto": this computer's); a dash for None."""
    if time_ms is None:
        return "-"
    zone = None if timezone == "auto" else ZoneInfo(timezone)
    return (_EPOCH + datetime.timedelta(milliseconds=time_ms)).astimezone(zone).strftime("%Y-%m-%d")


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def quantity(amount: int, one: str, many: str = "") -> str:
    """An amount with its noun: 1 file, 2 files."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"
