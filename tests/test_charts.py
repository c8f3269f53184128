"""The one plotter: text stays text, whatever the numbers; a file stands alone; the loss as it went."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from talkalike.charts.losses import loss_chart, running_mean
from talkalike.charts.plotter import STYLE_SHEET, Axis, Curve, CurveChart, Dot, DotChart, draw, for_page, save, ticks
from talkalike.workspace.curves import Curves


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b", "x" * 500])
def test_names_in_plots_are_text(name: str, tmp_path: Path) -> None:
    dots = DotChart(
        label=name,
        rows=[Dot(label=name, value=0.5, low=0.1, high=0.9, note=name[:9]), Dot(label="b", value=None)],
        axis=Axis(low=0, high=1, title=name, reference=0.5, shaded=True),
    )
    curve = Curve(label=name, points=[(1, 2.0), (5, 1.0)], bars=[(1, 1.0, 3.0)], marks=True, filled=True)
    lines = CurveChart(label=name, curves=[curve, curve], x=Axis(title=name), y=Axis(title=name, form="{:.2f}".format))
    save([dots, lines], tmp_path / "both.svg", title=name)
    file = ElementTree.parse(tmp_path / "both.svg").getroot()
    for root in (*(ElementTree.fromstring(f"<div>{for_page(chart)}</div>") for chart in (dots, lines)), file):
        assert {child.tag.rpartition("}")[2] for child in root.iter()} <= {
            *("div", "svg", "g", "title", "line", "text", "circle", "polyline", "polygon", "rect"),
            *(["style"] if root is file else []),
        }
        assert not any(key.startswith("on") or key == "style" for child in root.iter() for key in child.attrib)
        texts = {child.text for child in root.iter() if child.tag.endswith("title")}
        assert {name, f"{name}: {name[:9]}"} & texts
    assert all(len(for_page(chart)) < 12_000 + 8 * 2 * len(name) for chart in (dots, lines))


@pytest.mark.parametrize(
    "points", [[(0, 0.0)], [(3, 3.0), (3, 3.0)], [(0, -1e9), (1e9, 1e9)], [(0, 1e-9), (1, 2e-9)], [(7, 1.0), (9, 1.0)]]
)
def test_lines_are_drawn_whatever_the_numbers(points: list[tuple[float, float]]) -> None:
    curves = [Curve(label="a", points=points)]
    drawn = for_page(CurveChart(label="a", curves=curves, y=Axis(form="{:.2g}".format)))
    numbers = [float(value) for value in re.findall(r' (?:x1|x2|y1|y2|cx|cy|x|y)="([^"]+)"', drawn)]
    assert numbers and all(-60 < value < 800 for value in numbers)
    assert "nan" not in drawn and "inf" not in drawn
    assert for_page(CurveChart(label="a", curves=[])) == ""


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(2.41, 3.9, 5) == [2.5, 3.0, 3.5]
    assert ticks(4, 4, 5) == [4]


def test_a_file_needs_nothing_else(tmp_path: Path) -> None:
    found = Curves(loss=((1, 3.0), (2, 2.0)), heldout=((0, 4.0), (2, 2.5)))
    save([loss_chart(found, label="Loss")], tmp_path / "loss.svg", title="mira")
    text = (tmp_path / "loss.svg").read_text(encoding="utf-8")
    assert "var(" not in text and "url(" not in text and "held-out loss (lowest: 2.500 at step 2)" in text
    classes = {name for names in re.findall(r'class="([^"]+)"', text) for name in names.split()}
    known = set(re.findall(r"\.([a-z][\w-]*)", STYLE_SHEET.read_text(encoding="utf-8")))
    assert classes - known <= {"tick", "axis-title"}  # these look as all text does


def test_a_logarithmic_axis_keeps_what_lies_beyond_it_at_its_end() -> None:
    rows = [Dot(label="a", value=value, low=0.0, high=1e9) for value in (0.0, 0.1, 1.0, 10.0, 1e9)]
    axis = Axis(low=0.1, high=10.0, logarithmic=True, reference=1.0, shaded=True, ticks=(0.1, 1, 10))
    svg = ElementTree.fromstring(draw(DotChart(label="", rows=rows, axis=axis), width=220))
    places = [float(dot.get("cx", "")) for dot in svg.iter("circle")]
    assert places == [10.0, 10.0, 110.0, 210.0, 210.0]
    (shade,) = svg.iter("rect")
    assert (shade.get("x"), shade.get("width")) == ("10.0", "100.0")


def test_a_dot_without_a_label_stands_in_the_row_before() -> None:
    rows = [Dot(label="a", value=0.2), Dot(label="", value=0.8), Dot(label="b", value=0.5)]
    svg = ElementTree.fromstring(draw(DotChart(label="", rows=rows, axis=Axis(low=0, high=1)), width=340))
    one, beside, below = (float(dot.get("cy", "")) for dot in svg.iter("circle"))
    assert one < beside < below and below - one == 40


def test_a_legend_takes_the_rows_it_needs_and_is_read_aloud() -> None:
    curves = [Curve(label=f"a run with a name {number}", points=[(0, 1), (9, 2)], series=number) for number in range(4)]
    chart = CurveChart(label="Loss", curves=curves)
    assert f'aria-label="Loss ({", ".join(curve.label for curve in curves)})"' in draw(chart, width=340)
    for width in (340, 720):
        svg = ElementTree.fromstring(draw(chart, width=width))
        names = [text for text in svg.iter("text") if text.get("class") == "legend"]
        assert len({text.get("y") for text in names}) == (4 if width == 340 else 2)
        assert max(float(text.get("x", "")) + 6 * len(text.text or "") for text in names) < width


def test_a_filled_curve_reaches_down_to_the_axis_and_weights_are_written() -> None:
    curve = Curve(label="a", points=[(0, 1.0), (1, 2.0)], weights=[3, 40], filled=True)
    svg = ElementTree.fromstring(draw(CurveChart(label="", curves=[curve], y=Axis(low=0.0)), width=340))
    (area,) = svg.iter("polygon")
    first, *_, last = (place.split(",") for place in area.get("points", "").split())
    bottom = max(float(line.get("y1", "")) for line in svg.iter("line"))
    assert float(first[1]) == float(last[1]) == bottom
    small, large = (float(dot.get("r", "")) for dot in svg.iter("circle"))
    assert small < large and [text.text for text in svg.iter("text") if text.get("class") == "weight"] == ["3", "40"]


def test_a_running_mean_is_unbiased_from_the_start() -> None:
    assert running_mean([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert running_mean([1.0, 3.0]) == pytest.approx([1.0, (0.9 * 0.1 * 1 + 0.1 * 3) / 0.19])
    assert running_mean([]) == []
