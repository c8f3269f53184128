"""Many doubles on one base in one process: their memory, and their speed beside one merged double's.

    python bench/many_doubles.py MODELS_FOLDER [--doubles 100] [--at-once 32] [--tokens 24] [--rounds 3] [--dtype auto]

MODELS_FOLDER holds the default base, as `talkalike models fetch` puts it there. Prints one JSON document. Memory is
what the process holds more than before it loaded the base, after all doubles have spoken; throughput is tokens a second
of as many replies at once, in turns with the merged double. In the first kind each of the replies is a double's of its
own; in the second those who speak change all the time, until all had their turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from talkalike.engine.doubles import SharedBase
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Engine, Prompt, Sampling
from talkalike.examples.render import Turn
from talkalike.models.load import load_for_inference, load_network
from talkalike.models.role_lora import adapted_layers, new_pairs, write_pairs
from talkalike.workspace.cards import EMBEDDED_NAME, Card, Catalog

RANK = 16
DIFFERENT = 4  # adapters with weights of their own; the others are links to them


def make_doubles(models: Path, folder: Path, count: int) -> list[str]:
    """A catalog with the base and adapters as a training leaves them, of random numbers that change a little."""
    catalog = Catalog(folder)
    shutil.copytree(models / EMBEDDED_NAME, folder / EMBEDDED_NAME, copy_function=os.link)
    network = load_network(folder / EMBEDDED_NAME, dtype=torch.float32, device=torch.device("cpu"))
    layers, names = adapted_layers(network), []
    for number in range(count):
        name = f"double-{number}"
        if number < DIFFERENT:
            pairs = new_pairs(layers, rank=RANK, seed=number, device=torch.device("cpu"))
            generator = torch.Generator().manual_seed(number)
            for up in pairs.up.values():
                up.data.normal_(std=0.002, generator=generator)
            write_pairs(pairs, folder / name, base=EMBEDDED_NAME, layers=layers)
        else:
            shutil.copytree(folder / f"double-{number % DIFFERENT}", folder / name, copy_function=os.link)
            (folder / name / "card.json").unlink()
        created = f"2026-01-01T00:00:{number % 60:02}+00:00"
        catalog.save_card(Card(name=name, kind="adapter", created=created, method="lora", parents=(EMBEDDED_NAME,)))
        names.append(name)
    return names


async def speed(engines: Sequence[Engine], *, at_once: int, tokens: int) -> tuple[float, float]:
    """Tokens a second while so many replies are written at once, by the clock and by the processor's time.

    The engines take turns. The processor's time says the same on a busy machine, where one thread computes.
    """
    written, line = 0, [engine for engine in engines for _ in range(-(-at_once // len(engines)))]

    async def one(place: int) -> None:
        nonlocal written
        own, turn = 0, place
        while own < tokens:
            prompt = Prompt(turns=(Turn("anna", f"what did you do on day {turn}?"),), speaker="bob")
            asked = Sampling(seed=turn, max_tokens=tokens - own, max_messages=1)
            async for piece in line[turn % len(line)].stream(prompt, asked):
                own += len(piece.token_ids)
            own, turn = own + 1, turn + at_once  # the token that closes a message is written as well
        written += own

    began, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(place) for place in range(at_once)))
    return written / (time.perf_counter() - began), written / (time.process_time() - worked)


async def speak(engine: Engine) -> None:
    """A word, so that the double's adapter is in memory."""
    asked = Prompt(turns=(Turn("anna", "hi"),), speaker="bob")
    async for _ in engine.stream(asked, Sampling(max_tokens=1, max_messages=1)):
        pass


def over(found: Sequence[tuple[float, float]], merged: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The median of the rounds' ratios, by the clock and by the processor's time."""
    return {
        clock: statistics.median(one[place] / other[place] for one, other in zip(found, merged, strict=True))
        for place, clock in enumerate(("wall", "processor"))
    }


def held() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def measure(folder: Path, names: Sequence[str], before: int, options: argparse.Namespace) -> dict[str, Any]:
    """Memory first: what was held `before` anything was loaded is taken off."""
    catalog = Catalog(folder)
    loaded = load_for_inference(folder / EMBEDDED_NAME, catalog=catalog, dtype=options.dtype)
    shared = SharedBase(loaded, catalog, adapters_mb=4096)
    doubles = [shared.open(name) for name in names]
    for double in doubles:
        await speak(double)
    after = held()
    base = sum(parameter.nbytes for parameter in {id(p): p for p in loaded.model.parameters()}.values())
    merged = LocalEngine(load_for_inference(folder / names[0], catalog=catalog, dtype=options.dtype))
    kinds: dict[str, Sequence[Engine]] = {
        "merged": [merged],
        "a double each": doubles[: options.at_once],
        "all in turns": doubles,
    }
    speeds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    alone: dict[str, list[tuple[float, float]]] = {"merged": [], "double": []}
    for _ in range(options.rounds):
        for kind, engines in kinds.items():
            speeds[kind].append(await speed(engines, at_once=options.at_once, tokens=options.tokens))
        for kind, engine in {"merged": merged, "double": doubles[0]}.items():
            alone[kind].append(await speed([engine], at_once=1, tokens=2 * options.tokens))
    report = {
        "doubles": len(names),
        "at_once": options.at_once,
        "dtype": str(loaded.model.dtype),
        "threads": torch.get_num_threads(),
        "base_mb": base / 1e6,
        "adapters_mb": shared.adapter_bytes / 1e6,
        "held_mb": (after - before) / 1e6,
        "memory_over_weights": (after - before) / (base + shared.adapter_bytes),
        "tokens_per_s": {kind: statistics.median(wall for wall, _ in found) for kind, found in speeds.items()},
        "over_merged": {kind: over(speeds[kind], speeds["merged"]) for kind in kinds if kind != "merged"},
        "one_reply_over_merged": over(alone["double"], alone["merged"]),
        "load_average": os.getloadavg(),
    }
    await shared.close()
    await merged.close()
    return report


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--doubles", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.models) as scratch:
        folder = Path(scratch) / "models"
        folder.mkdir()
        before = held()
        names = make_doubles(options.models, folder, options.doubles)
        json.dump(asyncio.run(measure(folder, names, before, options)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
