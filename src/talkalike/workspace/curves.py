"""What a run measured while it trained: curves, thinned out so that a plot of a week's training stays small."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
MOST_BYTES = 64 << 20  # of the file's end; a line has some 200
MOST_POINTS = 240
_LONG_LINE = 2048
RECENT = 50  # measurements from which is known how long one takes
OTHERS = {  # what else is measured, in words
    "reward": "mean reward",
    "kl_k1": "KL from the reference model (per reply)",
    "distinct_2": "distinct-2 (variety of the replies)",
    "length": "reply length (tokens)",
    "ended_share": "share of replies that end before the token limit",
    "entropy": "entropy (per token)",
    "clip_share": "clip fraction (share of clipped tokens)",
    "value_loss": "value loss",
    "heldout_accuracy": "accuracy on held-out pairs",
    "bits_per_character": "bits per character on the real held-out replies",
}
Point = tuple[float, float]  # step, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """(step, value) in order. `loss` is smoothed over the steps each point stands for, `heldout` is as measured.

    `others`: the curves of `OTHERS` that were measured, smoothed like the loss.

    `tokens` were trained on in all; `before` says that the file's beginning was too long ago to be read.
    """

    loss: tuple[Point, ...] = ()
    heldout: tuple[Point, ...] = ()
    others: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    before: bool = False

    @property
    def last_loss(self) -> float | None:
        """As the last point shows it."""
        return self.loss[-1][1] if self.loss else None

    @property
    def best_heldout(self) -> Point | None:
        """The step with the lowest held-out loss."""
        return min(self.heldout, key=lambda point: point[1], default=None)


def curves(run: Path) -> Curves:
    """What the run in this folder measured so far. A line that is being written, or damaged, is left out."""
    try:
        stat = (run / METRICS).stat()
    except OSError:
        return Curves()
    return _read(run / METRICS, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=64)
def _read(file: Path, _as_it_is: tuple[int, int, int]) -> Curves:
    """Kept for as long as the file stays as it is."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        opened.seek(max(0, size - MOST_BYTES))
        raw = opened.read(MOST_BYTES)
    before = size > MOST_BYTES
    lines = raw.split(b"\n")[1 if before else 0 :]
    loss: list[Point] = []
    heldout: list[Point] = []
    others: dict[str, list[Point]] = {name: [] for name in OTHERS}
    series = {"loss": loss, "heldout_loss": heldout, **others}
    seconds, tokens = 0.0, 0
    for line in lines:
        values = _values(line)
        step = _number(values.get("step"))
        if step is None:
            continue
        for key, found in series.items():
            value = _number(values.get(key))
            if value is not None:
                found.append((step, value))
        seconds = max(seconds, _number(values.get("total_seconds", values.get("seconds"))) or 0.0)
        tokens += int(_number(values.get("tokens")) or 0)
    last = [points[-1][0] for points in series.values() if points]
    return Curves(
        loss=thinned(loss),
        heldout=tuple(heldout[-MOST_POINTS:]),
        others={name: thinned(points) for name, points in others.items() if points},
        steps=int(max(last, default=0)),
        seconds=seconds,
        tokens=tokens,
        before=before,
    )


def longest_wait(run: Path, *, since: float) -> float:
    """The longest that it took from one measurement to the next, in seconds, after that time (seconds since 1970).

    Of the last `RECENT` ones, and of the one that is still to come. 0 where nothing was measured.
    """
    try:
        with (run / METRICS).open("rb") as opened:
            opened.seek(max(0, opened.seek(0, 2) - RECENT * _LONG_LINE))
            lines = opened.read().split(b"\n")
    except OSError:
        return 0.0
    found = (_number(_values(line).get("at")) for line in lines)
    times = [at for at in found if at is not None and at >= since][-RECENT:]
    if not times:
        return 0.0
    return max(after - before for before, after in pairwise([*times, max(times[-1], time.time())]))


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """At most so many points, each the mean of the ones that it stands for."""
    if len(points) <= most:
        return tuple(points)
    parts = [points[len(points) * i // most : len(points) * (i + 1) // most] for i in range(most)]
    return tuple((part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts)


def _values(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        return None
    return float(value)
