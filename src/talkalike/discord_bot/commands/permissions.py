"""/permissions: who may what, why, and since when; changes only as far as the caller's own level reaches."""

from __future__ import annotations

import discord
from discord import app_commands

from talkalike.chat.granting import grantable, highest_level, may_remove, may_set
from talkalike.chat.permissions import (
    Access,
    Action,
    Actor,
    Request,
    Subject,
    access_of,
    decide,
    level_of,
)
from talkalike.discord_bot import rights, silence
from talkalike.discord_bot.commands import rule_words as words
from talkalike.discord_bot.commands.gate import Interaction, channel_of, family, gate, gated, tell, verdict, who_where
from talkalike.discord_bot.commands.rule_words import AnyChannel
from talkalike.errors import UserError
from talkalike.store import rules as stored

SCOPES = [
    app_commands.Choice(name="this server", value="server"),
    app_commands.Choice(name="direct messages (the bot's owner only)", value="dms"),
    app_commands.Choice(name="every server (the bot's owner only)", value="everywhere"),
]
ACTIONS = [app_commands.Choice(name=action.value.replace("_", " "), value=action.value) for action in Action][:25]


def commands() -> list[app_commands.Group]:
    """Makes the commands of this module."""
    return family(
        "permissions",
        "Who may talk to me, and who may change what",
        ("get", "Show the level of a person or role, or how open a channel is", show),
        ("set", "Set a level (people, roles) or how open a place is", change),
        ("list", "List every rule of this server and the latest changes", list_rules),
        ("why", "Show whether I would answer here, and which rule decides", why),
        ("check", "Show why I am silent: the rules here, and the rights I lack in each channel", check),
    )


@gated(Action.VIEW_PERMISSIONS)
@app_commands.describe(user="A person (empty: you)", role="A role", channel="A channel, thread or category")
async def show(
    interaction: Interaction,
    user: discord.User | None = None,
    role: discord.Role | None = None,
    channel: AnyChannel | None = None,
) -> None:
    """Level and where it comes from; without a choice: the caller and this place."""
    places = interaction.client.places
    _, here, rules = await who_where(interaction)
    lines = []
    if role is not None:
        rule = rules.level_rule(interaction.guild_id, Subject.ROLE, role.id)
        lines.append(
            f"{role.mention}: **{words.value(rule)}** (rule for the role)" if rule else f"{role.mention}: no rule"
        )
    if channel is not None:
        access, source = access_of(await words.place_of(interaction, channel), rules)
        lines.append(f"<#{channel.id}>: **{access.word}** ({source}). {words.ACCESS[access]}")
    if user is not None or not lines:
        person = user or interaction.user
        level, source = level_of(places.actor(person), here, rules)
        lines.append(f"{person.mention}: **{level.word}** ({source})")
    if user is None and role is None and channel is None:
        access, source = access_of(here, rules)
        lines.append(f"This place: **{access.word}** ({source}). {words.ACCESS[access]}")
    await tell(interaction, "\n".join(lines))


