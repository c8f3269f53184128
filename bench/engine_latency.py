"""How fast the local engine answers, beside transformers' `generate` and llama.cpp on the same model.

    python bench/engine_latency.py MODEL_FOLDER [--gguf FILE] [--tokens 2000] [--new 64] [--dtype auto]

Prints one JSON document. The ratio to look at is `first_token.cold_over_warm`: reading a whole conversation against
reading only its newest message. llama.cpp needs `xllamacpp` and a GGUF of the same model; its file is quantised, so
its speed is that of a smaller model and is reported as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from talkalike.engine.local import LocalEngine, open_engine
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog

LINES = [
    "did you manage to get the sound working on the new kernel?",
    "not yet, alsa says no soundcards found",
    "try lspci | grep -i audio and paste what it says",
    "it says intel hda, the module is there but muted or so",
    "open alsamixer and press m on every channel that shows MM :)",
]


def conversation(engine: LocalEngine, tokens: int) -> tuple[Turn, ...]:
    """Turns of two people that cost about this many tokens."""
    turns: list[Turn] = []
    cost = 0
    while cost < tokens:
        turn = Turn(("anna", "bob")[len(turns) % 2], f"{LINES[len(turns) % len(LINES)]} ({len(turns)})")
        cost += engine.count_tokens((turn,))[0]
        turns.append(turn)
    return tuple(turns)


async def first_token(engine: LocalEngine, prompt: Prompt) -> tuple[float, str]:
    """Seconds until the first piece, and the reply."""
    start = time.perf_counter()
    first, text = 0.0, ""
    async for piece in engine.stream(prompt, Sampling(temperature=0, max_tokens=12, max_messages=1)):
        first = first or time.perf_counter() - start
        text += piece.text
    return first, text


async def decode_speed(engine: LocalEngine, prompt: Prompt, new: int) -> float:
    """Tokens a second after each reply's first, over as many sampled replies as it takes to see `new` of them."""
    tokens, seconds, seed = 0, 0.0, 0
    while tokens < new and seed < new:
        seed += 1
        start = 0.0
        async for piece in engine.stream(prompt, Sampling(seed=seed, max_tokens=new, max_messages=1)):
            tokens += len(piece.token_ids) if start else 0
            start = start or time.perf_counter()
        seconds += time.perf_counter() - start
    return tokens / seconds


async def measure_ours(engine: LocalEngine, tokens: int, new: int, repeats: int) -> dict[str, Any]:
    turns = conversation(engine, tokens)
    cold, warm, decode = [], [], []
    for number in range(repeats):
        name = f"conversation {number}"
        seconds, text = await first_token(engine, Prompt(turns=turns, speaker="bob", conversation=name))
        cold.append(seconds)
        grown = (*turns, Turn("bob", text), Turn("anna", "ok, and what should i do after that?"))
        prompt = Prompt(turns=grown, speaker="bob", conversation=name)
        warm.append((await first_token(engine, prompt))[0])
        decode.append(await decode_speed(engine, prompt, new))
    await engine.close()
    result = {
        "prompt_tokens": sum(engine.count_tokens(turns)),
        "cold_s": statistics.median(cold),
        "warm_s": statistics.median(warm),
        "cold_over_warm": statistics.median(cold) / statistics.median(warm),
    }
    return {"first_token": result, "decode_tokens_per_s": {"talkalike": statistics.median(decode)}}


def transformers_speed(loaded: LoadedModel, ids: list[int], new: int, repeats: int) -> float:
    """Tokens a second of `generate` after the first token: the whole run less a run of one token."""

    def seconds(count: int) -> float:
        start = time.perf_counter()
        options = {"min_new_tokens": count, "max_new_tokens": count, "do_sample": False}
        with torch.inference_mode():
            loaded.model.generate(torch.tensor([ids], device=loaded.model.device), **options)
        return time.perf_counter() - start

    return statistics.median((new - 1) / max(1e-9, seconds(new) - seconds(1)) for _ in range(repeats))


def llama_cpp_speed(gguf: Path, ids: list[int], new: int) -> dict[str, Any]:
    """What llama.cpp's own server reports for reading the prompt and writing on."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_ctx = len(ids) + new + 16
    parameters.n_parallel = 1
    parameters.warmup = True
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parameters.cpuparams.n_threads = threads
    server = xllamacpp.Server(parameters)
    request = {"prompt": ids, "n_predict": new, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    answer = server.handle_completions(request)
    timings = (answer[0] if isinstance(answer, list) else answer)["timings"]
    return {"decode": timings["predicted_per_second"], "prefill": timings["prompt_per_second"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    asked = parser.parse_args()
    catalog = Catalog(asked.model.parent)
    engine = open_engine(catalog, asked.model.name, dtype=asked.dtype, device="auto")  # as `serve` opens it
    report = asyncio.run(measure_ours(engine, asked.tokens, asked.new, asked.repeats))
    del engine
    loaded = load_for_inference(asked.model, catalog=catalog, dtype=asked.dtype)
    ids = Renderer(loaded.tokenizer).prompt(conversation(LocalEngine(loaded), asked.tokens), "bob")
    speeds = report["decode_tokens_per_s"]
    speeds["transformers_generate"] = transformers_speed(loaded, ids, asked.new, asked.repeats)
    if asked.gguf and importlib.util.find_spec("xllamacpp"):
        llama = llama_cpp_speed(asked.gguf, ids, asked.new)
        speeds["llama_cpp"] = llama["decode"]
        report["llama_cpp_prefill_tokens_per_s"] = llama["prefill"]
    report |= {"model": asked.model.name, "dtype": str(loaded.model.dtype), "threads": torch.get_num_threads()}
    report["load_average"] = os.getloadavg()
    json.dump(report, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
