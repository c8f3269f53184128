"""The checks of `talkalike doctor` of what computes replies, and how fast each can, where that is asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from talkalike.cli.doctor_machine import Check
from talkalike.cli.engine_kinds import connect, open_llama_cpp
from talkalike.cli.engines import load_engine, model_here, speaker_of
from talkalike.cli.workspace import Workspace
from talkalike.engine.protocol import Engine, Prompt, Sampling
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Turn
from talkalike.workspace.cards import Card

_ENOUGH = 64  # tokens measured
_TRIES = 6  # replies, for those that end early
_LINES = ("did you get the sound working?", "not yet, it finds no soundcards", "and now?", "it says muted or so")
_CLEARLY = 1.1  # how many times as fast counts as faster


def engine_checks(workspace: Workspace, *, measure: bool) -> Iterator[Check]:
    """Which engine is in use, whether it can be, and with `measure` how fast each is here."""
    wanted = workspace.settings.engine
    state, found, todo = "ok", f"{wanted.kind} is in use", ""
    if wanted.kind == "llama.cpp" and find_spec("xllamacpp") is None:
        state, todo = "problem", "pip install 'talkalike[llama-cpp]', or set kind = \"local\" in [engine]."
        found = "llama.cpp is to be used, but it is not installed"
    elif wanted.kind == "remote" and not wanted.url:
        state, todo = "problem", "Set url in [engine] of talkalike.toml."
        found = "a server is to be used, but its address is not set"
    measured: dict[str, float] = {}
    if measure and state == "ok":
        card = model_here(workspace)
        if card is None:
            yield Check(name="engines", state="warning", found="there is no model here yet to measure them with")
        else:
            yield from _measure_all(workspace, card, measured)
    own = measured.get(wanted.kind, 0.0)
    faster = [kind for kind, speed in measured.items() if kind != wanted.kind and speed > own * _CLEARLY > 0]
    if faster:
        best = max(faster, key=lambda kind: measured[kind])
        found += f"; {best} is {measured[best] / own:.1f} times as fast here"
        todo = f'To use it: kind = "{best}" in [engine] of talkalike.toml.'
    elif len(measured) > 1:
        found += "; none is faster here"
    yield Check(name="engine", state="problem" if state == "problem" else "ok", found=found, todo=todo)


def _measure_all(workspace: Workspace, card: Card, measured: dict[str, float]) -> Iterator[Check]:
    openers: dict[str, Callable[[Workspace, Card], Engine]] = {"local": load_engine, "llama.cpp": open_llama_cpp}
    if workspace.settings.engine.kind == "remote":
        openers["remote"] = connect
    for kind, opener in openers.items():
        name = f"{kind} engine" if kind == "local" else kind
        try:
            engine = opener(workspace, card)
            speed, first = asyncio.run(_speed(engine, speaker_of(card)))
        except TalkalikeError as error:
            yield Check(name=name, state="ok", found=f"not measured: {error.what}")
            continue
        measured[kind] = speed
        told = f"{speed:.0f} tokens/s with {card.name}, the first after {1000 * first:.0f} ms"
        yield Check(name=name, state="ok", found=told)


async def _speed(engine: Engine, speaker: str) -> tuple[float, float]:
    """Tokens in a second while a reply is written, and the seconds before its first."""
    turns = tuple(Turn("someone", line) for line in _LINES * 8)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=_ENOUGH, max_messages=1)
    tokens, seconds, first = 0, 0.0, 0.0
    try:
        for seed in range(_TRIES):
            prompt = Prompt(turns=turns, speaker=speaker, conversation="doctor")
            began = time.perf_counter()
            arrived = 0.0
            async for piece in engine.stream(prompt, dataclasses.replace(sampling, seed=seed)):
                now = time.perf_counter()
                if arrived and piece.token_ids:
                    tokens += len(piece.token_ids)
                    seconds += now - arrived
                elif not arrived:
                    first = first or now - began
                arrived = now
            if tokens >= _ENOUGH:
                break
    finally:
        await engine.close()
    return (tokens / seconds if seconds else 0.0), first
