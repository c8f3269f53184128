"""A run of /test: each case answered through the pipeline, scored, posted, and reported in one message."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import discord

from talkalike.chat import scenario_scores as scoring
from talkalike.chat import scenarios
from talkalike.chat.context import ContextItem
from talkalike.chat.engines import Voice
from talkalike.chat.history import PERSONA, SYSTEM
from talkalike.chat.options import Resolved
from talkalike.chat.scenarios import Case, Scenario
from talkalike.discord_bot.client import BotClient
from talkalike.discord_bot.commands.gate import NOBODY
from talkalike.discord_bot.commands.model import model_here
from talkalike.discord_bot.commands.testing_answer import CaseHere, CaseReply, HowAnswered, answer_case
from talkalike.discord_bot.commands.testing_report import Report
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.replying.queue import WaitingLine
from talkalike.replying.session import ReplySession
from talkalike.store import test_runs
from talkalike.store.test_runs import TestRunRow

SEED = 1  # where none is set: two runs of the same model then differ by what was changed alone

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to test and where to report it. `channels` are answered in as well; their messages are the scenario."""

    server: discord.Guild
    report_to: discord.abc.Messageable
    channels: tuple[discord.TextChannel | discord.Thread, ...]
    scenarios: tuple[Scenario, ...]
    by: int


