"""Asking Discord for something: never for long, and every way it can fail is one error in words.

    message = await ask(channel.fetch_message(number), "the message it answers")
    newest = await messages(channel, "what was said here", limit=200)

A reply asks through a `Patience`: each of its questions waits `EACH` seconds at most, and all of them `TOGETHER`.
What could not be read is the caller's to leave out or to name; a reply never fails for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiohttp
import discord

from talkalike.errors import TalkalikeError

EACH = 3.0  # seconds for one question
TOGETHER = 6.0  # seconds for everything that one reply asks
UNREACHABLE = (discord.DiscordException, aiohttp.ClientError, OSError)  # a time-out is an OSError
GARBAGE = (LookupError, TypeError, ValueError, AttributeError)  # what reading an answer of another shape raises
ANSWERED = "the message that this one answers"

T = TypeVar("T")

_log = logging.getLogger(__name__)


class UnreadError(TalkalikeError):
    """It could not be read. `absent`: Discord said that it is not there, or not for the bot; asking again is no use."""

    def __init__(self, what: str, why: str, *, absent: bool = False, hint: str = "") -> None:
        self.why = f"could not be read: {why}"
        super().__init__(f"{what[:1].upper()}{what[1:]} {self.why}.", hint=hint)
        self.absent = absent


class Patience:
    """The time one reply has for its questions."""

    def __init__(self) -> None:
        self._ends = asyncio.get_running_loop().time() + TOGETHER

    async def ask(self, question: Awaitable[T], what: str) -> T:
        """As `ask`, within what is left."""
        left = self._ends - asyncio.get_running_loop().time()
        return await ask(question, what, seconds=min(EACH, max(0.0, left)))


async def ask(question: Awaitable[T], what: str, *, seconds: float | None = None) -> T:
    """The answer of one of discord.py's readings. `what` is read, in words. Raises UnreadError for every failure."""
    try:
        async with asyncio.timeout(EACH if seconds is None else seconds):
            return await question
    except discord.NotFound:
        raise UnreadError(what, "it is not there any more", absent=True) from None
    except discord.Forbidden as error:
        raise UnreadError(what, f"Discord does not let me ({error.text or error.status})", absent=True) from None
    except TimeoutError:
        why = "there was no answer in time"
    except discord.HTTPException as error:
        why = f"Discord answered with error {error.status}"
    except UNREACHABLE as error:
        why = f"the connection failed ({type(error).__name__})"
    except GARBAGE as error:
        why = f"the answer made no sense ({type(error).__name__})"
        _log.warning("%s made no sense", what, exc_info=_log.isEnabledFor(logging.DEBUG))
    _log.info("Not read: %s, %s.", what, why)
    raise UnreadError(what, why, hint="Try again in a minute.")


async def messages(channel: discord.abc.Messageable, what: str, **wanted: Any) -> list[discord.Message]:
    """A channel's history, as discord.py orders it. `wanted`: what its `history` takes. Raises UnreadError."""

    async def read() -> list[discord.Message]:
        return [message async for message in channel.history(**wanted)]

    return await ask(read(), what)
