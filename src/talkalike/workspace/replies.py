"""What a run replied to the same held-out prompts at several steps of its training, to be read side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPLIES = "replies.jsonl"
MOST_BYTES = 1 << 20
MOST_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReplies:
    """A held-out prompt, and the reply after each of the steps, with its reward where there is one."""

    text: str
    speaker: str
    replies: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """`prompts`, each with a reply for each of `steps`, the first and the last that were kept and some between."""

    steps: tuple[int, ...] = ()
    prompts: tuple[PromptReplies, ...] = ()


def side_by_side(run: Path) -> SideBySide:
    """What the run in this folder replied so far. Lines that are damaged, or of other prompts, are left out."""
    try:
        with (run / REPLIES).open("rb") as file:
            lines = file.read(MOST_BYTES).split(b"\n")
    except OSError:
        return SideBySide()
    by_step: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        step, replies = _read(line)
        if replies and (not by_step or _prompts(replies) == _prompts(next(iter(by_step.values())))):
            by_step[step] = replies  # the last one of a step counts: an earlier one was done again
    known = sorted(by_step)
    if not known:
        return SideBySide()
    places = {round(number * (len(known) - 1) / (MOST_STEPS - 1)) for number in range(MOST_STEPS)}
    steps = tuple(known[place] for place in sorted(places))
    prompts = tuple(
        PromptReplies(
            text=text,
            speaker=speaker,
            replies=tuple((by_step[step][row]["text"], by_step[step][row].get("reward")) for step in steps),
        )
        for row, (text, speaker) in enumerate(_prompts(by_step[steps[0]]))
    )
    return SideBySide(steps=steps, prompts=prompts)


def _read(line: bytes) -> tuple[int, list[dict[str, Any]]]:
    try:
        found = json.loads(line)
        step, replies = int(found["step"]), list(found["replies"])
        texts = all(isinstance(reply[key], str) for reply in replies for key in ("prompt", "speaker", "text"))
        numbers = all(isinstance(reply.get("reward", 0.0), int | float) for reply in replies)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return 0, []
    return (step, replies) if texts and numbers else (0, [])


def _prompts(replies: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(reply["prompt"], reply["speaker"]) for reply in replies]
