"""The bot's application at Discord: checked over REST before anything is started, and the link that invites it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import discord
import httpx

from talkalike.discord_bot.rights import RIGHTS
from talkalike.errors import TalkalikeError, UserError

API = "https://discord.com/api/v10"
PORTAL = "https://discord.com/developers/applications"

# What the bot does, and so what it asks for: nothing that it does not use.
PERMISSIONS = discord.Permissions(use_application_commands=True, **{right.flag: True for right in RIGHTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What Discord says about the bot behind a token. An intent may be allowed in full or for small bots only."""

    id: int
    bot_name: str
    owner_id: int | None
    owner_name: str
    message_content: bool
    public: bool
    servers: int | None

    @property
    def invite_link(self) -> str:
        """The address that adds the bot to a server of whoever opens it, with the permissions it uses."""
        return invite_link(self.id)

    @property
    def problems(self) -> tuple[str, ...]:
        """What has to be changed in the developer portal, in words."""
        page = f"{PORTAL}/{self.id}/bot"
        off = f"The intent 'Message Content' is off, so the bot would read empty messages: switch it on at {page}"
        return () if self.message_content else (off,)


def invite_link(application_id: int) -> str:
    """The address that adds the bot to a server."""
    query = urlencode(
        {"client_id": application_id, "permissions": PERMISSIONS.value, "scope": "bot applications.commands"}
    )
    return f"https://discord.com/oauth2/authorize?{query}"


def check(token: str, *, api: str = API) -> Application:
    """Asks Discord who the token belongs to. UserError for a wrong token, TalkalikeError if it is unreachable."""
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (https://pypi.org/project/talkalike, 0)"}
    try:
        with httpx.Client(base_url=f"{api}/", headers=headers, timeout=15, follow_redirects=False) as client:
            user = _answer(client.get("users/@me"))
            application = _answer(client.get("oauth2/applications/@me"))
    except httpx.HTTPError as problem:
        raise TalkalikeError(
            f"Discord could not be reached: {problem or type(problem).__name__}.",
            hint="Check the connection to the internet, then run this again.",
        ) from None
    flags = discord.ApplicationFlags._from_value(int(application.get("flags", 0)))
    owner: dict[str, Any] = application.get("owner") or {}
    team: dict[str, Any] = application.get("team") or {}
    owner_id = team.get("owner_user_id") or owner.get("id")
    return Application(
        id=int(application["id"]),
        bot_name=str(user.get("username", "")),
        owner_id=int(owner_id) if owner_id else None,
        owner_name=str(owner.get("username", "")),
        message_content=flags.gateway_message_content or flags.gateway_message_content_limited,
        public=bool(application.get("bot_public", True)),
        servers=application.get("approximate_guild_count"),
    )


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.status_code == 401:
        raise UserError(
            "Discord does not know this token.",
            hint=f"Make a new one at {PORTAL} (your application, Bot, Reset Token) and copy all of it.",
        )
    if response.status_code != 200:
        raise TalkalikeError(f"Discord answered with {response.status_code}.", hint="Try again in a few minutes.")
    data: dict[str, Any] = response.json()
    return data
