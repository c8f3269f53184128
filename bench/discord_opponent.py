"""The straightforward bot: every message reads the channel anew, tokenises all of it, and calls `generate`.

    python bench/discord_opponent.py API GATEWAY TOKEN MODEL_FOLDER MESSAGES NEW [--thread]

What most bots around a local model do. `generate` runs in the event loop, or in a thread with `--thread`; one call at a
time either way, since the model is one. Prints "ready", and when its input ends one JSON line with the loop's pauses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import discord
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from talkalike.discord_bot.running import point_at


class Straightforward(discord.Client):
    """Answers every message of a person."""

    def __init__(self, asked: argparse.Namespace) -> None:
        wanted = discord.Intents.default()
        wanted.message_content = True
        super().__init__(intents=wanted, guild_ready_timeout=0.5)
        self.asked = asked
        self.tokenizer = AutoTokenizer.from_pretrained(asked.model)
        self.model = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)  # as ours
        self.one_at_a_time = asyncio.Lock()
        self.tokens = 0

    async def on_message(self, message: discord.Message) -> None:
        """Reads, generates, sends."""
        if message.author.bot:
            return
        async with message.channel.typing():
            past = [one async for one in message.channel.history(limit=self.asked.messages)]
            turns = "".join(f"<|im_start|>{one.author.name}\n{one.content}<|im_end|>\n" for one in reversed(past))
            prompt = f"{turns}<|im_start|>{self.user.name if self.user else 'bot'}\n"
            if self.asked.thread:
                async with self.one_at_a_time:
                    words = await asyncio.to_thread(self.generate, prompt)
            else:
                words = self.generate(prompt)
        await message.channel.send(words.strip()[:2000] or "...", reference=message)

    def generate(self, prompt: str) -> str:
        """The whole reply at once."""
        ids = self.tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            written = self.model.generate(
                **ids, max_new_tokens=self.asked.new, min_new_tokens=self.asked.new, do_sample=False
            )
        new = written[0, ids["input_ids"].shape[1] :]
        self.tokens += len(new)
        return str(self.tokenizer.decode(new, skip_special_tokens=True))


async def longest_pauses(seconds: list[float]) -> None:
    """How late somebody comes who wants to run every 5 ms."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        seconds.append(time.monotonic() - before - 0.005)


async def main() -> None:
    """Until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("api", "gateway", "token", "model"):
        parser.add_argument(name)
    parser.add_argument("messages", type=int)
    parser.add_argument("new", type=int)
    parser.add_argument("--thread", action="store_true")
    asked = parser.parse_args()
    point_at(asked.api, asked.gateway)
    bot = Straightforward(asked)
    await bot.login(asked.token)
    running = asyncio.create_task(bot.connect())
    await bot.wait_until_ready()
    late: list[float] = []
    watching = asyncio.create_task(longest_pauses(late))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    watching.cancel()
    report: dict[str, Any] = {"longest_pause_s": max(late), "tokens": bot.tokens}
    print(json.dumps(report), flush=True)
    await bot.close()
    await running


if __name__ == "__main__":
    asyncio.run(main())
