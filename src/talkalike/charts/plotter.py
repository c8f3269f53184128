"""The one plotter: a described chart becomes SVG, for a page, a report or a file.

No script and no `style=`: colours come from `charts.css`, so that they follow light and dark. A page gets each chart
twice, for wide and for narrow screens, and the style sheet shows one of them: text keeps its size. Whatever comes from
people is escaped. Beside every chart a page has a table with the same numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from talkalike.workspace.files import write_atomically

SERIES = 6  # colours that can be told apart; more curves than that are left to the table
WIDE, NARROW = 720, 340
STYLE_SHEET = Path(__file__).parent / "static" / "charts.css"
_ROW = 40.0
_FONT, _LEGEND = 6.7, 7.2  # average width of a letter
_PAPER = {"--text": "#1b1e27", "--muted": "#555c6c", "--line": "#c9cdd8", "--surface": "#ffffff"}  # of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From `low` to `high`, else as far as the numbers reach. `form` writes a tick's number.

    `ticks`: where they are, else at round numbers. `reference` draws a dashed line; what lies below it may be `shaded`.
    """

    title: str = ""
    form: Callable[[float], str] = "{:,g}".format
    low: float | None = None
    high: float | None = None
    ticks: Sequence[float] = ()
    logarithmic: bool = False
    reference: float | None = None
    shaded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A number with its interval; nothing is drawn where `value` is None. `note` stands at the right.

    One without a label stands in the row of the one before.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """(x, y) in order. `bars` are intervals (x, low, high). `thin` curves stay behind the others.

    `weights`: how much each point stands for; its mark grows with it. `filled` down to the axis.
    """

    label: str
    points: Sequence[tuple[float, float]]
    bars: Sequence[tuple[float, float, float]] = ()
    weights: Sequence[int] = ()
    series: int = 0
    thin: bool = False
    marks: bool = False
    filled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DotChart:
    """A row for each number, its label above the line, so that long names fit on a phone. `label` is read aloud."""

    label: str
    rows: Sequence[Dot]
    axis: Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveChart:
    """Curves over common axes, with a legend. `label` is read aloud, with the curves' names."""

    label: str
    curves: Sequence[Curve]
    x: Axis = Axis(title="step")
    y: Axis = Axis()

    @property
    def shown(self) -> list[Curve]:
        """The curves that have points."""
        return [curve for curve in self.curves if curve.points]


Chart = DotChart | CurveChart


def for_page(chart: Chart) -> Markup:
    """Both sizes; nothing where there is nothing to draw."""
    if not (chart.rows if isinstance(chart, DotChart) else chart.shown):
        return Markup()
    sizes = (draw(chart, width=width, kind=kind) for width, kind in ((WIDE, "chart-wide"), (NARROW, "chart-narrow")))
    return Markup('<div class="chart">{}</div>').format(Markup().join(sizes))


def draw(chart: Chart, *, width: int, kind: str = "chart") -> Markup:
    """One drawing, whose text has its size at that width."""
    drawn = _drawn(chart, width)
    names = [curve.label for curve in chart.shown] if isinstance(chart, CurveChart) else []
    label = f"{chart.label} ({', '.join(names)})" if len(names) > 1 else chart.label
    size = f"0 0 {width} {drawn.height:.0f}"
    return tag("svg", *drawn.parts, kind=kind, role="img", aria_label=label, viewBox=size)


def document(charts: Sequence[Chart], *, title: str) -> str:
    """An SVG file of the charts below each other, which needs no other file and shows alike everywhere."""
    css = STYLE_SHEET.read_text(encoding="utf-8")
    colours = _PAPER | dict(re.findall(r"(--[\w-]+): (#\w+);", css.partition("@media")[0]))
    rules = re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], css.partition("/* drawings */")[2])
    parts, height = [_text(10, 24, title, "start", "title")], 40.0
    for drawn in (_drawn(chart, WIDE) for chart in charts):
        parts.append(tag("svg", *drawn.parts, y=height, width=WIDE, height=drawn.height))
        height += drawn.height + 12
    paper = tag("rect", width=WIDE, height=height, fill=_PAPER["--surface"])
    style = Markup("<style>.chart {{ font-family: sans-serif; }}\n{}</style>").format(Markup(rules))
    size = {"width": WIDE, "height": height, "viewBox": f"0 0 {WIDE} {height:.0f}"}
    svg = tag("svg", style, paper, *parts, kind="chart", xmlns="http://www.w3.org/2000/svg", **size)
    return f"{svg}\n"


