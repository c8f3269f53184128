"""/permissions, /settings and /help: what is allowed, what is refused and by which rule, and wrong input."""

from __future__ import annotations

import pytest
from discord import app_commands

from discord_commands import stage
from talkalike.chat.permissions import Access, Action, Level, Subject
from talkalike.discord_bot.commands import CONTEXTS, MOST_COMMANDS, MOST_MENUS
from talkalike.store import rules


async def leaves(play):
    """Every command and menu of the tree."""
    tree = play.bot.tree
    return [one for one in tree.walk_commands() if isinstance(one, app_commands.Command)] + [
        menu
        for kind in app_commands.tree.AppCommandType
        for menu in tree.get_commands(type=kind)
        if isinstance(menu, app_commands.ContextMenu)
    ]


async def test_every_command_demands_an_action_and_the_tree_fits(tmp_path):
    async with stage(tmp_path) as play:
        found = await leaves(play)
        roots = play.bot.tree.get_commands()
        assert len(roots) <= MOST_COMMANDS
        assert 0 < sum(isinstance(one, app_commands.ContextMenu) for one in roots) <= MOST_MENUS
        actions = {one.qualified_name: getattr(one.callback, "action", None) for one in found}
        assert len(actions) == len(found) >= 30
        assert [name for name, action in actions.items() if not isinstance(action, Action)] == []
        assert actions["settings set"] is Action.SET_SETTINGS
        assert actions["Forget this"] is Action.FORGET
        assert all(root.allowed_contexts == CONTEXTS for root in roots)
        families = {one.name for one in roots}
        assert {"chat", "thread", "reset", "context", "permissions", "settings", "model", "status", "test"} <= families
        assert {"privacy", "help", "Why this reply?", "Regenerate", "Forget this"} <= families


OPEN_TO_ALL = (
    "help",
    "permissions why",
    "permissions check",
    "privacy show",
    "privacy export",
    "privacy delete",
    "privacy training",
)
WITH_OPTIONS = {
    "chat": {"prompt": "hi"},
    "thread": {"name": "x"},
    "comprehend": {"image": ("a.png", b"a picture")},
    "register_task": {"name": "x", "picture1": ("a.png", b"a picture"), "answer1": "x"},
    "task show": {"name": "x"},
    "task edit": {"name": "x"},
    "task remove": {"name": "x", "confirm": False},
    "task score": {"name": "x"},
    "context drop": {"message": "123456789012345678"},
    "context pin": {"message": "123456789012345678"},
    "context unpin": {"message": "123456789012345678"},
    "context fork": {"message": "123456789012345678"},
    "permissions set": {"value": "mod", "scope": "server"},
    "settings set": {"key": "seed", "value": "1"},
    "settings unset": {"key": "seed"},
    "model use": {"model": "bob-1"},
    "model compare": {"prompt": "hi", "first": "ada-2", "second": "bob-1"},
    "privacy delete": {"confirm": False},
    "privacy training": {"state": "off"},
    "privacy seen": {"state": "on"},
    "test schedule": {"every_hours": 5},
    "judge compare-channel set": {"first": "ada-2", "second": "bob-1"},
}


async def test_somebody_ignored_is_refused_by_every_command_but_those_about_themselves(tmp_path):
    async with stage(tmp_path) as play:
        for command in await leaves(play):
            name = command.qualified_name
            if isinstance(command, app_commands.ContextMenu):
                message = await play.vic.send(play.general, "a message of somebody else")
                text = play.text(await play.iggy.context_menu(play.general, name, message))
            else:
                told = await play.iggy.slash(play.general, name, **WITH_OPTIONS.get(name, {}))
                text = told.response.content if name == "help" else play.text(told)  # it needs two messages
            refused = text.startswith("Sorry, you can't do that here.")
            assert refused != (name in (*OPEN_TO_ALL, "privacy seen")), (name, text)
            if refused:
                assert "ignored" in text and f"<@{play.iggy.id}>" in text, text  # the rule that decided
        assert play.general.last_message.content == "a message of somebody else"  # nothing visible happened


async def test_a_closed_channel_is_told_by_its_rule(tmp_path):
    async with stage(tmp_path) as play:
        refused = play.text(await play.vic.slash(play.closed, "chat", prompt="hi"))
        assert "closed" in refused and "the default on servers" in refused
        assert play.closed.last_message is None


async def test_help_says_what_it_is(tmp_path):
    async with stage(tmp_path) as play:
        told = await play.iggy.slash(play.closed, "help")
        messages = [told.response, *told.followups]
        assert all(one.ephemeral and not one.attachments for one in messages)
        text = "\n".join(one.content for one in messages)
        assert "AI double of Ada Lovelace" in text
        assert "not a human" in text
        for family in ("/chat", "/comprehend", "/permissions", "/privacy", "/task", "/test"):
            assert f"`{family}`" in text
        for how in ("👍, 👎", "*Judge this*", "`/guess` lets you"):
            assert how in text


# ---------------------------------------------------------------------------------------------------- permissions


