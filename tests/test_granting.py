"""Who may write which rule: each refusal by name. (Whole random worlds are in test_permissions.)"""

from __future__ import annotations

from dataclasses import replace

import pytest

from talkalike.chat.granting import grantable, highest_level, may_remove, may_set
from talkalike.chat.permissions import Access, Actor, ChatPlace, Level, Rule, Rules, Subject

S, OTHER = 100, 200
ROOM = ChatPlace(server_id=S, channel_id=21)
DM = ChatPlace(server_id=None, channel_id=23)
OWNER, ADMIN, MOD, BEN, CHIEF = (Actor(user_id=one) for one in (1, 2, 3, 4, 5))
CHIEF = replace(CHIEF, server_admin=True)


def level_rule(subject: Subject, subject_id: int, level: Level, server_id: int | None = S) -> Rule:
    return Rule(server_id=server_id, subject=subject, subject_id=subject_id, level=level)


def access_rule(subject: Subject, subject_id: int, access: Access = Access.OPEN, server_id: int | None = S) -> Rule:
    return Rule(server_id=server_id, subject=subject, subject_id=subject_id, access=access)


STAFF = (level_rule(Subject.USER, 2, Level.ADMIN), level_rule(Subject.USER, 3, Level.MOD))


def rules(*more: Rule) -> Rules:
    return Rules(owner_ids=frozenset({1}), rules=(*STAFF, *more))


def may(actor: Actor, rule: Rule, target: Level | None = Level.VISIBLE, *more: Rule, where: ChatPlace = ROOM) -> str:
    """Empty where it is allowed, else the explanation."""
    decision = may_set(actor, where, rules(*more), rule=rule, target_level=target)
    return "" if decision.allowed else decision.explanation


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (OWNER, ["ignored", "visible", "mod", "admin"]),
        (ADMIN, ["ignored", "visible", "mod"]),
        (MOD, ["ignored", "visible"]),
        (BEN, []),
    ],
)
def test_only_levels_below_ones_own_are_offered(actor, expected) -> None:
    assert [level.word for level in grantable(actor, ROOM, rules())] == expected
    for level in Level:
        given = may(actor, level_rule(Subject.USER, 9, level)) == ""
        assert given is (level.word in expected), level


def test_in_a_dm_only_the_owner_has_something_to_give() -> None:
    wide = rules(level_rule(Subject.USER, 4, Level.ADMIN, None))
    assert grantable(BEN, DM, wide) == ()
    assert len(grantable(OWNER, DM, wide)) == 4


def test_nobody_touches_somebody_at_or_above_their_level() -> None:
    lower = level_rule(Subject.USER, 9, Level.IGNORED)
    assert may(MOD, lower, Level.VISIBLE) == ""
    assert "mod, is not below their own" in may(MOD, lower, Level.MOD)
    assert "not below" in may(ADMIN, lower, Level.ADMIN)
    assert may(ADMIN, lower, Level.MOD) == ""
    assert may(OWNER, lower, Level.ADMIN) == ""


def test_nobody_changes_themselves_or_the_bots_owner() -> None:
    assert "their own level" in may(MOD, level_rule(Subject.USER, 3, Level.VISIBLE), Level.VISIBLE)
    assert "above every rule" in may(ADMIN, level_rule(Subject.USER, 1, Level.IGNORED), Level.VISIBLE)
    assert may(OWNER, level_rule(Subject.USER, 1, Level.ADMIN), Level.OWNER)


def test_an_unknown_present_level_is_no_permission() -> None:
    assert "not known" in may(ADMIN, level_rule(Subject.USER, 9, Level.MOD), None)


def test_a_level_is_not_given_through_a_role_that_could_not_be_given_directly() -> None:
    assert "not below their own" in may(MOD, level_rule(Subject.ROLE, 11, Level.MOD))
    assert "not below their own" in may(ADMIN, level_rule(Subject.ROLE, 11, Level.ADMIN))
    assert may(MOD, level_rule(Subject.ROLE, 11, Level.IGNORED)) == ""


