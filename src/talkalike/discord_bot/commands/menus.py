"""The menus of a message: "Why this reply?", "Regenerate" and "Forget this"."""

from __future__ import annotations

import json

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.asking import ANSWERED, ask
from talkalike.discord_bot.commands.gate import Interaction, gated, tell
from talkalike.discord_bot.rights import require_voice
from talkalike.errors import UserError
from talkalike.examples.picture_words import SEEN
from talkalike.store import replies, scoped
from talkalike.store.replies import ReplyRow


def commands() -> list[app_commands.ContextMenu]:
    """Makes the menus of this module."""
    return [
        app_commands.ContextMenu(name="Why this reply?", callback=why),
        app_commands.ContextMenu(name="Regenerate", callback=regenerate),
        app_commands.ContextMenu(name="Forget this", callback=forget),
    ]


async def owns(interaction: Interaction, message: discord.Message) -> bool:
    """True where the caller wrote the message, or asked for the reply that it is part of."""
    if message.author.id == interaction.user.id:
        return True
    row = await interaction.client.store.run(replies.by_message, message.id)
    return row is not None and row.asker_id == interaction.user.id


@gated(Action.SHOW_CONTEXT, own=owns)
async def why(interaction: Interaction, message: discord.Message) -> None:
    """Which model wrote it, how, and what it had seen."""
    row = await _reply(interaction, message)
    await tell(interaction, story(row), file=listing(row), file_name=f"reply-{row.id}.txt")


@gated(Action.REGENERATE, own=owns)
async def regenerate(interaction: Interaction, message: discord.Message) -> None:
    """Answers the same message once more."""
    row = await _reply(interaction, message)
    if row.test:
        raise UserError("A test posted that.", hint="/test run answers it anew.")
    asked = await ask(message.channel.fetch_message(row.trigger_id), ANSWERED)
    require_voice(asked.channel)
    await tell(interaction, "I am trying again.")
    await interaction.client.conversations.respond(asked, again=True)


@gated(Action.FORGET, own=owns)
async def forget(interaction: Interaction, message: discord.Message) -> None:
    """Wipes the words from the records and takes the message out of what the model sees."""
    store, by = interaction.client.store, interaction.user.id
    channel_id, server_id = message.channel.id, interaction.guild_id
    await interaction.client.conversations.settle()
    wiped = await store.run(replies.forget_message, message.id)
    await store.run(scoped.mark, channel_id, message.id, "dropped", by=by, server_id=server_id)
    await interaction.client.contexts.forget_saved([channel_id])
    await tell(
        interaction,
        f"Done: I don't see that message any more, and {wiped} stored cop{'y' if wiped == 1 else 'ies'} of its words "
        "went. The message on Discord is untouched.",
    )


def story(row: ReplyRow) -> str:
    """How the reply came about, in a few lines."""
    kept, left_out = row.seen.get("kept", ()), row.seen.get("left_out", ())
    lines = [
        f"**{row.model}** answered <@{row.asker_id}> (attempt {row.attempt}; {row.state.value}).",
        f"It saw {len(kept)} messages and {len(left_out)} were left out; budget {row.seen.get('budget', 0):,} tokens.",
        f"{row.tokens:,} tokens in {row.seconds:.1f} s"
        + (f", first words after {row.first_seconds:.1f} s." if row.first_seconds is not None else "."),
    ]
    if any(SEEN in item.get("text", "") for item in kept):
        lines.append("It read what an eye had written about pictures; it did not see the pictures themselves.")
    if row.problem:
        lines.append(f"What went wrong: {row.problem[:300]}")
    lines.append("Everything it saw, with the reasons, is in the file.")
    return "\n".join(lines)


def listing(row: ReplyRow) -> str:
    """What the reply saw, oldest first, what it did not see, and how its words were chosen."""
    lines = ["Seen:"]
    for item in row.seen.get("kept", ()):
        words = "(forgotten)" if item.get("forgotten") else f"{item['speaker']}: {item['text']}"
        lines.append(f"IN  [{item['why']}] {item['tokens']} tokens, id {item['id']}, {words}")
    lines.append("Left out:")
    lines += [f"out [{item['why']}] {item['tokens']} tokens, id {item['id']}" for item in row.seen.get("left_out", ())]
    lines += ["Sampling:", json.dumps(dict(row.sampling), ensure_ascii=False, sort_keys=True)]
    return "\n".join(lines)


async def _reply(interaction: Interaction, message: discord.Message) -> ReplyRow:
    """The reply this message is part of. Raises UserError where it is none, or is not on record any more."""
    row: ReplyRow | None = await interaction.client.store.run(replies.by_message, message.id)
    if row is None or row.channel_id != message.channel.id:
        raise UserError(
            "That is not a reply of mine that I still know.", hint="Choose a message that I wrote here recently."
        )
    return row
