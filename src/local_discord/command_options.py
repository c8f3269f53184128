"""From what a person filled in to what an interaction carries: options as the API has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_discord import payloads
from local_discord.errors import invalid_form
from local_discord.model import Attachment, Server
from local_discord.world_threads import Threads

STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = 3, 4, 5, 6, 7, 8, 9, 10, 11
_NESTED = (1, 2)  # subcommand, subcommand group


class Options:
    """Fills in one command for one person. `resolved` gathers the users, channels, ... that the options point at.

    `attachments` are those uploaded with the command; an ATTACHMENT option's value is the place in that list.
    """

    def __init__(
        self,
        world: Threads,
        server: Server | None,
        user_id: int,
        attachments: Sequence[Attachment] = (),
        focused: str = "",
    ) -> None:
        self._world, self._server, self._user_id = world, server, user_id
        self._attachments = attachments
        self._focused = focused  # the option being typed, of an autocomplete
        self.resolved: dict[str, dict[str, Any]] = {}

    def fill(self, known: Sequence[dict[str, Any]], given: dict[str, Any]) -> list[dict[str, Any]]:
        """`known`: the options as registered. `given`: name -> value; a subcommand is the name of a nested dict."""
        names = {option["name"] for option in known}
        for name in given:
            if name not in names:
                raise invalid_form(f"data.options.{name}", "UNKNOWN_OPTION", "This command has no such option.")
        nested = [option for option in known if option["type"] in _NESTED]
        if nested and len(given) != 1:
            raise invalid_form("data.options", "BASE_TYPE_REQUIRED", "One subcommand has to be chosen.")
        filled = []
        for option in known:
            name, kind = option["name"], option["type"]
            if name not in given or given[name] is None:
                if option.get("required") and not self._focused:
                    raise invalid_form(f"data.options.{name}", "BASE_TYPE_REQUIRED", "This option is required.")
                continue
            if kind in _NESTED:
                inner = self.fill(option.get("options") or [], given[name] or {})
                filled.append({"name": name, "type": kind, "options": inner})
            else:
                filled.append(self._value(option, given[name]))
        return filled

    def _value(self, option: dict[str, Any], given: Any) -> dict[str, Any]:
        name, kind = option["name"], option["type"]
        made: dict[str, Any] = {"name": name, "type": kind}
        if self._focused == name:
            return made | {"value": given, "focused": True}
        try:
            value = self._converted(kind, given)
        except (TypeError, ValueError, KeyError, IndexError):
            raise invalid_form(f"data.options.{name}", "BASE_TYPE_CONVERT", f"{given!r} does not fit.") from None
        self._check_bounds(option, value)
        return made | {"value": value}

    def _converted(self, kind: int, given: Any) -> Any:
        if kind == STRING:
            return str(given)
        if kind == INTEGER:
            return int(given)
        if kind == NUMBER:
            return float(given)
        if kind == BOOLEAN:
            return given if isinstance(given, bool) else str(given).lower() == "true"
        if kind == ATTACHMENT:
            file = self._attachments[int(given)]
            self._resolve("attachments", file.id, payloads.attachment(self._world, file))
            return str(file.id)
        self._point_at(kind, int(given))
        return str(int(given))

    def _point_at(self, kind: int, target_id: int) -> None:
        roles = {} if self._server is None else self._server.roles
        if kind == ROLE or (kind == MENTIONABLE and target_id in roles):
            self._resolve("roles", target_id, payloads.role(roles[target_id]))
        elif kind in (USER, MENTIONABLE):
            self.point_at_user(target_id)
        else:
            channel = self._world.visible(self._user_id, target_id)
            granted = self._world.permissions(self._user_id, channel)
            payload = payloads.channel(self._world, channel) | {"permissions": str(int(granted))}
            self._resolve("channels", target_id, payload)

    def point_at_user(self, target_id: int) -> None:
        self._resolve("users", target_id, payloads.user(self._world.users[target_id]))
        if self._server is not None and target_id in self._server.members:
            member = self._server.members[target_id]
            granted = self._world.server_permissions(target_id, self._server)
            payload = payloads.partial_member(member) | {"permissions": str(int(granted))}
            self._resolve("members", target_id, payload)

    def point_at_message(self, message_id: int) -> None:
        message = self._world.message(message_id)
        self._resolve("messages", message_id, payloads.message(self._world, message))

    def _resolve(self, group: str, target_id: int, payload: dict[str, Any]) -> None:
        self.resolved.setdefault(group, {})[str(target_id)] = payload

    @staticmethod
    def _check_bounds(option: dict[str, Any], value: Any) -> None:
        name, kind = option["name"], option["type"]
        choices = option.get("choices")
        if choices and value not in [choice["value"] for choice in choices]:
            raise invalid_form(f"data.options.{name}", "BASE_TYPE_CHOICES", "This is not one of the choices.")
        size, low, high = value, option.get("min_value"), option.get("max_value")
        if kind == STRING:
            size, low, high = len(value), option.get("min_length"), option.get("max_length")
        if kind in (STRING, INTEGER, NUMBER) and (
            (low is not None and size < low) or (high is not None and size > high)
        ):
            raise invalid_form(f"data.options.{name}", "NUMBER_TYPE_RANGE", f"Must be between {low} and {high}.")
