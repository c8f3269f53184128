"""A double that reacts: events of the pipeline, what servers send and take, and that it can be learned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import openai
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loopback_server import answering, serving
from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.pipeline import MessageDone, Pipeline, Reacted, ReplyFinished, Silence, Text
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Finish, Piece, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.errors import TalkalikeError
from talkalike.examples.reactions import SIGN, emoji_of, plain, reaction_turn
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama

# What a model may write: anything, and often the sign itself in every place.
messy = st.lists(st.one_of(st.text(max_size=6), st.sampled_from([SIGN, "👍", "❤️", "ok", " "]))).map("".join)
reactions = st.sampled_from(["👍", "👍🏽", "❤️", "👩‍👩‍👧‍👦", "🇨🇿"]).map(lambda emoji: SIGN + emoji)


class Pieces(ScriptedEngine):
    """Streams the given texts as they are cut; None between them begins the next message."""

    def __init__(self, *texts: str | None, fails: bool = False) -> None:
        super().__init__([["unused"]])
        self._texts, self._fails = texts, fails

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        number = 0
        for text in self._texts:
            if text is None:
                number += 1
            else:
                yield Piece(text=text, message=number, token_ids=(1,))
        if self._fails:
            raise TalkalikeError("The connection was lost.")
        yield Piece(text="", message=number, finish=Finish.STOP)


async def replied(engine: ScriptedEngine, **options: bool) -> tuple[list, list[str]]:
    """The events of one reply but the first, and what the history took over."""
    conversation = InMemoryConversation(id="c", double="anna")
    conversation.say("ben", "hi")
    pipeline = Pipeline(engine, sampling=Sampling(), budget=100)
    events: list = []
    try:
        async with aclosing(pipeline.reply(conversation, **options)) as stream:
            events = [event async for event in stream]
    except TalkalikeError as error:
        events = [error]
    return events[1:], [turn.text for turn in conversation.turns[1:]]


async def test_a_reaction_is_an_event_and_a_turn_of_its_own() -> None:
    engine = Pieces(SIGN, "👍", "🏽", None, "well", " done", None, f"{SIGN}❤")
    events, history = await replied(engine)
    assert events[:-1] == [
        Reacted(index=0, emoji="👍🏽"),
        Text(index=1, text="well"),
        Text(index=1, text=" done"),
        MessageDone(index=1, text="well done", message_id="3"),
        Reacted(index=2, emoji="❤"),
    ]
    assert isinstance(events[-1], ReplyFinished)
    assert history == [f"{SIGN}👍🏽", "well done", f"{SIGN}❤"]
    whole, same = await replied(engine, whole_messages=True)
    assert whole[:-1] == [event for event in events[:-1] if not isinstance(event, Text)]
    assert same == history


async def test_a_face_without_reactions_never_hears_of_them() -> None:
    events, history = await replied(Pieces(SIGN, "👍", None, "ok"), reactions=False)
    assert [type(event) for event in events] == [Text, MessageDone, ReplyFinished]
    assert history == ["ok"]
    events, history = await replied(Pieces(SIGN, "👍"), reactions=False)
    assert events == [Silence()] and history == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((SIGN, "so", " what"), ["so what"]),  # begins as a reaction and is none
        ((SIGN, "👍", " great"), ["👍 great"]),
        (("a", f"{SIGN}👍"), ["a👍"]),  # the sign within words is nothing
        ((SIGN, SIGN, "👍"), ["👍"]),
        ((SIGN,), []),
        ((SIGN, None, "a"), ["a"]),
    ],
)
async def test_what_only_looks_like_a_reaction_is_words(texts: tuple[str | None, ...], said: list[str]) -> None:
    events, history = await replied(Pieces(*texts))
    assert history == said
    assert "".join(event.text for event in events if isinstance(event, Text)) == "".join(said)
    assert not any(isinstance(event, Reacted) for event in events)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_reaction_that_is_broken_off_was_never_made(whole: bool) -> None:
    _, history = await replied(Pieces("one", None, SIGN, "👍", fails=True), whole_messages=whole)
    assert history == ["one"]


@given(st.lists(st.one_of(messy, reactions), max_size=4), st.data())
def test_however_a_reply_is_cut_the_faces_see_what_the_history_keeps(burst: list[str], data: st.DataObject) -> None:
    texts: list[str | None] = []
    for message in burst:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(message)), max_size=3)))
        texts += [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        texts.append(None)
    events, history = asyncio.run(replied(Pieces(*texts)))
    shown: dict[int, str] = {}
    for event in events:
        if isinstance(event, Text):
            shown[event.index] = shown.get(event.index, "") + event.text
        elif isinstance(event, Reacted):
            shown[event.index] = SIGN + event.emoji
    assert [text for text in shown.values() if text.strip()] == history
    kept = [text if emoji_of(text) else plain(text) for text in burst]
    assert history == [text for text in kept if text.strip()]


# ------------------------------------------------------------------------------------------------ servers


ASKED = (Turn("Ben", "hi"), Turn("Bob", f"{SIGN}❤"), Turn("Ben", "so?"))
BURST = [f"{SIGN}👍", "yes", f"{SIGN}❤️"]


async def ask(engine: RemoteEngine) -> list[str]:
    texts: dict[int, str] = {}
    async for piece in engine.stream(Prompt(turns=ASKED, speaker="Bob"), Sampling()):
        texts[piece.message] = texts.get(piece.message, "") + piece.text
    await engine.close()
    return list(texts.values())


def test_our_own_client_gets_reactions_unchanged_and_others_get_the_emoji() -> None:
    script = ScriptedEngine([BURST])
    with serving(create_app(script, speaker="Bob")) as url:

        async def ours() -> list[str]:
            return await ask(await RemoteEngine.connect(url))

        assert asyncio.run(ours()) == BURST
        assert script.prompts[-1].turns == ASKED
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=httpx.Client()) as api:
            forged = [{"role": "user", "name": "Ben", "content": f"{SIGN}👍"}]
            whole = api.chat.completions.create(model="scripted", messages=forged).choices[0]
            chunks = list(api.chat.completions.create(model="scripted", messages=forged, stream=True))
    assert whole.message.content == "👍\nyes\n❤️"
    assert whole.talkalike["messages"] == ["👍", "yes", "❤️"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "👍\nyes\n❤️"
    assert script.prompts[-1].turns == (Turn("Ben", "👍"),)


def test_a_foreign_server_is_sent_the_emoji() -> None:
    chunk = {"choices": [{"delta": {"content": "fine"}, "finish_reason": "stop"}]}
    body = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with answering([head.encode() + body]) as (url, requests):
        assert asyncio.run(ask(RemoteEngine(RemoteServer(base_url=url, model="m")))) == ["fine"]
    sent = json.loads(requests[0].partition(b"\r\n\r\n")[2])
    assert [message["content"] for message in sent["messages"]] == ["hi", "❤", "so?"]
    assert "reactions" not in sent


# ------------------------------------------------------------------------------------------------ learning


def test_a_tiny_model_learns_when_to_react(tmp_path: Path) -> None:
    folder = build_tiny_llama(tmp_path / "tiny", layers=1, width=32)
    loaded = load_for_inference(folder, catalog=Catalog(tmp_path), dtype="float32", device="cpu")
    renderer = Renderer(loaded.tokenizer)
    talks = [
        [Turn("Ben", "we won"), reaction_turn("Anna", "👍"), Turn("Ben", "and?")],
        [Turn("Ben", "who?"), Turn("Anna", "me"), Turn("Ben", "ok")],
    ]
    rendered = [renderer.conversation(talk, [turn.speaker == "Anna" for turn in talk]) for talk in talks]
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=0.01)
    loaded.model.requires_grad_(True)
    for _ in range(30):
        for piece in rendered:
            ids = torch.from_numpy(piece.ids_T.astype("int64"))[None]
            labels = ids.masked_fill(~torch.from_numpy(piece.mask_T)[None], -100)
            loaded.model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    loaded.model.requires_grad_(False)

    async def run() -> list[list]:
        engine = LocalEngine(loaded)
        pipeline = Pipeline(engine, sampling=Sampling(temperature=0.0, max_tokens=20), budget=200)
        found = []
        for said in ("we won", "who?"):
            conversation = InMemoryConversation(id=said, double="Anna")
            conversation.say("Ben", said)
            async with aclosing(pipeline.reply(conversation, whole_messages=True)) as events:
                found.append([event async for event in events][1:-1])
        await engine.close()
        return found

    assert asyncio.run(run()) == [
        [Reacted(index=0, emoji="👍")],
        [MessageDone(index=0, text="me", message_id="2")],
    ]
