"""The bot under load: how soon a message reaches the model, 200 messages a second, and a real model's first words.

    python bench/discord_bot.py [--seconds 60] [--rate 200] [--addressed 0.2] [--channels 1000] [--workspace FOLDER]

The bot (real discord.py) runs in this process, our Discord in another one. With a workspace its base model answers in a
third process, and beside it the straightforward bot of `discord_opponent.py` with the same model. Prints one JSON
document. Not the defaults are: `wait_seconds`, which is 0 (a person gets 2.5 s to finish a burst: nothing works then),
and the limits on replies (of our Discord, of a channel in a minute, at once), so high that they decide nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from talkalike.chat.engines import Engines, OpenEngines, Voice
from talkalike.chat.permissions import Access, Rule, Subject
from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.workspace import open_workspace
from talkalike.discord_bot.bot import Double
from talkalike.discord_bot.running import calm_collector, point_at
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import replies
from talkalike.store import rules as stored_rules
from talkalike.store.replies import ReplyRow
from talkalike.store.store import Store, open_store

HERE = Path(__file__).resolve().parent
AT_ONCE = 64
TOGETHER = 32  # channels at once, of the real model
SHORT, LONG = 3, 90  # messages in a short channel, and in one of 2,000 tokens
NEW = 32  # tokens of a reply, of the real model and of the opponent's
LADDER = (20, 40, 60, 80, 100, 120, 140, 160, 180, 200)  # messages a second, all of them addressed
LADDER_SECONDS = 15
KEPT_UP_MS = 1000  # p99 from a message to its reply: beyond that a backlog grows
OPTIONS = {"wait_seconds": 0.0, "replies_per_minute": 600}
VOICE = Voice(model="scripted", speaker="Anton", fictional=True)


class World:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process, start: dict[str, Any]) -> None:
        self._process = process
        self.start = start

    async def do(self, what: str, **given: Any) -> dict[str, Any]:
        """One command, and its answer."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **given}).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def world_open(channels: int, warm: int, *, long: int = 0) -> AsyncIterator[World]:
    """Our Discord, with a history of `warm` messages in every channel, and of `long` in the first one."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, str(HERE / "discord_world.py"), str(channels), str(warm), str(long or warm)]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 28)
    try:
        assert process.stdin and process.stdout
        yield World(process, json.loads(await process.stdout.readline()))
        process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Lag:
    """How long the event loop kept somebody waiting who wanted to run every 5 ms."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            self.late.append(time.monotonic() - before - 0.005)

    def summary(self) -> dict[str, float]:
        """In milliseconds; begins anew."""
        late, self.late = self.late, []
        return {"p50_ms": 1000 * statistics.median(late), "p99_ms": percentile(late, 99), "max_ms": 1000 * max(late)}


class Timed(ScriptedEngine):
    """Notes when it was asked, by what the message says."""

    def __init__(self) -> None:
        super().__init__(lambda prompt: (f"re: {prompt.turns[-1].text}",))
        self.asked: dict[str, float] = {}

    async def stream(self, prompt: Prompt, sampling: Sampling) -> Any:
        self.asked[prompt.turns[-1].text] = time.monotonic()
        self.prompts.clear()
        async for piece in super().stream(prompt, sampling):
            yield piece


def percentile(seconds: Sequence[float], share: int) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


@asynccontextmanager
async def bot_online(world: World, store: Store, engines: Engines, **options: Any) -> AsyncIterator[Double]:
    """The double, ready, on the world's servers: open but for the halls, where it answers when it is addressed."""

    def open_all() -> None:
        for server_id in {server_id for server_id, _ in world.start["channels"]}:
            stored_rules.put(
                Rule(server_id=server_id, subject=Subject.SERVER, subject_id=server_id, access=Access.OPEN), by=1
            )
        for server_id, category_id in world.start["hall_categories"]:
            hall = Rule(server_id=server_id, subject=Subject.CATEGORY, subject_id=category_id, access=Access.MENTION)
            stored_rules.put(hall, by=1)

    await store.run(open_all)
    point_at(world.start["api"], world.start["gateway"])
    settings = BotSettings(owner_name="Anton", options=OPTIONS | options, at_once=AT_ONCE, max_waiting=10_000)
    calm_collector()  # as `talkalike serve` does
    bot = Double(Services(store=store, engines=engines, settings=settings), describe=False, guild_ready_timeout=0.5)
    await bot.login(world.start["token"])
    running = asyncio.create_task(bot.connect())
    try:
        await bot.wait_until_ready()
        yield bot
    finally:
        await bot.close()
        await running


