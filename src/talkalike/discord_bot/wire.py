"""Where Discord is: discord.py knows one address, and this is the one place that changes it."""

from __future__ import annotations

import discord
import yarl


def point_at(api_base: str, gateway_url: str) -> None:
    """Lets every client of this process talk to another server, such as our local Discord.

    `api_base` is like "http://127.0.0.1:8080/api/v10", `gateway_url` like "ws://127.0.0.1:8080/gateway". Call it before
    a client logs in. discord.py has no setting for this; both names are its own (seen in 2.7.1).
    """
    discord.http.Route.BASE = api_base
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
