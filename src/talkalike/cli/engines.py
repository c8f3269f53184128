"""The workspace's models as engines: which one is meant, how its replies are sampled, and the processes that serve."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from talkalike.alignment.best_of import BestOfEngine
from talkalike.alignment.heldout_prompts import ReplySources
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.uncertain_pairs import MOST, Ensemble, open_ensemble, sort_waiting
from talkalike.alignment.values import Reward
from talkalike.chat.engines import Health, Voice
from talkalike.cli.models import ensure_base
from talkalike.cli.output import Advance, no_progress, progress
from talkalike.cli.workspace import Workspace
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Engine, Sampling
from talkalike.errors import UserError
from talkalike.options import REPLY, SAMPLING
from talkalike.store.store import Store
from talkalike.workspace.cards import Card
from talkalike.workspace.serving import serving_model

if TYPE_CHECKING:
    from talkalike.engine.local import LocalEngine

VOICES_SECONDS = 5.0  # how long a list of models read from the disk is believed
MOST_OPEN = 3  # models in memory at once; the one used longest ago is closed first


class WorkspaceEngines:
    """`talkalike.chat.engines.Engines` over the workspace's catalog."""

    def __init__(self, workspace: Workspace, *, default: str | None = None) -> None:
        self._workspace = workspace
        self._named = default
        self._default = choose_model(workspace, default).name
        self._engines: dict[str, ProcessEngine] = {}
        self._lock = asyncio.Lock()
        self._voices: tuple[Voice, ...] = ()
        self._read_at = -math.inf

    @property
    def default(self) -> str:
        """The model named at the start, else the one that was promoted, else the one trained last, else the base."""
        self.voices()
        return self._default

    @property
    def voice(self) -> Voice:
        """The voice of the default model."""
        return next(voice for voice in self.voices() if voice.model == self.default)

    def voices(self) -> tuple[Voice, ...]:
        """Every model with a readable card, newest first."""
        now = time.monotonic()
        if now - self._read_at > VOICES_SECONDS:
            self._voices = tuple(_voice(card) for card in reversed(self._workspace.catalog().cards()))
            self._read_at = now
            self._default = self._named or serving_model(self._workspace.models) or self._default
        return self._voices

    async def open(self, model: str) -> Engine:
        """The model's process, started if need be."""
        async with self._lock:
            if model in self._engines:
                self._engines[model] = self._engines.pop(model)  # the one used last stands last
                return self._engines[model]
            if model not in (voice.model for voice in self.voices()):
                raise UserError(f"There is no model '{model}'.", hint="`/model show` lists those there are.")
            while len(self._engines) >= MOST_OPEN:
                await self._engines.pop(next(iter(self._engines))).close()
            engine = ProcessEngine(
                model, command=partial(self._command, model), log=self._workspace.runs / "serving" / f"{model}.log"
            )
            await engine.start()
            self._engines[model] = engine
            return engine

    def health(self) -> tuple[Health, ...]:
        """The state of each model's process."""
        return tuple(
            Health(
                model=engine.model,
                running=engine.running,
                restarts=engine.restarts,
                memory_bytes=engine.memory_bytes,
                problem=engine.problem,
            )
            for engine in self._engines.values()
        )

    async def close(self) -> None:
        """Ends all of the processes."""
        async with self._lock:
            engines, self._engines = list(self._engines.values()), {}
            await asyncio.gather(*(engine.close() for engine in engines))

    def _command(self, model: str, listening: int) -> Sequence[str]:
        program = (sys.executable, "-m", "talkalike.cli.main", "serve", "--engine")
        return (*program, "--model", model, "--inherit", str(listening), "--workspace", str(self._workspace.root))


def _voice(card: Card) -> Voice:
    return Voice(
        model=card.name,
        speaker=speaker_of(card),
        base=card.base,
        trained_at=datetime.fromisoformat(card.created),
        likeness=card.likeness.value if card.likeness else None,
        fictional=card.fictional,
    )


