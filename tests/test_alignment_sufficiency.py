"""Whether judgements are enough to train on."""

from __future__ import annotations

import pytest

from talkalike.alignment.sufficiency import check_sufficiency, more_judgements
from talkalike.errors import UserError
from talkalike.store.judging.statistics import wilson
from talkalike.workspace.cards import Card


def reward(share: float, pairs: int, method: str = "linear") -> Card:
    return Card(
        name="liking",
        kind="reward",
        created="2026-01-01T00:00:00+00:00",
        method=method,
        scores={"accuracy": share, "heldout_pairs": pairs},
    )


def test_a_clear_order_is_enough_and_one_like_chance_is_not() -> None:
    check_sufficiency(reward(0.9, 40), judgements=50)
    check_sufficiency(reward(1.0, 6), judgements=50)
    check_sufficiency(reward(0.5, 8, method="lora"), judgements=50)  # measured on too few to say
    with pytest.raises(UserError, match="puts 55 % of 40 pairs") as refused:
        check_sufficiency(reward(0.55, 40), judgements=50)
    assert "Judge about 80 more" in refused.value.hint and "--anyway" in refused.value.hint


@pytest.mark.parametrize(("right", "decided", "judged"), [(22, 40, 50), (2, 2, 200), (5, 12, 60), (60, 110, 130)])
def test_so_many_more_would_settle_it(right: int, decided: int, judged: int) -> None:
    more = more_judgements(right, decided, judged=judged)
    assert more >= 10 and more % 10 == 0
    later = decided + more * decided / judged  # of which as many are decided as before
    assert later >= 1.4 * decided
    assert (wilson(max(0.6, right / decided) * later, round(later)).low or 0) > 0.49


def test_hardly_anything_decided_is_not_enough() -> None:
    assert more_judgements(0, 0, judged=100) > 0
    assert more_judgements(198, 200, judged=200) == 0