async def values(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Only what the caller may grant; the target that was chosen already narrows it down."""
    actor, place, rules = await who_where(interaction)
    chosen = interaction.namespace
    levels = [level.word for level in grantable(actor, place, rules)]
    accesses = [access.word for access in Access] if levels else []
    if chosen.user or chosen.role:
        offered = [*levels, *(["default"] if levels else [])]
    elif chosen.channel:
        offered = [*accesses, *(["default"] if levels else [])]
    else:
        offered = [*levels, *accesses, *(["default level", "default access"] if levels else [])]
    return [app_commands.Choice(name=one, value=one) for one in offered if current.lower() in one][:25]


@gated(Action.SET_PERMISSIONS)
@app_commands.autocomplete(value=values)
@app_commands.describe(
    value="A level, how open a place is, or a default (removes the rule)",
    user="For a person",
    role="For everybody with this role",
    channel="For a channel, thread or category",
    scope="Alone: a whole server or all direct messages. With a person or role: where the rule holds",
)
@app_commands.choices(scope=SCOPES)
async def change(
    interaction: Interaction,
    value: str,
    user: discord.User | None = None,
    role: discord.Role | None = None,
    channel: AnyChannel | None = None,
    scope: str | None = None,
) -> None:
    """Writes or removes one rule, if the caller's level allows it."""
    chosen = [one for one in (user, role, channel) if one is not None]
    whole = scope in ("server", "dms")
    if len(chosen) + whole != 1 and not (len(chosen) == 1 and scope == "server"):
        raise UserError("Choose exactly one: a user, a role, a channel, or a whole server or direct messages as scope.")
    about_what = chosen[0] if chosen else str(scope)
    target = words.target(about_what, server_id=None if scope == "everywhere" else interaction.guild_id)
    level, access, default = words.parse(value, target)
    actor, place, rules = await who_where(interaction)
    about = words.with_value(target, level, access)
    standing = words.find(rules, about)
    concerned = _concerned(interaction, user, role)
    if not default:
        highest = None if concerned is None else highest_level(concerned, place, rules)
        decision = may_set(actor, place, rules, rule=about, target_level=highest)
    elif standing is None:
        raise UserError("There is no such rule; the default holds already.")
    else:
        decision = may_remove(actor, place, rules, rule=standing, targets=concerned)
    if not decision.allowed:
        await tell(interaction, f"Sorry, you can't set that. {decision.explanation}")
        return
    write = stored.remove if default else stored.put
    await interaction.client.store.run(write, about, by=interaction.user.id)
    await tell(interaction, f"Done: {words.sentence(about, removed=default)}")


@gated(Action.VIEW_PERMISSIONS)
async def list_rules(interaction: Interaction) -> None:
    """The server's rules, how many bot-wide ones stand beside them, and the latest changes."""
    services = interaction.client.services
    rules = (await interaction.client.places.rules(interaction.guild_id)).rules
    mine = [rule for rule in rules if rule.server_id == interaction.guild_id]
    wide = [rule for rule in rules if rule.server_id is None and interaction.guild_id is not None]
    nobody = "admins until a place is opened" if interaction.guild_id else "my owner until they open direct messages"
    lines = ["**Rules**" if mine else f"There are no rules yet: I answer nobody but {nobody}."]
    lines += [f"- {words.sentence(rule)}" for rule in sorted(mine, key=words.order)]
    if wide and interaction.user.id in services.settings.owner_ids:
        lines += ["**On every server**", *(f"- {words.sentence(rule)}" for rule in sorted(wide, key=words.order))]
    elif wide:
        lines.append(f"The bot's owner has set {len(wide)} more for every server.")
    changes = await services.store.run(stored.history, interaction.guild_id, limit=10)
    if changes:
        lines += ["**Latest changes**", *(f"- {words.change(one)}" for one in changes)]
    await tell(interaction, "\n".join(lines), file_name="permissions.txt")


@gated(Action.WHY)
@app_commands.describe(user="About whom (empty: you)", action="What they want to do (empty: talk to me)")
@app_commands.choices(action=ACTIONS)
async def why(interaction: Interaction, user: discord.User | None = None, action: str | None = None) -> None:
    """Each decision that matters for being answered here, with the rule it comes from."""
    about_another = user is not None and user.id != interaction.user.id
    if about_another and not (await gate(interaction, Action.VIEW_PERMISSIONS)).allowed:
        return
    places = interaction.client.places
    person = user or interaction.user
    place = places.place(channel_of(interaction))
    rules = (await places.facts(place, person.id)).rules  # also tells who opted out of being seen
    actor = places.actor(person)
    if action is not None:
        asked = [(f"`{action.replace('_', ' ')}` here", Action(action), True)]
    else:
        asked = [
            ("I read their messages", Action.SEE, False),
            ("I answer when I am mentioned or replied to", Action.TALK, True),
            ("I answer every message here", Action.TALK, False),
        ]
    lines = [f"About {person.mention} in {words.here(interaction)}:"]
    for asking, wanted, addressed in asked:
        decision = decide(Request(actor=actor, action=wanted, place=place, addressed=addressed), rules)
        lines.append(f"{'✅' if decision.allowed else '❌'} {asking}: {decision.explanation}")
    await tell(interaction, "\n".join(lines))


@gated(Action.WHY)
async def check(interaction: Interaction) -> None:
    """What keeps the double silent here for the caller; to whoever may see the permissions, also the other channels."""
    lines = await silent_here(interaction)
    head = "**Nothing keeps me silent here.**" if not lines else "**Here**"
    text = [head, *(f"- {line}" for line in lines)]
    member = interaction.user
    if isinstance(member, discord.Member) and (await verdict(interaction, Action.VIEW_PERMISSIONS)).allowed:
        text.append("**Channel by channel** (how open it is, and the rights that Discord gives me)")
        text += [f"- {line}" for line, _ in await rights_of(interaction, member)]
    await tell(interaction, "\n".join(text), file_name="check.txt")


async def silent_here(interaction: Interaction) -> tuple[str, ...]:
    """Each rule that keeps the double from answering the caller here, or every message."""
    places = interaction.client.places
    channel = channel_of(interaction)
    place = places.place(channel)
    facts = await places.facts(place, interaction.user.id)
    return silence.reasons(places.actor(interaction.user), place, facts, right=rights.silencing(channel))


async def rights_of(interaction: Interaction, member: discord.Member) -> list[tuple[str, bool]]:
    """A line for each channel that the caller sees, and whether it matters."""
    places = interaction.client.places
    rules = await places.rules(member.guild.id)
    there = silence.channels(member.guild, seen_by=member)
    return list(silence.overview([(one, places.place(one)) for one in there], rules))


def _concerned(interaction: Interaction, user: discord.User | None, role: discord.Role | None) -> list[Actor] | None:
    """Whom a level would concern; None where the bot cannot know all of them."""
    places = interaction.client.places
    if user is not None:
        return [places.actor(user)]
    if role is not None and role.guild.chunked:
        return [places.actor(member) for member in role.members]
    return None
