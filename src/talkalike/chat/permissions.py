"""Who may do what, and where: values and one pure function, `decide`, that every trigger, command and button asks.

A person has a level (`level_of`), a place has an access (`access_of`); both come from the nearest rule. Default deny:
the double answers nowhere but where somebody entitled to it opened a place. Who may write which rule is in
`talkalike.chat.granting`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How far the double trusts a person. What one level may do, every higher one may."""

    IGNORED = 0
    VISIBLE = 1
    MOD = 2
    ADMIN = 3
    OWNER = 4  # of the bot, by id from the settings; never given by a rule

    @property
    def word(self) -> str:
        """As a person reads and types it."""
        return self.name.lower()


class Access(IntEnum):
    """Where the double answers: nobody, whoever addresses it, or every message."""

    CLOSED = 0
    MENTION = 1
    OPEN = 2

    @property
    def word(self) -> str:
        """As a person reads and types it."""
        return self.name.lower()


class Subject(StrEnum):
    """The kinds of things a rule can be about."""

    USER = "user"
    ROLE = "role"
    CHANNEL = "channel"  # threads too
    CATEGORY = "category"
    SERVER = "server"
    DM = "dm"


class Action(StrEnum):
    """The actions that the rules decide about."""

    SEE = "see"  # have their message shown to the model
    TALK = "talk"
    THREAD = "thread"
    RESET = "reset"
    SHOW_CONTEXT = "show_context"
    EDIT_CONTEXT = "edit_context"
    STATUS = "status"
    HELP = "help"
    PRIVACY = "privacy"
    WHY = "why"
    CANCEL = "cancel"
    REGENERATE = "regenerate"
    FORGET = "forget"
    VIEW_SETTINGS = "view_settings"
    SET_SETTINGS = "set_settings"
    SET_MODEL = "set_model"
    VIEW_PERMISSIONS = "view_permissions"
    SET_PERMISSIONS = "set_permissions"
    TEST = "test"
    JUDGE = "judge"  # say how good a reply is
    GUESS = "guess"  # play the blind test
    SHOW_TASKS = "show_tasks"  # see the tasks about pictures
    EDIT_TASKS = "edit_tasks"
    BOT_SETTINGS = "bot_settings"


LEVEL_SUBJECTS = frozenset({Subject.USER, Subject.ROLE, Subject.SERVER, Subject.DM})
ACCESS_SUBJECTS = frozenset({Subject.CHANNEL, Subject.CATEGORY, Subject.SERVER, Subject.DM})

