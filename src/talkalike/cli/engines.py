"""The workspace's models as engines: which one is meant, how its replies are sampled, and the processes that serve."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
from talkalike.models.adapter_config import adapter_config, why_no_plain_lora
from talkalike.options import REPLY, SAMPLING
from talkalike.store.store import Store
from talkalike.workspace.cards import Card
from talkalike.workspace.prefixes import SavedPrefixes, forget_conversations, forget_every_conversation
from talkalike.workspace.serving import serving_model

if TYPE_CHECKING:
    from talkalike.engine.local import LocalEngine

VOICES_SECONDS = 5.0  # how long a list of models read from the disk is believed
MOST_OPEN = 3  # processes at once; the one used longest ago is closed first


@dataclass(frozen=True, slots=True)
class Running:
    """A process, and the models in it that were asked for."""

    process: ProcessEngine
    models: dict[str, Engine] = field(default_factory=dict)


class WorkspaceEngines:
    """`talkalike.chat.engines.Engines` over the workspace's catalog: a process for each base with the doubles on it.

    What cannot stay beside its base (see `base_to_share`) has a process of its own.
    """

    def __init__(self, workspace: Workspace, *, default: str | None = None, saves: bool = True) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog()
        self._saves = saves  # whether conversations outlive the models' processes
        self._named = default
        self._default = choose_model(workspace, default).name
        self._running: dict[str, Running] = {}  # by the model that the process is started for
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
            self._voices = tuple(_voice(card) for card in reversed(self._catalog.cards()))
            self._read_at = now
            self._default = self._named or serving_model(self._workspace.models) or self._default
        return self._voices

    async def open(self, model: str) -> Engine:
        """The model in its process, which is started if need be."""
        async with self._lock:
            if model not in (voice.model for voice in self.voices()):
                raise UserError(f"There is no model '{model}'.", hint="`/model show` lists those there are.")
            started_for = await asyncio.to_thread(self._process_of, model)
            running = self._running.pop(started_for, None) or await self._start(started_for)
            self._running[started_for] = running  # the one used last stands last
            if model not in running.models:
                running.models[model] = running.process if model == started_for else running.process.beside(model)
            return running.models[model]

    def _process_of(self, model: str) -> str:
        """The model that this one's process is started for: its base, where several doubles stand on it.

        A double that is the only one is merged, which is faster, and stays so while its process runs.
        """
        base = None if model in self._running else base_to_share(self._workspace, self._catalog.card(model))
        if base is None or base in (model, *self._running):
            return base or model
        others = (card for card in self._catalog.cards() if card.is_double and card.name != model)
        return base if any(base_to_share(self._workspace, card) == base for card in others) else model

    async def process(self) -> ProcessEngine:
        """The default model's process, started if need be: what else it offers, such as an eye, is asked there."""
        model = self.default
        await self.open(model)
        return self._running[await asyncio.to_thread(self._process_of, model)].process

    async def _start(self, model: str) -> Running:
        while len(self._running) >= MOST_OPEN:
            await _close(self._running.pop(next(iter(self._running))))
        process = ProcessEngine(
            model, command=partial(self._command, model), log=self._workspace.runs / "serving" / f"{model}.log"
        )
        await process.start()
        return Running(process)

    def forget(self, conversations: Iterable[str] | None) -> None:
        """Deletes what models saved of these conversations; None: of all."""
        root = self._workspace.prefixes
        if conversations is None:
            forget_every_conversation(root)
        else:
            forget_conversations(root, conversations)

    def health(self) -> tuple[Health, ...]:
        """The state of each process, with the models in it."""
        return tuple(
            Health(
                model=", ".join(running.models),
                running=running.process.running,
                restarts=running.process.restarts,
                memory_bytes=running.process.memory_bytes,
                problem=running.process.problem,
            )
            for running in self._running.values()
        )

    async def close(self) -> None:
        """Ends all of the processes."""
        async with self._lock:
            ending, self._running = list(self._running.values()), {}
            await asyncio.gather(*map(_close, ending))

    def _command(self, model: str, listening: int) -> Sequence[str]:
        program = (sys.executable, "-m", "talkalike.cli.main", "serve", "--engine")
        saving = ["--save"] if self._saves else []
        where = ("--workspace", str(self._workspace.root))
        return (*program, *saving, "--model", model, "--inherit", str(listening), *where)


async def _close(running: Running) -> None:
    for engine in (*running.models.values(), running.process):
        await engine.close()


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
def base_to_share(workspace: Workspace, card: Card) -> str | None:
    """The base that this model, or the double beside others, stands on in a process; None where it needs its own."""
    catalog, settings = workspace.catalog(), workspace.settings
    if not settings.serve.adapters_mb or settings.engine.kind != "local" or not catalog.exists(card.base):
        return None
    if card.kind == "base":
        return card.name
    if card.kind != "adapter":
        return None
    try:
        return None if why_no_plain_lora(adapter_config(catalog.path(card.name))) else card.base
    except (OSError, ValueError):
        return None  # its own process says what is wrong with it


def choose_model(workspace: Workspace, wanted: str | None) -> Card:
    """The named model, else the promoted one, else the one trained last, else the base (fetched if need be)."""
    return model_here(workspace, wanted) or ensure_base(workspace, workspace.settings.model.base)


def model_here(workspace: Workspace, wanted: str | None = None) -> Card | None:
    """The same, but None where the base would be fetched."""
    catalog, base = workspace.catalog(), workspace.settings.model.base
    wanted = wanted or serving_model(workspace.models)
    if wanted is not None:
        card = catalog.card(wanted)
        if card.kind == "eye":
            raise UserError(f"'{wanted}' is an eye: it cannot write by itself.", hint="Choose a double or a base.")
        return card
    return catalog.newest_double() or (catalog.card(base) if catalog.exists(base) else None)


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


def load_engine(workspace: Workspace, card: Card, *, saves: bool = False) -> LocalEngine:
    """The model in memory, ready to reply. `saves`: its conversations outlive the process."""
    from talkalike.engine.local import open_engine  # torch: only where a model runs in this process

    saved = saved_prefixes(workspace) if saves else None
    return open_engine(workspace.catalog(), card.name, saved=saved, **workspace.settings.model.loading)


def saved_prefixes(workspace: Workspace) -> SavedPrefixes:
    """Where conversations outlive the models' processes."""
    return SavedPrefixes(workspace.prefixes, workspace.settings.model.conversations_mb * 2**20)


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


def with_reward(workspace: Workspace, engine: Engine) -> BestOfEngine:
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
    workspace: Workspace, store: Store, reward: str | Ensemble, *, most: int = MOST, quiet: bool
) -> int:
    """Puts those waiting pairs first that a reward model (or the one of this name) says there is most to learn from;
    returns how many it looked at.
    """
    model, settings = reward, workspace.settings.model
    if isinstance(model, str):
        model = open_ensemble(workspace.catalog(), model, device=settings.device, dtype=settings.dtype)
    with progress("Sorting pairs", quiet=quiet, unit="pairs") as advance:
        return sort_waiting(store, model, most=most, on_progress=advance)