# ------------------------------------------------------------------------------------------------- in this process
def choose_model(workspace: Workspace, wanted: str | None) -> Card:
    """The named model, else the promoted one, else the one trained last, else the base (fetched if need be)."""
    catalog = workspace.catalog()
    wanted = wanted or serving_model(workspace.models)
    if wanted is not None:
        return catalog.card(wanted)
    return catalog.newest_double() or ensure_base(workspace, workspace.settings.model.base)


def choose_double(workspace: Workspace, wanted: str | None) -> Card:
    """The same of somebody's doubles alone. Raises UserError where it is none; nothing is fetched for that."""
    catalog = workspace.catalog()
    name = wanted or serving_model(workspace.models)
    card = catalog.card(name) if name else catalog.newest_double()
    if card is None:
        raise UserError(f"There is no double in {workspace.models} yet.", hint="Train one: talkalike train")
    if not card.is_double:
        raise UserError(f"'{card.name}' is nobody's double.", hint="Train one: talkalike train")
    return card


def speaker_of(card: Card) -> str:
    """In whose voice it replies where nobody says otherwise."""
    return card.speakers[0] if card.speakers else "assistant"


def load_engine(workspace: Workspace, card: Card) -> LocalEngine:
    """The model in memory, ready to reply."""
    from talkalike.engine.local import open_engine  # torch: only where a model runs in this process

    how = workspace.settings.model.model_dump(include={"dtype", "device", "quantize"})
    return open_engine(workspace.catalog(), card.name, **how)


def sampling_of(workspace: Workspace) -> Sampling:
    """How one reply is sampled, by the settings; who wants the best of several says so."""
    return Sampling(**workspace.settings.chat.model_dump(include=set(SAMPLING) - {"best_of"}))


def reply_options(workspace: Workspace) -> dict[str, Any]:
    """What the settings say other than the table of options, for the faces where it can be set again."""
    values = workspace.settings.chat.model_dump(include=set(REPLY))
    values["budget_tokens"] = budget_of(workspace)
    return {key: value for key, value in values.items() if value != REPLY[key].default}


def budget_of(workspace: Workspace) -> int | None:
    """Tokens of a conversation that the model sees, by the settings; None: all that fit."""
    budget = workspace.settings.chat.budget_tokens
    return None if budget == "auto" else budget


def reward_of(workspace: Workspace, wanted: str | None = None) -> Reward | None:
    """What judges replies: the reward that is named, else the settings'; None where neither names one."""
    spec, settings = wanted or workspace.settings.chat.reward, workspace.settings.model
    if not spec:
        return None
    if not wanted and spec.endswith((".yaml", ".yml")):
        spec = str(workspace.root / spec)  # the settings lie there
    return open_reward(spec, catalog=workspace.catalog(), device=settings.device, dtype=settings.dtype)


def with_reward(workspace: Workspace, engine: Engine) -> Engine:
    """The engine, able to choose among several replies by the settings' reward. Whoever asks for that says how many."""
    return BestOfEngine(engine, reward_of(workspace))


def reply_sources(workspace: Workspace, advance: Advance | None = None) -> ReplySources:
    """What models reply to held-out prompts with: loaded and sampled as the settings say."""
    return ReplySources(
        paths=workspace,
        open_engine=partial(load_engine, workspace),
        sampling=sampling_of(workspace),
        on_progress=advance or no_progress,
    )


def ask_uncertain_first(
    workspace: Workspace,
    store: Store,
    reward: str | Ensemble,
    *,
    batch: int | None = None,
    most: int = MOST,
    quiet: bool,
) -> int:
    """Puts those waiting pairs first that a reward model (or the one of this name) says there is most to learn from;
    returns how many it looked at.
    """
    model, settings = reward, workspace.settings.model
    if isinstance(model, str):
        model = open_ensemble(workspace.catalog(), model, device=settings.device, dtype=settings.dtype)
    with progress("Sorting pairs", quiet=quiet, unit="pairs") as advance:
        return sort_waiting(store, model, batch=batch, most=most, on_progress=advance)
