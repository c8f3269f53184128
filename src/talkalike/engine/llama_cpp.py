"""llama.cpp in this process, through `xllamacpp`: one C++ loop writes all replies, each read by a thread of its own.

Prefixes are reused by llama.cpp itself: a conversation that goes on finds the slot, or the memory beside the slots,
that holds the longest beginning of its prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talkalike.engine.protocol import ContextTooLongError
from talkalike.engine.remote_reply import choice_of
from talkalike.engine.token_wire import Continuation, WrittenToken, request_fields, said_in
from talkalike.errors import TalkalikeError, UserError

SLOTS = 4  # replies at once; each has a whole context of its own
LONGEST_CONTEXT = 8192  # tokens a slot holds, where the model could read more
_MEMORY_MB = 1024  # for conversations that are not in a slot

_Told = dict[str, Any] | None  # what the C++ side says; None: it is over


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaSettings:
    """How the file is loaded. `context`: tokens of each slot; `threads`: 0 is llama.cpp's own choice.

    `exact`: keys and values are kept in float32, too, so that nothing is rounded anywhere.
    """

    context: int
    slots: int = SLOTS
    threads: int = 0
    exact: bool = False


class LlamaCpp:
    """A `TokenServer` over a GGUF file."""

    def __init__(self, file: Path, settings: LlamaSettings) -> None:
        self._server = _load(file, settings)
        self._running: set[threading.Thread] = set()
        self._closed = threading.Event()
        self.reused = 0  # tokens of prompts that were read before, of all replies together

    async def continue_ids(self, asked: Continuation) -> AsyncGenerator[WrittenToken, None]:
        """The tokens as they are written. Closing the generator ends the writing after the token at work."""
        if self._closed.is_set():
            raise TalkalikeError("The engine is closed.")
        loop, told, left = asyncio.get_running_loop(), asyncio.Queue[_Told](), threading.Event()
        reading = threading.Thread(
            target=self._run, args=(asked, _tell(loop, told), left), name="llama.cpp reply", daemon=True
        )
        self._running.add(reading)
        reading.start()
        try:
            while (event := await told.get()) is not None:
                for said in self._said(event):
                    yield said
            if self._closed.is_set():
                raise TalkalikeError("The engine was closed.")
        finally:
            left.set()

    @property
    def running(self) -> int:
        """Replies that are being written."""
        return len(self._running)

    async def close(self) -> None:
        """Ends running replies, then frees the model. Safe to call twice."""
        self._closed.set()
        await asyncio.to_thread(self._free)

    def _run(self, asked: Continuation, tell: Callable[[_Told], None], left: threading.Event) -> None:
        """In a thread: hands down what the C++ side says until nobody wants more."""
        body = request_fields(asked) | {"stream": True, "return_progress": True}

        def take(event: dict[str, Any]) -> bool:
            tell(event)
            return left.is_set() or self._closed.is_set()

        try:
            self._server.handle_completions(body, take)
        except Exception as failure:  # noqa: BLE001  # told to whoever reads, in the loop
            tell({"error": {"message": str(failure)}})
        finally:
            tell(None)
            self._running.discard(threading.current_thread())

    def _said(self, event: dict[str, Any]) -> list[WrittenToken]:
        error = event.get("error")
        if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
            raise ContextTooLongError("The conversation is longer than what llama.cpp was loaded for.")
        usage = event.get("usage") or {}
        self.reused += int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        choice = choice_of(event)
        return list(said_in(choice)) if choice is not None else []

    def _free(self) -> None:
        for thread in list(self._running):
            thread.join()
        self._server = None  # its last reference: the C++ side ends its loop and gives the memory back


def _tell(loop: asyncio.AbstractEventLoop, told: asyncio.Queue[_Told]) -> Callable[[_Told], None]:
    def tell(event: _Told) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever read
            loop.call_soon_threadsafe(told.put_nowait, event)

    return tell


def require_llama_cpp() -> None:
    """Raises UserError where the extra is missing."""
    if find_spec("xllamacpp") is None:
        raise UserError(
            "llama.cpp is not installed.",
            hint="pip install 'talkalike[llama-cpp]', or set kind = \"local\" in [engine].",
        )


def _load(file: Path, settings: LlamaSettings) -> Any:
    """The model in memory. UserError where the extra is missing or the file cannot be read."""
    require_llama_cpp()
    import xllamacpp  # an extra: most people never need it

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_parallel = settings.slots
    parameters.n_ctx = settings.slots * settings.context
    parameters.cache_ram_mib = _MEMORY_MB
    parameters.warmup = False
    parameters.verbosity = 0
    if settings.exact:
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    if settings.threads:
        parameters.cpuparams.n_threads = settings.threads
    # It opens a port of its own beside our calls. Nobody is told its key.
    parameters.hostnames = ["127.0.0.1"]
    parameters.api_keys = [secrets.token_urlsafe(32)]
    parameters.ui = parameters.endpoint_slots = False
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError:
        raise UserError(
            f"llama.cpp cannot load {file}.",
            hint="Delete the file, then start again: it is written anew. Or there is not enough memory for it.",
        ) from None
