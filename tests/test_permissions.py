"""Who may: 100,000 random cases against a slow reading of the semantics, and every sentence of it by name."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from permission_worlds import (
    random_actor,
    random_place,
    random_request,
    random_rule,
    random_rules,
    slow_access,
    slow_decide,
    slow_level,
)
from talkalike.chat.granting import highest_level, may_remove, may_set
from talkalike.chat.permissions import (
    Access,
    Action,
    Actor,
    ChatPlace,
    Decision,
    Level,
    Request,
    Rule,
    Rules,
    Subject,
    access_of,
    decide,
    level_of,
)

CASES = 100_000
S, OTHER = 100, 200
ROOM = ChatPlace(server_id=S, channel_id=21, category_id=31)
THREAD = ChatPlace(server_id=S, channel_id=22, parent_id=21, category_id=31)
DM = ChatPlace(server_id=None, channel_id=23)
OWNER_ID = 1
BEN = Actor(user_id=2)
OWNER = Actor(user_id=OWNER_ID)


def user(user_id: int, level: Level, server_id: int | None = S) -> Rule:
    return Rule(server_id=server_id, subject=Subject.USER, subject_id=user_id, level=level)


def role(role_id: int, level: Level, server_id: int | None = S) -> Rule:
    return Rule(server_id=server_id, subject=Subject.ROLE, subject_id=role_id, level=level)


def place(subject: Subject, subject_id: int, access: Access, server_id: int | None = S) -> Rule:
    return Rule(server_id=server_id, subject=subject, subject_id=subject_id, access=access)


def default(level: Level, server_id: int | None = S) -> Rule:
    subject, subject_id = (Subject.DM, 0) if server_id is None else (Subject.SERVER, S)
    return Rule(server_id=server_id, subject=subject, subject_id=subject_id, level=level)


def rules(*given: Rule) -> Rules:
    return Rules(owner_ids=frozenset({OWNER_ID}), rules=given)


def level(actor: Actor, where: ChatPlace, *given: Rule) -> Level:
    return level_of(actor, where, rules(*given))[0]


def access(where: ChatPlace, *given: Rule) -> Access:
    return access_of(where, rules(*given))[0]


def ask(
    actor: Actor, action: Action, where: ChatPlace, *given: Rule, addressed: bool = False, own: bool = False
) -> bool:
    request = Request(actor=actor, action=action, place=where, addressed=addressed, own=own)
    return decide(request, rules(*given)).allowed


# ---------------------------------------------------------------------------------------------------- random worlds
def test_decisions_agree_with_the_slow_reading() -> None:
    random = Random(20)
    allowed = 0
    for _ in range(CASES // 10):
        given = random_rules(random)
        for _ in range(10):
            request = random_request(random)
            decision = decide(request, given)
            assert decision.allowed == slow_decide(request, given), (request, given, decision)
            assert decision.rule
            assert decision.explanation.endswith(".")
            assert level_of(request.actor, request.place, given)[0] == slow_level(request.actor, request.place, given)
            assert access_of(request.place, given)[0] == slow_access(request.place, given)
            allowed += decision.allowed
    assert 0.2 < allowed / CASES < 0.8, "both answers are tried"


def test_nobody_raises_or_touches_anyone_at_their_own_level_or_above() -> None:
    """In whole worlds of people: whatever rule is written or removed, everybody it changes was and stays below."""
    random = Random(21)
    written = removed = 0
    for _ in range(10_000):
        given, where = random_rules(random), random_place(random)
        crowd = [random_actor(random, user_id) for user_id in range(1, 7)]
        actor = random.choice(crowd)
        own = level_of(actor, where, given)[0]
        rule = random.choice(given.rules) if given.rules and random.random() < 0.4 else random_rule(random)
        concerned = [
            one for one in crowd
            if (rule.subject == Subject.USER and one.user_id == rule.subject_id)
            or (rule.subject == Subject.ROLE and rule.subject_id in one.role_ids)
        ]  # fmt: skip
        before = {one.user_id: level_of(one, where, given)[0] for one in crowd}
        others = tuple(one for one in given.rules if key(one) != key(rule))
        changes = []
        if may_set(actor, where, given, rule=rule, target_level=highest_level(concerned, where, given)).allowed:
            written += 1
            changes.append(replace(given, rules=(*others, rule)))
        if rule in given.rules and may_remove(actor, where, given, rule=rule, targets=concerned).allowed:
            removed += 1
            changes.append(replace(given, rules=others))
        for after in changes:
            assert own >= Level.MOD
            for one in crowd:
                now = level_of(one, where, after)[0]
                if now != before[one.user_id]:
                    assert before[one.user_id] < own, (actor, one, rule, given)
                    assert now < own, (actor, one, rule, given)
    assert written > 500
    assert removed > 100


def key(rule: Rule) -> tuple[int | None, Subject, int, bool]:
    return rule.server_id, rule.subject, rule.subject_id, rule.level is None


# ------------------------------------------------------------------------------------------------------------ level
def test_the_bots_owner_is_the_owner_whatever_rules_say() -> None:
    for where in (ROOM, DM):
        assert level(OWNER, where, user(1, Level.IGNORED), user(1, Level.IGNORED, None)) == Level.OWNER


def test_no_rule_makes_an_owner() -> None:
    assert level(BEN, ROOM, user(2, Level.OWNER)) == Level.ADMIN
    assert level(BEN, DM, user(2, Level.OWNER, None)) == Level.ADMIN


def test_a_bot_wide_rule_for_a_user_comes_first() -> None:
    chief = replace(BEN, server_owner=True)
    assert level(chief, ROOM, user(2, Level.ADMIN), user(2, Level.IGNORED, None)) == Level.IGNORED
    assert level(BEN, DM, default(Level.MOD, None), user(2, Level.IGNORED, None)) == Level.IGNORED


def test_the_servers_owner_is_admin_and_cannot_be_demoted_there() -> None:
    chief = replace(BEN, server_owner=True, server_admin=True)
    assert level(chief, ROOM) == Level.ADMIN
    assert level(chief, ROOM, user(2, Level.IGNORED)) == Level.ADMIN
    assert level(chief, DM) == Level.VISIBLE


def test_discords_admins_are_admin_unless_a_rule_names_them() -> None:
    chief = replace(BEN, server_admin=True, role_ids=(11,))
    assert level(chief, ROOM, role(11, Level.IGNORED), default(Level.IGNORED)) == Level.ADMIN
    assert level(chief, ROOM, user(2, Level.VISIBLE)) == Level.VISIBLE
    assert level(chief, ROOM, user(2, Level.VISIBLE, OTHER)) == Level.ADMIN, "another server's rule"
    assert level(chief, DM) == Level.VISIBLE, "a server's admin is nobody special in a DM"


def test_a_users_rule_beats_roles_and_roles_beat_the_default() -> None:
    ben = replace(BEN, role_ids=(11, 12))
    given = (default(Level.IGNORED), role(12, Level.ADMIN), role(11, Level.MOD))
    assert level(ben, ROOM, *given) == Level.MOD, "the highest role with a rule"
    assert level(replace(ben, role_ids=(12, 11)), ROOM, *given) == Level.ADMIN
    assert level(replace(ben, role_ids=(13,)), ROOM, *given) == Level.IGNORED
    assert level(ben, ROOM, *given, user(2, Level.VISIBLE)) == Level.VISIBLE
    assert level(BEN, ROOM) == level(BEN, DM) == Level.VISIBLE


def test_rules_of_one_server_say_nothing_elsewhere() -> None:
    ben = replace(BEN, role_ids=(11,))
    foreign = (user(2, Level.ADMIN, OTHER), role(11, Level.ADMIN, OTHER))
    assert level(ben, ROOM, *foreign) == level(ben, DM, *foreign, user(2, Level.ADMIN)) == Level.VISIBLE
    assert access(ROOM, place(Subject.CHANNEL, 21, Access.OPEN, OTHER)) == Access.CLOSED


def test_other_bots_are_ignored_unless_a_user_rule_names_them() -> None:
    bot = Actor(user_id=5, bot=True, role_ids=(11,), server_admin=True)
    given = (role(11, Level.ADMIN), default(Level.MOD), default(Level.MOD, None))
    assert level(bot, ROOM, *given) == level(bot, DM, *given) == Level.IGNORED
    assert level(bot, ROOM, user(5, Level.VISIBLE)) == Level.VISIBLE
    assert level(bot, DM, user(5, Level.VISIBLE)) == Level.IGNORED
    assert level(bot, DM, user(5, Level.VISIBLE, None)) == Level.VISIBLE


def test_strangers_in_direct_messages_have_the_level_of_the_rule_for_them() -> None:
    assert level(BEN, DM, default(Level.IGNORED, None)) == Level.IGNORED
    assert level(BEN, ROOM, default(Level.IGNORED, None)) == Level.VISIBLE


def test_the_source_names_the_rule() -> None:
    assert level_of(BEN, ROOM, rules(user(2, Level.MOD)))[1] == "server rule for <@2>: mod"
    assert level_of(BEN, ROOM, rules(user(2, Level.MOD, None)))[1] == "bot-wide rule for <@2>: mod"
    ben = replace(BEN, role_ids=(11,))
    assert level_of(ben, ROOM, rules(role(11, Level.IGNORED)))[1] == "server rule for the role <@&11>: ignored"
    assert access_of(ROOM, rules(place(Subject.CHANNEL, 21, Access.OPEN)))[1] == "server rule for <#21>: open"


# ----------------------------------------------------------------------------------------------------------- access
def test_the_nearest_rule_says_whether_a_place_is_open() -> None:
    chain = [
        place(Subject.SERVER, S, Access.MENTION),
        place(Subject.CATEGORY, 31, Access.OPEN),
        place(Subject.CHANNEL, 21, Access.CLOSED),
        place(Subject.CHANNEL, 22, Access.MENTION),
    ]
    assert access(THREAD) == Access.CLOSED, "default deny"
    expected = [Access.MENTION, Access.OPEN, Access.CLOSED, Access.MENTION]
    assert [access(THREAD, *chain[: count + 1]) for count in range(4)] == expected
    assert access(ROOM, *chain) == Access.CLOSED


def test_a_servers_rule_beats_a_bot_wide_one_but_not_being_shut_out() -> None:
    nearer_wide = place(Subject.CHANNEL, 21, Access.CLOSED, None)
    wider_local = place(Subject.SERVER, S, Access.OPEN)
    assert access(ROOM, nearer_wide, wider_local) == Access.OPEN
    assert access(ROOM, place(Subject.CHANNEL, 21, Access.MENTION, None)) == Access.MENTION
    shut = place(Subject.SERVER, S, Access.CLOSED, None)
    assert access(ROOM, wider_local, shut) == Access.CLOSED
    assert access(ROOM, place(Subject.SERVER, OTHER, Access.CLOSED, None), wider_local) == Access.OPEN
    chief = replace(BEN, server_owner=True)
    assert not ask(chief, Action.TALK, ROOM, shut, addressed=True), "not even admins are answered"
    assert not ask(chief, Action.TEST, ROOM, shut)
    assert ask(OWNER, Action.TALK, ROOM, shut, addressed=True)
    assert ask(BEN, Action.FORGET, ROOM, shut, own=True)


def test_direct_messages_are_closed_but_to_the_owner() -> None:
    assert access(DM) == Access.CLOSED
    opened = place(Subject.DM, 0, Access.OPEN, None)
    assert access(DM, opened) == Access.OPEN
    assert access(DM, place(Subject.DM, 0, Access.OPEN, S)) == Access.CLOSED, "no server opens them"
    assert not ask(BEN, Action.TALK, DM, addressed=True)
    assert ask(BEN, Action.TALK, DM, opened)
    assert ask(OWNER, Action.TALK, DM)


# ---------------------------------------------------------------------------------------------------------- actions
@pytest.mark.parametrize(
    ("given", "addressed", "where", "expected"),
    [
        (Access.OPEN, False, ROOM, True),
        (Access.MENTION, False, ROOM, False),
        (Access.MENTION, True, ROOM, True),
        (Access.MENTION, False, replace(ROOM, own_thread=True), True),
        (Access.CLOSED, True, ROOM, False),
        (Access.CLOSED, True, replace(ROOM, own_thread=True), False),
    ],
)
def test_talk(given, addressed, where, expected) -> None:
    opened = place(Subject.CHANNEL, 21, given)
    assert ask(BEN, Action.TALK, where, opened, addressed=addressed) is expected
    ignored = user(2, Level.IGNORED)
    assert not ask(BEN, Action.TALK, where, opened, ignored, addressed=addressed), "level 0 is never answered"


def test_admins_are_answered_everywhere_when_they_address_the_double() -> None:
    assert ask(BEN, Action.TALK, ROOM, user(2, Level.ADMIN), addressed=True)
    assert ask(BEN, Action.TALK, replace(ROOM, own_thread=True), user(2, Level.ADMIN))
    assert not ask(BEN, Action.TALK, ROOM, user(2, Level.ADMIN))
    assert not ask(BEN, Action.TALK, ROOM, user(2, Level.MOD), addressed=True)


def test_an_ignored_member_is_not_seen_and_so_is_who_opted_out() -> None:
    assert ask(BEN, Action.SEE, ROOM), "the place does not matter"
    assert not ask(BEN, Action.SEE, ROOM, user(2, Level.IGNORED), place(Subject.CHANNEL, 21, Access.OPEN))
    hidden = decide(Request(actor=replace(BEN, hidden=True), action=Action.SEE, place=ROOM), rules())
    assert not hidden.allowed
    assert "opted out" in hidden.explanation
    assert not ask(replace(OWNER, hidden=True), Action.SEE, ROOM)


@pytest.mark.parametrize("action", [Action.HELP, Action.PRIVACY, Action.WHY])
def test_what_everybody_may_even_when_ignored(action) -> None:
    assert ask(BEN, action, ROOM, user(2, Level.IGNORED))


VIEWS = [
    Action.VIEW_SETTINGS,
    Action.VIEW_PERMISSIONS,
    Action.STATUS,
    Action.SHOW_CONTEXT,
    Action.THREAD,
    Action.RESET,
    Action.JUDGE,
    Action.GUESS,
]


@pytest.mark.parametrize("action", VIEWS)
def test_what_goes_wherever_the_double_answers(action) -> None:
    opened = place(Subject.CHANNEL, 21, Access.MENTION)
    assert ask(BEN, action, ROOM, opened)
    assert not ask(BEN, action, ROOM)
    assert not ask(BEN, action, ROOM, opened, user(2, Level.IGNORED))
    assert not ask(BEN, action, ROOM, user(2, Level.MOD))
    assert ask(BEN, action, ROOM, user(2, Level.ADMIN))


@pytest.mark.parametrize("action", [Action.CANCEL, Action.FORGET])
def test_ones_own_or_a_mods(action) -> None:
    assert not ask(BEN, action, ROOM)
    assert ask(BEN, action, ROOM, user(2, Level.IGNORED), own=True)
    assert ask(BEN, action, ROOM, user(2, Level.MOD))


def test_regenerate_makes_the_double_speak_and_so_needs_a_place_where_it_may() -> None:
    opened = place(Subject.CHANNEL, 21, Access.MENTION)
    assert ask(BEN, Action.REGENERATE, ROOM, opened, own=True)
    assert not ask(BEN, Action.REGENERATE, ROOM, opened)
    assert ask(BEN, Action.REGENERATE, ROOM, opened, user(2, Level.MOD))
    assert not ask(BEN, Action.REGENERATE, ROOM, own=True)
    assert not ask(BEN, Action.REGENERATE, ROOM, opened, user(2, Level.IGNORED), own=True)


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        (Action.EDIT_CONTEXT, Level.MOD),
        (Action.SET_SETTINGS, Level.MOD),
        (Action.EDIT_TASKS, Level.MOD),
        (Action.SET_PERMISSIONS, Level.MOD),
        (Action.SET_MODEL, Level.ADMIN),
        (Action.TEST, Level.ADMIN),
        (Action.BOT_SETTINGS, Level.OWNER),
    ],
)
def test_what_needs_a_level(action, needed) -> None:
    opened = place(Subject.CHANNEL, 21, Access.OPEN)
    for given in (Level.IGNORED, Level.VISIBLE, Level.MOD, Level.ADMIN):
        assert ask(BEN, action, ROOM, opened, user(2, given)) is (given >= needed)
    assert ask(OWNER, action, ROOM)


def test_in_a_dm_people_manage_their_own_conversation_where_they_are_answered() -> None:
    opened = place(Subject.DM, 0, Access.OPEN, None)
    for action in (Action.RESET, Action.EDIT_CONTEXT, Action.SET_SETTINGS, Action.EDIT_TASKS):
        assert ask(BEN, action, DM, opened)
        assert not ask(BEN, action, DM)
        assert not ask(BEN, action, DM, opened, user(2, Level.IGNORED, None))
    for action in (Action.SET_MODEL, Action.SET_PERMISSIONS, Action.TEST, Action.BOT_SETTINGS):
        assert not ask(BEN, action, DM, opened)


def test_every_explanation_names_the_rule_that_decided() -> None:
    denied = decide(Request(actor=BEN, action=Action.TALK, place=ROOM, addressed=True), rules())
    assert denied == Decision(
        allowed=False,
        rule="the default on servers",
        explanation="Not allowed: this place is closed (the default on servers).",
    )
    denied = decide(Request(actor=BEN, action=Action.SET_SETTINGS, place=ROOM), rules(user(2, Level.VISIBLE)))
    assert denied.rule == "server rule for <@2>: visible"
    assert denied.explanation == (
        "Not allowed: this needs the level mod, and the level is visible (server rule for <@2>: visible)."
    )


def test_nothing_configured_means_nobody_is_answered() -> None:
    """No owner, no rules: a missing list is not everyone."""
    nobody = Rules()
    for where in (ROOM, THREAD, DM):
        assert not decide(Request(actor=BEN, action=Action.TALK, place=where, addressed=True), nobody).allowed


@pytest.mark.parametrize("given", [{}, {"level": Level.MOD, "access": Access.OPEN}])
def test_a_rule_says_exactly_one_thing(given) -> None:
    with pytest.raises(ValueError, match="either a level or an access"):
        Rule(server_id=S, subject=Subject.SERVER, subject_id=S, **given)
