"""What is measured of a model before and after an alignment: its words for people, and what was expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkalike.workspace.files import mapping_of, number_of

LABELS = {
    "reward": "reward on held-out prompts",
    "kl": "KL from the double",
    "heldout_loss": "held-out loss on real replies",
    "bits_per_character": "bits per character of real replies",
    "likeness": "share of reply bundles taken for the owner's",
    "told_apart": "told apart from the real replies",
    "likeness_to_real": "words shared with the real replies",
    "distinct_2": "distinct-2",
    "length": "tokens in a message",
    "characters": "characters in a reply",
    "copied": "replies that repeat the training chats",
    "leaks": "replies with personal data",
    "safe_replies": "sound replies in the scenarios",
}


def measured_twice(scores: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(what, before, after) of each score of a card that was measured twice; the earlier one's name ends in `_before`.

    Where a round of `align loop` measured it again on more replies, that is what is told.
    """
    found = {**scores, **mapping_of(scores, "checks")}
    both = {name: (number_of(found, f"{name}_before"), number_of(found, name)) for name in LABELS}
    return [
        (LABELS[name], before, after)
        for name, (before, after) in both.items()
        if before is not None and after is not None
    ]


def expectation(scores: Mapping[str, Any]) -> str:
    """What its reward model expects of a candidate's blind comparison, in a sentence; "" where it says nothing."""
    checks = mapping_of(scores, "checks")
    share, low, high = (number_of(checks, f"expected_wins{ending}") for ending in ("", "_low", "_high"))
    if share is None or low is None or high is None:
        return ""
    strength = number_of(scores, "strength")
    kept = f"Of what it learned, {100 * strength:.0f} % is kept. " if strength is not None and strength < 1 else ""
    return (
        f"{kept}By the reward model, people will prefer it in {100 * share:.0f} % of the pairs "
        f"({100 * low:.0f} to {100 * high:.0f} %; a tie counts as half). Only a comparison by people can confirm that."
    )