async def test_levels_are_offered_and_set_below_ones_own_only(tmp_path):
    async with stage(tmp_path) as play:
        choices = await play.mona.autocomplete(play.general, "permissions set", "value", "", user=play.vic)
        assert [one["value"] for one in choices] == ["ignored", "visible", "default"]
        choices = await play.owner.autocomplete(play.general, "permissions set", "value", "a", user=play.vic)
        assert [one["value"] for one in choices] == ["admin", "default"]
        assert await play.vic.autocomplete(play.general, "permissions set", "value", "", user=play.mona) == []
        text = play.text(await play.mona.slash(play.general, "permissions set", value="ignored", user=play.vic))
        assert text.startswith("Done") and "ignored" in text
        stored = play.store.call(rules.rules_of, play.guild.id)
        assert [rule.level for rule in stored if rule.subject_id == play.vic.id] == [Level.IGNORED]
        text = play.text(await play.mona.slash(play.general, "permissions set", value="mod", user=play.vic))
        assert "not below" in text
        text = play.text(await play.mona.slash(play.general, "permissions set", value="ignored", user=play.adam))
        assert "admin" in text and "not below" in text
        text = play.text(await play.vic.slash(play.general, "permissions set", value="visible", user=play.iggy))
        assert text.startswith("Sorry")


async def test_channels_roles_categories_servers_and_dms_have_rules(tmp_path):
    async with stage(tmp_path) as play:
        category = play.guild.create_category("lounge")
        set_rule = "permissions set"
        assert "Done" in play.text(await play.mona.slash(play.general, set_rule, value="open", channel=play.closed))
        assert "Sorry" in play.text(await play.mona.slash(play.general, set_rule, value="open", channel=category))
        assert "Done" in play.text(await play.adam.slash(play.general, set_rule, value="open", channel=category))
        assert "Done" in play.text(await play.anna.slash(play.general, set_rule, value="mod", role=play.role))
        assert "Done" in play.text(await play.anna.slash(play.general, set_rule, value="mention", scope="server"))
        assert "Sorry" in play.text(await play.anna.slash(play.general, set_rule, value="open", scope="dms"))
        assert "Done" in play.text(await play.owner.slash(play.general, set_rule, value="open", scope="dms"))
        refused = play.text(
            await play.anna.slash(play.general, set_rule, value="ignored", user=play.vic, scope="everywhere")
        )
        assert "bot's owner" in refused
        stored = {(one.subject, one.subject_id, one.server_id) for one in play.store.call(rules.all_rules)}
        server_id = play.guild.id
        assert {
            (Subject.CHANNEL, play.closed.id, server_id),
            (Subject.CATEGORY, category.id, server_id),
            (Subject.ROLE, play.role.id, server_id),
            (Subject.SERVER, server_id, server_id),
            (Subject.DM, 0, None),
        } <= stored
        listed = play.text(await play.anna.slash(play.general, "permissions list"))
        assert f"<#{play.closed.id}>: **open**" in listed and "Latest changes" in listed
        assert "bot's owner has set 1 more" in listed
        assert "direct messages: **open**" in play.text(await play.owner.slash(play.general, "permissions list"))


async def test_default_takes_a_rule_away(tmp_path):
    async with stage(tmp_path) as play:
        text = play.text(await play.mona.slash(play.general, "permissions set", value="default", channel=play.general))
        assert "back to the default" in text
        assert play.store.call(rules.rules_of, play.guild.id)[0].subject is Subject.USER
        text = play.text(await play.mona.slash(play.general, "permissions set", value="default", channel=play.closed))
        assert "no such rule" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"value": "mod"}, "exactly one"),
        ({"value": "mod", "user": "vic", "scope": "dms"}, "exactly one"),
        ({"value": "mod", "scope": "everywhere"}, "exactly one"),
        ({"value": "open", "user": "vic"}, "can set for a user"),
        ({"value": "emperor", "scope": "server"}, "Choose: ignored"),
        ({"value": "default", "scope": "server"}, "default level"),
    ],
)
async def test_wrong_input_is_told_with_what_would_work(tmp_path, options, words):
    async with stage(tmp_path) as play:
        if "user" in options:
            options = {**options, "user": play.people[options["user"]]}
        assert words in play.text(await play.anna.slash(play.general, "permissions set", **options))


async def test_get_and_why_name_the_rule(tmp_path):
    async with stage(tmp_path) as play:
        text = play.text(await play.vic.slash(play.general, "permissions get"))
        assert "**visible** (the default for members of a server)" in text and "**mention**" in text
        text = play.text(await play.vic.slash(play.general, "permissions get", user=play.mona, channel=play.closed))
        assert "**mod**" in text and "**closed**" in text
        text = play.text(await play.iggy.slash(play.general, "permissions why"))
        assert text.count("❌") == 3 and f"server rule for <@{play.iggy.id}>: ignored" in text
        text = play.text(await play.vic.slash(play.general, "permissions why"))
        assert text.count("✅") == 2 and "neither mentions" in text
        text = play.text(await play.vic.slash(play.general, "permissions why", user=play.mona, action="set_model"))
        assert "❌" in text and "admin" in text
        assert "Sorry" in play.text(await play.iggy.slash(play.general, "permissions why", user=play.mona))
        await play.vic.slash(play.general, "privacy seen", state="off")
        assert "opted out" in play.text(await play.vic.slash(play.general, "permissions why"))


