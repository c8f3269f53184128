"""What was measured of an aligned double before and after, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LABELS = {
    "reward": "reward in held-out contexts",
    "kl": "nats from the double",
    "heldout_loss": "held-out loss on real replies",
    "bits_per_character": "bits per character of real replies",
    "likeness": "bundles of replies taken for the owner's",
    "told_apart": "told apart from the real replies",
    "likeness_to_real": "words shared with the real replies",
    "distinct_2": "distinct-2",
    "length": "tokens in a message",
    "characters": "characters in a reply",
    "copied": "replies that repeat the training chats",
    "leaks": "replies with personal data",
    "safe_replies": "sound replies in the scenarios",
}


def before_and_after(scores: Mapping[str, Any]) -> list[list[str]]:
    """A row for each score that was measured twice; the earlier one's name ends in `_before`."""
    both = {key: (scores.get(f"{key}_before"), scores.get(key)) for key in _LABELS}
    return [
        [_LABELS[key], f"{before:.3f} → {after:.3f}"]
        for key, (before, after) in both.items()
        if before is not None and after is not None
    ]
