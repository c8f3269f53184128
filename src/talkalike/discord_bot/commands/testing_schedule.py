"""Runs the tests that are due."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import discord

from talkalike.chat.permissions import Action, Request, decide
from talkalike.discord_bot.asking import UnreadError, ask
from talkalike.discord_bot.client import BotClient
from talkalike.discord_bot.commands.testing_run import Plan, Runner
from talkalike.errors import TalkalikeError
from talkalike.store import test_runs
from talkalike.store.test_runs import Schedule

LOOK_EVERY = 60.0  # seconds

_log = logging.getLogger(__name__)


class Scheduler:
    """Looks every minute which schedules are due."""

    def __init__(self, client: BotClient, runner: Runner) -> None:
        self._client = client
        self._runner = runner
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins in the running loop; where none runs (the commands are only listed), nothing is scheduled."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = loop.create_task(self._look_again(), name="scheduled tests")

    async def _look_again(self) -> None:
        while not self._client.is_closed():
            await asyncio.sleep(LOOK_EVERY)
            if not self._client.is_ready():
                continue
            try:
                await self.run_due(datetime.now(UTC))
            except (TalkalikeError, discord.HTTPException) as error:
                _log.warning("Scheduled tests could not be run: %s", error)

    async def run_due(self, now: datetime) -> int:
        """Starts what is due and plans the next time; how many were started."""
        started = 0
        for schedule in await self._client.store.run(test_runs.schedules):
            if schedule.next_at > now:
                break
            server = self._client.get_guild(schedule.server_id)
            if server is None or server.unavailable:
                continue
            next_at = now + timedelta(hours=schedule.every_hours)
            store = self._client.store
            hours, ids = schedule.every_hours, schedule.channel_ids
            # Planned before it is begun: a run that breaks the process does not come again at every start.
            await store.run(test_runs.put_schedule, server.id, ids, hours, next_at, by=schedule.by)
            started += await self._start(schedule, server)
        return started

    async def _start(self, schedule: Schedule, server: discord.Guild) -> bool:
        """False, and the end of the schedule, where its maker may not test any more or the report has no place."""
        channels = [server.get_channel_or_thread(channel_id) for channel_id in schedule.channel_ids]
        report_to = channels[0] if channels else None
        maker = server.get_member(schedule.by) or await _fetch(server, schedule.by)
        if not isinstance(report_to, discord.TextChannel | discord.Thread) or maker is None:
            return await self._end(schedule, "its channel or its maker is gone")
        places = self._client.places
        request = Request(actor=places.actor(maker), action=Action.TEST, place=places.place(report_to))
        decision = decide(request, await places.rules(server.id))
        if not decision.allowed:
            return await self._end(schedule, decision.explanation)
        plan = Plan(
            server=server,
            report_to=report_to,
            channels=tuple(one for one in channels[1:] if isinstance(one, discord.TextChannel | discord.Thread)),
            scenarios=self._runner.scenarios(),
            by=schedule.by,
        )
        try:
            await self._runner.start(plan)
        except (TalkalikeError, discord.Forbidden) as error:
            _log.warning("The scheduled test on server %s did not start: %s", server.id, error)
            return False
        return True

    async def _end(self, schedule: Schedule, why: str) -> bool:
        _log.warning("The schedule of tests on server %s ends: %s", schedule.server_id, why)
        await self._client.store.run(test_runs.remove_schedule, schedule.server_id)
        return False


async def _fetch(server: discord.Guild, user_id: int) -> discord.Member | None:
    try:
        return await ask(server.fetch_member(user_id), "a member")
    except UnreadError as error:
        if not error.absent:
            raise
        return None
