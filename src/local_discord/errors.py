"""What this Discord answers when it refuses: an HTTP status, Discord's own number for it, and its words.

The numbers are those of Discord's table of JSON error codes; clients branch on them, so they have to be right.
"""

from __future__ import annotations

from typing import Any


class PageError(Exception):
    """What the page asked for cannot be done: `what` happened, and `hint`, what to do next; `str()` joins both."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()


class DiscordError(Exception):
    """A refusal as the API puts it. `errors` is the tree of a rejected form (code 50035)."""

    def __init__(self, status: int, code: int, message: str, *, errors: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    def payload(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


_UNKNOWN = {
    "Account": 10001,
    "Application": 10002,
    "Channel": 10003,
    "Guild": 10004,
    "Member": 10007,
    "Message": 10008,
    "Role": 10011,
    "User": 10013,
    "Emoji": 10014,
    "Webhook": 10015,
    "Interaction": 10062,
    "Application Command": 10063,
}


def unknown(what: str) -> DiscordError:
    """404: there is no such `what` (one of Discord's names: Channel, Message, ...)."""
    return DiscordError(404, _UNKNOWN[what], f"Unknown {what}")


def missing_access() -> DiscordError:
    return DiscordError(403, 50001, "Missing Access")


def missing_permissions() -> DiscordError:
    return DiscordError(403, 50013, "Missing Permissions")


def unauthorized() -> DiscordError:
    return DiscordError(401, 0, "401: Unauthorized")


def too_large() -> DiscordError:
    return DiscordError(413, 40005, "Request entity too large")


def invalid_form(path: str, code: str, message: str) -> DiscordError:
    """400/50035. `path` is dotted, as in `embeds.0.description`."""
    tree: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(path.split(".")):
        tree = {key: tree}
    return DiscordError(400, 50035, "Invalid Form Body", errors=tree)
