"""The one way into every command: the person is answered at once, the rules decide, and errors become words.

    @app_commands.command(name="reset", description="...")
    @gated(Action.RESET)
    async def reset(interaction: Interaction) -> None: ...

Discord waits three seconds for a first answer, so the interaction is deferred before anything is looked up.
"""

from __future__ import annotations

import functools
import inspect
import io
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import discord
from discord import app_commands

from talkalike.chat.permissions import Action, Actor, ChatPlace, Decision, Request, Rules, decide
from talkalike.discord_bot.client import Interaction as Interaction
from talkalike.discord_bot.rights import lacking
from talkalike.errors import TalkalikeError, UserError

Channel: TypeAlias = discord.abc.GuildChannel | discord.Thread | discord.DMChannel

SHORT = 1900  # characters that fit into one message with room for a frame; more goes into a file
PREVIEW = 1200
TOO_LATE = (10062, 10015)  # Discord has stopped waiting: after 3 seconds without a first answer, and after 15 minutes

Own = Callable[["Interaction", discord.Message], Awaitable[bool]]

_log = logging.getLogger(__name__)


async def gate(interaction: Interaction, action: Action, *, own: bool = False) -> Decision:
    """Whether the caller may do this here. Shows them a refusal, with the rule it comes from."""
    await defer(interaction)
    decision = await verdict(interaction, action, own=own)
    if not decision.allowed:
        await tell(interaction, f"Sorry, you can't do that here. {decision.explanation}")
    return decision


async def verdict(interaction: Interaction, action: Action, *, own: bool = False) -> Decision:
    """The decision of `gate` without a message, for suggestions while somebody types."""
    actor, place, rules = await who_where(interaction)
    return decide(Request(actor=actor, action=action, place=place, addressed=True, own=own), rules)


def gated(action: Action, *, own: Own | None = None) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Any]:
    """Makes `gate` the first thing a command does. `own` says whether the message acted on belongs to the caller."""

    def decorate(callback: Callable[..., Coroutine[Any, Any, None]]) -> Any:
        @functools.wraps(callback)
        async def checked(*args: Any, **options: Any) -> None:
            interaction = next(one for one in args if isinstance(one, discord.Interaction))
            with_message = next((one for one in args if isinstance(one, discord.Message)), None)
            try:
                await defer(interaction)
                mine = own is not None and with_message is not None and await own(interaction, with_message)
                if (await gate(interaction, action, own=mine)).allowed:
                    await callback(*args, **options)
            except TalkalikeError as error:
                await _excuse(interaction, str(error))
            except discord.Forbidden as error:
                lacks = "; ".join(right.words for right in lacking(interaction.channel))
                missing = f" I lack: {lacks}." if lacks else ""
                await _excuse(interaction, f"Discord doesn't let me do that here ({error.text}).{missing}")
            except discord.NotFound as error:
                if error.code in TOO_LATE:
                    _log.warning("Discord stopped waiting before /%s was answered.", _name(interaction))
                else:
                    await _excuse(interaction, f"That is no longer there ({error.text}).")

        checked.__signature__ = _resolved(callback)  # type: ignore[attr-defined]  # known to inspect
        checked.action = action  # type: ignore[attr-defined]  # read by the test that walks the command tree
        return checked

    return decorate


def family(name: str, description: str, *commands: tuple[str, str, Any]) -> list[app_commands.Group]:
    """Makes a group of commands, each from its name, its description and what it calls."""
    group = app_commands.Group(name=name, description=description)
    for one, what, callback in commands:
        group.add_command(app_commands.Command(name=one, description=what, callback=callback))
    return [group]


async def who_where(interaction: Interaction) -> tuple[Actor, ChatPlace, Rules]:
    """The caller, the place and the rules that apply there. Raises UserError where the channel cannot be seen."""
    places = interaction.client.places
    rules = await places.rules(interaction.guild_id)
    return places.actor(interaction.user), places.place(channel_of(interaction)), rules


def channel_of(interaction: Interaction) -> Channel:
    """The channel, thread or DM the command was used in. Raises UserError for one the bot does not know."""
    channel = interaction.channel
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread | discord.DMChannel):
        raise UserError("I can't see this channel.", hint="Give me View Channel here, or ask me somewhere else.")
    return channel


def messages_of(interaction: Interaction) -> discord.abc.Messageable:
    """The same, as a place to write to. Raises UserError for a channel without messages."""
    channel = channel_of(interaction)
    if not isinstance(channel, discord.abc.Messageable):
        raise UserError("This channel has no messages.")
    return channel


def server_of(interaction: Interaction) -> discord.Guild:
    """The server. Raises UserError in direct messages."""
    if interaction.guild is None:
        raise UserError("This works on a server only.", hint="Use it in a channel of the server it is about.")
    return interaction.guild


async def defer(interaction: Interaction) -> None:
    """Tells Discord within its three seconds that an answer comes. What follows is seen by the caller only."""
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)


async def tell(interaction: Interaction, text: str, *, file_name: str = "answer.txt", file: str = "") -> None:
    """Answers the caller alone. A text too long for a message goes into a file; `file` is attached in any case."""
    await defer(interaction)
    if not file and len(text) > SHORT:
        file, text = text, f"{_beginning(text)}\n… all of it is in the file."
    files = [discord.File(io.BytesIO(file.encode()), filename=file_name)] if file else []
    if interaction.extras.get("answered"):
        await interaction.followup.send(text, ephemeral=True, files=files, allowed_mentions=NOBODY)
    else:
        interaction.extras["answered"] = True
        await interaction.edit_original_response(content=text, attachments=files, allowed_mentions=NOBODY)


async def on_error(interaction: Interaction, error: app_commands.AppCommandError) -> None:
    """What no command expected: noted for the bot's owner, and the caller is not left waiting."""
    _log.error("/%s failed.", _name(interaction), exc_info=error)
    await _excuse(interaction, "Something went wrong on my side. It is noted in my log; please try again.")


NOBODY = discord.AllowedMentions.none()


def _resolved(callback: Callable[..., Any]) -> inspect.Signature:
    """The options' types, looked up where the command was written: discord.py would look here."""
    signature = inspect.signature(callback)
    names = callback.__globals__
    options = [
        one
        if one.name in ("self", "interaction")
        else one.replace(annotation=discord.utils.resolve_annotation(one.annotation, names, None, {}))
        for one in signature.parameters.values()
    ]
    return signature.replace(parameters=options)


async def _excuse(interaction: Interaction, text: str) -> None:
    """Shows the caller what went wrong, if Discord still allows it."""
    try:
        await tell(interaction, text)
    except discord.HTTPException as lost:
        _log.warning("/%s: '%s' could not be shown: %s", _name(interaction), text, lost)


def _beginning(text: str) -> str:
    """Whole lines from the start, as many as make a preview."""
    cut = text.rfind("\n", 0, PREVIEW)
    return text[: cut if cut > 0 else PREVIEW]


def _name(interaction: Interaction) -> str:
    return interaction.command.qualified_name if interaction.command else "?"
