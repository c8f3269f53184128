"""Who may write which rule: nobody gives their own level or more, and nobody touches somebody at or above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from talkalike.chat.permissions import (
    ACCESS_SUBJECTS,
    LEVEL_SUBJECTS,
    Actor,
    ChatPlace,
    Decision,
    Level,
    Rule,
    Rules,
    Subject,
    level_of,
)

# A channel is a mod's business, whatever is wider an admin's.
NEEDED = {
    Subject.USER: Level.MOD,
    Subject.ROLE: Level.MOD,
    Subject.CHANNEL: Level.MOD,
    Subject.CATEGORY: Level.ADMIN,
    Subject.SERVER: Level.ADMIN,
    Subject.DM: Level.OWNER,
}


def grantable(actor: Actor, place: ChatPlace, rules: Rules) -> tuple[Level, ...]:
    """The levels this person may give here, lowest first: those below their own. In DMs the bot's owner only."""
    level, _ = level_of(actor, place, rules)
    if level < Level.MOD or (place.server_id is None and level < Level.OWNER):
        return ()
    return tuple(one for one in Level if one < level)


def may_set(actor: Actor, place: ChatPlace, rules: Rules, *, rule: Rule, target_level: Level | None) -> Decision:
    """May `actor` write `rule`, being in `place`?

    `target_level`: for a USER rule the user's present level, for a ROLE rule the highest present level among its
    holders (`highest_level`); ignored for others. None means unknown: then a USER rule is refused, and a ROLE rule is
    left to people who rule over roles on Discord anyway and to the bot's owner.
    """
    level, source = level_of(actor, place, rules)
    refusal = _out_of_reach(actor, place, level, rule) or _touches_superior(actor, level, rules, rule, target_level)
    if not refusal and rule.level is not None and rule.level >= level:
        refusal = f"the level {rule.level.word} is not below their own"
    return _decision(refusal, level, source)


def may_remove(
    actor: Actor, place: ChatPlace, rules: Rules, *, rule: Rule, targets: Sequence[Actor] | None = None
) -> Decision:
    """May `actor` take `rule` away? `targets`: whom it concerns (the user, the holders of the role); None = unknown.

    A rule can hold somebody down, so those it concerns must be below the actor without it as well.
    """
    level, source = level_of(actor, place, rules)
    without = replace(rules, rules=tuple(one for one in rules.rules if one != rule))
    present = None if targets is None else highest_level(targets, place, rules)
    refusal = _out_of_reach(actor, place, level, rule) or _touches_superior(actor, level, rules, rule, present)
    if not refusal and targets and level < Level.OWNER and highest_level(targets, place, without) >= level:
        refusal = "without the rule somebody would have the actor's level or more"
    return _decision(refusal, level, source)


def highest_level(people: Sequence[Actor], place: ChatPlace, rules: Rules) -> Level:
    """The highest present level among them; IGNORED where there is nobody."""
    return max((level_of(person, place, rules)[0] for person in people), default=Level.IGNORED)


def _out_of_reach(actor: Actor, place: ChatPlace, level: Level, rule: Rule) -> str:
    """Why a rule of this kind, in this scope, is none of the actor's business; empty where it is."""
    fitting = LEVEL_SUBJECTS if rule.level is not None else ACCESS_SUBJECTS
    if rule.subject not in fitting:
        return f"a rule for a {rule.subject} cannot say that"
    if rule.subject == Subject.DM and (rule.server_id is not None or rule.subject_id != 0):
        return "direct messages belong to no server"
    if rule.subject == Subject.SERVER and rule.server_id not in (None, rule.subject_id):
        return "a server's rules are about that server only"
    if level == Level.OWNER:
        return ""
    if rule.server_id is None:
        return "bot-wide rules are written by the bot's owner only"
    if rule.server_id != place.server_id:
        return "it is a rule of another server"
    if level < NEEDED[rule.subject]:
        return f"this needs the level {NEEDED[rule.subject].word}"
    return ""


def _touches_superior(actor: Actor, level: Level, rules: Rules, rule: Rule, target_level: Level | None) -> str:
    """Why the rule concerns somebody who is not below the actor; empty where it does not."""
    if rule.level is None:
        return ""
    if rule.subject == Subject.USER:
        if rule.subject_id in rules.owner_ids:
            return "the bot's owner stands above every rule"
        if rule.subject_id == actor.user_id:
            return "nobody changes their own level"
        if target_level is None:
            return "the user's present level is not known"
    if rule.subject == Subject.ROLE and target_level is None:
        rules_roles = level == Level.OWNER or (level == Level.ADMIN and (actor.server_owner or actor.server_admin))
        if not rules_roles:
            return "it is not known who holds this role"
    if rule.subject in (Subject.USER, Subject.ROLE) and target_level is not None and target_level >= level:
        return f"it concerns somebody whose level, {target_level.word}, is not below their own"
    for scope in (rule.server_id, None):  # the rule it replaces, and the one it hides
        present = rules.level_rule(scope, rule.subject, rule.subject_id)
        if present and present.level is not None and present.level >= level:
            return f"there is a rule that gives {present.level.word}, which is not below their own"
    return ""


def _decision(refusal: str, level: Level, source: str) -> Decision:
    if refusal:
        return Decision(
            allowed=False, rule=source, explanation=f"Not allowed: {refusal} (the level is {level.word}: {source})."
        )
    return Decision(allowed=True, rule=source, explanation=f"Allowed: the level is {level.word} ({source}).")