def save(charts: Sequence[Chart], file: Path, *, title: str) -> None:
    """Writes the same into a file."""
    write_atomically(file, document(charts, title=title))


def percent(value: float) -> str:
    """Writes a share for people: 0.5 as "50 %"."""
    return f"{value:.0%}".replace("%", " %")


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, at most so many (but one where they are the same)."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * size for size in (1, 2, 2.5, 5, 10) if power * size >= raw), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def cut(text: str, room: float, letter: float = _FONT) -> str:
    """As much of the text as fits into the room, both in pixels."""
    most = max(4, int(room / letter))
    return text if len(text) <= most else text[: most - 1] + "…"


def tag(name: str, *inside: str, **attributes: object) -> Markup:
    """An element. `kind` is its class, "_" in a name is "-"; text that is no markup yet is escaped."""
    made = [f"<{name}"]
    for key, value in attributes.items():
        written = f"{value:.1f}" if isinstance(value, float) else str(value)
        made.append(f' {"class" if key == "kind" else key.replace("_", "-")}="{escape(written)}"')
    made.append(f">{Markup().join(inside)}</{name}>" if inside else "/>")
    return Markup("".join(made))


# ------------------------------------------------------------------------------------------------------------- drawing
@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    height: float
    parts: Sequence[Markup]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a number lies between `start` and `end`; beyond the axis, at its end."""

    axis: Axis
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.axis.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self.start + min(1.0, max(0.0, (value - low) / ((high - low) or 1.0))) * (self.end - self.start)

    def ticks(self, most: int) -> Sequence[float]:
        return self.axis.ticks or ticks(self.low, self.high, most)


def _scale(axis: Axis, values: Iterable[float | None], *, start: float, end: float, margin: float = 0.0) -> _Scale:
    """As far as the axis says, else as the values reach, with a margin of their range on both sides."""
    known = [value for value in (*values, axis.reference) if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high > low:
        low, high = low - margin * (high - low), high + margin * (high - low)
    else:
        low, high = (low - 0.5, low + 0.5) if margin else (low, low + 1.0)
    return _Scale(
        axis, low if axis.low is None else axis.low, high if axis.high is None else axis.high, start=start, end=end
    )


def _drawn(chart: Chart, width: int) -> _Drawn:
    return _dots(chart, width) if isinstance(chart, DotChart) else _curves(chart, width)


def _dots(chart: DotChart, width: int) -> _Drawn:
    bottom = 4.0 + _ROW * sum(bool(row.label) for row in chart.rows)
    numbers = (number for row in chart.rows for number in (row.value, row.low, row.high))
    x = _scale(chart.axis, numbers, start=10.0, end=width - 10.0)
    parts = [*_x_axis(x, width=width, top=4.0, bottom=bottom, most=10 if width > 500 else 4, grid=True)]
    top = 4.0 - _ROW
    for row in chart.rows:
        top += _ROW if row.label else 0.0
        parts.append(_dot(row, x, top, width))
    return _Drawn(height=bottom + (40 if chart.axis.title else 24), parts=parts)


def _dot(row: Dot, x: _Scale, top: float, width: int) -> Markup:
    middle, series = top + (26.0 if row.label else 34.0), f"s{row.series % SERIES}"
    made = []
    if row.label:
        made.append(tag("title", f"{row.label}: {row.note}" if row.note else row.label))
        label = cut(row.label, width - 32 - _FONT * len(row.note))
        made += [
            _text(10, top + 14, label, "start", "row-label"),
            _text(width - 10, top + 14, row.note, "end", "row-note"),
        ]
    if row.value is not None:
        if row.low is not None and row.high is not None:
            made.append(_line(x(row.low), middle, x(row.high), middle, f"interval {series}"))
        made.append(tag("circle", kind=f"dot {series}", cx=x(row.value), cy=middle, r=6 if row.label else 5))
    return tag("g", *made)


def _curves(chart: CurveChart, width: int) -> _Drawn:
    shown = chart.shown
    legend = _legend(shown, width)
    top = legend.height + (30.0 if chart.y.title else 10.0)
    bottom = top + (230.0 if width > 500 else 180.0)
    ys = [y for curve in shown for _, y in curve.points]
    ys += [y for curve in shown for _, low, high in curve.bars for y in (low, high)]
    y = _scale(chart.y, ys, start=bottom, end=top, margin=0.06)
    left = 16.0 + _FONT * max(len(chart.y.form(value)) for value in y.ticks(5))
    xs = [x for curve in shown for x, _ in curve.points]
    if 0 < min(xs) < max(xs) / 10:
        xs.append(0.0)  # steps begin with 1, and 0 is what one looks for
    x = _scale(chart.x, xs, start=left, end=width - 14.0)
    parts = list(legend.parts)
    for value in y.ticks(5):
        parts += [_line(left, y(value), x.end, y(value), "grid")]
        parts += [_text(left - 8, y(value) + 4, chart.y.form(value), "end")]
    parts += _x_axis(x, width=width, top=top, bottom=bottom, most=6 if width > 500 else 3)
    if chart.y.title:
        parts.append(_text(2, top - 14, chart.y.title, "start", "axis-title"))
    parts += [_curve(curve, x, y) for curve in sorted(shown, key=lambda one: not one.thin)]
    return _Drawn(height=bottom + 40, parts=parts)


def _curve(curve: Curve, x: _Scale, y: _Scale) -> Markup:
    series = f"s{curve.series % SERIES}"
    aside = 3.0 * (curve.series - SERIES / 2) if curve.bars else 0.0  # so that one interval does not hide the other
    places = [(x(at) + aside, y(value)) for at, value in curve.points]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    made = [tag("title", curve.label)]
    if curve.filled:
        ends = (f"{places[0][0]:.1f},{y.start:.1f}", f"{places[-1][0]:.1f},{y.start:.1f}")
        made.append(tag("polygon", kind=f"area {series}", points=f"{ends[0]} {path} {ends[1]}"))
    made.append(tag("polyline", kind=f"line{' thin' if curve.thin else ''} {series}", points=path))
    made += [_line(x(at) + aside, y(low), x(at) + aside, y(high), f"bar {series}") for at, low, high in curve.bars]
    if curve.weights:
        for (across, down), weight in zip(places, curve.weights, strict=True):
            made.append(tag("circle", kind=f"dot {series}", cx=across, cy=down, r=3 + math.sqrt(min(weight, 60))))
            made.append(_text(across + 8, down - 8, f"{weight}", "start", "weight"))
    elif curve.marks or len(curve.points) == 1:
        made += [tag("circle", kind=f"dot {series}", cx=across, cy=down, r=3.5) for across, down in places]
    return tag("g", *made)


def _x_axis(x: _Scale, *, width: int, top: float, bottom: float, most: int, grid: bool = False) -> Iterable[Markup]:
    axis = x.axis
    if axis.reference is not None and axis.shaded:
        yield tag("rect", kind="shade", x=x.start, y=top, width=x(axis.reference) - x.start, height=bottom - top)
    for value in x.ticks(most):
        at, anchor = x(value), "middle"
        if grid:
            yield _line(at, top, at, bottom, "grid")
        if at < 24 or at > width - 24:
            at, anchor = (2.0, "start") if at < 24 else (width - 2.0, "end")
        yield _text(at, bottom + 16, axis.form(value), anchor)
    if axis.reference is not None:
        yield _line(x(axis.reference), top, x(axis.reference), bottom, "reference")
    if axis.title:
        yield _text((x.start + x.end) / 2, bottom + 34, axis.title, "middle", "axis-title")


def _legend(shown: Sequence[Curve], width: int) -> _Drawn:
    """Each curve's stroke and name, in as many rows as they need; nothing where there is one curve."""
    parts: list[Markup] = []
    left, row = 2.0, 0
    for curve in shown if len(shown) > 1 else ():
        name = cut(curve.label, width - 50)
        if left > 2 and left + 34 + _LEGEND * len(name) > width:
            left, row = 2.0, row + 1
        middle = 10.0 + 20 * row
        parts.append(
            _line(left, middle, left + 26, middle, f"line{' thin' if curve.thin else ''} s{curve.series % SERIES}")
        )
        parts.append(_text(left + 34, middle + 4, name, "start", "legend"))
        left += 54 + _LEGEND * len(name)
    return _Drawn(height=20.0 * (row + 1) if parts else 0.0, parts=parts)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return tag("line", kind=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return tag("text", text, kind=kind, x=float(x), y=float(y), text_anchor=anchor)
