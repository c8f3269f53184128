"""Which models one process serves: one alone, merged into its base, or a base with the doubles that stand on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkalike.alignment.best_of import BestOfEngine
from talkalike.chat.engines import Engines
from talkalike.cli.engine_kinds import open_engine
from talkalike.cli.engines import base_to_share, saved_prefixes, speaker_of, with_reward
from talkalike.cli.workspace import Workspace
from talkalike.engine.offer import Offered, OtherModels
from talkalike.engine.protocol import Engine
from talkalike.errors import UserError
from talkalike.settings import split_names
from talkalike.workspace.cards import Card

if TYPE_CHECKING:
    from talkalike.engine.doubles import SharedBase

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The model that a server was started for, and what it offers beside it."""

    engine: Engine
    others: OtherModels | None = None
    shared: SharedBase | None = None

    async def close(self) -> None:
        """Frees the memory of all. Safe to call twice."""
        await self.engine.close()
        if self.shared is not None:
            await self.shared.close()


class DoublesOnBase:
    """`talkalike.engine.offer.OtherModels` over a base in memory. `names`: those offered; None: every one there is."""

    def __init__(
        self, workspace: Workspace, shared: SharedBase, first: BestOfEngine, *, names: Sequence[str] | None
    ) -> None:
        self._workspace = workspace
        self._shared = shared
        self._first = first
        self._names = names

    async def names(self) -> Sequence[str]:
        """Read from the disk where all are offered: a double that was trained meanwhile is among them."""
        if self._names is not None:
            return self._names
        return await asyncio.to_thread(self._all)

    async def find(self, model: str) -> Offered | None:
        """The double, whose adapter is read when it first writes."""
        if model not in await self.names():
            return None
        return await asyncio.to_thread(self._open, model)

    def _all(self) -> list[str]:
        cards = self._workspace.catalog().cards()
        sharing = [card.name for card in cards if base_to_share(self._workspace, card) == self._shared.base]
        return [name for name in sharing if name != self._first.name]

    def _open(self, model: str) -> Offered:
        card = self._workspace.catalog().card(model)
        return Offered(engine=self._first.over(self._shared.open(model)), speaker=speaker_of(card))


class OpenedByName:
    """`OtherModels` over models in processes of their own, which `engines` knows."""

    def __init__(self, engines: Engines, names: Sequence[str]) -> None:
        self._engines = engines
        self._names = names

    async def names(self) -> Sequence[str]:
        """As they were given, but for those that are gone."""
        there = {voice.model for voice in self._engines.voices()}
        return [name for name in self._names if name in there]

    async def find(self, model: str) -> Offered | None:
        """The model's process, started if need be."""
        voice = next((voice for voice in self._engines.voices() if voice.model == model), None)
        if voice is None or model not in self._names:
            return None
        return Offered(engine=await self._engines.open(model), speaker=voice.speaker)


def doubles_beside(workspace: Workspace, card: Card) -> tuple[str, ...]:
    """The doubles that the settings offer in the API beside this model. UserError for one that cannot stand there."""
    wanted = split_names(workspace.settings.serve.doubles)
    if not wanted:
        return ()
    catalog, base = workspace.catalog(), base_to_share(workspace, card)
    if base is None:
        raise UserError(
            f"No other double can be served beside '{card.name}', which has a base of its own in memory.",
            hint="Empty `doubles` in [serve] of talkalike.toml, or serve a double that is a plain LoRA, "
            "with adapters_mb above 0 and the engine of kind local.",
        )
    others = [other for other in catalog.cards() if other.is_double and other.name != card.name]
    if wanted == (ALL,):
        return tuple(other.name for other in others if base_to_share(workspace, other) == base)
    for name in wanted:
        found = base_to_share(workspace, catalog.card(name))
        if found != base:
            where = f"stands on '{found}'" if found else "has a base of its own in memory"
            raise UserError(
                f"'{name}' of `doubles` in [serve] {where}, and '{card.name}' stands on '{base}'.",
                hint="Name doubles that were trained as a plain LoRA on the same base.",
            )
    return tuple(name for name in wanted if name != card.name)


def open_models(workspace: Workspace, card: Card, *, beside: Sequence[str] | None = (), saves: bool = False) -> Serving:
    """The model in memory, and beside it, on the same base, the doubles of these names.

    None: all that there are, now or later. Where there are none to come, the model is merged into its base.
    `saves`: conversations outlive the process.
    """
    if beside is not None and not beside:
        return Serving(engine=with_reward(workspace, open_engine(workspace, card, saves=saves)))
    # torch: only where a model runs in this process
    from talkalike.engine.doubles import SharedBase
    from talkalike.engine.local import LocalEngine
    from talkalike.models.load import load_for_inference

    catalog = workspace.catalog()
    loaded = load_for_inference(catalog.path(card.base), catalog=catalog, **workspace.settings.model.loading)
    if loaded.is_encoder_decoder:  # it talks as it is: there are no doubles of such a base
        return Serving(engine=with_reward(workspace, LocalEngine(loaded)))
    shared = SharedBase(
        loaded,
        catalog,
        adapters_mb=workspace.settings.serve.adapters_mb,
        saved=saved_prefixes(workspace) if saves else None,
    )
    first = with_reward(workspace, shared.open(card.name))
    return Serving(engine=first, shared=shared, others=DoublesOnBase(workspace, shared, first, names=beside))
