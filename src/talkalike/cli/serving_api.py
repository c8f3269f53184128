"""The API as the settings have it: served alone, or beside the other faces."""

from __future__ import annotations

import dataclasses

from starlette.types import ASGIApp

from talkalike.cli.talking import sampling_of
from talkalike.cli.workspace import Workspace
from talkalike.engine.protocol import Engine
from talkalike.engine.server import create_app


def api(opened: Workspace, engine: Engine, *, speaker: str, key: str) -> ASGIApp:
    """The API: what a request leaves open is as [chat] says."""
    chat, pages = opened.settings.chat, opened.settings.serve.origins
    return create_app(
        engine,
        speaker=speaker,
        api_key=key,
        defaults=dataclasses.replace(sampling_of(opened), best_of=chat.best_of),
        origins=[page.strip() for page in pages.split(",") if page.strip()],
    )
