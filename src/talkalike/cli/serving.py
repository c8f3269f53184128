"""`talkalike serve`: what we own, offered to others. The engine behind the API that OpenAI's clients speak."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from talkalike.cli.output import say
from talkalike.cli.talking import chosen_model, load_engine
from talkalike.cli.workspace import WorkspaceOption, open_workspace
from talkalike.errors import UserError


def serve(
    engine: Annotated[bool, typer.Option("--engine", help="Offer the OpenAI-compatible API.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Which model. Default: the one trained last, else the base.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: as in the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port. Default: as in the settings.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve a model to other programs until Ctrl-C."""
    if not engine:
        raise UserError("Nothing to serve was named.", hint="Use: talkalike serve --engine")
    opened = open_workspace(workspace)
    settings = opened.settings.serve
    card = chosen_model(opened, model)
    key = os.environ.get(settings.api_key_env, "")
    asyncio.run(
        _serve(
            load_engine(opened, card),
            speaker=card.speakers[0] if card.speakers else "assistant",
            host=host or settings.host,
            port=settings.port if port is None else port,
            key=key,
        )
    )


async def _serve(engine: object, *, speaker: str, host: str, port: int, key: str) -> None:
    from talkalike.engine.local import LocalEngine
    from talkalike.engine.server import serve as serve_engine

    assert isinstance(engine, LocalEngine)
    say(f"Serving {engine.name} at http://{host}:{port}/v1 ({'with' if key else 'without'} a key). Ctrl-C stops.")
    try:
        await serve_engine(engine, speaker=speaker, host=host, port=port, api_key=key)
    finally:
        await engine.close()
