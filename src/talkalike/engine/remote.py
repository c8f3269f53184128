"""The remote engine: any server that speaks OpenAI's chat completions.

The double's turns go as the assistant's, everyone else's as the user's with a `name`. Our own server (found out by
`connect`) takes real names and marks where one message of a burst ends; from any other server each line is a message.
"""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from talkalike.engine.api_fields import whole
from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.remote_http import Connection, Retries, conversation_header, open_client, refusal, unreachable
from talkalike.engine.remote_reply import Lines, marked_pieces
from talkalike.engine.token_wire import LEAST_TOP_P
from talkalike.errors import UserError
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn, speaker_name

_BYTES_PER_TOKEN = 3  # a cautious guess where the server's tokenizer is not known
_FRAME_TOKENS = 8
_DEFAULT_CONTEXT = 8192  # where the server does not say
_FORBIDDEN_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServer:
    """What is known of a server. `is_ours`: it understands talkalike's extensions. `names_in_text`: put the speaker's
    name before each text, for servers that ignore the field `name`. `templated`: its chat template is the one of our
    exports, so names go as they are, each turn with its own. `retries` and `retry_delay`: how often, and how
    many seconds at first, to wait after a failure that may pass.
    """

    base_url: str  # with the version, e.g. http://127.0.0.1:8000/v1
    model: str
    context_length: int = _DEFAULT_CONTEXT
    is_ours: bool = False
    names_in_text: bool = False
    templated: bool = False
    retries: int = 3
    retry_delay: float = 0.5


