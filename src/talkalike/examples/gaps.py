"""What other silences would make of the conversations that examples come from."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.chats.sessions import HOUR_MS, gap_effect
from talkalike.chats.values import Platform
from talkalike.examples.prepare import Prepared

_CHANNEL_HOURS = (1 / 6, 1 / 3, 1 / 2, 1.0, 2.0)
_HOURS = {platform: _CHANNEL_HOURS if platform is Platform.IRC else (1.0, 2.0, 4.0, 8.0, 24.0) for platform in Platform}


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """What one silence would make of the conversations of one platform."""

    platform: str
    gap_hours: float
    chosen: bool
    sessions: int
    median_messages: float
    single_share: float


def gap_rows(made: Prepared) -> list[GapRow]:
    """For each platform the silence that was chosen among usual ones, over the conversations as they were cleaned."""
    rows: list[GapRow] = []
    for platform, times in made.sent_ms.items():
        chosen_ms = int(made.manifest.settings["gap_ms"][platform.value])
        gaps = sorted({round(hours * HOUR_MS) for hours in _HOURS[platform]} | {chosen_ms})
        rows += [
            GapRow(
                platform=platform.value,
                gap_hours=effect.gap_ms / HOUR_MS,
                chosen=effect.gap_ms == chosen_ms,
                sessions=effect.sessions,
                median_messages=effect.median_messages,
                single_share=effect.single_share,
            )
            for effect in gap_effect(times, gaps)
        ]
    return rows
