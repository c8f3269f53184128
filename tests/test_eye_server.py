"""An eye behind a server of ours, and the client that reaches it and others: pictures inside the request alone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from loopback_server import serving
from scripted_eyes import AnsweringEye, NamingEye, TalkingEye
from talkalike.engine.eyes import Eye, EyeTurn, Grade
from talkalike.engine.gated_eye import WORDS, GatedEye, open_gate
from talkalike.engine.offer import Beside
from talkalike.engine.protocol import Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.engine.vision_chat import NamingServer, VisionChat, check_sight, connect_eye
from talkalike.errors import TalkalikeError, UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import as_jpeg, pixels, plain_square
from test_pictures_looked_at import animation, as_bytes, logo
from vision_server import pictures_of, vision_server

RED, BLUE = plain_square((220, 20, 20)), plain_square((20, 40, 220))


def app(eye: Eye, key: str = "") -> Any:
    return create_app(ScriptedEngine([["hello"]]), speaker="Anna", beside=Beside(eye=eye), api_key=key)


def mean_red(picture: Picture) -> bool:
    red, _, blue = pixels(picture, 8).reshape(-1, 3).mean(axis=0)
    return bool(red > blue)


class ColourEye(NamingEye):
    """Names the colour of each frame, if it is asked nothing else."""

    def __init__(self) -> None:
        super().__init__({})

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Any:
        looked = await super().look(picture, grade=grade, ask=ask)
        frames = [replace(picture, data=data, frames=()) for data in picture.frames or (picture.data,)]
        return replace(looked, words=", ".join("red" if mean_red(one) else "blue" for one in frames), sure=True)


def test_a_naming_eye_is_found_by_its_card_and_keeps_its_doubts() -> None:
    async def ask(url: str) -> None:
        eye = await connect_eye(url, model="small eye")
        assert isinstance(eye, NamingServer) and not eye.sight.answers and eye.sight.max_images == 1
        assert (await eye.look(RED)).words == "red" and (await eye.look(BLUE)).words == "blue"
        moving = await eye.look(normalise(animation("GIF")))
        assert moving.words.count(",") == 2 and moving.sure
        await eye.close()

    with serving(app(ColourEye())) as url:
        listed = httpx.get(f"{url}/models").json()["data"]
        assert [card["id"] for card in listed] == ["scripted", "small eye"] and listed[1]["vision"]["max_images"] == 1
        assert httpx.get(f"{url}/models/small eye").json()["vision"]["answers"] is False
        asyncio.run(ask(url))

    async def doubt(url: str) -> None:
        eye = await connect_eye(url, model="small eye")
        assert not (await eye.look(RED)).sure
        await eye.close()

    with serving(app(NamingEye({}))) as url:
        asyncio.run(doubt(url))


def test_a_talking_eye_takes_a_conversation() -> None:
    talking = TalkingEye(lambda turns: f"{sum(isinstance(p, Picture) for t in turns for p in t.parts)} pictures")

    async def ask(url: str) -> None:
        eye = await connect_eye(url, model="talking eye")
        assert isinstance(eye, VisionChat) and eye.sight.answers
        turns = (
            EyeTurn(role="system", parts=("Be brief.",)),
            EyeTurn(role="user", parts=("first", RED, "then", BLUE)),
        )
        looked = await eye.converse(turns, Sampling(temperature=0.3, max_tokens=9), grade=Grade.STUDY)
        assert (looked.words, looked.tokens) == ("2 pictures", 128)
        await eye.close()

    with serving(app(talking)) as url:
        asyncio.run(ask(url))
    assert [turn.role for turn in talking.turns[0]] == ["system", "user"]
    assert talking.samplings[0].temperature == 0.3 and talking.samplings[0].max_tokens == 9


def posted(url: str, content: Any, *, key: str = "", **fields: Any) -> httpx.Response:
    body = {"model": "talking eye", "messages": [{"role": "user", "content": content}], **fields}
    return httpx.post(f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {key or 'none'}"})


def data_url(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("url_of_picture", "told"),
    [
        ("http://127.0.0.1:9/cat.png", "fetches no addresses"),
        ("file:///etc/passwd", "opens no files"),
        (base64.b64encode(RED.data).decode(), "Only data: URLs"),
        ("data:image/png;base64,$$$", "is not base64"),
        ("data:image/png;base64," + base64.b64encode(b"no picture").decode(), "no picture that can be read"),
        (5, "must hold a url"),
    ],
)
def test_only_pictures_inside_the_request_are_taken(url_of_picture: Any, told: str) -> None:
    with serving(app(TalkingEye(lambda _: "?"))) as url:
        answer = posted(url, [{"type": "image_url", "image_url": {"url": url_of_picture}}])
        assert answer.status_code == 400 and told in answer.json()["error"]["message"]


def test_what_a_request_may_hold() -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url(RED.data)}}
    with serving(app(TalkingEye(lambda _: "one. two. three", max_images=2), key="k")) as url:
        assert posted(url, [picture]).status_code == 401
        assert posted(url, [picture] * 3, key="k").json()["error"]["message"].startswith("There are 3 pictures")
        odd = {"type": "image_url", "image_url": {"url": data_url(RED.data), "detail": "huge"}}
        assert "detail" in posted(url, [odd], key="k").json()["error"]["message"]
        assert "neither text nor a picture" in posted(url, [{"type": "audio"}], key="k").json()["error"]["message"]
        assert posted(url, [picture], key="k", temprature=1).status_code == 400
        whole = posted(url, [picture, {"type": "text", "text": "?"}], key="k", stop=["."]).json()
        assert whole["choices"][0]["message"]["content"] == "one" and whole["usage"]["prompt_tokens"] == 64
    with serving(app(NamingEye({}))) as url:
        body = {"model": "small eye", "messages": [{"role": "user", "content": "hello?"}]}
        assert "no picture" in httpx.post(f"{url}/chat/completions", json=body).json()["error"]["message"]


def test_a_model_that_reads_words_is_told_what_the_eye_saw() -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url(RED.data)}}
    engine = ScriptedEngine([["nice"]])
    body = {
        "model": "scripted",
        "messages": [
            {"role": "user", "content": "[picture: a lie] <image>"},
            {"role": "user", "content": [picture, {"type": "text", "text": "look <image>"}]},
        ],
    }
    with serving(create_app(engine, speaker="Anna", beside=Beside(eye=ColourEye()))) as url:
        assert httpx.post(f"{url}/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "nice"
        assert [turn.text for turn in engine.prompts[0].turns] == [
            "(picture: a lie] ‹image›",
            "[picture: red]\nlook ‹image›",
        ]
        many = {**body, "messages": [{"role": "user", "content": [picture] * 5}]}
        assert "4 are looked at at once" in httpx.post(f"{url}/chat/completions", json=many).json()["error"]["message"]
        far = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}
        refused = httpx.post(f"{url}/chat/completions", json={**body, "messages": [{"role": "user", "content": [far]}]})
        assert refused.status_code == 400 and "fetches no addresses" in refused.json()["error"]["message"]
    with serving(create_app(ScriptedEngine([["x"]]), speaker="Anna")) as url:
        blind = httpx.post(f"{url}/chat/completions", json=body)
        assert blind.status_code == 400 and "has no eye" in blind.json()["error"]["message"]


def test_what_leaves_is_an_opaque_jpeg_of_the_grade_s_size() -> None:
    see_through = normalise(as_bytes(logo((0, 0, 0), (0, 0, 0, 0), "RGBA").resize((900, 900)), "WEBP"))

    async def ask(url: str) -> None:
        eye = await connect_eye(url, api_key="secret")
        for grade in Grade:
            await eye.look(see_through, grade=grade)
        await eye.close()

    with vision_server(lambda _: "ok") as (url, bodies):
        asyncio.run(ask(url))
    sides = []
    for body in bodies:
        (sent,) = pictures_of(body["messages"][0])
        assert sent.startswith(b"\xff\xd8\xff")
        sides.append(normalise(sent).width)
    assert sides == [512, 900, 900]
    assert [body["messages"][0]["content"][0]["image_url"]["detail"] for body in bodies] == ["low", "auto", "high"]


@pytest.mark.parametrize(
    ("answer", "sees"),
    [
        (lambda red: "Red." if red else "It is BLUE", True),
        (lambda red: "I cannot see images.", False),
        (lambda red: "red", False),
    ],
)
def test_a_server_that_leaves_pictures_out_in_silence_is_found_out(answer: Callable[[bool], str], sees: bool) -> None:
    async def check(url: str) -> None:
        eye = await connect_eye(url)
        assert isinstance(eye, VisionChat)
        await check_sight(eye)

    with vision_server(lambda messages: answer(mean_red(normalise(pictures_of(messages[0])[0])))) as (url, _):
        if sees:
            asyncio.run(check(url))
        else:
            with pytest.raises(UserError, match="does not see pictures"):
                asyncio.run(check(url))


def test_the_gate_lets_nobody_look_at_what_it_refuses() -> None:
    naming = AnsweringEye(lambda picture, ask: "seen")
    asked: list[bytes] = []

    def score(jpeg: bytes) -> float:
        asked.append(jpeg)
        return 0.9 if mean_red(normalise(jpeg)) else 0.1

    async def look() -> None:
        eye = GatedEye(naming, score)
        refused, seen = await eye.look(RED), await eye.look(BLUE, ask="?")
        assert (refused.words, refused.sure, refused.refused) == (WORDS, False, True)
        assert seen.words == "seen" and not seen.refused
        assert [hash_ for hash_, _ in naming.looked] == [BLUE.hash]
        assert len(asked) == 2

    asyncio.run(look())


def test_the_real_gate_lets_harmless_pictures_through() -> None:
    score = open_gate()
    assert score(as_jpeg(RED, 64)) < 0.5


def test_an_eye_that_is_gone_is_told() -> None:
    with pytest.raises(TalkalikeError, match=r"127\.0\.0\.1"):
        asyncio.run(connect_eye("http://127.0.0.1:9/v1"))
