"""/context: what the model sees here and why; single messages dropped, pinned, or made the start of a new thread."""

from __future__ import annotations

import re

import discord
from discord import app_commands

from talkalike.chat.context import Placed, Seen
from talkalike.chat.permissions import Action
from talkalike.discord_bot.asking import ask
from talkalike.discord_bot.commands.gate import Interaction, channel_of, family, gated, messages_of, tell, verdict
from talkalike.errors import UserError
from talkalike.store import scoped
from talkalike.store.scoped import Kind

LINE = 160  # characters shown of a message in the list; the file has all of it
_LINK = re.compile(r"https://(?:\w+\.)?discord(?:app)?\.com/channels/(?:\d+|@me)/(\d+)/(\d+)")


def commands() -> list[app_commands.Group]:
    """Makes the commands of this module."""
    return family(
        "context",
        "What I read of this channel",
        ("show", "Show what I read here, what I don't, and why (only you see the answer)", show),
        ("drop", "Remove one message from what I read", drop),
        ("pin", "Keep one message in what I read, however old it gets", pin),
        ("unpin", "Undo drop or pin for one message", unpin),
        ("fork", "Start a new thread from one message", fork),
        ("reset", "Undo every drop and pin in this channel", reset_marks),
    )


async def messages(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The newest messages here that contain what was typed; hidden people's words are not among them."""
    if not (await verdict(interaction, Action.SHOW_CONTEXT)).allowed:
        return []
    typed = current.casefold()
    found = []
    for item in reversed(await interaction.client.contexts.context(messages_of(interaction))):
        label = f"{item.turn.speaker}: {' '.join(item.turn.text.split())}"
        if item.id.isdigit() and item.turn.text.strip() and (typed in label.casefold() or typed == item.id):
            found.append(app_commands.Choice(name=label[:100], value=item.id))
    return found[:25]


@gated(Action.SHOW_CONTEXT)
async def show(interaction: Interaction) -> None:
    """A summary and a file with every message and its reason."""
    seen = await interaction.client.contexts.preview(messages_of(interaction))
    await tell(interaction, summary(seen), file=listing(seen.kept, seen.left_out), file_name="context.txt")


def summary(seen: Seen) -> str:
    """How much is in and out, and the newest messages that are in."""
    out = len(seen.left_out)
    lines = [
        f"I see **{len(seen.kept)}** of {len(seen.kept) + out} messages: {seen.tokens:,} of {seen.budget:,} tokens."
    ]
    reasons: dict[str, int] = {}
    for placed in seen.left_out:
        reasons[placed.why] = reasons.get(placed.why, 0) + 1
    lines += [f"- left out ({count}): {why}" for why, count in sorted(reasons.items(), key=lambda one: -one[1])[:8]]
    if seen.kept:
        lines.append("The newest I see:")
        lines += [f"> {_line(placed)}" for placed in seen.kept[-5:]]
    return "\n".join(lines)


def listing(kept: tuple[Placed, ...], left_out: tuple[Placed, ...]) -> str:
    """Every message, oldest first: in or out, why, its tokens, who and what."""
    rows = [(placed, "IN ") for placed in kept] + [(placed, "out") for placed in left_out]
    rows.sort(key=lambda row: int(row[0].id) if row[0].id.isdigit() else 0)
    return (
        "\n".join(
            f"{sign} [{placed.why}] {placed.tokens} tokens, id {placed.id}, {placed.turn.speaker}: {placed.turn.text}"
            for placed, sign in rows
        )
        or "Nothing was said here yet."
    )


@gated(Action.EDIT_CONTEXT)
@app_commands.autocomplete(message=messages)
@app_commands.describe(message="Choose one, or paste its link or id")
async def drop(interaction: Interaction, message: str) -> None:
    """The message stays on Discord; the model does not see it any more."""
    await _mark(interaction, message, "dropped", "Done: I don't see that message any more. /context unpin undoes it.")


@gated(Action.EDIT_CONTEXT)
@app_commands.autocomplete(message=messages)
@app_commands.describe(message="Choose one, or paste its link or id")
async def pin(interaction: Interaction, message: str) -> None:
    """Kept within the budget, whatever its age."""
    await _mark(interaction, message, "pinned", "Done: I keep that message in mind. /context unpin undoes it.")


@gated(Action.EDIT_CONTEXT)
@app_commands.autocomplete(message=messages)
@app_commands.describe(message="Choose one, or paste its link or id")
async def unpin(interaction: Interaction, message: str) -> None:
    """Takes the mark away, whichever it was."""
    channel = channel_of(interaction)
    message_id = message_id_in(message, channel.id)
    if not await interaction.client.store.run(scoped.unmark, channel.id, message_id):
        raise UserError("That message was neither dropped nor pinned.")
    await tell(interaction, "Done: that message is treated like every other one again.")


@gated(Action.EDIT_CONTEXT)
async def reset_marks(interaction: Interaction) -> None:
    """All marks of this channel go."""
    count = await interaction.client.store.run(scoped.forget_channel, channel_of(interaction).id)
    if not count:
        raise UserError("Nothing was dropped or pinned here.")
    await tell(interaction, f"Done: {count} mark{'' if count == 1 else 's'} removed.")


@gated(Action.THREAD)
@app_commands.autocomplete(message=messages)
@app_commands.describe(message="Where the thread starts: choose one, or paste its link or id", name="The thread's name")
async def fork(interaction: Interaction, message: str, name: str | None = None) -> None:
    """The thread begins with that message; what was said around it stays behind."""
    channel = channel_of(interaction)
    if not isinstance(channel, discord.TextChannel):
        raise UserError("A fork starts in a channel of a server, not in a thread or in direct messages.")
    found = await ask(channel.fetch_message(message_id_in(message, channel.id)), "that message")
    if found.flags.has_thread or channel.get_thread(found.id) is not None:
        raise UserError("That message has a thread already.", hint=f"It is here: <#{found.id}>.")
    words = " ".join(found.clean_content.split())
    thread = await found.create_thread(name=(name or words or "fork")[:100])
    await thread.add_user(interaction.user)
    await tell(interaction, f"Here we go: {thread.mention}. It starts from {found.jump_url}, without what came before.")


def message_id_in(text: str, channel_id: int) -> int:
    """The message's id in a link or a number. Raises UserError for anything else, and for a link to another channel."""
    typed = text.strip().strip("<>")
    link = _LINK.fullmatch(typed)
    if link is not None and int(link[1]) != channel_id:
        raise UserError("That message is in another channel.", hint="Use the command there.")
    number = link[2] if link is not None else typed
    if not (number.isascii() and number.isdigit() and 15 <= len(number) <= 20):
        raise UserError(f"'{text[:50]}' is no message.", hint="Choose one from the list, or paste a message's link.")
    return int(number)


async def _mark(interaction: Interaction, message: str, kind: Kind, done: str) -> None:
    channel = channel_of(interaction)
    message_id = message_id_in(message, channel.id)
    await ask(messages_of(interaction).fetch_message(message_id), "that message")  # it must be of this channel
    by, server_id = interaction.user.id, interaction.guild_id
    store = interaction.client.store
    await store.run(scoped.mark, channel.id, message_id, kind, by=by, server_id=server_id)
    if kind == "dropped":
        await interaction.client.contexts.forget_saved([channel.id])
    await tell(interaction, done)


def _line(placed: Placed) -> str:
    text = f"{placed.turn.speaker}: {' '.join(placed.turn.text.split())}"
    return discord.utils.escape_markdown(text if len(text) <= LINE else f"{text[:LINE]}…")
