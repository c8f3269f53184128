"""Sorts the pairs that wait for judges: those come first that the members of a reward model disagree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from talkalike.alignment.rewards import open_reward
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.store import Store
from talkalike.workspace.cards import Catalog

MOST = 500  # pairs that are scored, from the head of the queue; a model of 135M scores about three a second
_AT_ONCE = 16


@runtime_checkable
class Ensemble(Protocol):
    """A reward model with several members."""

    names: tuple[str, ...]

    def disagreements(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> list[float]:
        """How far the members disagree about each pair."""
        ...


def newest_ensemble(catalog: Catalog) -> str | None:
    """The newest reward model with several members, if there is one."""
    cards = [card for card in catalog.cards() if card.kind == "reward" and card.settings.get("members", 1) > 1]
    return max(cards, key=lambda card: card.created).name if cards else None


def open_ensemble(catalog: Catalog, name: str, *, device: str, dtype: str) -> Ensemble:
    """The reward model; UserError where it has one member only."""
    model = open_reward(name, catalog=catalog, device=device, dtype=dtype)
    if not isinstance(model, Ensemble) or len(model.names) < 2:
        raise UserError(
            f"'{name}' has one member, and it takes several to disagree.",
            hint="Train several side by side: talkalike align reward --members 3",
        )
    return model


def sort_waiting(store: Store, model: Ensemble, *, most: int = MOST, on_progress: Callable[[int, int], object]) -> int:
    """Scores the waiting pairs, and puts those first that the members disagree on; returns how many were scored."""
    from talkalike.store.judging import pairs  # Django: a command's help does not wait for it

    waiting = store.call(pairs.waiting, most=most)
    for start in range(0, len(waiting), _AT_ONCE):
        some = waiting[start : start + _AT_ONCE]
        found = model.disagreements([(sample_of(pair.a), sample_of(pair.b)) for pair in some])
        store.call(pairs.set_spreads, {pair.id: value for pair, value in zip(some, found, strict=True)})
        on_progress(start + len(some), len(waiting))
    return len(waiting)


def sample_of(reply: JudgedReply) -> ReplySample:
    """The reply as a reward model reads it, which puts it into its own tokens."""
    turns = [Turn(speaker, text) for speaker, text in reply.context]
    return ReplySample.of_messages(reply.messages, turns, reply.speaker)
