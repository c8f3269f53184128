"""/judge, and the menus "Judge this" and "Compare" of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from talkalike.chat.options import two_models
from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import channel_of, gated, tell
from talkalike.discord_bot.commands.model import models
from talkalike.discord_bot.judging import alternatives, comparison_view, form
from talkalike.discord_bot.judging.asked import reply_by_message, speaker_of
from talkalike.discord_bot.judging.offers import two_voices
from talkalike.errors import UserError
from talkalike.store import scoped
from talkalike.store.judging import comparisons

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

Every = app_commands.Range[int, 1, 1000]


def commands() -> list[app_commands.Group | app_commands.ContextMenu]:
    """Makes the commands and menus of this module."""
    group = app_commands.Group(name="judge", description="Say how good my replies are, and compare two models blindly")
    channel = app_commands.Group(name="compare-channel", description="Blind comparisons in this channel", parent=group)
    for name, description, callback in (
        ("set", "Regularly offer two models' answers here for a blind comparison", set_channel),
        ("off", "Stop the comparisons in this channel", end_channel),
        ("show", "Show which models are compared here, and how often", show_channel),
    ):
        channel.add_command(app_commands.Command(name=name, description=description, callback=callback))
    return [
        group,
        app_commands.ContextMenu(name="Judge this", callback=judge_this),
        app_commands.ContextMenu(name="Compare", callback=compare),
    ]


async def judge_this(interaction: Interaction, message: discord.Message) -> None:
    """Opens the form for a reply of the double; a message of anybody else is refused."""
    await form.open_form(interaction, lambda: reply_by_message(interaction, message))


judge_this.action = Action.JUDGE  # type: ignore[attr-defined]  # read by the test that walks the command tree


@gated(Action.JUDGE)
async def compare(interaction: Interaction, message: discord.Message) -> None:
    """Another answer to the same words beside this one, for the caller to judge without the models' names."""
    client, user_id = interaction.client, interaction.user.id
    row = await reply_by_message(interaction, message)
    speaker = speaker_of(interaction, row)
    voice = alternatives.other_voice(client.engines.voices(), row, speaker)
    where = client.places.place(channel_of(interaction))
    other = await alternatives.write(client, row, voice, where=where, by=user_id)
    if other.messages == tuple(sent.text for sent in row.messages if sent.text):
        raise UserError(
            "Another try said just the same, so there is nothing to compare.",
            hint="A higher temperature in /settings makes answers differ. Nothing was stored.",
        )
    await comparison_view.show(interaction, await client.store.run(comparisons.against, row, other, speaker=speaker))


@gated(Action.SET_MODEL)
@app_commands.autocomplete(first=models, second=models)
@app_commands.describe(
    first="The first model", second="The second model", every="Offer a comparison after this many replies (default: 5)"
)
async def set_channel(interaction: Interaction, first: str, second: str, every: Every = 5) -> None:
    """Switches comparisons on for this channel or thread."""
    one, other = two_voices(interaction.client, (first, second))
    await _set_option(interaction, "compare_models", f"{one.model}|{other.model}")
    await _set_option(interaction, "compare_every", every)
    await tell(
        interaction,
        f"Done: after every {every:,} of my replies here, {one.model} and {other.model} answer the same words, and "
        "everybody here may say whose answer is better. Those who voted learn the names. Each comparison costs "
        "two further replies of the daily budget.",
    )


@gated(Action.SET_MODEL)
async def end_channel(interaction: Interaction) -> None:
    """Switches comparisons off; pairs that were offered can still be judged."""
    await _set_option(interaction, "compare_models", "")
    await tell(interaction, "Done: no more comparisons here. Those that were offered can still be judged.")


@gated(Action.VIEW_SETTINGS)
async def show_channel(interaction: Interaction) -> None:
    """Shows which models are compared here, also where one of them is gone."""
    options = await interaction.client.places.options(channel_of(interaction))
    compared = two_models(options.value("compare_models"))
    if not compared:
        await tell(interaction, "Nothing is compared here. `/judge compare-channel set` changes that.")
        return
    text = f"{compared[0]} and {compared[1]} are compared here after every {options.value('compare_every'):,} replies."
    try:
        two_voices(interaction.client, compared)
    except UserError as error:
        text += f" ⚠ Not at the moment: {error}"
    await tell(interaction, text)


async def _set_option(interaction: Interaction, key: str, value: str | int) -> None:
    channel = channel_of(interaction)
    scope = "thread" if isinstance(channel, discord.Thread) else "channel"
    store, by = interaction.client.store, interaction.user.id
    await store.run(scoped.put, scope, channel.id, key, value, by=by, server_id=interaction.guild_id)
