"""Real discord.py on our own Discord: commands, autocomplete, deferrals, follow-ups, forms, buttons, menus."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from discord import app_commands

from local_discord.errors import DiscordError
from local_discord.model import Interaction
from local_discord_bots import DiscordServer, Probe, open_server, running, until

Context = discord.Interaction[Probe]


class Form(discord.ui.Modal, title="A form"):
    name: discord.ui.TextInput[Form] = discord.ui.TextInput(label="Name", custom_id="name")
    more: discord.ui.TextInput[Form] = discord.ui.TextInput(label="More", custom_id="more", required=False)

    async def on_submit(self, interaction: Context) -> None:
        await interaction.response.send_message(f"form: {self.name.value}/{self.more.value}", ephemeral=True)


class FileForm(discord.ui.Modal, title="A file"):
    name = discord.ui.Label(text="Name", component=discord.ui.TextInput(custom_id="name"))
    file = discord.ui.Label(text="File", component=discord.ui.FileUpload(custom_id="file", required=False))

    async def on_submit(self, interaction: Context) -> None:
        sent = [f"{one.filename}: {(await one.read()).decode()}" for one in self.file.component.values]  # type: ignore[attr-defined]
        await interaction.response.send_message(f"files: {sent}", ephemeral=True)


class Panel(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Count", custom_id="count")
    async def count(self, interaction: Context, button: discord.ui.Button[Panel]) -> None:
        await interaction.response.edit_message(content=f"counted by {interaction.user.name}")

    @discord.ui.button(label="Quiet", custom_id="quiet")
    async def quiet(self, interaction: Context, button: discord.ui.Button[Panel]) -> None:
        await interaction.response.defer()
        await interaction.followup.send("only for you", ephemeral=True)

    @discord.ui.button(label="Form", custom_id="form")
    async def form(self, interaction: Context, button: discord.ui.Button[Panel]) -> None:
        await interaction.response.send_modal(Form())

    @discord.ui.select(custom_id="pick", options=[discord.SelectOption(label=c) for c in "abc"], max_values=2)
    async def pick(self, interaction: Context, select: discord.ui.Select[Panel]) -> None:
        await interaction.response.send_message("picked " + ",".join(select.values))

    @discord.ui.select(cls=discord.ui.UserSelect, custom_id="who")
    async def who(self, interaction: Context, select: discord.ui.UserSelect[Panel]) -> None:
        await interaction.response.send_message(f"chose {select.values[0].display_name}")


class Size(enum.Enum):
    small = 1
    large = 2


def register(tree: app_commands.CommandTree[Probe]) -> None:
    @tree.command(description="Everything that an option can be")
    async def options(
        interaction: Context,
        text: str,
        size: Size,
        number: app_commands.Range[int, 1, 10] = 3,
        share: float = 0.5,
        flag: bool = False,
        person: discord.Member | None = None,
        role: discord.Role | None = None,
        place: discord.TextChannel | None = None,
        file: discord.Attachment | None = None,
    ) -> None:
        read = "" if file is None else (await file.read()).decode()
        names = [getattr(thing, "name", None) for thing in (person, role, place)]
        await interaction.response.send_message(f"{text} {size.name} {number} {share} {flag} {names} {read}")

    @options.autocomplete("text")
    async def suggest(interaction: Context, typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"{typed}!", value=typed * 2)]

    group = app_commands.Group(name="settings", description="Settings")

    @group.command(name="get", description="Read one")
    async def get(interaction: Context, key: str) -> None:
        await interaction.response.defer(ephemeral=True)
        await interaction.followup.send(f"{key} = 1")
        await interaction.followup.send("and more", ephemeral=True)
        await interaction.edit_original_response(content=f"{key} = 2")

    tree.add_command(group)

    _register_more(tree)


def _register_more(tree: app_commands.CommandTree[Probe]) -> None:
    @tree.command(description="Slow and public")
    async def slow(interaction: Context) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content="done", view=Panel())
        assert (await interaction.original_response()).content == "done"

    @tree.command(description="Opens a form")
    async def form(interaction: Context) -> None:
        await interaction.response.send_modal(Form())

    @tree.command(name="file-form", description="Opens a form with a file")
    async def file_form(interaction: Context) -> None:
        await interaction.response.send_modal(FileForm())

    @tree.command(description="Says two things, and takes one back")
    async def twice(interaction: Context) -> None:
        await interaction.response.send_message("one")
        second = await interaction.followup.send("two", wait=True)
        await interaction.delete_original_response()
        await second.edit(content="two!")

    @tree.context_menu(name="Quote this")
    async def quote(interaction: Context, message: discord.Message) -> None:
        await interaction.response.send_message(f"> {message.content}")

    @tree.context_menu(name="Greet")
    async def greet(interaction: Context, member: discord.Member) -> None:
        await interaction.response.send_message(f"Hello, {member.display_name}")

    @tree.command(description="For those who manage the server")
    @app_commands.default_permissions(manage_guild=True)
    @app_commands.guild_only()
    async def managed(interaction: Context) -> None:
        await interaction.response.send_message("managed")

    @tree.command(description="Never answers")
    async def silent(interaction: Context) -> None:
        pass


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with open_server() as opened:
        yield opened


@pytest.fixture
async def probe(server: DiscordServer) -> AsyncIterator[Probe]:
    async with running(Probe(register=register), server.bot.token) as client:
        client.add_view(Panel())
        yield client


def named(server: DiscordServer, name: str, user_id: int = 0, channel_id: int = 0) -> int:
    commands = server.world.commands(user_id or server.anna.id, channel_id or server.general.id)
    return next(int(c["id"]) for c in commands if c["name"] == name)


async def use(server: DiscordServer, name: str, options: dict[str, Any] | None = None, **more: Any) -> Interaction:
    made = server.world.invoke(server.anna.id, server.general.id, named(server, name), options, **more)
    return await server.world.answered(made)


def said(server: DiscordServer) -> list[str]:
    return [m.content for m in server.world.history(server.anna.id, server.general.id)][::-1]


async def test_every_kind_of_option_arrives(server: DiscordServer, probe: Probe) -> None:
    role = server.world.add_role(server.guild, "friends")
    given = {
        "text": "hi",
        "size": 2,
        "number": 7,
        "share": 0.25,
        "flag": True,
        "person": server.ben.id,
        "role": role.id,
        "place": server.other.id,
        "file": 0,
    }
    it = await use(server, "options", given, attachments=[("a.txt", b"contents")])
    await until(lambda: said(server))
    assert said(server) == ["hi large 7 0.25 True ['ben', 'friends', 'other'] contents"]
    message = await probe.hears("message")
    assert message.type is discord.MessageType.chat_input_command
    assert message.interaction_metadata.user.id == server.anna.id and it.original_id == message.id


@pytest.mark.parametrize(
    "given",
    [{"text": "hi"}, {"text": "hi", "size": 3}, {"text": "hi", "size": 1, "number": 11}, {"nonsense": 1}],
    ids=["missing", "no choice", "out of range", "unknown"],
)
async def test_options_that_do_not_fit_never_reach_the_bot(
    server: DiscordServer, probe: Probe, given: dict[str, Any]
) -> None:
    with pytest.raises(DiscordError) as error:
        server.world.invoke(server.anna.id, server.general.id, named(server, "options"), given)
    assert error.value.code == 50035
    assert probe.heard("interaction") == []


async def test_autocomplete(server: DiscordServer, probe: Probe) -> None:
    command = named(server, "options")
    choices = await server.world.autocomplete(server.anna.id, server.general.id, command, {"text": "ab"}, "text")
    assert [(c["name"], c["value"]) for c in choices] == [("ab!", "abab")]


async def test_a_private_deferral_its_follow_ups_and_edits(server: DiscordServer, probe: Probe) -> None:
    watching = server.world.subscribe(server.anna.id)
    others = server.world.subscribe(server.ben.id)
    it = await use(server, "settings", {"get": {"key": "top_p"}})
    told = [await watching.wait_for("INTERACTION_RESPONSE") for _ in range(4)]
    assert [t["message"]["content"] for t in told] == ["", "top_p = 1", "and more", "top_p = 2"]
    assert told[0]["message"]["flags"] == 192 and {t["message"]["flags"] for t in told[1:]} == {64}
    ids = [t["message"]["id"] for t in told]
    assert ids[0] == ids[1] == ids[3] != ids[2] and it.ephemeral
    assert said(server) == []
    others.close()
    assert [name async for name, _ in others] == []


async def test_a_public_deferral_shows_thinking_then_the_answer(server: DiscordServer, probe: Probe) -> None:
    watching = server.world.subscribe(server.ben.id)
    await use(server, "slow")
    thinking = await watching.wait_for("MESSAGE_CREATE")
    done = await watching.wait_for("MESSAGE_UPDATE")
    assert (thinking["flags"], thinking["content"]) == (128, "") and (done["flags"], done["content"]) == (0, "done")
    assert thinking["id"] == done["id"] and len(done["components"]) == 3


async def test_follow_ups_are_edited_and_the_original_deleted(server: DiscordServer, probe: Probe) -> None:
    await use(server, "twice")
    await until(lambda: said(server) == ["two!"])


async def test_forms(server: DiscordServer, probe: Probe) -> None:
    it = await use(server, "form")
    assert it.modal is not None and it.modal["title"] == "A form"
    with pytest.raises(DiscordError):
        server.world.submit_modal(server.ben.id, it.id, {"name": "Ben"})
    with pytest.raises(DiscordError):
        server.world.submit_modal(server.anna.id, it.id, {"more": "no name"})
    watching = server.world.subscribe(server.anna.id)
    server.world.submit_modal(server.anna.id, it.id, {"name": "Anna", "more": "x"})
    told = await watching.wait_for("INTERACTION_RESPONSE")
    assert told["message"]["content"] == "form: Anna/x" and told["message"]["flags"] == 64
    with pytest.raises(DiscordError):
        server.world.submit_modal(server.anna.id, it.id, {"name": "again"})


async def test_files_of_a_form(server: DiscordServer, probe: Probe) -> None:
    watching = server.world.subscribe(server.anna.id)
    for values, files, told in (
        ({"name": "x", "file": [0]}, [("a.txt", b"contents")], "files: ['a.txt: contents']"),
        ({"name": "x"}, [], "files: []"),
    ):
        it = await use(server, "file-form")
        for wrong in ([0, 1], [7], ["x"]):
            with pytest.raises(DiscordError):
                server.world.submit_modal(server.anna.id, it.id, values | {"file": wrong}, attachments=files)
        server.world.submit_modal(server.anna.id, it.id, values, attachments=files)
        answer = await watching.wait_for("INTERACTION_RESPONSE", lambda t: t["message"] is not None)
        assert answer["message"]["content"] == told


async def test_buttons_and_menus(server: DiscordServer, probe: Probe) -> None:
    message = await probe.get_channel(server.general.id).send("panel", view=Panel())
    await server.world.answered(server.world.click(server.ben.id, message.id, "count"))
    assert said(server) == ["counted by ben"]
    await server.world.answered(server.world.choose(server.ben.id, message.id, "pick", ["a", "c"]))
    assert said(server)[-1] == "picked a,c"
    await server.world.answered(server.world.choose(server.ben.id, message.id, "who", [str(server.anna.id)]))
    assert said(server)[-1] == "chose Anna"
    watching = server.world.subscribe(server.ben.id)
    server.world.click(server.ben.id, message.id, "quiet")
    private = await watching.wait_for("INTERACTION_RESPONSE", lambda t: t["type"] == 6 and t.get("followup", False))
    assert private["message"]["content"] == "only for you"
    opened = await server.world.answered(server.world.click(server.ben.id, message.id, "form"))
    server.world.submit_modal(server.ben.id, opened.id, {"name": "Ben"})
    await watching.wait_for("INTERACTION_RESPONSE", lambda t: "form: Ben/" in (t["message"] or {}).get("content", ""))
    for custom_id, values in (("pick", ["a", "b", "c"]), ("pick", []), ("nowhere", ["a"])):
        with pytest.raises(DiscordError):
            server.world.choose(server.ben.id, message.id, custom_id, values)


async def test_an_ephemeral_message_is_there_for_one_person_alone(server: DiscordServer, probe: Probe) -> None:
    it = await use(server, "settings", {"get": {"key": "x"}})
    assert it.original_id is not None
    assert server.world.shown(server.anna.id, it.original_id).only_for == server.anna.id
    with pytest.raises(DiscordError):
        server.world.shown(server.ben.id, it.original_id)
    with pytest.raises(discord.NotFound):
        await probe.get_channel(server.general.id).fetch_message(it.original_id)


async def test_context_menus(server: DiscordServer, probe: Probe) -> None:
    message = server.world.send(server.ben.id, server.general.id, "quotable")
    await use(server, "Quote this", target_id=message.id)
    await use(server, "Greet", target_id=server.ben.id)
    assert said(server) == ["quotable", "> quotable", "Hello, ben"]
    answer = await probe.hears("message", lambda m: m.content == "> quotable")
    assert answer.type is discord.MessageType.context_menu_command


async def test_commands_are_offered_where_and_to_whom_they_belong(server: DiscordServer, probe: Probe) -> None:
    def offered(user_id: int, channel_id: int) -> set[str]:
        return {c["name"] for c in server.world.commands(user_id, channel_id)}

    dm = server.world.open_dm(server.ben.id, server.bot.id)
    assert "managed" in offered(server.anna.id, server.general.id)
    assert "managed" not in offered(server.ben.id, server.general.id) | offered(server.ben.id, dm.id)
    assert offered(server.ben.id, dm.id) >= {"slow", "settings"}
    with pytest.raises(DiscordError) as error:
        server.world.invoke(server.ben.id, server.general.id, named(server, "managed"), {})
    assert error.value.code == 50013
    it = server.world.invoke(server.ben.id, dm.id, named(server, "slow", server.ben.id, dm.id))
    await server.world.answered(it)
    await until(lambda: [m.content for m in server.world.history(server.ben.id, dm.id)] == ["done"])
    assert probe.heard("interaction")[-1].guild is None


async def test_commands_keep_their_ids_when_they_are_registered_again(server: DiscordServer, probe: Probe) -> None:
    before = {c["name"]: c["id"] for c in server.world.commands(server.anna.id, server.general.id)}
    guild = discord.Object(server.guild.id)
    probe.tree.copy_global_to(guild=guild)
    await probe.tree.sync(guild=guild)
    probe.tree.remove_command("silent")
    await probe.tree.sync()
    after = [c for c in server.world.commands(server.anna.id, server.general.id) if "guild_id" not in c]
    assert {c["name"]: c["id"] for c in after} == {n: i for n, i in before.items() if n != "silent"}
    assert len(await probe.tree.fetch_commands(guild=guild)) == len(before)


async def raw_answer(it: discord.Interaction[Probe]) -> int:
    """Discord's number for what is wrong with answering now; 0 for nothing."""
    try:
        await it.response.send_message("answer")
    except discord.HTTPException as error:
        return error.code
    return 0


