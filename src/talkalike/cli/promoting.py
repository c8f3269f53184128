"""Promotion on the command line: which model serves, with a look at the blind comparison that it came with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkalike.cli.output import counted, percent
from talkalike.cli.secrets import database_url
from talkalike.errors import UserError

if TYPE_CHECKING:
    from talkalike.cli.workspace import Workspace
    from talkalike.models.catalog import Card
    from talkalike.store.judging.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A model that serves now. `before`: which one did; `why`: what the comparison said, empty where there was none."""

    model: str
    before: str | None
    why: str


def promoted(opened: Workspace, name: str, *, anyway: bool) -> Promoted:
    """Lets the model serve. UserError for one that cannot, or that has not won its comparison (but for `anyway`)."""
    from talkalike.models.serving import promote, serving_model

    card = opened.catalog().card(name)
    if card.kind == "reward":
        raise UserError(f"'{name}' is a reward model: it judges replies and writes none.", hint="Name a double.")
    found = _compared(opened, card)
    if found is not None and not anyway:
        _require_won(card, found)
    before = serving_model(opened.models)
    promote(opened.models, name, "talkalike models promote")
    return Promoted(model=name, before=before, why=_told(found) if found is not None else "")


def _compared(opened: Workspace, card: Card) -> Outcome | None:
    """How the candidate's blind comparison came out; None for a model that is no candidate of `align loop`."""
    about = card.settings.get("round")
    if not isinstance(about, dict):
        return None
    from talkalike.store.judging.outcomes import Outcome, outcome
    from talkalike.store.store import open_store

    batch = about.get("batch")
    if not isinstance(batch, int):
        return Outcome(pairs=0, wins=0, losses=0, ties=0)
    with open_store(database_url(opened)) as store:
        return store.call(outcome, batch, card.name)


def _require_won(card: Card, found: Outcome) -> None:
    if not found.judged:
        raise UserError(
            f"The blind comparison of '{card.name}' has not been judged yet.",
            hint="Judge it on the website (talkalike serve --web), or promote it with --anyway.",
        )
    if found.wins <= found.losses:
        raise UserError(
            f"'{card.name}' did not win its blind comparison: {_told(found)}",
            hint="Keep the present double, judge more of the pairs, or promote it with --anyway.",
        )


def _told(found: Outcome) -> str:
    if not found.judged:
        return "Nobody judged its blind comparison."
    share = found.share
    told = f"it was better {found.wins} times, worse {found.losses} times"
    told += f", {counted(found.ties, 'time')} neither" if found.ties else ""
    if share.low is not None and share.high is not None:
        told += f" (95 % interval of the share: {percent(share.low)} to {percent(share.high)})"
    return f"Judged {counted(found.judged, 'time')}: {told}."
