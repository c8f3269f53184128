"""The 25 defects found in other bots, B1 to B25, and the tests that show we do not have them.

Most are guarded where the code they concern is tested; `GUARDED` names those tests, and a test here asserts that each
of them exists. What nobody else guards is tested below, one test for each defect, named after it.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

from discord_world import services, world
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.chat.permissions import Access, Action, Actor, ChatPlace, Level, Request, Rule, Rules, Subject, decide
from talkalike.cli.discord import bot_settings
from talkalike.cli.workspace import open_workspace
from talkalike.discord_bot.application import PERMISSIONS, invite_link
from talkalike.discord_bot.bot import Double, intents
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import SIGN

TESTS = Path(__file__).parent

GUARDED: dict[str, tuple[str, ...]] = {
    # Everybody was "visible", whatever the table of levels said.
    "B1": (
        "test_discord_replies::test_nothing_visible_happens_for_somebody_who_is_ignored",
        "test_discord_context::test_the_words_of_an_ignored_person_are_not_seen_by_being_quoted",
        "test_permissions::test_an_ignored_member_is_not_seen_and_so_is_who_opted_out",
    ),
    # The owner's id as text was nobody's; see also below.
    "B2": ("test_permissions::test_the_bots_owner_is_the_owner_whatever_rules_say",),
    # A missing list of who may meant everybody; see also below.
    "B3": ("test_permissions::test_nothing_configured_means_nobody_is_answered",),
    # A view was edited with a token that dies after 15 minutes.
    "B4": (
        "test_discord_commands_talk::test_a_comparison_is_filled_in_after_the_commands_answer_expired",
        "test_discord_commands_testing::test_the_report_is_filled_in_long_after_the_commands_answer_expired",
        "test_discord_replies::test_the_again_button_writes_anew_in_the_same_place_even_after_a_restart",
    ),
    # Ten edits a second, and requests for reactions that concern nobody; the latter is below.
    "B5": (
        "test_deliver::test_a_thousand_chunks_in_ten_seconds_are_about_ten_edits",
        "test_deliver::test_deliveries_in_one_channel_share_its_pace",
    ),
    # Children outlived the bot. (Its jobs and shell are not ours: there is no shell.)
    "B6": (
        "test_engine_process::test_it_answers_and_ends_with_close",
        "test_engine_process::test_the_child_does_not_outlive_a_killed_parent",
    ),
    # The progress callback of the training failed at its first step.
    "B7": ("test_cli_train::test_training_tells_how_it_goes_and_what_came_out",),
    # A limit of N gave another number of messages; the whole way is below.
    "B10": ("test_history::test_limit_n_gives_exactly_n",),
    # After an exception a channel was dead until the restart.
    "B11": (
        "test_discord_replies_going_on::test_after_a_failure_the_next_message_is_answered",
        "test_discord_faults::test_a_503_ends_a_reply_in_words_and_not_the_next",
    ),
    # Reading from the model's process stopped the heartbeat.
    "B12": ("test_discord_faults::test_a_model_that_computes_for_a_minute_keeps_nobody_waiting",),
    # The oldest part of a conversation was kept, and the only allowed action was written into the code (see below).
    "B13": (
        "test_chat_context::test_budget_holds_for_any_conversation",
        "test_chat_context::test_a_message_longer_than_half_of_the_budget_keeps_its_ends",
    ),
    # A malformed prompt ended in an assertion; what was registered was forgotten.
    "B14": (
        "test_discord_commands_talk::test_chat_needs_words",
        "test_discord_commands_testing::test_a_broken_scenario_file_is_named",
        "test_store_rules::test_a_server_has_one_schedule_and_the_next_due_comes_first",
    ),
    # Any failure of the model became a NameError.
    "B15": (
        "test_discord_replies_going_on::test_a_dead_engine_is_told_once_and_noted",
        "test_discord_faults::test_a_dead_model_gives_one_line_and_a_mark_in_the_status",
    ),
    # A corrupt file reset all permissions, one table held for all servers, precedence was anybody's guess.
    "B16": (
        "test_store_opening::test_a_file_that_is_no_database_is_told_and_kept",
        "test_permissions::test_rules_of_one_server_say_nothing_elsewhere",
        "test_options::test_the_nearest_value_holds_and_says_where_it_comes_from",
    ),
    # A long newest message was answered with silence.
    "B17": ("test_history::test_a_newest_message_of_2000_characters_is_answered_with_a_note_on_what_was_cut",),
    # People could write turns in the double's name.
    "B18": (
        "test_history::test_nothing_a_person_writes_forges_a_turn",
        "test_history::test_a_name_cannot_be_taken_for_the_double_or_a_role",
        "test_history::test_a_file_cannot_close_its_own_fence",
        "test_render::test_nothing_typed_opens_or_closes_a_turn",
    ),
    # Old messages broke the test run.
    "B19": (
        "test_discord_commands_testing::test_the_next_run_tells_the_change_and_deletes_only_what_the_last_one_posted",
    ),
    # One timer for all channels, files of any size, failures told to nobody.
    "B20": (
        "test_deliver::test_the_send_budget_holds_per_channel",
        "test_discord_context::test_a_file_that_is_too_large_is_not_downloaded",
        "test_discord_replies_going_on::test_a_dead_engine_is_told_once_and_noted",
    ),
    # A reset was for the whole server (see below) and was itself forgotten; a split cut through a code block.
    "B21": (
        "test_discord_replies_going_on::test_a_reset_marker_hides_what_came_before_until_it_is_deleted",
        "test_splitting::test_every_part_has_balanced_fences",
    ),
    # A vote against counted as none, could not be changed, and went to the talk of whoever clicked.
    "B22": (
        "test_discord_judging::test_a_thumb_is_a_rating_that_can_be_changed_and_taken_back",
        "test_discord_judging::test_a_bystander_votes_on_the_reply_that_was_pressed_and_locks_nobody_out",
    ),
    # Something happened before anybody asked whether it may; the invite link is below.
    "B23": (
        "test_discord_replies::test_nothing_visible_happens_for_somebody_who_is_ignored",
        "test_discord_commands_rules::test_somebody_ignored_is_refused_by_every_command_but_those_about_themselves",
    ),
    # One failure kept a lock for ever.
    "B24": (
        "test_discord_context::test_a_full_line_says_so_and_every_way_out_frees_the_place",
        "test_discord_faults::test_a_reply_that_waits_can_be_cancelled",
    ),
    # Floods of messages and errors, too many commands, no word about which rule silenced a channel.
    "B25": (
        "test_deliver::test_the_send_budget_holds_per_channel",
        "test_discord_faults::test_a_dead_model_gives_one_line_and_a_mark_in_the_status",
        "test_discord_commands_rules::test_every_command_demands_an_action_and_the_tree_fits",
        "test_discord_commands_rules::test_get_and_why_name_the_rule",
    ),
}

HELLO = (("hello there",),)
ENGINES = OpenEngines(engines={}, described=(Voice(model="anton-1", speaker="Anton"),))


def test_every_defect_is_guarded_by_tests_that_exist() -> None:
    own = {name.split("_")[1].upper() for name in names(Path(__file__).stem) if name.startswith("test_b")}
    assert set(GUARDED) | own == {f"B{number}" for number in range(1, 26)}
    for defect, guards in GUARDED.items():
        for guard in guards:
            module, _, name = guard.partition("::")
            assert name in names(module), f"{defect}: {guard} is gone"


def names(module: str) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def written(workspace: Path, lines: str) -> None:
    """The settings file with its [discord] part replaced by these lines."""
    (workspace / "talkalike.toml").write_text(f"[discord]\n{lines}\n", encoding="utf-8")


@pytest.mark.parametrize("written_as", ["123456789012345678", '"123456789012345678"'])
def test_b2_the_owners_id_is_a_number_or_text(tmp_workspace: Path, written_as: str) -> None:
    written(tmp_workspace, f"owner_id = {written_as}")
    given = Rules(owner_ids=bot_settings(open_workspace(tmp_workspace), ENGINES).owner_ids, rules=())
    where = ChatPlace(server_id=1, channel_id=2)
    for user_id, allowed in ((123456789012345678, True), (123456789012345679, False)):
        request = Request(actor=Actor(user_id=user_id), action=Action.BOT_SETTINGS, place=where)
        assert decide(request, given).allowed is allowed


@pytest.mark.parametrize("lines", ["ownr_id = 5", 'dm_access = "opn"', 'owner_id = "anna"', "owner_id = 0"])
def test_b3_a_misspelt_list_of_who_may_stops_the_start(tmp_workspace: Path, lines: str) -> None:
    written(tmp_workspace, lines)
    with pytest.raises(UserError) as refused:
        open_workspace(tmp_workspace)
    assert lines.split(" ")[0] in str(refused.value)


async def test_b5_reactions_that_concern_nobody_cause_no_request(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        theirs = await w.ben.send(w.closed, "look at this")
        await w.anna.send(w.open, "hi")
        await w.wait()
        mine = w.open.history()[-1]
        before = len(w.env.http_requests)
        for message in (theirs, mine):
            for sign in ("👍", "🎉", "❌"):
                await w.ben.react(message, sign)
        assert w.env.http_requests[before:] == []


def test_b8_who_is_listed_may_and_who_is_not_may_not() -> None:
    where = ChatPlace(server_id=1, channel_id=2)
    given = Rules(
        owner_ids=frozenset(),
        rules=(
            Rule(server_id=1, subject=Subject.SERVER, subject_id=1, access=Access.OPEN),
            Rule(server_id=1, subject=Subject.SERVER, subject_id=1, level=Level.IGNORED),
            Rule(server_id=1, subject=Subject.USER, subject_id=7, level=Level.VISIBLE),
        ),
    )
    for user_id, allowed in ((7, True), (8, False)):
        request = Request(actor=Actor(user_id=user_id), action=Action.TALK, place=where, addressed=True)
        assert decide(request, given).allowed is allowed


async def test_b9_the_bot_starts_from_nothing_and_answers_nobody(tmp_workspace: Path, tmp_path: Path) -> None:
    (tmp_workspace / "talkalike.toml").write_text("", encoding="utf-8")
    engine = ScriptedEngine(HELLO)
    given = services(tmp_path, engine)
    given.settings = bot_settings(open_workspace(tmp_workspace), ENGINES)
    try:
        async with simcord.run(Double(given, describe=False)) as env:
            guild = env.create_guild("The Server")
            room = guild.create_text_channel("room")
            owner = guild.add_member(env.create_user("Anna"))
            assert env.bot.user is not None
            await owner.send(room, f"{env.bot.user.mention} hello?")
            await owner.send_dm("hello?")
            await env.advance_time(5)
            assert engine.prompts == []
    finally:
        given.store.close()


@pytest.mark.parametrize("limit", [1, 3])
async def test_b10_a_limit_of_n_messages_shows_exactly_n(tmp_path: Path, limit: int) -> None:
    async with world(tmp_path, ((),), history_limit=limit) as w:
        for number in range(5):
            await w.ben.send(w.closed, "elsewhere")
            await w.anna.send(w.open, str(number))
        await w.wait()
        await w.anna.send(w.open, "5")
        await w.wait()
        newest = [f"Anna: {number}" for number in range(6 - limit, 6)]
        assert w.prompts()[-1] == newest


async def test_b13_what_the_double_may_do_is_a_setting(tmp_path: Path) -> None:
    """Reactions only where they are switched on; words in any case."""
    reply = ((SIGN + "👍", "and words"),)
    for allowed in (True, False):
        (tmp_path / str(allowed)).mkdir()
        async with world(tmp_path / str(allowed), reply, options={"reactions": allowed}) as w:
            await w.anna.send(w.open, "hi")
            await w.wait()
            (asked,) = [one for one in w.open.history() if one.author.id == w.anna.id]
            assert [str(one.emoji) for one in asked.reactions] == (["👍"] if allowed else [])
            assert w.words(w.open) == ["and words"]


async def test_b21_a_reset_is_for_one_channel(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        for channel in (w.open, w.mention):
            await w.anna.send(channel, f"{w.me} before")
            await w.wait()
        await w.reset(w.open)
        for channel in (w.open, w.mention):
            await w.anna.send(channel, f"{w.me} after")
            await w.wait()
        there, elsewhere = w.prompts()[-2:]
        assert [one for one in there if "before" in one] == []
        assert [one for one in elsewhere if "before" in one] == ["Anna: @TestBot before"]


def test_b23_the_invite_link_asks_for_what_is_used_and_nothing_else() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(discord_bot_folder()).rglob("*.py"))
    used = {
        "read_messages": True,
        "send_messages": ".send(" in source,
        "send_messages_in_threads": ".send(" in source,
        "create_public_threads": ".create_thread(" in source,
        "read_message_history": ".history(" in source,
        "embed_links": "embed=" in source,
        "attach_files": "discord.File(" in source,
        "add_reactions": ".add_reaction(" in source,
        "use_application_commands": "app_commands." in source,
        "create_private_threads": "private_thread" in source,
        "manage_messages": "bulk" in source and "delete_messages(" in source,
        "manage_threads": "archived=True" in source,
        "manage_channels": ".create_text_channel(" in source,
    }
    assert {name for name, value in PERMISSIONS if value} == {name for name, needed in used.items() if needed}
    assert f"permissions={PERMISSIONS.value}" in invite_link(5)
    assert intents().message_content and not intents().members and not intents().presences


def discord_bot_folder() -> str:
    import talkalike.discord_bot

    return str(Path(talkalike.discord_bot.__file__).parent)


async def test_b24_however_a_reply_ends_the_next_one_is_written(tmp_path: Path) -> None:
    """It fails before the first word, in the middle, is cancelled, or Discord refuses it."""
    endings: list[Any] = [TalkalikeError("It died."), ("one two three four five",), ("words",), ("well again",)]

    def script(prompt: Prompt) -> Any:
        return endings[len(engine.prompts) - 1]

    engine = ScriptedEngine(script, delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "fails")
        await w.wait()
        sent = await w.anna.send(w.open, "is cancelled")
        await w.wait(12)
        await w.anna.react(sent, "❌")
        w.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=1)
        await w.anna.send(w.open, "is refused")
        await w.wait(20)
        await w.anna.send(w.open, "and now?")
        await w.wait(40)
        assert w.words(w.open)[-1] == "well again"
        assert w.bot.conversations.running() == () and w.bot.conversations.queue_length() == 0
        assert isinstance(w.bot, discord.Client) and engine.running == 0
