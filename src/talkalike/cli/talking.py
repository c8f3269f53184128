"""`talkalike chat`: a model of ours, or any OpenAI-compatible server, in the terminal."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from talkalike.cli.models import ensure_base
from talkalike.cli.output import FICTIONAL, console, say
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError

if TYPE_CHECKING:
    from talkalike.alignment.values import Reward
    from talkalike.chat.pipeline import Pipeline
    from talkalike.cli.chatting import Opened
    from talkalike.engine.local import LocalEngine
    from talkalike.engine.protocol import Engine, Sampling
    from talkalike.workspace.cards import Card

_PEOPLE = 12  # others offered as roles to play
_NOBODY = "Friend"
_BEST_OF = 8  # replies, where a reward is named and no number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """Whom to talk to, and as whom."""

    model: str | None
    voice: str | None
    me: str | None
    url: str | None
    reward: str | None


def chat(  # signature: typer
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
    best_of: Annotated[
        int | None, typer.Option(min=1, max=16, help="Write so many replies and send the best; costs so many times.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="What chooses: a reward model, sentiment, a rules .yaml, python:module.function.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Talk to a model in the terminal. /help lists what can be typed besides messages."""
    opened = open_workspace(workspace)
    sampling = _sampling(opened, seed=seed, best_of=best_of, reward=reward)
    asyncio.run(_chat(opened, sampling, _Wish(model=model, voice=as_, me=me, url=url, reward=reward)))


async def _chat(opened: Workspace, sampling: Sampling, wish: _Wish) -> None:
    from talkalike.alignment.best_of import BestOfEngine
    from talkalike.cli.chatting import ChatOptions, Opened
    from talkalike.cli.chatting import chat as chat_in_terminal

    judge = await asyncio.to_thread(reward_of, opened, wish.reward) if sampling.best_of > 1 else None

    engines: list[Engine] = []

    async def pipeline_of(engine: Engine, speakers: tuple[str, ...]) -> Opened:
        while engines:
            await engines.pop().close()
        if judge is not None:
            engine = BestOfEngine(engine, judge)
        engines.append(engine)
        return Opened(pipeline=_pipeline(opened, engine, sampling), speakers=speakers)

    async def open_model(name: str) -> Opened:
        card = opened.catalog().card(name)
        return await pipeline_of(await asyncio.to_thread(load_engine, opened, card), card.speakers)

    people: tuple[str, ...] = ()
    try:
        if wish.url:
            from talkalike.engine.remote import RemoteEngine

            key = os.environ.get(opened.settings.serve.api_key_env, "")
            remote = await RemoteEngine.connect(wish.url, model=wish.model or "", api_key=key)
            first = await pipeline_of(remote, ())
        else:
            card = chosen_model(opened, wish.model)
            if card.fictional:
                say(f"{FICTIONAL}.")
            people = others(opened, card)
            first = await open_model(card.name)
        double = _voice(first.speakers, wish.voice)
        await chat_in_terminal(
            first.pipeline,
            me=wish.me or next((name for name in people if name != double), _NOBODY),
            double=double,
            console=console(),
            options=ChatOptions(
                speakers=first.speakers,
                people=people,
                models=None if wish.url else lambda: [card.name for card in opened.catalog().cards()],
                open_model=None if wish.url else open_model,
            ),
        )
    finally:
        while engines:
            await engines.pop().close()


def chosen_model(opened: Workspace, wanted: str | None) -> Card:
    """The named model, else the promoted one, else the one trained last, else the base (fetched if need be)."""
    from talkalike.workspace.serving import serving_model

    catalog = opened.catalog()
    wanted = wanted or serving_model(opened.models)
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

    values = opened.settings.chat.model_dump(exclude={"budget_tokens", "best_of", "reward"})
    return Sampling(**values)


def reward_of(opened: Workspace, wanted: str | None = None) -> Reward | None:
    """What judges replies: the reward that is named, else the settings'; None where neither names one."""
    from talkalike.alignment.rewards import open_reward

    spec, settings = wanted or opened.settings.chat.reward, opened.settings.model
    if not spec:
        return None
    if not wanted and spec.endswith((".yaml", ".yml")):
        spec = str(opened.root / spec)  # the settings lie there
    return open_reward(spec, catalog=opened.catalog(), device=settings.device, dtype=settings.dtype)


def with_reward(opened: Workspace, engine: Engine) -> Engine:
    """The engine, able to choose among several replies by the settings' reward. Whoever asks for that says how many."""
    from talkalike.alignment.best_of import BestOfEngine

    return BestOfEngine(engine, reward_of(opened))


def others(opened: Workspace, card: Card) -> tuple[str, ...]:
    """Who talks to the model's speakers in its examples, most first."""
    if card.examples not in opened.example_names():
        return ()
    examples = opened.example_set(card.examples)
    counts = Counter(turn.speaker for document in examples.documents("train") for turn in document.turns)
    return tuple(name for name, _ in counts.most_common() if name not in card.speakers)[:_PEOPLE]


def _sampling(opened: Workspace, *, seed: int | None, best_of: int | None, reward: str | None) -> Sampling:
    """As the settings and options say; what choosing among several replies costs is told."""
    import dataclasses

    settings = opened.settings.chat
    sampling = sampling_of(opened)
    count = best_of or (_BEST_OF if reward and settings.best_of == 1 else settings.best_of)
    judge = reward or settings.reward
    if count > 1 and not judge:
        raise UserError(
            "Nothing says which of several replies is the best.", hint="Name a reward, for example --reward sentiment."
        )
    if count > 1:
        say(f"Each reply is the best of {count} by {judge}: {count} times the work, shown when all are written.")
    return dataclasses.replace(sampling, best_of=count, seed=sampling.seed if seed is None else seed)


def _pipeline(opened: Workspace, engine: Engine, sampling: Sampling) -> Pipeline:
    from talkalike.chat.pipeline import Pipeline

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