ALWAYS = frozenset({Action.HELP, Action.PRIVACY, Action.WHY})
WHERE_ANSWERED = frozenset(
    {
        Action.THREAD,
        Action.RESET,
        Action.SHOW_CONTEXT,
        Action.STATUS,
        Action.VIEW_SETTINGS,
        Action.VIEW_PERMISSIONS,
        Action.JUDGE,
        Action.GUESS,
        Action.SHOW_TASKS,
    }
)
OWN_OR_MOD = frozenset({Action.CANCEL, Action.REGENERATE, Action.FORGET})
# In a DM, for whoever is answered there.
OWN_DM = frozenset({Action.EDIT_CONTEXT, Action.SET_SETTINGS, Action.EDIT_TASKS})
NEEDED = {
    Action.EDIT_CONTEXT: Level.MOD,
    Action.SET_SETTINGS: Level.MOD,
    Action.EDIT_TASKS: Level.MOD,
    Action.SET_PERMISSIONS: Level.MOD,
    Action.SET_MODEL: Level.ADMIN,
    Action.TEST: Level.ADMIN,
    Action.BOT_SETTINGS: Level.OWNER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a server's permissions (or, with `server_id` None, of the bot's): either a level or an access.

    `level` is for USER, ROLE, SERVER (its members by default) and DM (strangers by default), `access` for CHANNEL,
    CATEGORY, SERVER and DM; `subject_id` is 0 for DM. Raises ValueError where both or neither is given.
    """

    server_id: int | None
    subject: Subject
    subject_id: int
    level: Level | None = None
    access: Access | None = None

    def __post_init__(self) -> None:
        if (self.level is None) == (self.access is None):
            raise ValueError("A rule says either a level or an access.")

    @property
    def subject_words(self) -> str:
        """The subject in words; Discord shows the name for the id."""
        return {
            Subject.USER: f"<@{self.subject_id}>",
            Subject.ROLE: f"the role <@&{self.subject_id}>",
            Subject.CHANNEL: f"<#{self.subject_id}>",
            Subject.CATEGORY: f"the category <#{self.subject_id}>",
            Subject.SERVER: "the members of this server" if self.level is not None else "this server",
            Subject.DM: "direct messages",
        }[self.subject]

    @property
    def words(self) -> str:
        """The rule in words, with what it says."""
        says = self.level.word if self.level is not None else self.access.word if self.access is not None else ""
        return f"{'bot-wide' if self.server_id is None else 'server'} rule for {self.subject_words}: {says}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who writes or clicks. `role_ids` highest first; `hidden`: opted out of being seen by the model."""

    user_id: int
    role_ids: tuple[int, ...] = ()
    server_owner: bool = False
    server_admin: bool = False  # may manage the server on Discord
    bot: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPlace:
    """Where something happens. `server_id` None is a DM; `parent_id` is a thread's channel."""

    server_id: int | None
    channel_id: int
    parent_id: int | None = None
    category_id: int | None = None
    own_thread: bool = False  # opened by or for the double
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody wants to do something somewhere.

    `addressed`: the message mentions the double or replies to it. `own`: the reply or message acted on is the actor's:
    they asked for it or wrote it.
    """

    actor: Actor
    action: Action
    place: ChatPlace
    addressed: bool = False
    own: bool = False


RuleKey = tuple[int | None, Subject, int, bool]  # the last: whether the rule says a level


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The bot's owners and every rule in force. Of two rules about the same thing, the first counts."""

    owner_ids: frozenset[int] = frozenset()
    rules: tuple[Rule, ...] = ()
    _index: dict[RuleKey, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for rule in self.rules:
            self._index.setdefault((rule.server_id, rule.subject, rule.subject_id, rule.level is not None), rule)

    def level_rule(self, server_id: int | None, subject: Subject, subject_id: int) -> Rule | None:
        """The rule that says the level of this subject."""
        return self._index.get((server_id, subject, subject_id, True))

    def access_rule(self, server_id: int | None, subject: Subject, subject_id: int) -> Rule | None:
        """The rule that says the access of this subject."""
        return self._index.get((server_id, subject, subject_id, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether, by which rule, and one sentence for a person that names it."""

    allowed: bool
    rule: str
    explanation: str


def level_of(actor: Actor, place: ChatPlace, rules: Rules) -> tuple[Level, str]:
    """The level of a person in a place, and in words where it comes from."""
    if actor.user_id in rules.owner_ids:
        return Level.OWNER, "the bot's owner"
    server = place.server_id
    if rule := rules.level_rule(None, Subject.USER, actor.user_id):
        return _level_and_source(rule)
    own_rule = rules.level_rule(server, Subject.USER, actor.user_id) if server is not None else None
    if actor.bot and own_rule is None:
        return Level.IGNORED, "other bots are ignored unless a rule names them"
    if server is None:
        rule = rules.level_rule(None, Subject.DM, 0)
        return _level_and_source(rule) if rule else (Level.VISIBLE, "the default in direct messages")
    if actor.server_owner:
        return Level.ADMIN, "owner of this server"
    if own_rule:
        return _level_and_source(own_rule)
    if actor.server_admin:
        return Level.ADMIN, "may manage this server on Discord"
    subjects = [(Subject.ROLE, role_id) for role_id in actor.role_ids] + [(Subject.SERVER, server)]
    rule = _first(rules.level_rule(scope, *subject) for subject in subjects for scope in (server, None))
    return _level_and_source(rule) if rule else (Level.VISIBLE, "the default for members of a server")


def access_of(place: ChatPlace, rules: Rules) -> tuple[Access, str]:
    """Where in the words of `Access` the double answers in this place, and in words where that comes from."""
    server = place.server_id
    if server is None:
        rule = rules.access_rule(None, Subject.DM, 0)
        return _access_and_source(rule) if rule else (Access.CLOSED, "the default in direct messages")
    if rule := shut_out(place, rules):
        return _access_and_source(rule)
    nearest_first = [
        (subject, subject_id)
        for subject, subject_id in (
            (Subject.CHANNEL, place.channel_id),
            (Subject.CHANNEL, place.parent_id),
            (Subject.CATEGORY, place.category_id),
            (Subject.SERVER, server),
        )
        if subject_id is not None
    ]
    rule = _first(rules.access_rule(scope, *subject) for scope in (server, None) for subject in nearest_first)
    return _access_and_source(rule) if rule else (Access.CLOSED, "the default on servers")


def shut_out(place: ChatPlace, rules: Rules) -> Rule | None:
    """The rule by which the bot's owner closed this whole server; nobody there can open it again."""
    if place.server_id is None:
        return None
    rule = rules.access_rule(None, Subject.SERVER, place.server_id)
    return rule if rule and rule.access == Access.CLOSED else None


def decide(request: Request, rules: Rules) -> Decision:
    """May they? Pure: the same request and rules always give the same decision."""
    level, source = level_of(request.actor, request.place, rules)
    person = f"{level.word} ({source})"
    action = request.action
    if action in ALWAYS:
        return Decision(allowed=True, rule="open to everybody", explanation=f"Everybody may; the level is {person}.")
    if action == Action.SEE:
        return _decide_see(request.actor, level, source)
    if action in OWN_OR_MOD and request.own and action != Action.REGENERATE:
        return Decision(allowed=True, rule="one's own", explanation="Allowed: it is their own message or reply.")
    closing = shut_out(request.place, rules)
    if closing and level < Level.OWNER:
        return Decision(
            allowed=False, rule=closing.words, explanation="Not allowed: the bot's owner closed this server to it."
        )
    if action in OWN_OR_MOD and not request.own and level < Level.MOD:
        return _needs(Level.MOD, level, source, unless="it is their own")
    own_dm = request.place.server_id is None and action in OWN_DM and level < Level.MOD
    if action == Action.TALK or action in WHERE_ANSWERED or action == Action.REGENERATE or own_dm:
        # A command or a click addresses the double; a plain message does only where it says so.
        addressed = action != Action.TALK or request.addressed or request.place.own_thread
        return _decide_by_place(request.place, level, source, rules, addressed=addressed)
    return _needs(NEEDED.get(action, Level.MOD), level, source)


def _decide_see(actor: Actor, level: Level, source: str) -> Decision:
    if actor.hidden:
        return Decision(
            allowed=False, rule="opted out", explanation="Not shown to the model: its author opted out of being seen."
        )
    if level < Level.VISIBLE:
        return Decision(
            allowed=False, rule=source, explanation=f"Not shown to the model: its author is ignored ({source})."
        )
    return Decision(
        allowed=True, rule=source, explanation=f"Shown to the model: its author is {level.word} ({source})."
    )


def _decide_by_place(place: ChatPlace, level: Level, source: str, rules: Rules, *, addressed: bool) -> Decision:
    if level < Level.VISIBLE:
        return _needs(Level.VISIBLE, level, source)
    if level == Level.OWNER and place.server_id is None:
        return Decision(
            allowed=True, rule=source, explanation="Allowed: the bot's owner is always answered in direct messages."
        )
    access, place_source = access_of(place, rules)
    here = f"this place is {access.word} ({place_source})"
    if access == Access.OPEN or (addressed and access >= Access.MENTION):
        return Decision(allowed=True, rule=place_source, explanation=f"Allowed: {here}, and the level is {level.word}.")
    if addressed and level >= Level.ADMIN:
        return Decision(
            allowed=True, rule=source, explanation=f"Allowed everywhere: the level is {level.word} ({source})."
        )
    if access == Access.MENTION:
        here += ", and the message neither mentions the double nor replies to it"
    return Decision(allowed=False, rule=place_source, explanation=f"Not allowed: {here}.")


def _needs(needed: Level, level: Level, source: str, *, unless: str = "") -> Decision:
    if level >= needed:
        return Decision(allowed=True, rule=source, explanation=f"Allowed: the level is {level.word} ({source}).")
    needs = f"this needs the level {needed.word}" + (f" unless {unless}" if unless else "")
    return Decision(
        allowed=False, rule=source, explanation=f"Not allowed: {needs}, and the level is {level.word} ({source})."
    )


def _first(found: Iterable[Rule | None]) -> Rule | None:
    return next((rule for rule in found if rule is not None), None)


def _level_and_source(rule: Rule) -> tuple[Level, str]:
    """No rule makes an owner, whoever wrote it."""
    return min(rule.level or Level.IGNORED, Level.ADMIN), rule.words


def _access_and_source(rule: Rule) -> tuple[Access, str]:
    return rule.access or Access.CLOSED, rule.words
