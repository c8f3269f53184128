"""Whether a model's blind comparison speaks for letting it serve: one rule, whichever face asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkalike.store.judging.outcomes import Outcome, outcome


def batch_of(settings: Mapping[str, Any]) -> int | None:
    """From a card's settings: the batch in which a candidate of `align loop` is compared with the double before it.

    None for a model that is no candidate; 0 for a candidate whose pairs were never made.
    """
    about = settings.get("round")
    if not isinstance(about, Mapping):
        return None
    batch = about.get("batch")
    return batch if isinstance(batch, int) else 0


def find_outcome(name: str, batch: int | None) -> Outcome | None:
    """How the comparison came out; None for a model that is no candidate."""
    return None if batch is None else outcome(batch, name)


def doubt(name: str, found: Outcome | None) -> str:
    """Why the model should not serve without somebody saying so again; "" where nothing speaks against it."""
    if found is None or found.wins > found.losses:
        return ""
    if not found.judged:
        return f"The blind comparison of '{name}' has not been judged yet."
    return f"'{name}' did not win its blind comparison: {describe(found)}"


def describe(found: Outcome | None) -> str:
    """The comparison in words; "" for a model that is no candidate."""
    if found is None:
        return ""
    if not found.judged:
        return "Nobody judged its blind comparison."
    share = found.share
    words = f"it was better {_times(found.wins)}, worse {_times(found.losses)}"
    words += f", {_times(found.ties)} neither" if found.ties else ""
    if share.low is not None and share.high is not None:
        words += f" (95 % interval of the share: {100 * share.low:.1f} % to {100 * share.high:.1f} %)"
    return f"Judged {_times(found.judged)}: {words}. {_chance(found.chance)}"


def _chance(chance: float) -> str:
    """In words that claim neither more nor less than the judgements do."""
    percent = f"{100 * chance:.0f} %" if 0.005 <= chance < 0.995 else "over 99 %" if chance > 0.5 else "under 1 %"
    sure = (
        "it is better"
        if chance >= 0.95
        else "it is worse"
        if chance <= 0.05
        else "that is not settled: judge more pairs"
    )
    return f"The chance that it is really better is {percent}; {sure}."


def _times(count: int) -> str:
    return f"{count:,} time{'' if count == 1 else 's'}"
