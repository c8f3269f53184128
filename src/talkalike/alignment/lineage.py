"""What a model made by an alignment comes from, and where it is put."""

from __future__ import annotations

import dataclasses

from talkalike.models.roles import Roles
from talkalike.workspace.cards import Card, Catalog


def lineage(card: Card, *, whole: bool = False) -> tuple[str, ...]:
    """The parents of what is trained from this model (`whole`: as a full model, without a base), oldest first.

    An adapter's first parent is its base; where that is a double, its own card names the earlier ones.
    """
    return (*card.parents, card.name) if whole or card.kind == "adapter" else (card.name,)


def save_aligned(roles: Roles, role: str, card: Card, *, double: Card, catalog: Catalog) -> Card:
    """Writes the role as the model of this card, made from the double; the card is written last, and returned."""
    kind = roles.save(role, catalog.path(card.name), base=catalog.address(lineage(double)[0]))
    card = dataclasses.replace(card, kind=kind, parents=lineage(double, whole=kind == "full"))
    catalog.save_card(card)
    return card
