"""A training on the screen: a bar with rate and time left and the loss as a sparkline, or plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from talkalike.cli.output import duration, number, quantity, say
from talkalike.training.values import Evaluated, Event, Started, Step

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40  # of the sparkline
_LINE_EVERY = 30.0  # seconds between two lines where there is no terminal


def show_events(events: Iterable[Event], *, quiet: bool) -> Event | None:
    """Runs through the events, shows them on stderr, and returns the last."""
    view = _View()
    if quiet:
        return view.drain(events)
    if not sys.stderr.isatty():
        return view.drain(events, lines=True)

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True, get_renderable=view.render):
        return view.drain(events)


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """The values as a line of bars, averaged down to `width`; the lowest is the smallest bar."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


class _View:
    """What is known so far, and how it looks."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.heldout: list[float] = []
        self.seconds = 0.0
        self.tokens = self.loss_tokens = 0
        self.first_done = 0.0
        self.done = 0.0
        self.epoch = 0.0
        self.about = ""
        self._line_at = 0.0

    def drain(self, events: Iterable[Event], *, lines: bool = False) -> Event | None:
        last: Event | None = None
        for last in events:
            if isinstance(last, Started):
                going_on = f", continuing after step {last.step}" if last.step else ""
                self.about = (
                    f"{number(last.trained_parameters)} trained numbers, {last.dtype} on {last.device}{going_on}"
                )
                if lines:
                    say(self.about)
            elif isinstance(last, Step):
                if not self.losses:
                    self.first_done = last.done
                self.losses.append(last.loss)
                self.seconds += last.seconds
                self.tokens += last.tokens
                self.loss_tokens += last.loss_tokens
                self.done, self.epoch = last.done, last.epoch
                if lines and self.seconds - self._line_at >= _LINE_EVERY:
                    self._line_at = self.seconds
                    say(self.state())
            elif isinstance(last, Evaluated):
                self.heldout.append(last.heldout_loss)
                if lines:
                    say(f"held-out loss {last.heldout_loss:.4f} at step {last.step}{' (best)' if last.is_best else ''}")
        return last

    def state(self) -> str:
        """Where the training stands, in one line."""
        if not self.losses:
            return "reading the model and the first held-out loss"
        recent = self.losses[-10:]
        moved = self.done - self.first_done
        left = f", about {duration(self.seconds * (1 - self.done) / moved)} left" if moved > 0 else ""
        return (
            f"{100 * self.done:3.0f} %  epoch {self.epoch:.2f}  loss {sum(recent) / len(recent):.3f}  "
            f"{self.loss_tokens / self.seconds:.0f} loss-tokens/s ({self.tokens / self.seconds:.0f} tokens/s){left}"
        )

    def render(self) -> RenderableType:
        lines: list[RenderableType] = [
            Text(self.about, style="dim"),
            ProgressBar(total=1.0, completed=self.done, width=60),
        ]
        lines.append(Text(self.state()))
        if self.losses:
            lines.append(Text(f"loss      {sparkline(self.losses)}"))
        if self.heldout:
            best = min(self.heldout)
            looks = quantity(len(self.heldout), "look")
            lines.append(Text(f"held-out  {sparkline(self.heldout)}  best {best:.4f} of {looks}"))
        lines.append(Text("Ctrl-C saves and stops.", style="dim"))
        return Group(*lines)
