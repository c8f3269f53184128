"""/settings: how the double writes here; each value with the place it comes from."""

from __future__ import annotations

import math
from typing import Any

import discord
from discord import app_commands

from talkalike.chat.options import DEFAULT, OPTIONS, option, parse
from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import Interaction, channel_of, family, gate, gated, server_of, tell
from talkalike.errors import UserError
from talkalike.options import Option
from talkalike.store import scoped

SCOPES = [app_commands.Choice(name=name, value=name) for name in ("thread", "channel", "server", "bot")]


def commands() -> list[app_commands.Group]:
    """Makes the commands of this module."""
    return family(
        "settings",
        "The settings of my replies",
        ("show", "Show every setting here and where its value comes from", show),
        ("set", "Change a setting for this thread, channel or server", change),
        ("unset", "Remove a setting, so that the value of the wider scope holds again", unset),
    )


async def keys(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Settings whose name or description contains what was typed."""
    typed = current.casefold()
    found = [
        app_commands.Choice(name=f"{key}: {option.description}"[:100], value=key)
        for key, option in OPTIONS.items()
        if typed in key or typed in option.description.casefold()
    ]
    return found[:25]


async def values(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """What holds now, the default, and the ends of the range of the chosen setting."""
    chosen = OPTIONS.get(interaction.namespace.key or "")
    if chosen is None:
        return []
    if chosen.key == "model":
        offered = [voice.model for voice in interaction.client.engines.voices()]
    elif chosen.type is bool:
        offered = ["on", "off"]
    else:
        resolved = await interaction.client.places.options(channel_of(interaction))
        offered = [current, *_suggestions(chosen, resolved.value(chosen.key))]
    unique = [one for one in dict.fromkeys(offered) if one and current.casefold() in one.casefold()]
    return [app_commands.Choice(name=one[:100], value=one) for one in unique if len(one) <= 100][:25]


@gated(Action.VIEW_SETTINGS)
@app_commands.autocomplete(key=keys)
@app_commands.describe(key="Show only this setting")
async def show(interaction: Interaction, key: str | None = None) -> None:
    """A line for each setting; what differs from its default stands out."""
    chosen = tuple(OPTIONS) if key is None else (option(key).key,)
    resolved = await interaction.client.places.options(channel_of(interaction))
    lines = []
    for name in chosen:
        text, source = resolved.words(name), resolved.source(name)
        lines.append(f"{name} = {text} ({source})" if source == DEFAULT else f"**{name} = {text}** (from: {source})")
    if key is not None:
        one = option(key)
        lines.append(f"{one.description} It takes {one.range}; by default {one.words(one.default)}.")
        lines.append(f"It can be set for: {', '.join(one.scopes)}.")
    lines += [f"⚠ Ignored: {problem}" for problem in resolved.problems]
    await tell(interaction, "\n".join(lines), file_name="settings.txt")


@gated(Action.SET_SETTINGS)
@app_commands.autocomplete(key=keys, value=values)
@app_commands.choices(scope=SCOPES)
@app_commands.describe(
    key="Which setting", value="The new value", scope="Where the value holds (empty: in this channel or thread)"
)
async def change(interaction: Interaction, key: str, value: str, scope: str | None = None) -> None:
    """Checks the value, writes it, and tells what holds here now."""
    parsed = _parse(interaction, key, value)
    scope, scope_id = await _scope(interaction, key, scope)
    if not scope:
        return
    by = interaction.user.id
    server_id = interaction.guild_id if scope != "bot" else None
    await interaction.client.store.run(scoped.put, scope, scope_id, key, parsed, by=by, server_id=server_id)
    resolved = await interaction.client.places.options(channel_of(interaction))
    text = f"Done: {key} = {option(key).words(parsed)} for {_where(scope)}."
    if resolved.source(key) not in (scope, DEFAULT):
        text += f" Right here the {resolved.source(key)}'s own value still holds: {resolved.words(key)}."
    await tell(interaction, text)


@gated(Action.SET_SETTINGS)
@app_commands.autocomplete(key=keys)
@app_commands.choices(scope=SCOPES)
@app_commands.describe(key="Which setting", scope="Where it was set (empty: in this channel or thread)")
async def unset(interaction: Interaction, key: str, scope: str | None = None) -> None:
    """Removes the value of one scope and tells what holds instead."""
    scope, scope_id = await _scope(interaction, key, scope)
    if not scope:
        return
    removed = await interaction.client.store.run(scoped.remove, scope, scope_id, key, by=interaction.user.id)
    if not removed:
        raise UserError(f"{key} is not set for {_where(scope)}.", hint="/settings show tells where a value comes from.")
    resolved = await interaction.client.places.options(channel_of(interaction))
    await tell(
        interaction,
        f"Done. Here {key} is now {resolved.words(key)} (from: {resolved.source(key)}).",
    )


async def _scope(interaction: Interaction, key: str, chosen: str | None) -> tuple[str, int]:
    """The scope and its id, if the caller may write there; ("", 0) after a refusal was shown."""
    channel = channel_of(interaction)
    thread = isinstance(channel, discord.Thread)
    scopes = option(key).scopes
    scope = chosen or next(
        (one for one in (("thread",) if thread else ()) + ("channel", "server") if one in scopes), ""
    )
    if not scope or scope not in scopes:
        raise UserError(f"{key} can't be set for {_where(scope or 'channel')}.", hint=f"Choose: {', '.join(scopes)}.")
    if scope == "thread" and not thread:
        raise UserError("This is not a thread.", hint="Choose channel, or use the command inside the thread.")
    wider = {"bot": Action.BOT_SETTINGS, "server": Action.SET_MODEL}.get(scope)
    if key in ("model", "compare_models", "compare_every") and wider is None:
        wider = Action.SET_MODEL
    if wider is not None and not (await gate(interaction, wider)).allowed:
        return "", 0
    if scope == "bot":
        return scope, 0
    if scope == "server":
        return scope, server_of(interaction).id
    if scope == "channel" and isinstance(channel, discord.Thread):
        return scope, channel.parent_id
    return scope, channel.id


def _parse(interaction: Interaction, key: str, value: str) -> Any:
    if option(key).key == "model":
        models = [voice.model for voice in interaction.client.engines.voices()]
        if value not in models:
            raise UserError(f"There is no model '{value}'.", hint=f"There is: {', '.join(models)}.")
    return parse(key, value)


def _suggestions(chosen: Option, value: Any) -> list[str]:
    """What holds now, the default, and the ends of the range of a number."""
    ends = () if chosen.type is str else tuple(end for end in (chosen.low, chosen.high) if math.isfinite(end))
    return ["" if one == "" else chosen.words(one) for one in (value, chosen.default, *ends)]


def _where(scope: str) -> str:
    return {"bot": "every server", "server": "this server", "thread": "this thread"}.get(scope, "this channel")