def test_a_role_is_not_turned_against_its_superior_holders() -> None:
    ignore = level_rule(Subject.ROLE, 11, Level.IGNORED)
    assert "not below" in may(MOD, ignore, Level.ADMIN)
    assert "not below" in may(MOD, ignore, Level.IGNORED, level_rule(Subject.ROLE, 11, Level.ADMIN)), (
        "nobody has it yet"
    )
    assert "who holds" in may(ADMIN, ignore, None)
    assert may(CHIEF, ignore, None) == ""
    assert may(OWNER, ignore, None) == ""


def test_a_server_is_managed_from_within_and_bot_wide_by_the_owner_only() -> None:
    assert "another server" in may(ADMIN, level_rule(Subject.USER, 9, Level.MOD, OTHER))
    assert "bot's owner only" in may(ADMIN, level_rule(Subject.USER, 9, Level.MOD, None))
    assert "bot's owner only" in may(CHIEF, access_rule(Subject.SERVER, S, Access.OPEN, None))
    assert may(OWNER, level_rule(Subject.USER, 9, Level.MOD, OTHER)) == ""
    assert may(OWNER, access_rule(Subject.DM, 0, Access.OPEN, None)) == ""
    assert may(CHIEF, level_rule(Subject.USER, 9, Level.MOD), where=DM), "a server's admin is nobody special in a DM"


def test_channels_are_a_mods_and_wider_places_an_admins() -> None:
    assert may(MOD, access_rule(Subject.CHANNEL, 21)) == ""
    assert may(BEN, access_rule(Subject.CHANNEL, 21))
    for wide in (
        access_rule(Subject.CATEGORY, 31),
        access_rule(Subject.SERVER, S),
        level_rule(Subject.SERVER, S, Level.IGNORED),
    ):
        assert "needs the level admin" in may(MOD, wide)
        assert may(ADMIN, wide) == ""


def test_the_default_of_members_that_somebody_higher_set_stays() -> None:
    assert "gives admin" in may(
        ADMIN, level_rule(Subject.SERVER, S, Level.IGNORED), None, level_rule(Subject.SERVER, S, Level.ADMIN)
    )


@pytest.mark.parametrize(
    "rule",
    [
        level_rule(Subject.CHANNEL, 21, Level.VISIBLE),
        access_rule(Subject.USER, 9),
        access_rule(Subject.DM, 0, Access.OPEN, S),
        access_rule(Subject.DM, 7, Access.OPEN, None),
        access_rule(Subject.SERVER, OTHER),
    ],
)
def test_rules_that_make_no_sense_are_nobodys(rule) -> None:
    assert may(OWNER, rule)


def test_removing_a_rule_that_holds_somebody_down() -> None:
    held = level_rule(Subject.USER, 9, Level.IGNORED)
    admin_role = level_rule(Subject.ROLE, 11, Level.ADMIN)
    nina = Actor(user_id=9, role_ids=(11,))
    given = rules(held, admin_role)
    refused = may_remove(MOD, ROOM, given, rule=held, targets=[nina])
    assert not refused.allowed
    assert "without the rule" in refused.explanation
    assert may_remove(MOD, ROOM, given, rule=held, targets=[replace(nina, role_ids=())]).allowed
    assert may_remove(OWNER, ROOM, given, rule=held, targets=[nina]).allowed
    assert not may_remove(MOD, ROOM, given, rule=held).allowed, "not knowing whom it concerns is no permission"
    assert not may_remove(ADMIN, ROOM, given, rule=admin_role, targets=[]).allowed
    assert may_remove(MOD, ROOM, given, rule=access_rule(Subject.CHANNEL, 21)).allowed


def test_highest_level() -> None:
    assert highest_level([], ROOM, rules()) == Level.IGNORED
    assert highest_level([BEN, MOD], ROOM, rules()) == Level.MOD
