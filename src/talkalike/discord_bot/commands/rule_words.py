"""Rules as people choose and read them: what a target means, which values it takes, and each rule as a sentence."""

from __future__ import annotations

from dataclasses import replace

import discord
from discord import app_commands

from talkalike.chat.permissions import Access, ChatPlace, Level, Rule, Rules, Subject
from talkalike.discord_bot.asking import ask
from talkalike.discord_bot.commands.gate import Interaction
from talkalike.errors import UserError
from talkalike.store.rules import RuleChange

ACCESS = {
    Access.CLOSED: "I answer nobody here.",
    Access.MENTION: "I answer when somebody mentions me or replies to me.",
    Access.OPEN: "I answer every message.",
}
LEVEL = {
    Level.IGNORED: "not read and not answered",
    Level.VISIBLE: "may talk to me",
    Level.MOD: "may also edit what I see and my tasks about pictures, and change settings of channels",
    Level.ADMIN: "may also open channels, choose models and run tests",
    Level.OWNER: "may do everything",
}
_BOTH = frozenset({Subject.SERVER, Subject.DM})
_LEVELS = frozenset({Subject.USER, Subject.ROLE}) | _BOTH
_ACCESSES = frozenset({Subject.CHANNEL, Subject.CATEGORY}) | _BOTH
_ORDER = (Subject.SERVER, Subject.DM, Subject.CATEGORY, Subject.CHANNEL, Subject.ROLE, Subject.USER)

AnyChannel = app_commands.AppCommandChannel | app_commands.AppCommandThread
Chosen = (
    discord.User | discord.Member | discord.Role | app_commands.AppCommandChannel | app_commands.AppCommandThread | str
)


def target(chosen: Chosen, *, server_id: int | None) -> Rule:
    """A rule about what was chosen, still without a sensible value. Raises UserError where that needs a server."""
    if chosen == "dms":
        return Rule(server_id=None, subject=Subject.DM, subject_id=0, level=Level.VISIBLE)
    if chosen == "server":
        if server_id is None:
            raise UserError("There is no server here.", hint="Use this in a channel of the server it is about.")
        return Rule(server_id=server_id, subject=Subject.SERVER, subject_id=server_id, level=Level.VISIBLE)
    if isinstance(chosen, discord.User | discord.Member):
        return Rule(server_id=server_id, subject=Subject.USER, subject_id=chosen.id, level=Level.VISIBLE)
    if isinstance(chosen, discord.Role):
        if chosen.is_default():
            raise UserError("That is everybody.", hint="Choose this server as scope instead of the role.")
        return Rule(server_id=server_id, subject=Subject.ROLE, subject_id=chosen.id, level=Level.VISIBLE)
    assert not isinstance(chosen, str)
    subject = Subject.CATEGORY if chosen.type is discord.ChannelType.category else Subject.CHANNEL
    return Rule(server_id=server_id, subject=subject, subject_id=chosen.id, access=Access.CLOSED)


def parse(value: str, about: Rule) -> tuple[Level | None, Access | None, bool]:
    """The level, the access, and whether the rule is to go instead. Raises UserError naming what would be possible."""
    typed = " ".join(value.casefold().split())
    level = next((one for one in Level if one.word == typed), None)
    access = next((one for one in Access if one.word == typed), None)
    if level is not None and about.subject in _LEVELS:
        return level, None, False
    if access is not None and about.subject in _ACCESSES:
        return None, access, False
    if typed == "default" and about.subject not in _BOTH:
        typed = "default level" if about.subject in _LEVELS else "default access"
    if typed == "default level" and about.subject in _LEVELS:
        return Level.VISIBLE, None, True
    if typed == "default access" and about.subject in _ACCESSES:
        return None, Access.CLOSED, True
    names = [one.word for one in Level if one is not Level.OWNER] if about.subject in _LEVELS else []
    names += [one.word for one in Access] if about.subject in _ACCESSES else []
    names += ["default level", "default access"] if about.subject in _BOTH else ["default"]
    raise UserError(f"'{value}' is nothing I can set for a {about.subject.value}.", hint=f"Choose: {', '.join(names)}.")


def with_value(rule: Rule, level: Level | None, access: Access | None) -> Rule:
    """The same rule with this value."""
    return replace(rule, level=level, access=access)


def find(rules: Rules, like: Rule) -> Rule | None:
    """The standing rule about the same thing and of the same kind (level or access)."""
    key = like.server_id, like.subject, like.subject_id
    return rules.level_rule(*key) if like.level is not None else rules.access_rule(*key)


def value(rule: Rule) -> str:
    """The rule's value as a word."""
    chosen = rule.level if rule.level is not None else rule.access
    return chosen.word if chosen is not None else "default"


def about(rule: Rule) -> str:
    """What a rule is about. Mentions are links only: nobody is pinged."""
    match rule.subject:
        case Subject.USER:
            text = f"<@{rule.subject_id}>"
        case Subject.ROLE:
            text = f"<@&{rule.subject_id}>"
        case Subject.CHANNEL | Subject.CATEGORY:
            text = f"<#{rule.subject_id}>"
        case Subject.SERVER:
            text = "everybody on this server" if rule.level is not None else "every channel of this server"
        case _:
            text = "everybody in direct messages" if rule.level is not None else "direct messages"
    wide = rule.server_id is None and rule.subject is not Subject.DM
    return f"{text} (on every server)" if wide else text


def sentence(rule: Rule, *, removed: bool = False) -> str:
    """Describes a rule in one line."""
    if removed:
        return f"{about(rule)}: back to the default."
    meaning = LEVEL[rule.level] if rule.level is not None else ACCESS[rule.access or Access.CLOSED].rstrip(".")
    return f"{about(rule)}: **{value(rule)}** ({meaning})"


def change(one: RuleChange) -> str:
    """Describes a change of a rule in one line."""
    return f"{discord.utils.format_dt(one.at, 'R')} <@{one.by}>: {sentence(one.rule, removed=one.removed)}"


def order(rule: Rule) -> tuple[int, int]:
    """The sort key that lists wide rules first."""
    return _ORDER.index(rule.subject), rule.subject_id


def here(interaction: Interaction) -> str:
    """This place as a person would call it."""
    return "our direct messages" if interaction.guild_id is None else f"<#{interaction.channel_id}>"


async def place_of(interaction: Interaction, channel: AnyChannel) -> ChatPlace:
    """The place that a chosen channel, thread or category is."""
    if channel.type is discord.ChannelType.category:
        return ChatPlace(server_id=interaction.guild_id, channel_id=channel.id, category_id=channel.id)
    found = channel.resolve()
    if found is None:
        found = await ask(channel.fetch(), "that channel")
    place: ChatPlace = interaction.client.places.place(found)
    return place
