"""An engine whose label probabilities a test controls: a preference for replies, and a liking for the first place."""

from __future__ import annotations

import math
from collections.abc import Callable

from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine


class PreferringEngine(ScriptedEngine):
    """Prefers the reply with the higher `preference` in nats, and the first one by `bias` nats."""

    def __init__(
        self,
        preference: Callable[[str], float],
        *,
        bias: float = 0.0,
        replies: list[list[str]] | None = None,
        **options,
    ) -> None:
        super().__init__(replies or [["ok"]], **({"name": "wise"} | options))
        self.preference, self.bias = preference, bias
        self.asked: list[Prompt] = []

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        self.asked.append(prompt)
        first, second = replies_in(prompt)
        difference = self.preference(first) - self.preference(second) + self.bias
        chance = 1 / (1 + math.exp(-difference))
        # Neither label is likely: only their share of what both have together counts. The last is the closing.
        return [math.log(0.1 * (chance if text == "1" else 1 - chance)), -3.0 if text == "1" else -9.0]


def replies_in(prompt: Prompt) -> tuple[str, str]:
    """The two replies as they stand in the question."""
    (_, rest) = prompt.turns[-1].text.split("\n\nReply 1:\n")
    first, rest = rest.split("\n\nReply 2:\n")
    second = rest.split("\n\n")[0]
    return tuple("\n".join(line.removeprefix("> ") for line in one.split("\n")) for one in (first, second))
