"""/test: the double answers scenarios and gets scores, by hand or on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import Interaction, channel_of, gated, messages_of, server_of, tell
from talkalike.discord_bot.commands.testing_report import headline
from talkalike.discord_bot.commands.testing_run import Plan, Runner
from talkalike.errors import UserError
from talkalike.store import test_runs

__all__ = ["Runner", "Testing"]

ALL, NONE = "all", "none"
MOST_CHANNELS = 25
Where = discord.TextChannel | discord.CategoryChannel | discord.Thread


async def names(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Suggests the names of scenarios."""
    runner = interaction.command.parent.runner if interaction.command else None  # type: ignore[union-attr]
    offered = [ALL, NONE, *(scenario.name for scenario in runner.scenarios())] if runner else []
    return [app_commands.Choice(name=one, value=one) for one in offered if current.casefold() in one.casefold()][:25]


class Testing(app_commands.Group):
    """The commands of /test, which share one runner."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(name="test", description="Let me answer test scenarios, and score the replies")
        self.runner = runner

    @app_commands.command(name="run", description="Answer the scenarios now and post a report here")
    @app_commands.autocomplete(scenario=names)
    @app_commands.describe(
        scenario="Which scenario file: all (the default), none, or a name",
        where="A channel to answer in as well, or a category: all of its channels",
    )
    @gated(Action.TEST)
    async def run(self, interaction: Interaction, scenario: str = ALL, where: Where | None = None) -> None:
        """The report is a message of its own: it is filled in long after this command's answer has expired."""
        server = server_of(interaction)
        plan = Plan(
            server=server,
            report_to=messages_of(interaction),
            channels=self._channels(interaction, where),
            scenarios=self.runner.chosen(scenario),
            by=interaction.user.id,
        )
        report = await self.runner.start(plan)
        await tell(interaction, f"The test has begun. The report appears in {report.jump_url}.")

    @app_commands.command(name="list", description="List the scenarios")
    @gated(Action.TEST)
    async def list_scenarios(self, interaction: Interaction) -> None:
        """Name, number of cases and description of each, and the schedule."""
        lines = [f"- **{one.name}** ({len(one.cases)} cases): {one.description}" for one in self.runner.scenarios()]
        server_id = server_of(interaction).id
        schedules = await interaction.client.store.run(test_runs.schedules)
        mine = next((one for one in schedules if one.server_id == server_id), None)
        if mine is not None:
            next_at = discord.utils.format_dt(mine.next_at, "R")
            lines.append(f"Every {mine.every_hours:g} hours in <#{mine.channel_ids[0]}>, next {next_at}.")
        await tell(interaction, "\n".join(lines))

    @app_commands.command(name="last", description="Show the scores of the last run")
    @gated(Action.TEST)
    async def last(self, interaction: Interaction) -> None:
        """The figures again, with a link to the report while it is there."""
        run = await interaction.client.store.run(test_runs.last, server_of(interaction).id)
        if run is None:
            raise UserError("There was no test on this server yet.", hint="/test run starts one.")
        await tell(
            interaction, f"{discord.utils.format_dt(run.began_at)} with {run.model}:\n{headline(run.scores, {})}"
        )

    @app_commands.command(name="clean", description="Delete the replies that my last test posted")
    @gated(Action.TEST)
    async def clean(self, interaction: Interaction) -> None:
        """Only messages that are on record as replies of a test, one by one, however old they are."""
        deleted, failed = await self.runner.clean(server_of(interaction).id)
        text = f"Done: {deleted} message{'' if deleted == 1 else 's'} deleted."
        await tell(interaction, text + (f" {failed} could not be deleted: I lack the permission." if failed else ""))

    @app_commands.command(name="schedule", description="Run the test regularly, and report here")
    @app_commands.describe(
        every_hours="Hours between two runs", where="A channel to answer in as well, or a category: all of its channels"
    )
    @gated(Action.TEST)
    async def schedule(
        self, interaction: Interaction, every_hours: app_commands.Range[int, 1, 720], where: Where | None = None
    ) -> None:
        """One schedule for a server; it ends when its maker loses the right to run tests."""
        server = server_of(interaction)
        channels = self._channels(interaction, where)
        ids = (channel_of(interaction).id, *(channel.id for channel in channels))
        next_at = datetime.now(UTC) + timedelta(hours=every_hours)
        store = interaction.client.store
        await store.run(test_runs.put_schedule, server.id, ids, float(every_hours), next_at, by=interaction.user.id)
        await tell(
            interaction,
            f"Done: a test every {every_hours} hour{'' if every_hours == 1 else 's'}, reported here; "
            f"the first {discord.utils.format_dt(next_at, 'R')}. /test unschedule ends it.",
        )

    @app_commands.command(name="unschedule", description="Stop the scheduled tests")
    @gated(Action.TEST)
    async def unschedule(self, interaction: Interaction) -> None:
        """A run that is under way goes on to its end."""
        store = interaction.client.store
        if not await store.run(test_runs.remove_schedule, server_of(interaction).id):
            raise UserError("No test was scheduled on this server.")
        await tell(interaction, "Done: there are no more scheduled tests.")

    def _channels(
        self, interaction: Interaction, where: Where | None
    ) -> tuple[discord.TextChannel | discord.Thread, ...]:
        """The channels that were meant. Raises UserError where that is none, or too many."""
        if where is None:
            return ()
        channels = tuple(where.text_channels) if isinstance(where, discord.CategoryChannel) else (where,)
        if not 0 < len(channels) <= MOST_CHANNELS:
            raise UserError(
                f"That category has {len(channels)} text channels.", hint=f"Up to {MOST_CHANNELS} can be tested."
            )
        return channels
