"""`talkalike chat`: talks to one of the workspace's models, or to any OpenAI-compatible server, in the terminal."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from talkalike.alignment.best_of import BestOfEngine
from talkalike.chat.pipeline import Pipeline
from talkalike.cli.chatting import ChatModel, ChatOptions
from talkalike.cli.chatting import chat as chat_in_terminal
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engine_kinds import open_engine
from talkalike.cli.engines import budget_of, choose_model, reward_of, sampling_of
from talkalike.cli.output import FICTIONAL, console, say
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.engine.protocol import Engine, Sampling
from talkalike.engine.remote import RemoteEngine
from talkalike.errors import UserError
from talkalike.examples.opening import open_examples
from talkalike.options import BUDGET_TOKENS, REPLY
from talkalike.workspace.cards import Card

_PEOPLE = 12  # others offered as roles to play
_NOBODY = "Friend"
_BEST_OF = 8  # replies, where a reward is named and no number


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChatRequest:
    """The options given: whom to talk to, as whom, and how replies are sampled."""

    sampling: Sampling
    budget: int | None
    model: str | None
    voice: str | None
    me: str | None
    url: str | None
    reward: str | None


def _option(key: str) -> Any:
    """An option of the command line, as the table of options declares it."""
    option = REPLY[key]
    return typer.Option(metavar="NUMBER", help=option.help)


def chat(  # signature: typer
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(help="Model to talk to. Default: the promoted one, else the newest double, else the base."),
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Person the model speaks as. Default: the first it was trained on."),
    ] = None,
    me: Annotated[
        str | None, typer.Option(help="Your name in the chat. Default: whoever talks to that person most.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Talk to a model on an OpenAI-compatible server instead."),
    ] = None,
    temperature: Annotated[str | None, _option("temperature")] = None,
    top_p: Annotated[str | None, _option("top_p")] = None,
    top_k: Annotated[str | None, _option("top_k")] = None,
    min_p: Annotated[str | None, _option("min_p")] = None,
    repetition_penalty: Annotated[str | None, _option("repetition_penalty")] = None,
    seed: Annotated[str | None, _option("seed")] = None,
    max_tokens: Annotated[str | None, _option("max_tokens")] = None,
    max_messages: Annotated[str | None, _option("max_messages")] = None,
    best_of: Annotated[str | None, _option("best_of")] = None,
    budget_tokens: Annotated[str | None, _option("budget_tokens")] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="What chooses the best reply: a reward model's name, sentiment, a rules file (.yaml), or "
            "python:module.function."
        ),
    ] = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Talk to a model in the terminal. Type /help in the chat for its commands.

    Options that are not given are as [chat] of the settings says.
    """
    workspace = open_workspace(workspace_dir)
    typed = {key: context.params[key] for key in REPLY if context.params[key] is not None}
    given = {key: REPLY[key].parse(text) for key, text in typed.items()}
    budget = given.pop(BUDGET_TOKENS.key, budget_of(workspace))
    sampling = _sampling(workspace, given, reward=reward)
    asyncio.run(
        _chat(
            workspace,
            _ChatRequest(sampling=sampling, budget=budget, model=model, voice=as_, me=me, url=url, reward=reward),
        )
    )


async def _chat(workspace: Workspace, asked: _ChatRequest) -> None:
    judge = await asyncio.to_thread(reward_of, workspace, asked.reward) if asked.sampling.best_of > 1 else None

    engines: list[Engine] = []

    async def pipeline_of(engine: Engine, speakers: tuple[str, ...]) -> ChatModel:
        while engines:
            await engines.pop().close()
        if judge is not None:
            engine = BestOfEngine(engine, judge)
        engines.append(engine)
        return ChatModel(pipeline=Pipeline(engine, sampling=asked.sampling, budget=asked.budget), speakers=speakers)

    async def open_model(name: str) -> ChatModel:
        card = workspace.catalog().card(name)
        return await pipeline_of(await asyncio.to_thread(open_engine, workspace, card), card.speakers)

    people: tuple[str, ...] = ()
    try:
        if asked.url:
            key = os.environ.get(workspace.settings.serve.api_key_env, "")
            remote = await RemoteEngine.connect(asked.url, model=asked.model or "", api_key=key)
            first = await pipeline_of(remote, ())
        else:
            card = choose_model(workspace, asked.model)
            if card.fictional:
                say(f"{FICTIONAL}.")
            people = others(workspace, card)
            first = await open_model(card.name)
        double = _voice(first.speakers, asked.voice)
        await chat_in_terminal(
            first.pipeline,
            me=asked.me or next((name for name in people if name != double), _NOBODY),
            double=double,
            console=console(),
            options=ChatOptions(
                speakers=first.speakers,
                people=people,
                models=None if asked.url else lambda: [card.name for card in workspace.catalog().cards()],
                open_model=None if asked.url else open_model,
            ),
        )
    finally:
        while engines:
            await engines.pop().close()


def others(workspace: Workspace, card: Card) -> tuple[str, ...]:
    """Who talks to the model's speakers in its examples, most first."""
    if card.examples not in workspace.example_names():
        return ()
    examples = open_examples(workspace.examples, card.examples)
    counts = Counter(turn.speaker for document in examples.documents("train") for turn in document.turns)
    return tuple(name for name, _ in counts.most_common() if name not in card.speakers)[:_PEOPLE]


def _sampling(workspace: Workspace, given: Mapping[str, Any], *, reward: str | None) -> Sampling:
    """As the settings and options say; prints what choosing among several replies costs."""
    settings = workspace.settings.chat
    sampling = sampling_of(workspace)
    count = given.get("best_of") or (_BEST_OF if reward and settings.best_of == 1 else settings.best_of)
    judge = reward or settings.reward
    if count > 1 and not judge:
        raise UserError(
            "Choosing the best of several replies needs a reward.",
            hint="Name a reward, for example --reward sentiment.",
        )
    if count > 1:
        say(f"Each reply is the best of {count} by {judge}: {count} times the work, shown when all are written.")
    return dataclasses.replace(sampling, **{**given, "best_of": count})


def _voice(speakers: tuple[str, ...], wanted: str | None) -> str:
    if wanted is None:
        return speakers[0] if speakers else "assistant"
    if not speakers:
        return wanted
    for name in speakers:
        if name.casefold() == wanted.casefold():
            return name
    raise UserError(f"The model was not trained on '{wanted}'.", hint=f"It talks like: {', '.join(speakers)}.")