class Runner:
    """Runs tests, one at a time for each server."""

    def __init__(self, client: BotClient) -> None:
        self._client = client
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: ReplySession[CaseReply] = ReplySession(WaitingLine())

    def scenarios(self) -> tuple[Scenario, ...]:
        """Those that come with talkalike, then the user's own. Raises UserError where one cannot be read."""
        folder = self._client.settings.scenario_folder
        return scenarios.shipped_scenarios() + (scenarios.in_folder(Path(folder)) if folder else ())

    def chosen(self, name: str) -> tuple[Scenario, ...]:
        """All, none, or those of that name. Raises UserError for a name that is not there."""
        there = self.scenarios()
        if name == "all":
            return there
        found = tuple(one for one in there if one.name.casefold() == name.strip().casefold())
        if not found and name != "none":
            raise UserError(
                f"There is no scenario '{name[:50]}'.", hint=f"There is: {', '.join(one.name for one in there)}."
            )
        return found

    async def start(self, plan: Plan) -> discord.Message:
        """Posts the report, still empty, and goes to work. Raises UserError where there is nothing to do."""
        running = self._tasks.get(plan.server.id)
        if running is not None and not running.done():
            raise UserError("A test is running on this server already.", hint="Wait for its report.")
        if not plan.scenarios and not plan.channels:
            raise UserError("There is nothing to test.", hint="Choose a scenario, a channel, or both.")
        options = await self._client.places.options(plan.report_to)
        model = model_here(self._client, options)
        if model not in {voice.model for voice in self._client.engines.voices()}:
            raise UserError(f"The model '{model}' is not there any more.", hint="Choose another with /model use.")
        report = Report(model=model, cases=sum(len(one.cases) for one in plan.scenarios) + len(plan.channels))
        message = await plan.report_to.send(embed=report.embed(), allowed_mentions=NOBODY)
        self._tasks[plan.server.id] = asyncio.create_task(
            self._run(plan, options, report, message), name=f"test on server {plan.server.id}"
        )
        return message

    async def clean(self, server_id: int) -> tuple[int, int]:
        """Deletes what the last run posted; how many went, and how many could not. Nothing else is ever touched."""
        run = await self._client.store.run(test_runs.last, server_id)
        deleted = failed = 0
        for row in await self._client.store.run(test_runs.replies_of, run) if run else ():
            channel = self._client.get_partial_messageable(row.channel_id, guild_id=server_id)
            for sent in row.messages:
                try:
                    await channel.get_partial_message(sent.message_id).delete()
                    deleted += 1
                except discord.NotFound:
                    continue
                except discord.Forbidden:
                    failed += 1
        return deleted, failed

    async def _run(self, plan: Plan, options: Resolved, report: Report, message: discord.Message) -> None:
        began_at, began = datetime.now(UTC), time.perf_counter()
        store = self._client.store
        reply_ids: list[int] = []
        try:
            before = await store.run(test_runs.last, plan.server.id)
            await self.clean(plan.server.id)
            await self._answer_all(plan, options, report, message, reply_ids)
            report.finish(before)
            await report.show(message, files=True)
        except (TalkalikeError, discord.HTTPException) as error:
            _log.warning("The test on server %s broke off: %s", plan.server.id, error)
            report.break_off(str(error))
            await _show_if_there(report, message)
        finally:
            # Also what broke off: the next run has to know which messages to delete.
            run = TestRunRow(
                server_id=plan.server.id,
                channel_ids=tuple(channel.id for channel in plan.channels),
                by=plan.by,
                model=report.model,
                began_at=began_at,
                seconds=time.perf_counter() - began,
                scores=report.scores,
                results=tuple(result.as_dict() for result in report.results if report.finished),
                report_message_id=message.id,
                reply_ids=tuple(reply_ids),
            )
            await store.run(test_runs.record, run)

    async def _answer_all(
        self, plan: Plan, options: Resolved, report: Report, message: discord.Message, reply_ids: list[int]
    ) -> None:
        """Fills the report and `reply_ids` as it goes."""
        services = self._client.services
        voice = next(one for one in services.engines.voices() if one.model == report.model)
        sampling = options.sampling()
        how = HowAnswered(
            store=services.store,
            engines=services.engines,
            voice=voice,
            sampling=replace(sampling, seed=SEED if sampling.seed is None else sampling.seed),
            budget=options.value("budget_tokens"),
            by=plan.by,
        )
        for case in await self._cases_of(plan, voice, options, message, report):
            result, reply_id = await answer_case(self._session, case, how)
            report.results.append(result)
            reply_ids += [] if reply_id is None else [reply_id]
            if report.due():
                await report.show(message)
        self._relevance(report)

    async def _cases_of(
        self, plan: Plan, voice: Voice, options: Resolved, message: discord.Message, report: Report
    ) -> list[CaseHere]:
        """Every case of the files, posted in a thread under the report, then the channels, each answered in itself."""
        thread = await _thread(message, f"test with {voice.model}") if plan.scenarios else None
        channel_id = thread.id if thread is not None else message.channel.id
        cases = [
            CaseHere(
                scenario=scenario.name,
                case=case,
                items=_items(case.turns_for(voice.speaker), options),
                post_to=thread,
                channel_id=channel_id,
                server_id=plan.server.id,
                trigger_id=message.id,
                thread=thread is not None,
            )
            for scenario in plan.scenarios
            for case in scenario.cases
        ]
        for channel in plan.channels:
            items = await self._client.contexts.context(channel)
            seen = [item for item in items if not item.barred and item.id.isdigit()]
            if not seen or seen[-1].turn.speaker == voice.speaker:
                report.skipped.append(f"<#{channel.id}>: there is no message to answer")
                continue
            cases.append(
                CaseHere(
                    scenario="channels",
                    case=Case(name=channel.name, turns=tuple(item.turn for item in seen)),
                    items=tuple(items),
                    post_to=channel,
                    channel_id=channel.id,
                    server_id=plan.server.id,
                    trigger_id=int(seen[-1].id),
                    thread=isinstance(channel, discord.Thread),
                )
            )
        return cases

    def _relevance(self, report: Report) -> None:
        """Known only once every prompt is: each reply is compared with all the others."""
        prompts = [result.prompt for result in report.results]
        for index, result in enumerate(report.results):
            others = prompts[:index] + prompts[index + 1 :]
            lift = scoring.overlap_lift("\n".join(result.reply), result.prompt, others)
            result.score = replace(result.score, relevance=lift)


async def _show_if_there(report: Report, message: discord.Message) -> None:
    try:
        await report.show(message)
    except discord.HTTPException as lost:
        _log.warning("The report of the test is gone as well: %s", lost)


async def _thread(message: discord.Message, name: str) -> discord.Thread | None:
    """A thread under the report for the single replies; None where there can be none."""
    if isinstance(message.channel, discord.Thread):
        return message.channel
    try:
        return await message.create_thread(name=name[:100])
    except discord.Forbidden:
        return None


def _items(turns: tuple[Turn, ...], options: Resolved) -> tuple[ContextItem, ...]:
    """A case's turns as what the model sees, with the persona that holds here."""
    persona = str(options.value("persona") or "").strip()
    first = (ContextItem(id=PERSONA, turn=Turn(SYSTEM, persona), pinned=True),) if persona else ()
    return first + tuple(ContextItem(id=str(number), turn=turn) for number, turn in enumerate(turns, start=1))
