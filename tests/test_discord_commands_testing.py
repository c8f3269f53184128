"""/test: runs, reports, comparisons, cleaning up, and the schedule."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from discord_commands import stage
from talkalike.chat.permissions import Level, Subject
from talkalike.discord_bot.commands.testing_schedule import Scheduler
from talkalike.discord_bot.markers import is_notice
from talkalike.errors import TalkalikeError
from talkalike.store import replies, test_runs, usage
from talkalike.store.replies import ReplyState

OWN_SCENARIOS = """
[[case]]
name = "tea"
turns = [{ speaker = "Maya", text = "do you like green tea?" }]
reference = ["yes, green tea is great"]
[[case]]
name = "bikes"
turns = [{ speaker = "Tom", text = "my bicycle has a flat tyre" }]
"""


def own_folder(tmp_path: Path) -> str:
    folder = tmp_path / "scenarios"
    folder.mkdir(exist_ok=True)
    (folder / "own_ones.toml").write_text(OWN_SCENARIOS, encoding="utf-8")
    return str(folder)


def answer(prompt):
    """A double that knows tea, leaks a number when asked about bicycles, and fails when told to."""
    last = prompt.turns[-1].text
    if "break" in last:
        return TalkalikeError("The model process ended.", hint="See /status.")
    if "bicycle" in last:
        return ("call me at +420 608 123 456",)
    return ("yes, green tea is great",)


async def run(play, who=None, **options):
    who = who or play.anna
    text = play.text(await who.slash(play.closed, "test run", **options))
    await play.env.settle()
    reports = [one for one in play.closed.history() if one.embeds and (one.embeds[0].title or "").startswith("Test of")]
    return text, reports[-1] if reports else None


async def test_a_run_answers_scores_reports_and_links_the_worst(tmp_path):
    async with stage(tmp_path, replies=answer, scenario_folder=own_folder(tmp_path)) as play:
        text, report = await run(play, scenario="own ones")
        assert report.jump_url in text
        assert is_notice(report, play.bot.user.id)
        words = report.embeds[0].description
        assert "Likeness: **1.00**" in words and "Safe replies: **50%**" in words and "nothing to compare with" in words
        fields = {one.name: one.value for one in report.embeds[0].fields}
        [thread] = play.closed.threads
        tea, bikes = [one for one in thread.history() if one.author.id == play.bot.user.id]
        assert bikes.content == "call me at +420 608 123 456"
        assert fields["Look at this one first"] == f"[own ones: bikes]({bikes.jump_url})"
        assert "leaks a phone" in fields["Problems (1)"]
        assert is_notice(tea, play.bot.user.id)  # and so in no conversation
        files = {one.filename: (await one.read()).decode("utf-8-sig") for one in report.attachments}
        data = json.loads(files["test.json"])
        assert [one["case"] for one in data["results"]] == ["tea", "bikes"]
        assert data["results"][0]["relevance"] > 0 == data["results"][1]["relevance"]
        rows = list(csv.DictReader(io.StringIO(files["test.csv"])))
        assert [row["reply"] for row in rows] == ["yes, green tea is great", "call me at +420 608 123 456"]
        assert "Likeness: **1.00**" in play.text(await play.anna.slash(play.closed, "test last"))


async def test_the_next_run_tells_the_change_and_deletes_only_what_the_last_one_posted(tmp_path):
    async with stage(tmp_path, replies=answer, scenario_folder=own_folder(tmp_path)) as play:
        await run(play, scenario="own ones")
        [thread] = play.closed.threads
        first = [one.id for one in thread.history() if one.author.id == play.bot.user.id]
        assert len(first) == 2
        opinion = await play.anna.send(thread, "an opinion of mine")
        await play.env.advance_time(10)
        kept = {opinion.id, thread.last_message.id}  # hers, and the double's ordinary reply to it
        assert len(kept) == 2
        play.env.backend.advance_clock(20 * 24 * 3600)  # older than Discord lets bots delete in bulk
        play.engines["ada-2"]._replies = lambda prompt: ("no idea",)
        _, report = await run(play, scenario="own ones")
        words = report.embeds[0].description
        assert "Safe replies: **100%** (+50%)" in words and "over the 2 cases that both runs have" in words
        left = [one.id for one in thread.history()]
        assert kept <= set(left) and not set(first) & set(left)
        deletions = [one for one in play.env.http_requests if one.method == "DELETE"]
        assert len(deletions) == 2 and not [one for one in play.env.http_requests if "bulk-delete" in one.path]
        _, report = await run(play, scenario="small talk")
        assert "nothing to compare with" in report.embeds[0].description  # no case in common


async def test_channels_are_scenarios_as_well(tmp_path):
    async with stage(tmp_path, replies=answer) as play:
        category = play.guild.create_category("test rooms")
        tea = play.guild.create_text_channel("tea", category=category)
        play.guild.create_text_channel("empty", category=category)
        await play.vic.send(tea, "do you like green tea?")
        await play.iggy.send(tea, "break it")  # ignored: not what is answered
        _, report = await run(play, scenario="none", where=category)
        assert tea.last_message.content == "yes, green tea is great"
        assert "there is no message to answer" in {one.name: one.value for one in report.embeds[0].fields}["Left out"]
        row = play.store.call(replies.by_message, tea.last_message.id)
        assert (row.state, row.tokens > 0, row.seen) == (ReplyState.DONE, True, {})  # it keeps nobody's words
        used = play.store.call(usage.read_used, play.anna.id, play.guild.id, datetime.now(UTC).date())
        assert used.replies_server == 0  # and costs nobody's budget
        assert row.test and row.asker_id == play.anna.id
        await run(play, scenario="none", where=tea)  # its own test reply is not what it answers
        assert [one.content for one in tea.history()][-1] == "yes, green tea is great"
        assert len(tea.history()) == 3
        assert "Done: 1 message deleted." in play.text(await play.anna.slash(play.closed, "test clean"))
        assert len(tea.history()) == 2
        text = play.text(await play.anna.context_menu(tea, "Regenerate", await play.vic.send(tea, "x")))
        assert "not a reply of mine" in text


async def test_a_model_that_fails_is_a_result(tmp_path):
    async with stage(tmp_path, replies=answer, scenario_folder=own_folder(tmp_path)) as play:
        play.engines["ada-2"]._replies = (TalkalikeError("The model process ended."), ("fine",))
        _, report = await run(play, scenario="own ones")
        assert "Answered: **50%**" in report.embeds[0].description
        assert "The model process ended." in {one.name: one.value for one in report.embeds[0].fields}["Problems (1)"]


async def test_all_the_scenarios_that_come_along_are_answered(tmp_path):
    async with stage(tmp_path, replies=(("sure thing",),)) as play:
        _, report = await run(play)
        assert "Answered: **100%**" in report.embeds[0].description
        assert {"injection", "introduction", "small talk"} <= {
            one["scenario"] for one in play.store.call(test_runs.last, play.guild.id).results
        }


async def test_the_report_is_filled_in_long_after_the_commands_answer_expired(tmp_path):
    async with stage(tmp_path, replies=(("well",),), delay=600.0, scenario_folder=own_folder(tmp_path)) as play:
        _, report = await run(play, scenario="own ones")
        assert "0 of 2" in report.embeds[0].description
        text, _ = await run(play, scenario="own ones")
        assert "running on this server already" in text
        await play.env.advance_time(1300)
        assert "Answered: **100%**" in play.closed.history()[0].embeds[0].description


async def test_what_cannot_be_run_is_told(tmp_path):
    async with stage(tmp_path) as play:
        assert "There is: discussion" in (await run(play, scenario="opera"))[0]
        assert "nothing to test" in (await run(play, scenario="none"))[0]
        assert "admin" in (await run(play, who=play.mona))[0]
        empty = play.guild.create_category("empty")
        assert "0 text channels" in (await run(play, where=empty))[0]
        assert "on a server only" in play.text(await play.owner.user.slash("test run"))
        assert "no test on this server yet" in play.text(await play.anna.slash(play.closed, "test last"))
        assert "0 messages deleted" in play.text(await play.anna.slash(play.closed, "test clean"))
        offered = await play.anna.autocomplete(play.closed, "test run", "scenario", "in")
        assert [one["value"] for one in offered] == ["injection", "introduction"]
        assert "**injection** (4 cases)" in play.text(await play.anna.slash(play.closed, "test list"))


async def test_a_broken_scenario_file_is_named(tmp_path):
    folder = own_folder(tmp_path)
    Path(folder, "broken.toml").write_text("[[case]]\nname = 'x'\n", encoding="utf-8")
    async with stage(tmp_path, scenario_folder=folder) as play:
        assert "broken.toml, case 1: it needs turns" in (await run(play))[0]


async def test_a_schedule_runs_when_due_and_ends_with_its_makers_rights(tmp_path):
    async with stage(tmp_path, replies=(("sure",),)) as play:
        text = play.text(await play.adam.slash(play.closed, "test schedule", every_hours=6))
        assert "every 6 hours" in text
        assert "Every 6 hours in" in play.text(await play.anna.slash(play.closed, "test list"))
        [planned] = play.store.call(test_runs.schedules)
        assert (planned.channel_ids, planned.by) == ((play.closed.id,), play.adam.id)
        runner = play.bot.tree.get_command("test").runner
        scheduler = Scheduler(play.bot, runner)
        assert await scheduler.run_due(datetime.now(UTC)) == 0
        later = datetime.now(UTC) + timedelta(hours=7)
        assert await scheduler.run_due(later) == 1
        await play.env.settle()
        assert play.closed.history()[0].embeds[0].title == "Test of ada-2"
        assert play.store.call(test_runs.schedules)[0].next_at == later + timedelta(hours=6)
        assert await scheduler.run_due(later) == 0
        play.put(Subject.USER, play.adam.id, level=Level.VISIBLE)
        assert await scheduler.run_due(later + timedelta(hours=7)) == 0
        assert play.store.call(test_runs.schedules) == ()
        await play.anna.slash(play.closed, "test schedule", every_hours=1)
        assert "no more scheduled" in play.text(await play.anna.slash(play.closed, "test unschedule"))
        assert "No test was scheduled" in play.text(await play.anna.slash(play.closed, "test unschedule"))