class RemoteEngine:
    """An `Engine` over a server. `notes`: what a person should know of this server, in sentences.

    The key is sent with each request and shown nowhere.
    """

    def __init__(self, server: RemoteServer, *, api_key: str = "", notes: tuple[str, ...] = ()) -> None:
        self.notes = notes
        self._server = server
        patience = Retries(retries=server.retries, delay=server.retry_delay)
        self._connection = Connection(server.base_url, api_key=api_key, patience=patience)

    @classmethod
    async def connect(
        cls, base_url: str, *, model: str = "", api_key: str = "", names_in_text: bool = False
    ) -> RemoteEngine:
        """Asks the server which models it has. `model` may be left out where it has only one, and at our own, whose
        first model is meant then.

        Raises UserError for a wrong address, key or model name, TalkalikeError when the server does not answer.
        """
        card = await find_card(base_url, model, api_key=api_key)
        facts = card.get("talkalike") or {}
        length = facts.get("context_length") or card.get("max_model_len") or _DEFAULT_CONTEXT
        server = RemoteServer(
            base_url=base_url,
            model=str(card["id"]),
            context_length=int(length),
            is_ours=card.get("owned_by") == "talkalike",
            names_in_text=names_in_text,
        )
        return cls(server, api_key=api_key)

    @property
    def name(self) -> str:
        return self._server.model

    @property
    def context_length(self) -> int:
        """As the server states it, else as given."""
        return self._server.context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        """A cautious estimate from the texts' bytes: the tokenizer is on the other side."""
        return [
            _FRAME_TOKENS + -(-len((turn.speaker + turn.text).encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
            for turn in turns
        ]

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply as it arrives. Failures that may pass are tried again until the first piece has arrived."""
        sampling.check()
        if sampling.best_of > 1 and not self._server.is_ours:
            raise UserError(
                f"The server at {self._server.base_url} does not choose the best of several replies.",
                hint="Set best_of to 1.",
            )
        body = await asyncio.to_thread(self._body, prompt, sampling)
        address = "chat/completions" if prompt.raw is None else "completions"
        headers = conversation_header(self._server.model, prompt.conversation)
        choices = self._connection.choices(address, body, headers=headers)
        templated = self._server.templated  # such a server ends where the first message is closed
        marked = self._server.is_ours or templated or prompt.raw is not None  # else each line is a message
        async with aclosing(marked_pieces(choices) if marked else Lines(sampling).pieces(choices)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        await self._connection.close()

    def _body(self, prompt: Prompt, sampling: Sampling) -> bytes:
        """The request. Made in a thread: a long one would hold up the loop."""
        return json.dumps(self._question(prompt) | self._sampling_fields(sampling, raw=prompt.raw is not None)).encode()

    def _question(self, prompt: Prompt) -> dict[str, Any]:
        """The fields that say what is to be answered, for the address it goes to."""
        body: dict[str, Any] = {"model": self._server.model, "stream": True}
        if self._server.is_ours and prompt.conversation:
            body["conversation"] = prompt.conversation
        if prompt.raw is not None:
            raw = prompt.raw
            return body | {"prompt": whole(raw) if isinstance(raw, str) else list(raw)}
        names = {} if self._server.is_ours else api_names([turn.speaker for turn in prompt.turns])
        body["messages"] = [self._message(turn, prompt.speaker, names) for turn in prompt.turns]
        return body | ({"speaker": prompt.speaker, "reactions": True} if self._server.is_ours else {})

    def _sampling_fields(self, sampling: Sampling, *, raw: bool) -> dict[str, Any]:
        """The sampling fields: for our own server all of them."""
        if not self._server.is_ours:
            return fields_for_any(sampling)
        body = {key: value for key, value in asdict(sampling).items() if value is not None}
        if raw:
            del body["max_messages"], body["best_of"]
        return body | {"logprobs": 0 if raw else True}

    def _message(self, turn: Turn, speaker: str, names: dict[str, str]) -> dict[str, str]:
        if not (self._server.is_ours or self._server.templated):  # to others a reaction is its emoji
            turn = Turn(turn.speaker, plain(turn.text))
        message = self._chat_message(turn, speaker, names)
        return {field: whole(value) for field, value in message.items()}

    def _chat_message(self, turn: Turn, speaker: str, names: dict[str, str]) -> dict[str, str]:
        if self._server.templated:
            role = "assistant" if turn.speaker == speaker else "user"
            return {"role": role, "name": speaker_name(turn.speaker), "content": turn.text}
        if turn.speaker == speaker:
            return {"role": "assistant", "content": turn.text}
        if turn.speaker == "system":
            return {"role": "system", "content": turn.text}
        if self._server.is_ours:
            return {"role": "user", "name": turn.speaker, "content": turn.text}
        text = f"{turn.speaker}: {turn.text}" if self._server.names_in_text else turn.text
        return {"role": "user", "name": names[turn.speaker], "content": text}


def fields_for_any(sampling: Sampling) -> dict[str, Any]:
    """The sampling fields for a server that is not ours: of those that OpenAI does not have, the ones that are used."""
    body = {key: value for key, value in asdict(sampling).items() if value is not None}
    off = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    extensions = {"max_messages", "best_of"} | {key for key, value in off.items() if body[key] == value}
    body["top_p"] = max(sampling.top_p, LEAST_TOP_P)
    return {key: value for key, value in body.items() if key not in extensions}


def api_names(speakers: Sequence[str]) -> dict[str, str]:
    """Each speaker's name in the characters OpenAI allows (64 letters, digits, '_' and '-'), no two the same."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    last: Counter[str] = Counter()  # how far the numbers behind each stem have come
    for speaker in dict.fromkeys(speakers):
        plain = unicodedata.normalize("NFKD", speaker).encode("ascii", "ignore").decode()
        name = stem = _FORBIDDEN_IN_NAMES.sub("_", plain).strip("_")[:60] or "someone"
        while name in taken:
            last[stem] = max(2, last[stem] + 1)
            name = f"{stem}_{last[stem]}"
        taken.add(name)
        names[speaker] = name
    return names


async def find_card(base_url: str, model: str, *, api_key: str) -> dict[str, Any]:
    """What the server says of this model, which may be left out where it has only one.

    Raises UserError for a wrong address, key or model name, TalkalikeError when the server does not answer.
    """
    async with open_client(base_url, api_key) as client:
        try:
            response = await client.get("models")
        except httpx.HTTPError as problem:
            raise unreachable(base_url, problem) from None
    if response.status_code >= 400:
        raise refusal(response.status_code, response.text, base_url)
    return pick_card(response, model, base_url)


def pick_card(response: httpx.Response, model: str, base_url: str) -> dict[str, Any]:
    """The entry of this model in the answer to `models`; UserError where it is not there, with what is."""
    try:
        cards = {str(card["id"]): card for card in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"The server at {base_url} does not speak OpenAI's API.", hint="The address usually ends in /v1."
        ) from None
    if model in cards:
        return dict(cards[model])
    first = dict(next(iter(cards.values()), {}))
    if not model and (len(cards) == 1 or first.get("owned_by") == "talkalike"):
        return first
    listed = ", ".join(sorted(cards)[:10]) or "none"
    raise UserError(
        f"Which model? '{model}' is not at {base_url}." if model else "Which model?", hint=f"It has: {listed}."
    )
