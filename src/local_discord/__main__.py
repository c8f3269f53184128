"""`python -m local_discord`: a server with two people and a bot that you can log in as, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import sys

from local_discord.model import Bot
from local_discord.server import LocalDiscord
from local_discord.world import World

PORT = 8485


def made_world(bot_name: str) -> tuple[World, Bot]:
    """Two people on one server with two channels, and a bot that is invited and has a direct message with one."""
    world = World()
    alex, kim = world.add_user("Alex"), world.add_user("Kim")
    server = world.add_server("Workshop", alex)
    world.add_member(server, kim)
    world.add_channel(server, "general")
    world.add_channel(server, "testing")
    bot = world.add_bot(bot_name, owner=alex)
    world.invite(server, bot)
    world.open_dm(alex.id, bot.id)
    return world, bot


async def serve(*, port: int, bot_name: str) -> None:
    """Serves until it is cancelled. Raises OSError where the port is taken."""
    world, bot = made_world(bot_name)
    async with LocalDiscord(world, port=port) as server:
        lines = (
            f"The page to talk in:  {server.page_url}",
            f"The bot's token:      {bot.token}",
            "Before your bot logs in:",
            f'  discord.http.Route.BASE = "{server.api_base}"',
            f'  discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL("{server.gateway_url}")',
            "Ctrl-C ends it; nothing is kept.",
        )
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 after Ctrl-C, 2 where the port cannot be opened."""
    parser = argparse.ArgumentParser(prog="python -m local_discord", description="A small Discord on this computer.")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of this computer (default {PORT}, 0: a free one)")
    parser.add_argument("--bot", default="Bot", help="the name of the bot that is on the server")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(serve(port=given.port, bot_name=given.bot))
    except KeyboardInterrupt:
        return 0
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Port {given.port} cannot be opened: {error}. Choose another one with --port.\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