async def test_a_first_answer_after_three_seconds_is_unknown(server: DiscordServer, probe: Probe) -> None:
    server.world.invoke(server.anna.id, server.general.id, named(server, "silent"))
    it = await probe.hears("interaction")
    server.world.clock.advance(3.5)
    assert await raw_answer(it) == 10062
    with pytest.raises(TimeoutError):
        await server.world.answered(it.id, timeout=0.01)


async def test_a_second_first_answer_is_refused(server: DiscordServer, probe: Probe) -> None:
    server.world.invoke(server.anna.id, server.general.id, named(server, "silent"))
    it = await probe.hears("interaction")
    assert await raw_answer(it) == 0
    it.response._response_type = None  # discord.py would not even ask
    assert await raw_answer(it) == 40060


async def test_a_token_lives_for_fifteen_minutes(server: DiscordServer, probe: Probe) -> None:
    server.world.invoke(server.anna.id, server.general.id, named(server, "silent"))
    it = await probe.hears("interaction")
    assert await raw_answer(it) == 0
    server.world.clock.advance(14 * 60)
    await it.followup.send("in time")
    await it.edit_original_response(content="edited in time")
    server.world.clock.advance(61)
    for late in (it.followup.send("late"), it.edit_original_response(content="late"), it.delete_original_response()):
        with pytest.raises(discord.NotFound) as refused:
            await late
        assert refused.value.code == 10015
    assert said(server) == ["edited in time", "in time"]


async def test_an_interaction_gone_unanswered_gives_no_suggestions(
    server: DiscordServer, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_discord.world_interactions.FIRST_ANSWER_SECONDS", 0.05)
    server.world.faults.delay("POST /interactions/*/callback", 0.3)
    choices = await server.world.autocomplete(
        server.anna.id, server.general.id, named(server, "options"), {"text": "a"}, "text"
    )
    assert choices == []
    await asyncio.sleep(0.3)
