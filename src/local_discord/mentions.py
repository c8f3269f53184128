"""Who a message pings: read from its text, within what its author may and its `allowed_mentions` permit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_CODE = re.compile(r"```.*?```|``.*?``|`[^`\n]*`", re.DOTALL)
_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(everyone|here)\b")


@dataclass(frozen=True, slots=True)
class Mentions:
    users: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()
    everyone: bool = False


def find(
    content: str, allowed: dict[str, Any] | None, *, may_everyone: bool, replied_to: int | None = None
) -> Mentions:
    """`allowed` as in the API (None: all is permitted). `replied_to`: the author of the message replied to, who is
    pinged by default, or, when `allowed` is there, only if `replied_user` says so. Code is not looked into."""
    text = _CODE.sub("", content)
    users = list(dict.fromkeys(int(i) for i in _USER.findall(text)))
    roles = list(dict.fromkeys(int(i) for i in _ROLE.findall(text)))
    everyone = may_everyone and bool(_EVERYONE.search(text))
    ping_replied = replied_to is not None
    if allowed is not None:
        parse = set(allowed.get("parse") or ())
        users = _permitted(users, "users" in parse, allowed.get("users"))
        roles = _permitted(roles, "roles" in parse, allowed.get("roles"))
        everyone = everyone and "everyone" in parse
        ping_replied = ping_replied and bool(allowed.get("replied_user", False))
    if ping_replied and replied_to is not None and replied_to not in users:
        users.append(replied_to)
    return Mentions(tuple(users), tuple(roles), everyone)


def _permitted(found: list[int], every: bool, listed: list[Any] | None) -> list[int]:
    if every:
        return found
    wanted = {int(i) for i in listed or ()}
    return [i for i in found if i in wanted]
