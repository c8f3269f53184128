"""What the bot is given when it starts; everything in the room works with these and opens nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from talkalike.chat.engines import Engines
from talkalike.chat.looking import Onlooker
from talkalike.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class BotSettings:
    """Settings of the bot as a whole. `options` are the bot-wide values of `talkalike.chat.options`.

    `upload_cap` and `text_file_cap` in bytes; `stale_after` in seconds: how old a message that was missed, or whose
    reply broke off with the last process, may be to be answered when the bot is back. 0: none is.
    """

    owner_ids: frozenset[int] = frozenset()
    owner_name: str = ""  # whose double it is, for the disclosure
    dm_access: str = "closed"  # of people who are not the owner: closed or open
    options: Mapping[str, Any] = field(default_factory=dict)
    history_limit: int = 200  # messages read of a channel, at most
    text_file_cap: int = 64 * 1024
    upload_cap: int = 10 * 1024 * 1024
    stale_after: float = 600.0
    max_waiting: int = 32  # replies that wait for their turn, over all channels
    at_once: int = 4  # replies written at the same time
    scenario_folder: str = ""  # further scenario files for /test


@dataclass(slots=True, kw_only=True)
class Services:
    """The store, the models and the settings. `onlooker`: the eye for pictures; None where there is none."""

    store: Store
    engines: Engines
    settings: BotSettings
    onlooker: Onlooker | None = None  # what looks at pictures; None: nobody does
