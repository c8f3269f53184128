"""A small real bot (discord.py) for the tests of the page: one of each thing that a person can do with a bot."""

from __future__ import annotations

import asyncio

import discord
from discord import app_commands

FRUIT = ("apple", "apricot", "banana")


class Form(discord.ui.Modal, title="Order form"):
    dish = discord.ui.TextInput(label="Dish", placeholder="soup")
    words = discord.ui.TextInput(label="Wishes", style=discord.TextStyle.paragraph, required=False)
    size = discord.ui.Label(
        text="Size",
        component=discord.ui.Select(options=[discord.SelectOption(label="Small"), discord.SelectOption(label="Large")]),
    )

    recipe = discord.ui.Label(text="Recipe", component=discord.ui.FileUpload(required=False))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        size = self.size.component.values[0]
        recipe = "".join([f" by {(await one.read()).decode()}" for one in self.recipe.component.values])
        await interaction.response.send_message(f"Ordered {self.dish.value} ({size}): {self.words.value}{recipe}")


class Board(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.count = 0

    @discord.ui.button(label="Count", custom_id="count", style=discord.ButtonStyle.primary)
    async def up(self, interaction: discord.Interaction, _: discord.ui.Button) -> None:
        self.count += 1
        await interaction.response.edit_message(content=f"counted {self.count}")

    @discord.ui.button(label="Order", custom_id="order")
    async def order(self, interaction: discord.Interaction, _: discord.ui.Button) -> None:
        await interaction.response.send_modal(Form())

    @discord.ui.select(
        custom_id="pick",
        placeholder="Pick two",
        min_values=2,
        max_values=2,
        options=[discord.SelectOption(label=name) for name in FRUIT],
    )
    async def pick(self, interaction: discord.Interaction, select: discord.ui.Select) -> None:
        await interaction.response.send_message(f"picked {' and '.join(select.values)}")


class PageBot(discord.Client):
    """`go_on`: what the deferred command waits for before it answers."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.all(), guild_ready_timeout=0.1)
        self.tree = app_commands.CommandTree(self)
        self.go_on = asyncio.Event()
        _register(self)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        if self.user in message.mentions and not message.author.bot:
            await message.reply(f"You wrote: {message.clean_content}")


def _register(bot: PageBot) -> None:
    tree = bot.tree
    fruit = app_commands.Group(name="fruit", description="About fruit")

    @fruit.command(description="Takes some")
    async def take(interaction: discord.Interaction, kind: str, amount: app_commands.Range[int, 1, 9] = 1) -> None:
        await interaction.response.send_message(f"{amount} x {kind} for {interaction.user.mention}")

    @take.autocomplete("kind")
    async def kinds(_: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"ripe {name}", value=name) for name in FRUIT if name.startswith(typed)]

    tree.add_command(fruit)

    @tree.command(description="Buttons and a menu")
    async def board(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("a board", view=Board())

    @tree.command(description="Answers slowly and privately")
    async def secret(interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await bot.go_on.wait()
        await interaction.followup.send("between us", ephemeral=True)

    @tree.command(description="Reads a file")
    async def read(interaction: discord.Interaction, file: discord.Attachment) -> None:
        await interaction.response.send_message(f"{file.filename} says {(await file.read()).decode()}")

    @tree.context_menu(name="Shout")
    async def shout(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(message.content.upper())

    @tree.context_menu(name="Greet")
    async def greet(interaction: discord.Interaction, user: discord.Member) -> None:
        embed = discord.Embed(title="Greeting", description=f"Hello **{user.display_name}**", color=0x884422)
        await interaction.response.send_message(embed=embed)
