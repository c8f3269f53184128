"""Where the models come from, as a picture: a tree that grows downwards, so that it fits a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from markupsafe import Markup

from talkalike.charts.plotter import cut, tag
from talkalike.workspace.cards import Card

_ROW, _BOX, _STEP, _WIDTH = 62, 50, 26, 340
_DEEPEST = 6  # further down boxes stay below each other
_LETTER = 7.4
METHODS = {
    "lora": "LoRA",
    "dora": "DoRA",
    "full": "all weights",
    "last-n": "last layers",
    "prompt": "learned prompt",
    "connector": "eye (connector)",
    "gated": "eye (gated layers)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A model in the tree. `card` is None for one that others were made from and that is gone."""

    name: str
    depth: int
    above: int | None  # the row of what it was made from
    card: Card | None


def tree(cards: Sequence[Card]) -> list[Node]:
    """Every model below the one it was made from last; in the order of the rows."""
    known = {card.name: card for card in cards}
    children: dict[str, list[str]] = {}
    for card in cards:
        # The last of its parents; one that names itself would never be reached.
        above = next((name for name in reversed(card.parents) if name != card.name), "")
        children.setdefault(above, []).append(card.name)
    gone = [name for name in children if name and name not in known]
    nodes: list[Node] = []
    seen: set[str] = set()
    # The rest of the cards comes last: those that name each other as parents hang below nothing.
    waiting: list[tuple[str, int, int | None]] = [(name, 0, None) for name in (*children.get("", ()), *gone, *known)]
    waiting.reverse()
    while waiting:
        name, depth, row_above = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        row = len(nodes)
        nodes.append(Node(name=name, depth=depth, above=row_above, card=known.get(name)))
        waiting += [(child, depth + 1, row) for child in reversed(children.get(name, ()))]
    return nodes


def picture(nodes: Sequence[Node], serving: str | None) -> Markup:
    """The tree as SVG; each model leads to its card."""
    height = _ROW * len(nodes) + 4
    parts = [_branch(nodes, row) for row, node in enumerate(nodes) if node.above is not None]
    parts += [_box(node, row, serving) for row, node in enumerate(nodes)]
    size = {"viewBox": f"0 0 {_WIDTH} {height}", "width": _WIDTH, "height": height}
    label = "Where the models come from; the table below says the same"
    return tag("svg", *parts, kind="lineage", role="group", aria_label=label, **size)


def words(card: Card | None) -> str:
    """What kind of model it is, in a few words."""
    if card is None:
        return "no longer here"
    if card.kind == "base":
        return "base model"
    made = METHODS.get(card.method, card.method) or card.kind
    value = card.likeness.value if card.likeness else None
    return f"{made} · likeness {value:.2f}" if value is not None else made


def _branch(nodes: Sequence[Node], row: int) -> Markup:
    node = nodes[row]
    assert node.above is not None
    x = _left(nodes[node.above]) + _STEP / 2
    top, middle = _ROW * node.above + _BOX + 2, _ROW * row + _BOX / 2 + 2
    return tag("path", kind="branch", d=f"M{x:.0f} {top} V{middle:.0f} H{_left(node):.0f}")


def _box(node: Node, row: int, serving: str | None) -> Markup:
    left, top = _left(node), _ROW * row + 2
    width = _WIDTH - left - 2
    serves = node.name == serving
    room = width - 24 - (62 if serves else 0)
    kind = "gone" if node.card is None else "base" if node.card.kind == "base" else "made"
    kinds = f"box {kind}{' serves' if serves else ''}"
    name, about = cut(node.name, room, _LETTER), cut(words(node.card), room + 20, _LETTER)
    made = [
        tag("title", node.name),
        tag("rect", kind=kinds, x=left, y=top, width=width, height=_BOX, rx=8),
        tag("text", name, kind="name", x=left + 12, y=top + 21),
        tag("text", about, kind="about", x=left + 12, y=top + 39),
    ]
    if serves:
        made.append(tag("text", "in use", kind="mark", x=_WIDTH - 14, y=top + 21, text_anchor="end"))
    if node.card is None:
        return tag("g", *made)
    return tag("a", *made, href=reverse("runs:model", args=[node.name]))


def _left(node: Node) -> float:
    return 2.0 + _STEP * min(node.depth, _DEEPEST)