async def test_in_direct_messages_only_the_owner_sets_rules(tmp_path):
    async with stage(tmp_path) as play:
        play.put(Subject.DM, 0, server_id=0, access=Access.OPEN)
        stranger, owner = play.vic.user, play.owner.user
        text = play.text(await stranger.slash("permissions set", value="closed", scope="dms"))
        assert "Sorry" in text
        text = play.text(await owner.slash("permissions set", value="closed", scope="dms"))
        assert "Done" in text
        text = play.text(await owner.slash("permissions set", value="closed", scope="server"))
        assert "no server here" in text


# ------------------------------------------------------------------------------------------------------- settings


async def test_settings_show_where_each_value_comes_from(tmp_path):
    async with stage(tmp_path, options={"top_k": 40}) as play:
        set_it = "settings set"
        assert "this server" in play.text(
            await play.adam.slash(play.general, set_it, key="temperature", value="0.5", scope="server")
        )
        assert "this channel" in play.text(
            await play.mona.slash(play.general, set_it, key="persona", value="You like tea.")
        )
        text = play.text(await play.vic.slash(play.general, "settings show"))
        assert "**temperature = 0.5** (from: server)" in text
        assert "**persona = You like tea.** (from: channel)" in text
        assert "**top_k = 40** (from: bot)" in text
        assert "seed = none (default)" in text
        elsewhere = play.text(await play.adam.slash(play.closed, "settings show", key="persona"))
        assert "persona = none (default)" in elsewhere and "can be set for" in elsewhere
        text = play.text(await play.mona.slash(play.general, "settings unset", key="persona"))
        assert "persona is now none (from: default)" in text
        assert "is not set for" in play.text(await play.mona.slash(play.general, "settings unset", key="persona"))


async def test_wider_settings_need_a_higher_level(tmp_path):
    async with stage(tmp_path) as play:
        ask = {"key": "seed", "value": "5"}
        assert "admin" in play.text(await play.mona.slash(play.general, "settings set", scope="server", **ask))
        assert "owner" in play.text(await play.anna.slash(play.general, "settings set", scope="bot", **ask))
        assert "Done" in play.text(await play.owner.slash(play.general, "settings set", scope="bot", **ask))
        assert "Sorry" in play.text(await play.vic.slash(play.general, "settings set", **ask))
        text = play.text(await play.mona.slash(play.general, "settings set", key="model", value="bob-1"))
        assert "Sorry" in text and "admin" in text


async def test_a_nearer_value_is_pointed_out_and_a_thread_has_its_own(tmp_path):
    async with stage(tmp_path) as play:
        await play.mona.slash(play.general, "settings set", key="seed", value="1")
        text = play.text(await play.adam.slash(play.general, "settings set", key="seed", value="2", scope="server"))
        assert "channel's own value still holds: 1" in text
        await play.vic.slash(play.general, "thread", name="tea talk")
        thread = play.general.threads[0]
        assert "this thread" in play.text(await play.mona.slash(thread, "settings set", key="seed", value="3"))
        assert "seed = 3** (from: thread)" in play.text(await play.vic.slash(thread, "settings show", key="seed"))
        assert "not a thread" in play.text(
            await play.mona.slash(play.general, "settings set", key="seed", value="3", scope="thread")
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "temprature", "value": "1"}, "Did you mean 'temperature'"),
        ({"key": "temperature", "value": "hot"}, "a number"),
        ({"key": "temperature", "value": "99"}, "0 to 5"),
        ({"key": "daily_replies_user", "value": "5", "scope": "channel"}, "Choose: bot, server"),
        ({"key": "model", "value": "eve-9", "scope": "server"}, "There is: ada-2, bob-1"),
    ],
)
async def test_wrong_settings_are_told(tmp_path, options, words):
    async with stage(tmp_path) as play:
        assert words in play.text(await play.anna.slash(play.general, "settings set", **options))


async def test_settings_keys_and_values_are_offered(tmp_path):
    async with stage(tmp_path) as play:
        keys = await play.vic.autocomplete(play.general, "settings set", "key", "penal")
        assert [one["value"] for one in keys] == ["repetition_penalty"]
        assert len(await play.vic.autocomplete(play.general, "settings set", "key", "")) > 15
        values = await play.vic.autocomplete(play.general, "settings set", "value", "", key="stream")
        assert [one["value"] for one in values] == ["on", "off"]
        values = await play.vic.autocomplete(play.general, "settings set", "value", "", key="model")
        assert [one["value"] for one in values] == ["ada-2", "bob-1"]
        values = await play.vic.autocomplete(play.general, "settings set", "value", "", key="temperature")
        assert {"0.8", "0", "5"} <= {one["value"] for one in values}
        assert await play.vic.autocomplete(play.general, "settings set", "value", "x", key="nonsense") == []
