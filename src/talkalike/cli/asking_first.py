"""Which pairs people are asked about first: those that the members of a reward model disagree on."""

from __future__ import annotations

from collections.abc import Collection

from talkalike.alignment.values import ReplySample
from talkalike.cli.output import progress
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.store.judging.judgement_values import JudgedReply
from talkalike.store.store import Store

MOST = 500  # pairs looked at, those at the head of the queue; a model of 135M reads some three of them a second
_AT_ONCE = 16


def newest_ensemble(opened: Workspace, stands_on: Collection[str] | None = None) -> str | None:
    """The newest reward model with several members (that stands on one of these), if there is one."""
    cards = [card for card in opened.catalog().cards() if card.kind == "reward" and card.settings.get("members", 1) > 1]
    fit = [card for card in cards if stands_on is None or card.settings.get("reference") in stands_on]
    return max(fit, key=lambda card: card.created).name if fit else None


def sort_waiting(
    opened: Workspace, store: Store, reward: str, *, batch: int | None = None, most: int = MOST, quiet: bool
) -> int:
    """Lets the reward model look at the pairs that wait (of one batch, or all), and puts those first that it is of two
    minds about; returns how many it looked at.

    Raises UserError for a reward model with one member.
    """
    # torch and Django: the help does not wait for them
    from talkalike.alignment.reward_model import RewardModel
    from talkalike.store.judging import pairs

    settings = opened.settings.model
    model = RewardModel.load(opened.catalog(), reward, device=settings.device, dtype=settings.dtype)
    if len(model.names) < 2:
        raise UserError(
            f"'{reward}' has one member, who is always of one mind.",
            hint="Train several side by side: talkalike align reward --members 3",
        )
    waiting = store.call(pairs.waiting, most=most, batch_id=batch)
    with progress("Weighing pairs", quiet=quiet, unit="pairs") as advance:
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            found = model.disagreements([(sample_of(pair.a), sample_of(pair.b)) for pair in some])
            store.call(pairs.set_spreads, {pair.id: value for pair, value in zip(some, found, strict=True)})
            advance(start + len(some), len(waiting))
    return len(waiting)


def sample_of(reply: JudgedReply) -> ReplySample:
    """The reply as a reward model reads it, which puts it into its own tokens."""
    return ReplySample(
        prompt_ids=(),
        reply_ids=(),
        text="\n".join(reply.messages),
        prompt_turns=tuple(Turn(speaker, text) for speaker, text in reply.context),
        speaker=reply.speaker,
    )
