"""`talkalike chat`: a model of ours, or any OpenAI-compatible server, in the terminal."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from talkalike.cli.models import ensure_base
from talkalike.cli.output import FICTIONAL, console, say
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError

if TYPE_CHECKING:
    from talkalike.chat.pipeline import Pipeline
    from talkalike.cli.chatting import Opened
    from talkalike.engine.local import LocalEngine
    from talkalike.engine.protocol import Engine, Sampling
    from talkalike.models.catalog import Card

_PEOPLE = 12  # others offered as roles to play
_NOBODY = "Friend"


def chat(
    model: Annotated[
        str | None, typer.Option(help="Which model. Default: the one trained last, else the base.")
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Whose voice it has.")] = None,
    me: Annotated[str | None, typer.Option(help="Who you are. Default: who talks to them most.")] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Talk to an OpenAI-compatible server instead (key: the setting's)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and words give the same replies.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Talk to a model in the terminal. /help lists what can be typed besides messages."""
    opened = open_workspace(workspace)
    asyncio.run(_chat(opened, model=model, voice=as_, me=me, url=url, seed=seed))


async def _chat(
    opened: Workspace, *, model: str | None, voice: str | None, me: str | None, url: str | None, seed: int | None
) -> None:
    from talkalike.cli.chatting import ChatOptions, Opened
    from talkalike.cli.chatting import chat as chat_in_terminal

    engines: list[Engine] = []

    async def pipeline_of(engine: Engine, speakers: tuple[str, ...]) -> Opened:
        while engines:
            await engines.pop().close()
        engines.append(engine)
        return Opened(pipeline=_pipeline(opened, engine, seed), speakers=speakers)

    async def open_model(name: str) -> Opened:
        card = opened.catalog().card(name)
        return await pipeline_of(await asyncio.to_thread(load_engine, opened, card), card.speakers)

    people: tuple[str, ...] = ()
    try:
        if url:
            from talkalike.engine.remote import RemoteEngine

            key = os.environ.get(opened.settings.serve.api_key_env, "")
            remote = await RemoteEngine.connect(url, model=model or "", api_key=key)
            first = await pipeline_of(remote, ())
        else:
            card = chosen_model(opened, model)
            if card.fictional:
                say(f"{FICTIONAL}.")
            people = others(opened, card)
            first = await open_model(card.name)
        double = _voice(first.speakers, voice)
        await chat_in_terminal(
            first.pipeline,
            me=me or next((name for name in people if name != double), _NOBODY),
            double=double,
            console=console(),
            options=ChatOptions(
                speakers=first.speakers,
                people=people,
                models=None if url else lambda: [card.name for card in opened.catalog().cards()],
                open_model=None if url else open_model,
            ),
        )
    finally:
        while engines:
            await engines.pop().close()


def chosen_model(opened: Workspace, wanted: str | None) -> Card:
    """The named model, else the one trained last, else the base (fetched if need be)."""
    catalog = opened.catalog()
    if wanted is not None:
        return catalog.card(wanted)
    return catalog.newest_double() or ensure_base(opened, opened.settings.model.base)


def load_engine(opened: Workspace, card: Card) -> LocalEngine:
    """The model in memory, ready to reply."""
    from talkalike.engine.local import LocalEngine
    from talkalike.models.load import load_for_inference

    catalog, wanted = opened.catalog(), opened.settings.model
    loaded = load_for_inference(catalog.path(card.name), catalog=catalog, dtype=wanted.dtype, device=wanted.device)
    return LocalEngine(loaded)


def sampling_of(opened: Workspace) -> Sampling:
    """How replies are sampled, by the settings."""
    from talkalike.engine.protocol import Sampling

    values = opened.settings.chat.model_dump(exclude={"budget_tokens"})
    return Sampling(**values)


def others(opened: Workspace, card: Card) -> tuple[str, ...]:
    """Who talks to the model's speakers in its examples, most first."""
    if card.examples not in opened.example_names():
        return ()
    examples = opened.example_set(card.examples)
    counts = Counter(turn.speaker for document in examples.documents("train") for turn in document.turns)
    return tuple(name for name, _ in counts.most_common() if name not in card.speakers)[:_PEOPLE]


def _pipeline(opened: Workspace, engine: Engine, seed: int | None) -> Pipeline:
    import dataclasses

    from talkalike.chat.pipeline import Pipeline

    sampling = sampling_of(opened)
    if seed is not None:
        sampling = dataclasses.replace(sampling, seed=seed)
    budget = opened.settings.chat.budget_tokens
    return Pipeline(engine, sampling=sampling, budget=engine.context_length if budget == "auto" else budget)


def _voice(speakers: tuple[str, ...], wanted: str | None) -> str:
    if wanted is None:
        return speakers[0] if speakers else "assistant"
    if not speakers:
        return wanted
    for name in speakers:
        if name.casefold() == wanted.casefold():
            return name
    raise UserError(f"The model was not trained on '{wanted}'.", hint=f"It talks like: {', '.join(speakers)}.")
