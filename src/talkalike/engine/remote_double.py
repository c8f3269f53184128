"""A double of ours behind somebody else's server: by token ids where it takes them, else by named messages.

What a server takes is tried with one small request, not believed by its name: that proves the whole way, proxies too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
from tokenizers.decoders import ByteLevel

from talkalike.engine.protocol import Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer, pick_card
from talkalike.engine.remote_http import (
    Connection,
    Retries,
    authorization,
    conversation_header,
    refusal,
    sendable,
    unreachable,
)
from talkalike.engine.token_engine import DoubleText, TokenEngine
from talkalike.engine.token_wire import Continuation, WrittenToken, request_fields, said_in
from talkalike.errors import TalkalikeError, UserError

_TRIAL = "it's 12 o'clock 😂 ahoj"  # what two vocabularies hardly cut alike by chance
_TRIAL_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_TAKES_NO_IDS = frozenset({400, 404, 405, 415, 422, 501})
_ONLY_MESSAGES = (
    "The server at {url} takes no token ids, so it is sent messages that name who writes. They become the text that "
    "'{name}' was trained on only through the chat template that `talkalike export {name}` writes: start the server "
    "with it. A reply is one message."
)
_NO_IDS_BACK = (
    "The server at {url} does not tell which tokens it wrote. What a character is made of, and whether a burst goes "
    "on, is read from its text instead."
)
_NO_LOGPROBS = (
    "The server at {url} tells no log-probabilities, so replies have none; at temperature 0, a burst goes on where the "
    "likeliest tokens say so."
)


class HttpTokens:
    """A `TokenServer` at an address, by OpenAI's `completions`."""

    def __init__(self, base_url: str, *, model: str, api_key: str = "", patience: Retries | None = None) -> None:
        self._model = model
        self._connection = Connection(base_url, api_key=api_key, patience=patience or Retries())

    async def continue_ids(self, asked: Continuation) -> AsyncGenerator[WrittenToken, None]:
        """The tokens as they arrive. Failures that may pass are tried again until the first has."""
        body = await asyncio.to_thread(self._body, asked)
        headers = conversation_header(self._model, asked.conversation)
        async with aclosing(self._connection.choices("completions", body, headers=headers)) as choices:
            async for choice in choices:
                for said in said_in(choice):
                    yield said

    async def close(self) -> None:
        await self._connection.close()

    def _body(self, asked: Continuation) -> bytes:
        return json.dumps({"model": self._model, "stream": True} | request_fields(asked)).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a trial showed of a server: its entry for the model, whether it takes ids, and whether it tells them."""

    card: Mapping[str, Any]
    takes_ids: bool
    tells_ids: bool = False
    tells_logprobs: bool = False


def connect_double(
    double: DoubleText, base_url: str, *, model: str = "", api_key: str = ""
) -> RemoteEngine | TokenEngine:
    """The double as the server at this address computes it. `model`: its name there; "": the double's own.

    Raises UserError for a wrong address, key or name and for a model of another vocabulary, TalkalikeError when the
    server does not answer.
    """
    found = try_server(double, base_url, model=model, api_key=api_key)
    name = str(found.card["id"])
    length = _context_length(found.card)
    if found.card.get("owned_by") == "talkalike":
        told = found.card.get("talkalike")
        own = told.get("context_length") if isinstance(told, dict) else None
        context_length = own if isinstance(own, int) and own > 0 else double.context_length
        server = RemoteServer(base_url=base_url, model=name, context_length=context_length, is_ours=True)
        return RemoteEngine(server, api_key=api_key)
    known = DoubleText(
        name=double.name,
        speakers=double.speakers,
        renderer=double.renderer,
        context_length=min(length or double.context_length, double.context_length),
    )
    if not found.takes_ids:
        server = RemoteServer(base_url=base_url, model=name, context_length=known.context_length, templated=True)
        note = _ONLY_MESSAGES.format(url=base_url, name=double.name)
        return RemoteEngine(server, api_key=api_key, notes=(note,))
    notes = tuple(
        note.format(url=base_url)
        for note, told in ((_NO_IDS_BACK, found.tells_ids), (_NO_LOGPROBS, found.tells_logprobs))
        if not told
    )
    return TokenEngine(known, HttpTokens(base_url, model=name, api_key=api_key), notes=notes)


def try_server(double: DoubleText, base_url: str, *, model: str, api_key: str) -> Found:
    """Asks for the models, for the tokens of a text, and for two tokens after a header of ours."""
    try:
        with sendable(), httpx.Client(headers=authorization(api_key), timeout=_TRIAL_TIMEOUT) as client:
            trial = _Trial(client, base_url.rstrip("/"), double)
            card = trial.pick(model)
            if card.get("owned_by") == "talkalike":
                return Found(card=card, takes_ids=False)
            trial.check_vocabulary(str(card["id"]))
            return trial.send_ids(card)
    except httpx.HTTPError as problem:
        raise unreachable(base_url, problem) from None


class _Trial:
    def __init__(self, client: httpx.Client, base_url: str, double: DoubleText) -> None:
        self._client = client
        self._url = base_url
        self._double = double

    def pick(self, model: str) -> dict[str, Any]:
        """The entry of the model that is named, else of the double's own name, else of the only one."""
        response = self._client.get(f"{self._url}/models")
        if response.status_code >= 400:
            raise refusal(response.status_code, response.text, self._url)
        try:
            return pick_card(response, model or self._double.name, self._url)
        except UserError:
            listed = _listed(response) if model else []
            if not listed:
                return pick_card(response, "", self._url)
            return {**listed[0], "id": model, "unlisted": True}  # some load an adapter when it is first asked for

    def check_vocabulary(self, model: str) -> None:
        """Whether the server cuts a text into the same tokens, where it can be asked: vLLM and llama.cpp can."""
        renderer = self._double.renderer
        if not isinstance(renderer.tokenizer.decoder, ByteLevel):
            return  # other vocabularies may join texts that stand apart here
        marker = str(renderer.tokenizer.id_to_token(renderer.stop_id))
        text = marker + _TRIAL
        body = {"model": model, "prompt": text, "content": text, "parse_special": True}
        body |= {"add_special_tokens": False, "add_special": False}
        response = self._client.post(f"{self._url.removesuffix('/v1')}/tokenize", json=body)
        try:
            tokens = response.json()["tokens"] if response.status_code == 200 else None
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(tokens, list) and tokens != [renderer.stop_id, *renderer.encode_text(_TRIAL)]:
            raise UserError(
                f"The model '{model}' at {self._url} has another vocabulary than '{self._double.name}'.",
                hint="Let the server load this double, as `talkalike export` writes it.",
            )

    def send_ids(self, card: dict[str, Any]) -> Found:
        """Two tokens after the speaker's header, not streamed, so that the prompt's length is told too."""
        double = self._double
        ids = tuple(double.renderer.prompt([], (*double.speakers, "assistant")[0]))
        asked = Continuation(ids=ids, max_tokens=2, sampling=Sampling(temperature=0.0))
        response = self._client.post(f"{self._url}/completions", json={"model": card["id"]} | request_fields(asked))
        if response.status_code in _TAKES_NO_IDS and card.get("unlisted"):
            raise UserError(
                f"The server at {self._url} has no model '{card['id']}'.",
                hint="Correct model in [engine] of talkalike.toml.",
            )
        if response.status_code in _TAKES_NO_IDS:
            return Found(card=card, takes_ids=False)
        if response.status_code >= 400:
            raise refusal(response.status_code, response.text, self._url)
        try:
            answer = response.json()
            choice = answer["choices"][0]
            said = [one for one in said_in(choice) if not one.finish]
            read = tuple(choice.get("prompt_token_ids") or ids)
            counted = (answer.get("usage") or {}).get("prompt_tokens", len(ids))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise TalkalikeError(f"The server at {self._url} answered with something that is no completion.") from None
        if read != ids or counted != len(ids):
            return Found(card=card, takes_ids=False)  # it read something else than it was sent
        told = [one for one in said if one.token is not None]
        return Found(
            card=card,
            takes_ids=True,
            tells_ids=len(told) == len(said),
            tells_logprobs=all(one.logprob is not None for one in told),
        )


def _listed(response: httpx.Response) -> list[dict[str, Any]]:
    try:
        return [card for card in response.json()["data"] if isinstance(card, dict)]
    except (ValueError, KeyError, TypeError):
        return []


def _context_length(card: Mapping[str, Any]) -> int | None:
    """As vLLM and llama.cpp state it."""
    meta = card.get("meta") or {}
    found = card.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return int(found) if isinstance(found, int) else None
