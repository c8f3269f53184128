"""/task score: a task is tried on its own examples, and its card is posted."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.chat.seeing.card import TaskCard, card_json, make_card
from talkalike.chat.seeing.comprehend import PicturesAtHand
from talkalike.chat.seeing.trials import Trial, TrialPlan, TrialResult, plan_trials, run_trials
from talkalike.discord_bot.client import BotClient
from talkalike.discord_bot.commands.gate import NOBODY, Interaction, channel_of, gated, messages_of, tell
from talkalike.discord_bot.commands.model import model_here
from talkalike.discord_bot.commands.task_words import card_text, chart_files, names_here, place_here
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.discord_bot.rights import require_voice
from talkalike.engine.eyes import Eye
from talkalike.engine.protocol import Engine
from talkalike.errors import TalkalikeError, UserError
from talkalike.replying.picture_questions import require_eye
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import UsableTask, trial_plan, usable_task

BETWEEN_EDITS = 3.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """A task on trial: who answers, and the message that tells how far it is."""

    task: UsableTask
    plan: TrialPlan
    trials: tuple[Trial, ...]
    eye: Eye
    engine: Engine | None
    report: discord.Message


class Scorer:
    """Measures tasks, one at a time for each place. What is under way ends with the process, and is not kept."""

    def __init__(self) -> None:
        self._running: dict[int, asyncio.Task[None]] = {}

    @gated(Action.TEST)
    @app_commands.autocomplete(name=names_here)
    @app_commands.describe(name="Which task; name@3 is its third version")
    async def score(self, interaction: Interaction, name: str) -> None:
        """The card is a message of its own: it is filled in long after this command's answer has expired."""
        client, where = interaction.client, interaction.guild_id or interaction.user.id
        running = self._running.get(where)
        if running is not None and not running.done():
            raise UserError("A task is being measured here already.", hint="Wait for its card.")
        eye = require_eye(client.services.onlooker)
        channel = messages_of(interaction)
        require_voice(channel)
        task = await client.store.run(usable_task, place_here(interaction), name)
        plan: TrialPlan = await client.store.run(trial_plan, task)
        trials = plan_trials(plan)
        if not trials:
            raise UserError(" ".join(make_card(plan, [], eye=eye.name).says))
        options = await client.places.options(channel_of(interaction))
        engine = None if eye.sight.answers else await client.engines.open(model_here(client, options))
        report = await channel.send(embed=_progress(task, 0, len(trials)), allowed_mentions=NOBODY)
        scoring = Scoring(task=task, plan=plan, trials=trials, eye=eye, engine=engine, report=report)
        self._running[where] = asyncio.create_task(_run(client, scoring), name=f"score the task {task.label}")
        await tell(interaction, f"The task is being measured. Its card appears in {report.jump_url}.")


async def _run(client: BotClient, scoring: Scoring) -> None:
    task, report = scoring.task, scoring.report
    try:
        card = make_card(scoring.plan, await _try(scoring), eye=scoring.eye.name)
        if task.stored is not None:
            await client.store.run(tasks.keep_card, task.stored, card_json(card))
        await report.edit(embed=_card(task, card), attachments=chart_files(task, card), allowed_mentions=NOBODY)
    except UserError as error:
        await _break_off(scoring, str(error))
    except TalkalikeError as error:
        _log.warning("The score of the task %s broke off: %s", task.label, error)
        await _break_off(scoring, "The eye can't be reached any more.")
    except discord.HTTPException as lost:
        _log.warning("The card of the task %s could not be shown: %s", task.label, lost)


async def _try(scoring: Scoring) -> list[TrialResult]:
    """Asks everything, and tells how far it is."""
    results: list[TrialResult] = []
    told = time.monotonic()
    given = PicturesAtHand(gallery=scoring.plan.pictures, known=scoring.plan.known)
    async with aclosing(run_trials(scoring.trials, eye=scoring.eye, engine=scoring.engine, given=given)) as answers:
        async for result in answers:
            results.append(result)
            if time.monotonic() - told >= BETWEEN_EDITS:
                told = time.monotonic()
                embed = _progress(scoring.task, len(results), len(scoring.trials))
                await scoring.report.edit(embed=embed, allowed_mentions=NOBODY)
    return results


def _progress(task: UsableTask, done: int, of: int) -> discord.Embed:
    return _embed(task, f"Asking… {done:,} of {of:,} questions")


def _card(task: UsableTask, card: TaskCard) -> discord.Embed:
    return _embed(task, card_text(card)[:4000])


def _embed(task: UsableTask, text: str) -> discord.Embed:
    title = f"The task {task.label}"
    return discord.Embed(title=title, description=text).set_footer(text=NOTICE_SIGN)


async def _break_off(scoring: Scoring, why: str) -> None:
    try:
        await scoring.report.edit(embed=_embed(scoring.task, f"Broken off: {why}"), allowed_mentions=NOBODY)
    except discord.HTTPException as lost:
        _log.warning("The message about the task %s is gone as well: %s", scoring.task.label, lost)
