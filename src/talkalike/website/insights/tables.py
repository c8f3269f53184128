"""Tables that the page shows and that can be had as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """`form` writes a number for people; a CSV file gets it as it is."""

    title: str
    form: Callable[[float], str] | None = None

    @property
    def number(self) -> bool:
        """Whether its values are numbers, which stand at the right."""
        return self.form is not None

    def text(self, value: Value) -> str:
        """As the page shows it."""
        if value is None:
            return "–"
        if self.form is not None and not isinstance(value, str):
            return self.form(value)
        return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of as many values as there are columns. `name` is the CSV file's."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]] = field(default=())

    @property
    def shown(self) -> list[list[tuple[str, str, bool]]]:
        """For templates: (the column's title, text, whether it is a number) of each cell."""
        return [
            [(column.title, column.text(value), column.number) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    @property
    def long(self) -> bool:
        """Whether it is folded away at first."""
        return len(self.rows) > 10


def with_interval(title: str, form: Callable[[float], str]) -> tuple[Column, Column, Column]:
    """A number's column, with those of its interval's ends."""
    return Column(title, form), Column("From", form), Column("To", form)


def as_csv(table: Table) -> str:
    """Comma-separated, as RFC 4180 has it. A text that a spreadsheet would calculate gets an apostrophe before it."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([_harmless(value) for value in row])
    return written.getvalue()


def count(value: float) -> str:
    """1234 is "1,234"; halves are kept."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def share(value: float) -> str:
    """Writes a share for people: 0.123 as "12.3 %"."""
    return f"{100 * value:.1f} %"


def decimal(digits: int) -> Callable[[float], str]:
    """With so many digits after the point."""
    return lambda value: f"{value:.{digits}f}"


def _harmless(value: Value) -> Value:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
