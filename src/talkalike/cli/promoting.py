"""Promotion on the command line: which model serves, with a look at the blind comparison that it came with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkalike.cli.secrets import database_url
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.store.store import open_store
from talkalike.workspace.cards import Card
from talkalike.workspace.serving import promote, serving_model

if TYPE_CHECKING:
    from talkalike.store.judging.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A model that serves now. `before`: which one did; `why`: what the comparison said, empty where there was none."""

    model: str
    before: str | None
    why: str


def promoted(opened: Workspace, name: str, *, anyway: bool) -> Promoted:
    """Lets the model serve. UserError for one that cannot, or that has not won its comparison (but for `anyway`)."""
    from talkalike.store.judging.promotion import doubt, told  # Django: `models` mostly does without

    found = _compared(opened, opened.catalog().card(name))
    doubts = doubt(name, found)
    if doubts and not anyway:
        raise UserError(
            doubts,
            hint="Judge its pairs on the website (talkalike serve --web), or promote it with --anyway.",
        )
    before = serving_model(opened.models)
    promote(opened.models, name, "talkalike models promote")
    return Promoted(model=name, before=before, why=told(found))


def _compared(opened: Workspace, card: Card) -> Outcome | None:
    """How the candidate's blind comparison came out; None for a model that is no candidate of `align loop`."""
    from talkalike.store.judging.promotion import batch_of, compared  # Django: as above

    batch = batch_of(card.settings)
    if batch is None:
        return None
    with open_store(database_url(opened)) as store:
        return store.call(compared, card.name, batch)
