"""Whether judgements show what is liked, and if they do not yet, about how many more it takes. No torch."""

from __future__ import annotations

import math

from talkalike.errors import UserError
from talkalike.store.judging.statistics import wilson
from talkalike.workspace.cards import Card
from talkalike.workspace.files import number_of

_BARELY = 0.6  # the share in the right order that is hoped for where there is no sign of a liking yet
_MORE = 1.5  # times the decided pairs there are: fewer more would hardly change anything
_ROUNDED = 10


def check_sufficiency(reward: Card, *, judgements: int) -> None:
    """Raises UserError where a linear reward model's order of unseen pairs could be chance.

    Other models are measured on so few pairs that nothing follows from it.
    """
    share, pairs = number_of(reward.scores, "accuracy"), number_of(reward.scores, "heldout_pairs")
    if reward.method != "linear" or share is None or not pairs:
        return
    more = more_judgements(share * pairs, round(pairs), judged=judgements)
    if more:
        raise UserError(
            f"Not enough judgements yet: '{reward.name}', made from these {judgements:,}, puts {100 * share:.0f} % of "
            f"{pairs:.0f} pairs that it had not seen in the right order, which could be chance.",
            hint=f"Judge about {more:,} more, or train all the same: --anyway",
        )


def more_judgements(right: float, decided: int, *, judged: int) -> int:
    """About how many more it takes; 0 where the share in the right order is surely above one half.

    `right` of the `decided` pairs (those without ties) among so many `judged` ones are in the right order.
    """
    low = wilson(right, decided).low
    if low is not None and low > 0.5:
        return 0
    share = max(_BARELY, right / max(1, decided))
    wanted = next(n for n in range(1, 1000) if (wilson(share * n, n).low or 0.0) > 0.5)
    missing = max(wanted, math.ceil(_MORE * decided)) - decided
    return max(1, math.ceil(missing * judged / max(1, decided) / _ROUNDED)) * _ROUNDED