async def flood(
    world: World, engine: Timed, *, first: int, count: int, rate: float, addressed: float = 1.0
) -> dict[str, Any]:
    """Sends, waits for the replies, and counts them. A reply to mere chatter is one too many."""
    sent = await world.do("flood", first=first, count=count, rate=rate, addressed=addressed)
    await world.do("answered", count=int(count * addressed), quiet=0.5, patience=60)
    asked = (await world.do("report"))["asked"]
    told_of = [(f"message {number}", one) for number, one in enumerate(asked, first)]
    waited = [engine.asked[text] - one["sent"] for text, one in told_of if text in engine.asked]
    until_reply = [one["first"] - one["sent"] for one in asked if one["first"]]
    numbers = {
        "messages": count,
        "addressed": sum(one["addressed"] for one in asked),
        "seconds": sent["seconds"],
        "messages_per_s": count / sent["seconds"],
        "lost": sum(one["replies"] == 0 and one["addressed"] for one in asked),
        "doubled": sum(one["replies"] > one["addressed"] for one in asked),
        "event_to_engine_p50_ms": percentile(waited, 50),
        "event_to_engine_p99_ms": percentile(waited, 99),
        "message_to_reply_p50_ms": percentile(until_reply, 50),
        "message_to_reply_p99_ms": percentile(until_reply, 99),
    }
    return show("flood", numbers)


