"""Replies to held-out prompts: every arm answers the same prompts with the same sampler and the same seeds.

Generating takes most of the time, so each reply is written to a cache file at once: a second run, or one that was
interrupted, generates only what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from talkalike.engine.collecting import collect
from talkalike.engine.protocol import Engine, Finish, Prompt, Sampling
from talkalike.examples.fitting import newest_that_fit
from talkalike.examples.heldout import ReferenceReply

HEADER_TOKENS = 32  # kept free for the header of the reply


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """The same for every arm. `context_tokens`: how much context is given (the newest turns)."""

    sampling: Sampling = field(default_factory=Sampling)
    context_tokens: int = 256
    concurrency: int = 4
    cache_folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One generated burst. `cut_off`: it ran into a limit instead of ending by itself."""

    messages: tuple[str, ...]
    cut_off: bool
    tokens: int


async def generate_replies(
    engine: Engine,
    replies: Sequence[ReferenceReply],
    settings: GenerationSettings,
    *,
    fingerprint: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Generated]:
    """What the engine's model would have said in place of each reply, in order; reply i is sampled with seed + i.

    `fingerprint` names the exact weights (a model trained anew under the same name must not find the old replies).
    Raises TalkalikeError when the engine does; what was generated until then stays in the cache.
    """
    seed = settings.sampling.seed or 0
    jobs = [
        (_prompt(engine, reply, settings), replace(settings.sampling, seed=seed + index))
        for index, reply in enumerate(replies)
    ]
    keys = [_digest(prompt, sampling) for prompt, sampling in jobs]
    cache = ReplyCache.open(settings, fingerprint)
    missing = [index for index, key in enumerate(keys) if key not in cache.replies]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    queue = iter(missing)

    async def work() -> None:
        nonlocal done
        for index in queue:  # shared by the workers: each takes the next one when it is free
            cache.add(keys[index], await _generate(engine, *jobs[index]))
            done += 1
            progress(done, len(jobs))

    workers = [asyncio.create_task(work()) for _ in range(max(1, settings.concurrency))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [cache.replies[key] for key in keys]


class ReplyCache:
    """Generated replies by key, in memory and (with a folder) in one JSONL file for each model and settings."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.replies: dict[str, Generated] = {}

    @classmethod
    def open(cls, settings: GenerationSettings, fingerprint: str) -> ReplyCache:
        """Reads what earlier runs left; a line that was cut off when a run was killed is generated again."""
        if settings.cache_folder is None:
            return cls(None)
        settings.cache_folder.mkdir(parents=True, exist_ok=True)
        name = _sha256([fingerprint, asdict(settings.sampling), settings.context_tokens])[:20]
        cache = cls(settings.cache_folder / f"replies-{name}.jsonl")
        assert cache.path is not None
        if cache.path.exists():
            text = cache.path.read_text(encoding="utf-8", errors="replace")
            for line in text.split("\n"):
                cache._read(line)
            if text and not text.endswith("\n"):
                with cache.path.open("a", encoding="utf-8") as file:
                    file.write("\n")
        return cache

    def add(self, key: str, reply: Generated) -> None:
        """Keeps a reply; on disk before the next one is started."""
        self.replies[key] = reply
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, **asdict(reply)}) + "\n")

    def _read(self, line: str) -> None:
        try:
            fields = json.loads(line)
            reply = Generated(
                messages=tuple(str(text) for text in fields["messages"]),
                cut_off=bool(fields["cut_off"]),
                tokens=int(fields["tokens"]),
            )
            self.replies[str(fields["key"])] = reply
        except (ValueError, KeyError, TypeError):
            return


async def _generate(engine: Engine, prompt: Prompt, sampling: Sampling) -> Generated:
    reply = await collect(engine, prompt, sampling)
    return Generated(messages=reply.messages, cut_off=reply.finish is Finish.LENGTH, tokens=reply.tokens)


def _prompt(engine: Engine, reply: ReferenceReply, settings: GenerationSettings) -> Prompt:
    token_budget = min(settings.context_tokens, engine.context_length - settings.sampling.max_tokens - HEADER_TOKENS)
    turns = newest_that_fit(reply.context, token_budget, engine.count_tokens)
    return Prompt(turns=turns, speaker=reply.speaker)


def _digest(prompt: Prompt, sampling: Sampling) -> str:
    return _sha256([[[turn.speaker, turn.text] for turn in prompt.turns], prompt.speaker, asdict(sampling)])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()
