"""The place that `--offline` opens: a few people, a server with channels of each kind, and rules to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from local_discord.world import World
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.store import rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Who owns it, how the bot logs in, and what its rules are at first."""

    owner_id: int
    token: str
    rules: tuple[Rule, ...]
    put_rule: Callable[[Rule], None]


def furnish(world: World) -> Room:
    """Three people, one server, one bot that is invited and may speak in some places."""
    alex, kim, robin = (world.add_user(name) for name in ("Alex", "Kim", "Robin"))
    server = world.add_server("Living room", alex)
    moderators = world.add_role(server, "moderators")
    world.add_member(server, kim, (moderators,))
    world.add_member(server, robin)
    lounge, office = world.add_category(server, "lounge"), world.add_category(server, "office")
    general = world.add_channel(server, "general", lounge)
    world.add_channel(server, "only-when-asked", lounge)
    closed = world.add_channel(server, "without-the-double", lounge)
    world.add_channel(server, "moderators-only", office, private_for=(moderators, alex))
    bot = world.add_bot("Double", owner=alex)
    world.invite(server, bot)
    world.open_dm(alex.id, bot.id)

    def access(subject: Subject, subject_id: int, value: Access) -> Rule:
        return Rule(server_id=server.id, subject=subject, subject_id=subject_id, access=value)

    return Room(
        owner_id=alex.id,
        token=bot.token,
        rules=(
            access(Subject.SERVER, server.id, Access.MENTION),
            access(Subject.CHANNEL, general.id, Access.OPEN),
            access(Subject.CHANNEL, closed.id, Access.CLOSED),
            Rule(server_id=server.id, subject=Subject.ROLE, subject_id=moderators.id, level=Level.MOD),
            Rule(server_id=None, subject=Subject.DM, subject_id=0, access=Access.OPEN),
        ),
        put_rule=partial(rules.put, by=alex.id),
    )
