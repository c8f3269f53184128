"""Drawn pictures whose captions are known: how many things, how large, of which colour and shape, and where."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture

COLOURS = {
    "red": (214, 40, 40),
    "green": (44, 150, 60),
    "blue": (40, 80, 210),
    "yellow": (240, 205, 40),
    "purple": (130, 50, 160),
    "orange": (245, 130, 30),
    "black": (25, 25, 25),
    "pink": (250, 150, 190),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COUNTS = ("one", "two", "three")
SIZES = {"small": 0.075, "large": 0.13}  # radius, as a share of the side
PLACES = {"left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8), "middle": (0.5, 0.5)}
PAIRS = tuple(itertools.product(COLOURS, SHAPES))
HELD_OUT = tuple(pair for place, pair in enumerate(PAIRS) if place % 5 == 2)[:10]  # never trained on
SEEN = tuple(pair for pair in PAIRS if pair not in HELD_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn."""

    count: str
    size: str
    colour: str
    shape: str
    place: str

    @property
    def caption(self) -> str:
        return f"{self.count} {self.size} {self.colour} {self.shape} {self.place}"


def some_drawings(count: int, *, pairs: Sequence[tuple[str, str]], seed: int) -> list[Drawing]:
    """Random ones of these colours and shapes."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        colour, shape = rng.choice(pairs)
        found.append(
            Drawing(
                count=rng.choice(COUNTS),
                size=rng.choice(list(SIZES)),
                colour=colour,
                shape=shape,
                place=rng.choice(list(PLACES)),
            )
        )
    return found


def draw(drawing: Drawing, *, side: int = 128, seed: int = 0) -> np.ndarray:
    """The picture as (side, side, 3); ground, colours and places waver a little."""
    rng = random.Random(seed)
    ground = tuple(rng.randint(225, 255) for _ in range(3))
    picture = Image.new("RGB", (2 * side, 2 * side), ground)  # drawn at twice the size, so that edges are smooth
    colour = tuple(min(255, max(0, value + rng.randint(-14, 14))) for value in COLOURS[drawing.colour])
    across, down = PLACES[drawing.place]
    radius = SIZES[drawing.size] * rng.uniform(0.9, 1.1) * 2 * side
    count, upright = COUNTS.index(drawing.count) + 1, drawing.place in ("left", "right")
    for number in range(count):
        shift = (number - (count - 1) / 2) * 2.3 * radius
        x = across * 2 * side + rng.uniform(-0.03, 0.03) * 2 * side + (0 if upright else shift)
        y = down * 2 * side + rng.uniform(-0.03, 0.03) * 2 * side + (shift if upright else 0)
        _draw_shape(ImageDraw.Draw(picture), drawing.shape, (x, y, radius), (colour, ground))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def as_picture(pixels: np.ndarray) -> Picture:
    """As it is sent: a PNG, normalised."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return normalise(out.getvalue())


def _draw_shape(pen: ImageDraw.ImageDraw, shape: str, at: tuple[float, float, float], colours: tuple) -> None:
    (x, y, radius), (colour, ground) = at, colours
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    elif shape == "triangle":
        pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
    elif shape == "ring":
        pen.ellipse(box, fill=colour)
        inner = radius * 0.55
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=ground)
    elif shape == "cross":
        arm = radius * 0.33
        pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=colour)
        pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=colour)
    else:
        angles = [np.pi * (place / 5 - 0.5) for place in range(10)]
        lengths = [radius if place % 2 == 0 else radius * 0.42 for place in range(10)]
        points = zip(angles, lengths, strict=True)
        pen.polygon([(x + length * np.cos(a), y + length * np.sin(a)) for a, length in points], fill=colour)
