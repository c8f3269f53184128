"""The likeness report as one HTML file: no script, nothing from outside, light and dark, every user text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from talkalike.charts.plotter import STYLE_SHEET, Chart, draw
from talkalike.evaluation import plots
from talkalike.evaluation.likeness import LikenessReport
from talkalike.evaluation.words import headline, reasons, show, summary_table

OPEN_SAMPLES = 6  # the rest is folded away
LONGEST_SHOWN = 600  # characters of a generated message
FIGURE = 400  # wide, between a phone and half a screen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """One or more charts with a title and a caption."""

    title: str
    caption: str
    charts: Sequence[Chart]
    tall: bool = False

    @property
    def drawn(self) -> Markup:
        """The charts as SVG, one below the other."""
        return Markup().join(draw(chart, width=FIGURE) for chart in self.charts)


def report_html(report: LikenessReport) -> str:
    """A whole page for a person to read."""
    templates = Environment(
        loader=PackageLoader("talkalike.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"shortened": _shortened, "place": _place, "show": show}
    return templates.get_template("report.html").render(
        report=report,
        chart_style=Markup(STYLE_SHEET.read_text(encoding="utf-8")),  # ours, as all style sheets
        headline=headline(report),
        tiles=list(_tiles(report)),
        figures=list(_figures(report)),
        rows=summary_table(report),
        reasons=tuple(reasons(report)),
        open_samples=OPEN_SAMPLES,
    )


def _tiles(report: LikenessReport) -> Iterator[tuple[str, str]]:
    if report.bits is not None and report.bits.gain.value is not None:
        saved, base = report.bits.gain.value, report.bits.base.bits_per_character.value or 1.0
        yield f"{saved / base:.0%} less", f"surprised by {report.author}'s real words than the base model"
    auc = report.two_sample.double.value
    if auc is not None:
        yield f"{auc:.0%}", "of the time a fresh classifier picks the real one of two replies (50% is guessing)"
    distance = report.habits.double.value
    if distance is not None:
        yield f"{distance:.1f}×", f"the distance in typing habits between {report.author}'s later and earlier replies"
    copied, own = report.copying.double.from_anyone.value, report.copying.real.from_anyone.value
    if copied is not None and own is not None:
        yield (
            f"{copied:.0%}",
            f"of its replies repeat a long stretch of a training message ({own:.0%} of the real ones do)",
        )


def _figures(report: LikenessReport) -> Iterator[_Figure]:
    if report.style is not None and report.style.real.share.value is not None:
        yield _Figure(
            title="Attributed to the author",
            caption=f"Share of pools of {report.style.pool_size} replies that the classifier attributes to the author. "
            "Other people of the same chats should stay near 0%.",
            charts=[plots.shares_chart(report.style)],
        )
    yield _Figure(
        title="Real or generated",
        caption="How often a classifier made for this picks the real reply of a real and a generated one. The author's "
        "own dot compares later replies with earlier ones: nobody writes the same forever.",
        charts=[plots.classifier_chart(report.two_sample)],
    )
    if report.bits is not None:
        yield _Figure(
            title="Bits per character",
            caption=f"Over {report.bits.messages} real messages ({report.bits.characters:,} characters). The lifts say "
            "whether the model knows who is speaking, and whether it uses the context.",
            charts=plots.bits_charts(report.bits),
        )
    if report.habits.habits:
        yield _Figure(
            title="Habits",
            caption="Distance from the author's habits in units of the author's own change over time (at the right: "
            "double · base). In the shaded half, the model is as close to the author as the author is.",
            charts=[plots.habits_chart(report.habits)],
            tall=True,
        )
    yield _Figure(
        title="Length of messages",
        caption="The shaded hill is the author; a good double lies on it.",
        charts=[plots.lengths_chart(report.lengths)],
    )


def _place(value: float | None) -> float:
    """The value's position on a scale from 0 to 100."""
    return 100 * min(max(value or 0.0, 0.0), 1.0)


def _shortened(text: str) -> str:
    return text.strip() if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN].strip() + " […]"
