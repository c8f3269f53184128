"""Plots as SVG, made here: no script, no `style=`, colours from `charts.css`, so that they follow light and dark.

Each is drawn twice, for wide and for narrow screens, and the style sheet shows one of them: text keeps its size.
Whatever comes from people is escaped. Beside every plot the page has a table with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

SERIES = 6  # colours that can be told apart; more lines than that are left to the table
WIDE, NARROW = 720, 340
_ROW = 40.0
_FONT = 6.7  # average width of a letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From `low` to `high`; `reference` draws a dashed line there. `form` writes a tick's number."""

    low: float
    high: float
    form: Callable[[float], str] = "{:g}".format
    title: str = ""
    reference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A number with its interval; nothing is drawn where `value` is None. `note` stands at the right."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """(x, y) in order. `bars` are intervals (x, low, high). `thin` lines stay behind the others, without a legend."""

    label: str
    points: Sequence[tuple[float, float]]
    bars: Sequence[tuple[float, float, float]] = ()
    series: int = 0
    thin: bool = False
    marks: bool = False


def percent(value: float) -> str:
    """0.5 is "50 %"."""
    return f"{value:.0%}".replace("%", " %")


def dots(rows: Sequence[Dot], axis: Axis, *, label: str) -> SafeString:
    """A row for each number, its label above the line, so that long names fit on a phone."""

    def draw(width: int) -> str:
        left, right, top = 10.0, width - 10.0, 4.0
        bottom = top + _ROW * len(rows)

        def x(value: float) -> float:
            share = (value - axis.low) / ((axis.high - axis.low) or 1.0)
            return left + min(1.0, max(0.0, share)) * (right - left)

        parts = [_x_ticks(axis, x, top, bottom, width)]
        for number, row in enumerate(rows):
            parts.append(_dot(row, x, top + _ROW * number, width))
        return _svg(width, bottom + (40 if axis.title else 24), label, parts)

    return _both(draw)


def lines(
    drawn: Sequence[Line],
    *,
    label: str,
    x_title: str,
    y_form: Callable[[float], str],
    days: Callable[[float], str] | None = None,
) -> SafeString:
    """Lines over a common axis, with a legend. `days` writes an x where that is a day and not a step."""
    shown = [line for line in drawn if line.points]
    if not shown:
        return mark_safe("")
    xs = [x for line in shown for x, _ in line.points]
    ys = [y for line in shown for _, y in line.points]
    ys += [y for line in shown for _, low, high in line.bars for y in (low, high)]
    from_zero = days is None and 0 < min(xs) < max(xs) / 10  # steps begin with 1, and 0 is what one looks for
    x_axis = _fitted(0.0 if from_zero else min(xs), max(xs), exact=True)
    y_axis = _fitted(min(ys), max(ys))

    def draw(width: int) -> str:
        height = 280.0 if width == WIDE else 230.0
        y_ticks = ticks(y_axis.low, y_axis.high, 5)
        left = 16.0 + _FONT * max(len(y_form(value)) for value in y_ticks)
        right, top, bottom = width - 14.0, 10.0, height - 40.0

        def x(value: float) -> float:
            return left + (value - x_axis.low) / ((x_axis.high - x_axis.low) or 1.0) * (right - left)

        def y(value: float) -> float:
            return bottom - (value - y_axis.low) / ((y_axis.high - y_axis.low) or 1.0) * (bottom - top)

        parts = [_grid(y_ticks, y, y_form, left, right)]
        for value in ticks(x_axis.low, x_axis.high, 6 if width == WIDE else 3):
            at, anchor = (width - 2, "end") if x(value) > width - 30 and days else (x(value), "middle")
            parts.append(_text(at, bottom + 16, (days or "{:,g}".format)(value), anchor))
        parts.append(_text((left + right) / 2, bottom + 33, x_title, "middle", "axis-title"))
        for line in sorted(shown, key=lambda one: not one.thin):
            parts.append(_line(line, x, y))
        return _svg(width, height, label, parts)

    return mark_safe(_legend(shown) + _both(draw))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, at most so many (but one where they are the same)."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * size for size in (1, 2, 2.5, 5, 10) if power * size >= raw), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _fitted(low: float, high: float, *, exact: bool = False) -> Axis:
    if high <= low:
        return Axis(low=low - (0.5 if not exact else 0.0), high=low + (0.5 if not exact else 1.0))
    margin = 0.0 if exact else (high - low) * 0.06
    return Axis(low=low - margin, high=high + margin)


def _x_ticks(axis: Axis, x: Callable[[float], float], top: float, bottom: float, width: int) -> str:
    made = []
    for value in ticks(axis.low, axis.high, 10 if width == WIDE else 4):
        made.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top:.0f}" y2="{bottom:.0f}"/>')
        at, anchor = x(value), "middle"
        if at < 24 or at > width - 24:
            at, anchor = (2, "start") if at < 24 else (width - 2, "end")
        made.append(_text(at, bottom + 16, axis.form(value), anchor))
    if axis.reference is not None:
        at = x(axis.reference)
        made.append(f'<line class="reference" x1="{at:.1f}" x2="{at:.1f}" y1="{top:.0f}" y2="{bottom:.0f}"/>')
    if axis.title:
        made.append(_text(width / 2, bottom + 34, axis.title, "middle", "axis-title"))
    return "".join(made)


def _dot(row: Dot, x: Callable[[float], float], top: float, width: int) -> str:
    note_room = _FONT * len(row.note) + 12
    made = [_text(10, top + 14, _cut(row.label, width - 20 - note_room), "start", "row-label")]
    if row.note:
        made.append(_text(width - 10, top + 14, row.note, "end", "row-note"))
    if row.value is None:
        return "".join(made)
    middle, colour = top + 27, f"s{row.series % SERIES}"
    if row.low is not None and row.high is not None:
        start, end = x(row.low), x(row.high)
        made.append(f'<line class="interval {colour}" x1="{start:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>')
    made.append(f'<circle class="dot {colour}" cx="{x(row.value):.1f}" cy="{middle}" r="6"/>')
    told = escape(f"{row.label}: {row.note}" if row.note else row.label)
    return f"<g><title>{told}</title>{''.join(made)}</g>"


def _grid(
    values: Iterable[float], y: Callable[[float], float], form: Callable[[float], str], left: float, right: float
) -> str:
    made = []
    for value in values:
        made.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        made.append(_text(left - 8, y(value) + 4, form(value), "end"))
    return "".join(made)


def _line(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    colour = f"s{line.series % SERIES}"
    if line.bars:  # side by side, so that one interval does not hide the other
        x = _moved(x, 3.0 * (line.series - SERIES / 2))
    path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line.points)
    made = [f'<polyline class="line{" thin" if line.thin else ""} {colour}" points="{path}"/>']
    for at, low, high in line.bars:
        made.append(
            f'<line class="bar {colour}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>'
        )
    if line.marks or len(line.points) == 1:
        made += [
            f'<circle class="dot {colour}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5"/>' for at, value in line.points
        ]
    return f"<g><title>{escape(line.label)}</title>{''.join(made)}</g>"


def _moved(x: Callable[[float], float], by: float) -> Callable[[float], float]:
    return lambda value: x(value) + by


def _legend(shown: Sequence[Line]) -> str:
    entries = "".join(
        f'<li><svg class="swatch" viewBox="0 0 28 10" aria-hidden="true" focusable="false">'
        f'<line class="line{" thin" if line.thin else ""} s{line.series % SERIES}" x1="1" x2="27" y1="5" y2="5"/></svg>'
        f"{escape(line.label)}</li>"
        for line in shown
    )
    return f'<ul class="legend">{entries}</ul>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cut(text: str, room: float) -> str:
    most = max(4, int(room / _FONT))
    return text if len(text) <= most else text[: most - 1] + "…"


def _svg(width: int, height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="chart-{"wide" if width == WIDE else "narrow"}" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width} {height:.0f}">{"".join(parts)}</svg>'
    )


def _both(draw: Callable[[int], str]) -> SafeString:
    return mark_safe(f'<div class="chart">{draw(WIDE)}{draw(NARROW)}</div>')
