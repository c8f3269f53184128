"""/status: the model, how busy it is, how fast it writes, and what went wrong last."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from talkalike.chat.engines import Health
from talkalike.chat.permissions import Action, Level, level_of
from talkalike.discord_bot.commands.gate import Interaction, channel_of, gated, tell, who_where
from talkalike.discord_bot.commands.model import model_here, words
from talkalike.discord_bot.commands.permissions import rights_of, silent_here
from talkalike.store import replies
from talkalike.store.replies import Problem, ReplyRow, ReplyState

CHANNELS = 10  # listed of those where a right is missing
RECENT = 20  # replies of this channel that the speed is taken from
STARTED = datetime.now(UTC)


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the commands of this module."""
    return [
        app_commands.Command(name="status", description="Show my model, queue, speed and last errors", callback=show)
    ]


@gated(Action.STATUS)
async def show(interaction: Interaction) -> None:
    """Shows everybody the figures and this server's errors; the bot's owner sees those of every server."""
    client, store = interaction.client, interaction.client.store
    actor, place, rules = await who_where(interaction)
    owner = level_of(actor, place, rules)[0] is Level.OWNER
    options = await client.places.options(channel_of(interaction))
    here = model_here(client, options)
    voice = next((one for one in client.engines.voices() if one.model == here), None)
    recent = await store.run(replies.recent, place.channel_id, RECENT)
    lines = [f"**Model here**: {words(voice) if voice else here}"]
    lines += [f"**Process**: {_health(one)}" for one in client.engines.health()]
    writing, turned_away = len(client.conversations.running()), client.conversations.turned_away
    lines.append(
        f"**Now**: {writing} {_plural(writing, 'reply', 'replies')} being written, "
        f"{client.conversations.queue_length()} waiting"
        + (f", {turned_away:,} turned away since the start" if turned_away else "")
    )
    lines.append(f"**Speed here**: {speed(recent)}")
    lines.append(f"**Memory**: {_mebibytes(_own_memory())} for the bot itself")
    lines.append(f"**Connection**: {_latency(client)}, up since {discord.utils.format_dt(STARTED, 'R')}")
    lines += [f"**Here**: {line}" for line in await silent_here(interaction)]
    if isinstance(interaction.user, discord.Member):
        lacks = [line for line, matters in await rights_of(interaction, interaction.user) if matters]
        lines.append(f"**Rights**: {_rights(len(lacks))}")
        lines += [f"- {line}" for line in lacks[:CHANNELS]]
    if owner or interaction.guild_id is not None:
        problems = await store.run(replies.problems, None if owner else interaction.guild_id, limit=5)
        lines.append("**Last errors**" if problems else "**Last errors**: none")
        lines += [f"- {_problem(one)}" for one in problems]
    await tell(interaction, "\n".join(lines), file_name="status.txt")


def speed(recent: tuple[ReplyRow, ...]) -> str:
    """Tokens per second and the time to the first word, over finished replies."""
    done = [row for row in recent if row.state is ReplyState.DONE and row.seconds > 0]
    if not done:
        return "nothing written yet"
    rate = sum(row.tokens for row in done) / sum(row.seconds for row in done)
    text = f"{rate:.1f} tokens/s over the last {len(done)} {_plural(len(done), 'reply', 'replies')}"
    firsts = sorted(row.first_seconds for row in done if row.first_seconds is not None)
    return f"{text}, first words after {firsts[len(firsts) // 2]:.1f} s (median)" if firsts else text


def _rights(lacking: int) -> str:
    if not lacking:
        return "none is missing where I am to answer"
    more = f" (the first {CHANNELS}; `/permissions check` lists all)" if lacking > CHANNELS else ""
    return f"some are missing in {lacking} {_plural(lacking, 'channel', 'channels')}{more}"


def _health(health: Health) -> str:
    state = "running" if health.running else "**not running**"
    parts = [f"{health.model} is {state}"]
    if health.memory_bytes:
        parts.append(_mebibytes(health.memory_bytes))
    if health.restarts:
        parts.append(f"restarted {health.restarts} {_plural(health.restarts, 'time', 'times')}")
    if health.problem:
        parts.append(f"last problem: {health.problem[:200]}")
    return ", ".join(parts)


def _problem(problem: Problem) -> str:
    when = discord.utils.format_dt(problem.at, "R")
    return f"{when} in <#{problem.channel_id}> ({problem.model}): {problem.problem[:200]}"


def _latency(client: discord.Client) -> str:
    latency = client.latency
    return f"{latency * 1000:.0f} ms to Discord" if 0 <= latency < 1000 else "no heartbeat yet"


def _own_memory() -> int:
    """Bytes of main memory this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size else "unknown"


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