async def scripted(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """(a) event to engine request in warm channels, and (b) the sustained load."""
    engine, lag = Timed(), Lag()
    engines = OpenEngines(engines={VOICE.model: engine}, described=(VOICE,))
    report: dict[str, Any] = {"channels": asked.channels, "warm_messages_per_channel": asked.warm}
    async with world_open(asked.channels, asked.warm) as world:
        with open_store(f"sqlite:///{folder / 'scripted.db'}") as store:
            async with bot_online(world, store, engines):
                watching = asyncio.create_task(lag.watch())
                report["first_touch"] = await flood(world, engine, first=0, count=asked.channels, rate=asked.warm_rate)
                lag.summary()
                numbers = await flood(world, engine, first=asked.channels, count=asked.channels, rate=asked.warm_rate)
                report["warm"] = numbers | {"event_loop_lag": lag.summary()}
                report["sustained"] = await sustain(world, engine, asked, lag)
                first = 2 * asked.channels + int(asked.rate * asked.seconds)
                report["everything_answered_up_to"] = await highest(world, engine, first, asked.rate)
                watching.cancel()
    return report


async def sustain(world: World, engine: Timed, asked: argparse.Namespace, lag: Lag) -> dict[str, Any]:
    """The load for as long as was asked; memory is measured after a quarter of it and at the end."""
    own = psutil.Process()
    memory: list[float] = []

    async def look() -> None:
        while True:
            memory.append(own.memory_info().rss / 2**20)
            await asyncio.sleep(asked.seconds / 40)

    looking = asyncio.create_task(look())
    began = own.cpu_times()
    first = 2 * asked.channels
    count = int(asked.rate * asked.seconds)
    numbers = await flood(world, engine, first=first, count=count, rate=asked.rate, addressed=asked.addressed)
    after = own.cpu_times()
    looking.cancel()
    numbers["memory_mb"] = {"at_25_percent": memory[len(memory) // 4], "at_the_end": memory[-1]}
    numbers["cpu_seconds"] = after.user + after.system - began.user - began.system
    return numbers | {"event_loop_lag": lag.summary()}


async def highest(world: World, engine: Timed, first: int, most: float) -> float:
    """The highest of the rates (messages a second, each addressed) that the bot kept up with; 0 where there is none."""
    kept_up = 0.0
    for rate in [rate for rate in LADDER if rate <= most]:
        count = int(rate * LADDER_SECONDS)
        numbers = await flood(world, engine, first=first, count=count, rate=rate)
        first += count
        if numbers["lost"] or numbers["doubled"] or numbers["message_to_reply_p99_ms"] > KEPT_UP_MS:
            break
        kept_up = rate
    return kept_up


def show(what: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """Prints progress to the terminal, and returns the numbers."""
    print(f"{what}: {json.dumps(numbers)}", file=sys.stderr, flush=True)
    return numbers


async def first_words(world: World, rounds: int) -> dict[str, Any]:
    """In the first channel: the first message finds nothing warm, the others what the last one left."""
    seconds = []
    for number in range(rounds + 1):
        await world.do("ask", channels=[0], words=f"and what should i do after that? ({number})")
        await world.do("answered", count=1, quiet=1.0, patience=300)
        (one,) = (await world.do("report"))["asked"]
        seconds.append(one["first"] - one["sent"])
    warm = seconds[1:]
    return show("first words", {"cold_s": seconds[0], "warm_s": statistics.median(warm), "warm_worst_s": max(warm)})


async def together(world: World, *, at_once: bool, store: Store | None = None) -> dict[str, Any]:
    """`TOGETHER` short channels (all but the first): one message to each, all at once or one after another.

    With `store` (the double's) a reply has ended when it says so: the model may choose silence.
    """
    channels = list(range(1, TOGETHER + 1))
    began_with = 0 if store is None else len(await store.run(all_rows, world))
    began = time.monotonic()
    for group in [channels] if at_once else [[one] for one in channels]:
        await world.do("ask", channels=group, words="what is the best editor, and why?")
        if store is None:
            await world.do("answered", count=len(channels), quiet=0.0, patience=300)
        else:
            await wait_for_replies(store, world, began_with + group[-1])
    seconds = time.monotonic() - began
    asked = (await world.do("report"))["asked"]
    answered = sum(bool(one["replies"]) for one in asked)
    numbers = {"seconds": seconds, "replies": answered}
    return show(f"{TOGETHER} channels, {'at once' if at_once else 'one after another'}", numbers)


def all_rows(world: World) -> list[ReplyRow]:
    """The replies of all channels; runs in the store's thread."""
    return [row for _, channel in world.start["channels"] for row in replies.recent(channel, 50)]


async def wait_for_replies(store: Store, world: World, count: int) -> None:
    """Waits for that many replies, none of them still being written."""
    while await store.run(replies.unfinished) or len(await store.run(all_rows, world)) < count:
        await asyncio.sleep(0.05)


async def reply_tokens(store: Store, world: World) -> int:
    """Tokens written so far, in all channels."""
    return sum(row.tokens for row in await store.run(all_rows, world))


async def real_model(workspace: Path, folder: Path) -> dict[str, Any]:
    """(c) with the workspace's base in a process of its own."""
    engines, lag, report = WorkspaceEngines(open_workspace(workspace)), Lag(), {}
    report["model"] = engines.default
    try:
        await engines.open(engines.default)
        async with world_open(TOGETHER + 1, SHORT, long=LONG) as world:
            with open_store(f"sqlite:///{folder / 'model.db'}") as store:
                limits = {"temperature": 0.0, "max_tokens": NEW, "max_messages": 1}
                async with bot_online(world, store, engines, **limits):
                    watching = asyncio.create_task(lag.watch())
                    report["first_words"] = await first_words(world, 4)
                    for name, at_once in (("one_after_another", False), ("at_once", True)):
                        before = await reply_tokens(store, world)
                        numbers = await together(world, at_once=at_once, store=store)
                        numbers["tokens_per_s"] = (await reply_tokens(store, world) - before) / numbers["seconds"]
                        report[name] = numbers
                    watching.cancel()
    finally:
        await engines.close()
    report["at_once_over_one_after_another"] = (
        report["at_once"]["tokens_per_s"] / report["one_after_another"]["tokens_per_s"]
    )
    return report | {"event_loop_lag": lag.summary()}


async def opponent(model: Path, *, thread: bool) -> dict[str, Any]:
    """(d) the straightforward bot with the same model, in the same channels."""
    pipe = asyncio.subprocess.PIPE
    async with world_open(TOGETHER + 1, SHORT, long=LONG) as world:
        given = (world.start["api"], world.start["gateway"], world.start["token"], str(model), str(LONG), str(NEW))
        command = [sys.executable, str(HERE / "discord_opponent.py"), *given, *(["--thread"] if thread else [])]
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin and process.stdout
        assert await process.stdout.readline() == b"ready\n"
        report: dict[str, Any] = {"first_words": await first_words(world, 2)}
        report["at_once"] = await together(world, at_once=True)
        report["at_once"]["tokens_per_s"] = TOGETHER * NEW / report["at_once"]["seconds"]
        process.stdin.close()
        report |= json.loads(await process.stdout.readline())
        await process.wait()
    return report


async def main() -> None:
    """Prints the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200, help="messages a second")
    parser.add_argument("--addressed", type=float, default=1.0, help="the share of them that is for the bot")
    parser.add_argument("--warm-rate", type=float, default=25, help="messages a second while the delay is measured")
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--warm", type=int, default=25, help="messages in each channel before the bot is asked")
    parser.add_argument("--workspace", type=Path, help="a workspace whose base model answers too")
    parser.add_argument("--skip-scripted", action="store_true")
    asked = parser.parse_args()
    logging.getLogger("discord.client").setLevel(logging.ERROR)  # it warns that voice, which we do not use, is missing
    report: dict[str, Any] = {"load_average_before": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        if not asked.skip_scripted:
            report["scripted"] = await scripted(asked, Path(folder))
        if asked.workspace:
            report["model"] = await real_model(asked.workspace, Path(folder))
            base = asked.workspace / "models" / report["model"]["model"]
            report["opponent"] = {
                "in_the_event_loop": await opponent(base, thread=False),
                "in_a_thread": await opponent(base, thread=True),
            }
    report["load_average"] = os.getloadavg()
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    asyncio.run(main())
