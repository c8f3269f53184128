"""The other side of the bot's benchmarks: our Discord in a process of its own, with people who write on command.

    python bench/discord_world.py CHANNELS WARM LONG

Prints one JSON line that says how to log in, then does what each JSON line on its input asks, and answers in one line.
Times are of the monotonic clock, which all processes of a Linux machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from local_discord.model import Channel
from local_discord.server import LocalDiscord
from local_discord.world import World

CHANNELS_PER_SERVER = 250  # Discord's own limit is 500
LINES = (
    "did you manage to get the sound working on the new kernel?",
    "not yet, alsa says no soundcards found",
    "try lspci | grep -i audio and paste what it says",
    "it says intel hda, the module is there but muted or so",
    "open alsamixer and press m on every channel that shows MM :)",
)


@dataclass(slots=True)
class Asked:
    """One message, and what became of it. `first` and `last`: its reply's first and last sign."""

    channel_id: int
    sent: float
    addressed: bool = True  # False: ordinary chatter, which is not to be answered
    first: float = 0.0
    last: float = 0.0
    replies: set[str] = field(default_factory=set)
    seen: int = 0  # characters of the reply
    done: bool = False


class Stage:
    """The world, whoever writes in it, and the clock."""

    def __init__(self, channels: int, warm: int, long: int) -> None:
        self.world = World()
        self.world.faults.message_limit = None  # the limits are not what is measured
        owner = self.world.add_user("Anna")
        self.people = [owner, self.world.add_user("Ben")]
        self.bot = self.world.add_bot("double", owner=owner)
        self.channels: list[Channel] = []  # where every message is for the bot
        self.halls: list[Channel] = []  # where people talk among themselves; the bot hears it
        self.hall_categories: list[Channel] = []
        self.asked: dict[int, Asked] = {}  # by message
        while len(self.channels) < channels:
            server = self.world.add_server(f"Server {len(self.world.servers)}", owner)
            self.world.add_member(server, self.people[1])
            self.world.invite(server, self.bot)
            here = min(CHANNELS_PER_SERVER, channels - len(self.channels))
            self.channels += [self.world.add_channel(server, f"room-{number}") for number in range(here)]
            halls = self.world.add_category(server, "halls")
            self.hall_categories.append(halls)
            self.halls += [self.world.add_channel(server, f"hall-{number}", halls) for number in range(here)]
        for channel in self.channels:
            for number in range(long if channel is self.channels[0] else warm):
                self.world.send(self.people[number % 2].id, channel.id, f"{LINES[number % len(LINES)]} ({number})")
        self.world.listen(self._hear)

    def _hear(self, event: Any) -> None:
        payload = event.payload
        if event.name not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or payload["author"]["id"] != str(self.bot.id):
            return
        reference = payload.get("message_reference") or {}
        asked = self.asked.get(int(reference.get("message_id") or 0))
        if asked is not None:
            if payload["id"] not in asked.replies:
                asked.replies.add(payload["id"])
                asked.first = asked.first or time.monotonic()
            if len(payload["content"]) != asked.seen:
                asked.last, asked.seen = time.monotonic(), len(payload["content"])
            asked.done = "talkalike:cancel" not in json.dumps(payload["components"])

    def send(self, number: int, words: str, *, addressed: bool = True) -> int:
        channels = self.channels if addressed else self.halls
        channel = channels[number % len(channels)]
        now = time.monotonic()
        message = self.world.send(self.people[0].id, channel.id, words)
        self.asked[message.id] = Asked(channel.id, now, addressed)
        return message.id

    async def flood(self, *, first: int, count: int, rate: float, addressed: float) -> dict[str, Any]:
        """`count` messages, one channel after the other, at an even rate; each says its number. `addressed`: the share
        of them that is for the bot.
        """
        began = time.monotonic()
        for number in range(first, first + count):
            wait = began + (number - first) / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            done = number - first
            before, after = int(done * addressed), int((done + 1) * addressed)
            place = first + (before if after > before else done - before)
            self.send(place, f"message {number}", addressed=after > before)
        return {"seconds": time.monotonic() - began}

    async def ask(self, *, channels: list[int], words: str) -> dict[str, Any]:
        """One message to each of these channels, at once."""
        return {"ids": [self.send(number, words) for number in channels]}

    async def report(self) -> dict[str, Any]:
        """What was asked since the last report, and how it was answered. Then forgotten."""
        asked, self.asked = self.asked, {}
        return {
            "asked": [
                {"id": key, "channel_id": one.channel_id, "sent": one.sent, "addressed": one.addressed,
                 "first": one.first, "last": one.last, "replies": len(one.replies), "characters": one.seen}
                for key, one in asked.items()
            ]
        }  # fmt: skip

    async def answered(self, *, count: int, quiet: float, patience: float) -> dict[str, Any]:
        """Waits until so many messages have their whole reply and nothing more has come for `quiet` seconds."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            done = [one for one in self.asked.values() if one.done]
            if len(done) >= count and max(one.last for one in done) + quiet < time.monotonic():
                break
            await asyncio.sleep(0.01)
        return {"answered": sum(one.done for one in self.asked.values())}


async def main() -> None:
    """Until its input ends."""
    stage = Stage(*map(int, sys.argv[1:4]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with LocalDiscord(stage.world) as wire:
        start = {
            "api": wire.api_base,
            "gateway": wire.gateway_url,
            "token": stage.bot.token,
            "channels": [[one.server_id, one.id] for one in stage.channels],
            "hall_categories": [[one.server_id, one.id] for one in stage.hall_categories],
        }
        print(json.dumps(start), flush=True)
        while line := await reader.readline():
            command = json.loads(line)
            print(json.dumps(await getattr(stage, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
