"""Random small worlds of people, places and rules, and a slow, obviously right reading of the permissions' semantics.

The reading is written the other way round than the code: it gives every statement about a level or an access a rank,
collects all that apply, and takes the one with the smallest rank; and it lists for each action the facts under which it
is allowed.
"""

from __future__ import annotations

from random import Random

from talkalike.chat.permissions import Access, Action, Actor, ChatPlace, Level, Request, Rule, Rules, Subject

SERVERS = (100, 200)
PEOPLE = tuple(range(1, 7))
ROLES = (11, 12, 13)
CHANNELS = (21, 22, 23, 24)
CATEGORIES = (31, 32)
ACTIONS = tuple(Action)
LEVELS = tuple(Level)[:-1]
ACCESSES = tuple(Access)


def random_rule(random: Random) -> Rule:
    subject = random.choice(tuple(Subject))
    server_id = random.choice((None, *SERVERS))
    subject_id = {
        Subject.USER: lambda: random.choice(PEOPLE),
        Subject.ROLE: lambda: random.choice(ROLES),
        Subject.CHANNEL: lambda: random.choice(CHANNELS),
        Subject.CATEGORY: lambda: random.choice(CATEGORIES),
        Subject.SERVER: lambda: random.choice(SERVERS),
        Subject.DM: lambda: 0,
    }[subject]()
    says_level = subject in (Subject.USER, Subject.ROLE) or (
        subject in (Subject.SERVER, Subject.DM) and random.random() < 0.5
    )
    if says_level:
        return Rule(server_id=server_id, subject=subject, subject_id=subject_id, level=random.choice(LEVELS))
    return Rule(server_id=server_id, subject=subject, subject_id=subject_id, access=random.choice(ACCESSES))


def random_rules(random: Random) -> Rules:
    """At most one rule about the same thing, as a store keeps them."""
    found = {}
    for _ in range(random.randrange(12)):
        rule = random_rule(random)
        found[rule.server_id, rule.subject, rule.subject_id, rule.level is None] = rule
    return Rules(owner_ids=frozenset({1} if random.random() < 0.5 else ()), rules=tuple(found.values()))


def random_actor(random: Random, user_id: int | None = None) -> Actor:
    bot = random.random() < 0.15
    return Actor(
        user_id=user_id or random.choice(PEOPLE),
        role_ids=tuple(random.sample(ROLES, random.randrange(len(ROLES) + 1))),
        server_owner=not bot and random.random() < 0.1,  # Discord gives no bot a server
        server_admin=random.random() < 0.15,
        bot=bot,
        hidden=random.random() < 0.15,
    )


def random_place(random: Random) -> ChatPlace:
    if random.random() < 0.2:
        return ChatPlace(server_id=None, channel_id=random.choice(CHANNELS), private=True)
    return ChatPlace(
        server_id=random.choice(SERVERS),
        channel_id=random.choice(CHANNELS),
        parent_id=random.choice((None, *CHANNELS)),
        category_id=random.choice((None, *CATEGORIES)),
        own_thread=random.random() < 0.3,
    )


def random_request(random: Random) -> Request:
    return Request(
        actor=random_actor(random),
        action=random.choice(ACTIONS),
        place=random_place(random),
        addressed=random.random() < 0.5,
        own=random.random() < 0.3,
    )


# ------------------------------------------------------------------------------------------------------ the reading
def slow_level(actor: Actor, place: ChatPlace, rules: Rules) -> Level:
    here = place.server_id
    on_server = here is not None
    said: list[tuple[tuple[int, ...], Level]] = [((99,), Level.VISIBLE)]
    if actor.user_id in rules.owner_ids:
        said.append(((0,), Level.OWNER))
    if actor.bot:
        said.append(((4,), Level.IGNORED))
    if on_server and actor.server_owner:
        said.append(((2,), Level.ADMIN))
    if on_server and actor.server_admin and not actor.bot:
        said.append(((5,), Level.ADMIN))
    for rule in rules.rules:
        if rule.level is None:
            continue
        wide, local = rule.server_id is None, on_server and rule.server_id == here
        if rule.subject == "user" and rule.subject_id == actor.user_id and wide:
            said.append(((1,), rule.level))
        if rule.subject == "user" and rule.subject_id == actor.user_id and local:
            said.append(((3,), rule.level))
        if rule.subject == "role" and on_server and rule.subject_id in actor.role_ids and (wide or local):
            said.append(((6, actor.role_ids.index(rule.subject_id), int(wide)), rule.level))
        if rule.subject == "server" and on_server and rule.subject_id == here and (wide or local):
            said.append(((7, int(wide)), rule.level))
        if rule.subject == "dm" and not on_server and wide:
            said.append(((7,), rule.level))
    return min(said)[1]


def slow_access(place: ChatPlace, rules: Rules) -> Access:
    here = place.server_id
    said: list[tuple[tuple[int, ...], Access]] = [((99,), Access.CLOSED)]
    for rule in rules.rules:
        if rule.access is None:
            continue
        wide = rule.server_id is None
        if here is None:
            if rule.subject == "dm" and wide:
                said.append(((1,), rule.access))
            continue
        if not wide and rule.server_id != here:
            continue
        if wide and rule.subject == "server" and rule.subject_id == here and rule.access is Access.CLOSED:
            said.append(((0,), rule.access))
        distances = {
            ("channel", place.channel_id): 1,
            ("category", place.category_id): 3,
            ("server", here): 4,
        }
        if place.parent_id != place.channel_id:
            distances["channel", place.parent_id] = 2
        if (rule.subject, rule.subject_id) in distances:
            said.append(((1, int(wide), distances[rule.subject, rule.subject_id]), rule.access))
    return min(said)[1]


def slow_decide(request: Request, rules: Rules) -> bool:
    """Whether, from the facts alone."""
    level, access = slow_level(request.actor, request.place, rules), slow_access(request.place, rules)
    dm = request.place.server_id is None
    owner, admin, mod, visible = (level >= at for at in (Level.OWNER, Level.ADMIN, Level.MOD, Level.VISIBLE))
    shut = not owner and any(
        (rule.server_id, rule.subject, rule.subject_id, rule.access)
        == (None, "server", request.place.server_id, Access.CLOSED)
        for rule in rules.rules
    )
    spoken_to = request.addressed or request.place.own_thread
    answered = visible and (
        access == Access.OPEN
        or (access == Access.MENTION and spoken_to)
        or (admin and spoken_to and not shut)
        or (owner and dm)
    )
    would_be_answered = visible and ((access >= Access.MENTION) or (admin and not shut))
    facts = {
        "see": visible and not request.actor.hidden,
        "talk": answered,
        "thread": would_be_answered,
        "reset": would_be_answered,
        "show_context": would_be_answered,
        "status": would_be_answered,
        "view_settings": would_be_answered,
        "view_permissions": would_be_answered,
        "judge": would_be_answered,
        "guess": would_be_answered,
        "show_tasks": would_be_answered,
        "help": True,
        "privacy": True,
        "why": True,
        "cancel": request.own or (mod and not shut),
        "forget": request.own or (mod and not shut),
        "regenerate": would_be_answered and (request.own or mod),
        "edit_context": (mod and not shut) or (dm and would_be_answered),
        "set_settings": (mod and not shut) or (dm and would_be_answered),
        "edit_tasks": (mod and not shut) or (dm and would_be_answered),
        "set_permissions": mod and not shut,
        "set_model": admin and not shut,
        "test": admin and not shut,
        "bot_settings": owner,
    }
    return facts[request.action]
