"""One server reached over HTTP: what it streams back, what is tried again, and what its refusals mean."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from talkalike.engine.protocol import ContextTooLongError, EngineBusyError
from talkalike.engine.remote_reply import BrokenOffError, server_events
from talkalike.errors import TalkalikeError, UserError

_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
_LONGEST_WAIT = 30.0
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})  # of OpenAI, of llama.cpp
CONVERSATION_HEADER = "x-talkalike-conversation"
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often, and how many seconds at first, to wait after a failure that may pass."""

    retries: int = 3
    delay: float = 0.5


class Connection:
    """A server by its address. The key is sent with each request and shown nowhere."""

    def __init__(self, base_url: str, *, api_key: str, patience: Retries) -> None:
        self._base_url = base_url
        self._patience = patience
        self._client = open_client(base_url, api_key)

    async def choices(
        self, address: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What the server streams back. Failures that may pass are tried again until it has said something."""
        for attempt in range(self._patience.retries + 1):
            started = False
            try:
                async with aclosing(self._attempt(address, body, headers or {})) as choices:
                    async for choice in choices:
                        started = started or _says_something(choice)
                        yield choice
                return
            except _MayPassError as failure:
                if started or attempt == self._patience.retries:
                    raise failure.error from None
                backoff = self._patience.delay * 2**attempt * random.uniform(0.75, 1.25)
                wait = min(_LONGEST_WAIT, max(failure.wait, backoff))
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Ends its connections."""
        await self._client.aclose()

    async def _attempt(
        self, address: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async with self._client.stream("POST", address, content=body, headers={**_JSON, **headers}) as response:
                if response.status_code >= 400:
                    text = (await response.aread()).decode("utf-8", "replace")
                    raise _failure(response, text, self._base_url)
                async with aclosing(server_events(response.aiter_bytes())) as events:
                    async for choice in events:
                        yield choice
        except BrokenOffError as problem:
            raise _MayPassError(problem) from None
        except httpx.HTTPError as problem:
            raise _MayPassError(unreachable(self._base_url, problem)) from None


def conversation_header(model: str, conversation: str) -> dict[str, str]:
    """What tells a router in front of several servers which of them has this conversation in memory. It says nothing
    about the conversation itself.
    """
    if not conversation:
        return {}
    return {CONVERSATION_HEADER: hashlib.blake2b(f"{model}\n{conversation}".encode(), digest_size=8).hexdigest()}


def _says_something(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or choice.get("token_ids") or delta.get("content") or choice.get("finish_reason"))


class _MayPassError(Exception):
    """A failure that trying again may cure; `wait` is what the server asked for, in seconds."""

    def __init__(self, error: TalkalikeError, wait: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def open_client(base_url: str, api_key: str) -> httpx.AsyncClient:
    """A client for this address. UserError where it cannot be one."""
    with sendable():
        url = base_url.rstrip("/") + "/"
        return httpx.AsyncClient(base_url=url, headers=authorization(api_key), timeout=_TIMEOUT)


def authorization(api_key: str) -> dict[str, str]:
    """The header that tells the key; none where there is no key."""
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


@contextmanager
def sendable() -> Iterator[None]:
    """Within it, an address or a key that cannot be sent is a UserError."""
    try:
        yield
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise UserError("The server's address or the API key contains characters that cannot be sent.") from None


def _failure(response: httpx.Response, text: str, base_url: str) -> Exception:
    error = refusal(response.status_code, text, base_url)
    if response.status_code == 429 or response.status_code >= 500:
        asked = response.headers.get("retry-after", "")
        return _MayPassError(error, float(asked) if re.fullmatch(r"\d{1,4}(\.\d+)?", asked) else 0.0)
    return error


def refusal(status: int, text: str, base_url: str) -> TalkalikeError:
    """What an answer with this status means, with the server's own words."""
    said, code = _read_error(text)
    if status in (401, 403):
        return UserError(f"The server at {base_url} refused the API key.", hint="Set the key that belongs to it.")
    if status == 404:
        return UserError(f"The server at {base_url} does not know this model or address{said}.")
    if code in _TOO_LONG or "maximum context length" in said:
        return ContextTooLongError(f"The conversation is too long for the server's model{said}.")
    if status == 429:
        return EngineBusyError(f"The server at {base_url} is busy or its quota is used up{said}.", hint="Try later.")
    if status >= 500:
        return TalkalikeError(f"The server at {base_url} failed with status {status}{said}.")
    return UserError(f"The server at {base_url} refused the request with status {status}{said}.")


def _read_error(text: str) -> tuple[str, str]:
    """The server's own sentence, ready to be appended, and its error code."""
    try:
        error = json.loads(text)["error"]
        code = error.get("code")
        return f": {str(error['message'])[:300].rstrip('.')}", str(code if isinstance(code, str) else error.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def unreachable(base_url: str, problem: httpx.HTTPError) -> TalkalikeError:
    """Why no answer came."""
    if isinstance(problem, httpx.UnsupportedProtocol):
        return UserError(f"{base_url} is not an address.", hint="It must begin with http:// or https://.")
    if isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout):
        return TalkalikeError(f"No server answers at {base_url}.", hint="Is it running, and is the address right?")
    if isinstance(problem, httpx.TimeoutException):
        return TalkalikeError(f"The server at {base_url} took too long to answer.")
    return TalkalikeError(f"The connection to {base_url} was lost.", hint="Try again.")
