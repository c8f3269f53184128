"""One table of options: every face takes what it allows, refuses the rest with the bound, and uses what it took."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_script import ScriptedWords
from command_line import succeed, talkalike
from discord_commands import VOICES, stage
from loopback_server import serving
from talkalike.chat.engines import OpenEngines
from talkalike.chat.options import resolve
from talkalike.chat.permissions import ChatPlace
from talkalike.cli.discord import bot_settings
from talkalike.cli.engines import budget_of, sampling_of
from talkalike.cli.serving import api, site_settings
from talkalike.cli.workspace import open_workspace
from talkalike.engine.offer import Offered
from talkalike.engine.protocol import Sampling
from talkalike.engine.server import create_app
from talkalike.errors import UserError
from talkalike.options import REPLY, SAMPLING, Option
from talkalike.replying.facts import read_options
from talkalike.settings import load_settings
from talkalike.website.chat.talk import options_of
from website_chat import begin, say

pytest_plugins = ("website_site", "website_chat_site")

ASKED = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
UNUSUAL = {
    "temperature": 4.5, "top_p": 0.0, "top_k": 7, "min_p": 1.0, "repetition_penalty": 3.0, "seed": 2**40,
    "max_tokens": 8192, "max_messages": 40, "best_of": 20, "budget_tokens": 70_000,
}  # fmt: skip


def step(option: Option) -> float:
    return 1 if option.type is int else 0.01


def inside(option: Option) -> list[Any]:
    """The ends of what is allowed, as they are written."""
    return [option.type(option.low), option.type(option.high)]


def outside(option: Option) -> list[tuple[Any, float]]:
    """Values just beyond the ends, each with the end that its refusal must name; -1 has a meaning in the API."""
    low = option.low - (2 if option.low == 0 else step(option))
    return [(option.type(low), option.low), (option.type(option.high + step(option)), option.high)]


def names_the_bound(told: str, bound: float) -> bool:
    return f"{bound:g}" in told or str(bound) in told.replace(",", "")


Write = Callable[[str, Any], str]  # an option and a value; what is told when it is refused, else ""


def walk(write: Write, table: dict[str, Option] = REPLY) -> None:
    """Writes the ends of every option's range, and what lies beyond them, into a face."""
    assert set(table) <= set(UNUSUAL) == set(REPLY)
    for key, option in table.items():
        for value in (*inside(option), option.type(UNUSUAL[key])):
            assert write(key, value) == "", f"{key} = {value}"
        for value, bound in outside(option):
            told = write(key, value)
            assert key in told.lower(), f"{key} = {value}: {told}"
            assert names_the_bound(told, bound), f"{key} = {value}: {told}"


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


def test_the_table_is_whole() -> None:
    assert [field.name for field in dataclasses.fields(Sampling)] == list(SAMPLING)
    assert dataclasses.asdict(Sampling()) == {key: option.default for key, option in SAMPLING.items()}
    for option in REPLY.values():
        option.check(option.default)
    Sampling(**{key: UNUSUAL[key] for key in SAMPLING}).check()
    with pytest.raises(UserError, match="0 to 5, but was 6"):
        Sampling(temperature=6).check()


def test_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "talkalike.toml"

    def write(key: str, value: Any) -> str:
        file.write_text(f"[chat]\n{key} = {json.dumps(value)}\n")
        return refusal(lambda: load_settings(file, {}))

    walk(write)
    assert write("budget_tokens", "auto") == ""


def test_the_environment() -> None:
    walk(lambda key, value: refusal(lambda: load_settings(None, {f"TALKALIKE_CHAT_{key.upper()}": str(value)})))


async def test_the_discord_command(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        told: dict[tuple[str, str], str] = {}

        async def change(key: str, value: Any) -> str:
            return play.text(await play.mona.slash(play.general, "settings set", key=key, value=str(value)))

        for key, option in REPLY.items():
            for value in [UNUSUAL[key], *inside(option), *(value for value, _ in outside(option))]:
                told[key, str(value)] = await change(key, value)
        walk(lambda key, value: "" if told[key, str(value)].startswith("Done: ") else told[key, str(value)])
        assert "budget_tokens = auto" in await change("budget_tokens", "auto")


def test_the_web_form(person: Any, talking: Any) -> None:
    engine = talking(("hey",))
    anna = person("judge")
    address = begin(anna, "hello")

    def write(key: str, value: Any) -> str:
        answer = anna.post(f"{address}settings/", {key: str(value)})
        return "" if answer.status_code == 303 else answer.content.decode()

    walk(write)
    plain = {key: str(value) for key, value in UNUSUAL.items()}
    assert anna.post(f"{address}settings/", plain).status_code == 303
    say(anna, address, "and now?")
    expected = Sampling(**{key: UNUSUAL[key] for key in SAMPLING})
    room = engine.context_length // 2  # what the engine has for a reply
    assert engine.samplings[-1] == dataclasses.replace(expected, max_tokens=min(expected.max_tokens, room))


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("init", tmp_path / "ws")
    engine = ScriptedWords(("hey",), context_length=100_000)
    with serving(create_app(engine, speaker="Bob")) as url:

        def chat(*options: str) -> Any:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hello\n")))
            return talkalike("chat", "--url", url, "--as", "Bob", *options, "-w", tmp_path / "ws")

        def write(key: str, value: Any) -> str:
            reward = ("--reward", "sentiment") if key == "best_of" else ()
            done = chat(f"--{key.replace('_', '-')}={value}", *reward)
            assert done.code == (2 if done.err.startswith("error") else 0), done.err
            return done.err if done.code else ""

        for key, option in REPLY.items():
            for value, bound in outside(option):
                told = write(key, value)
                assert key in told
                assert names_the_bound(told, bound), told
        done = chat(*(f"--{key.replace('_', '-')}={value}" for key, value in UNUSUAL.items()), "--reward=sentiment")
    assert done.code == 0, done.err
    assert len(engine.samplings) == UNUSUAL["best_of"]
    assert {dataclasses.replace(one, seed=None) for one in engine.samplings} == {
        Sampling(**{key: UNUSUAL[key] for key in SAMPLING} | {"best_of": 1, "seed": None})
    }


def test_the_api() -> None:
    engine = ScriptedWords(("hey",), context_length=100_000)
    with serving(create_app(engine, speaker="Bob")) as url, httpx.Client(base_url=url, timeout=60) as http:

        def write(key: str, value: Any) -> str:
            answer = http.post("chat/completions", json={**ASKED, key: value})
            assert answer.status_code in (200, 400)
            return "" if answer.status_code == 200 else answer.json()["error"]["message"]

        walk(write, SAMPLING)
        given = {key: UNUSUAL[key] for key in SAMPLING}
        with openai.OpenAI(base_url=url, api_key="x", max_retries=0) as client:
            known = {key: given.pop(key) for key in ("temperature", "top_p", "seed")}
            client.chat.completions.create(**ASKED, **known, extra_body=given)  # type: ignore[call-overload]
    assert engine.samplings[-1] == Sampling(**{key: UNUSUAL[key] for key in SAMPLING})


def drawn(option: Option) -> st.SearchStrategy[Any]:
    if option.type is int:
        return st.integers(int(option.low), int(option.high))
    return st.floats(option.low, option.high)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries({}, optional={key: drawn(option) for key, option in REPLY.items()}),
    st.booleans(),
)
def test_what_the_settings_say_holds_in_every_face(
    tmp_path: Path, services: Any, values: dict[str, Any], auto: bool
) -> None:
    if auto:
        values["budget_tokens"] = "auto"
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    (tmp_path / "talkalike.toml").write_text(f"[chat]\n{lines}")
    opened = open_workspace(tmp_path)
    expected = Sampling(**{key: value for key, value in values.items() if key in SAMPLING})
    budget = None if auto else values.get("budget_tokens", REPLY["budget_tokens"].default)

    bot = bot_settings(opened, OpenEngines(engines={"ada-2": ScriptedWords(("hey",))}, described=VOICES))
    for place in (ChatPlace(server_id=1, channel_id=2), ChatPlace(server_id=1, channel_id=3, parent_id=2)):
        on_discord = read_options(bot, place)
        assert (on_discord.sampling(), on_discord.value("budget_tokens")) == (expected, budget)
        assert on_discord.problems == ()
    services.settings = site_settings(opened)
    on_the_web = options_of(None)
    assert (on_the_web.sampling(), on_the_web.value("budget_tokens")) == (expected, budget)
    assert (sampling_of(opened), budget_of(opened)) == (dataclasses.replace(expected, best_of=1), budget)

    engine = ScriptedWords(("hey",))

    async def ask() -> int:
        app = api(opened, Offered(engine=engine, speaker="Bob"), key="")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            return (await http.post("/v1/chat/completions", json=ASKED)).status_code

    assert asyncio.run(ask()) == 200
    assert engine.samplings == [expected]


def test_what_is_set_in_a_place_comes_before_the_settings() -> None:
    wide = {"max_tokens": 8192, "max_messages": 40}
    resolved = resolve([("bot", wide), ("channel", {"max_messages": 2})])
    assert (resolved.value("max_tokens"), resolved.value("max_messages")) == (8192, 2)
    assert (resolved.words("budget_tokens"), resolved.words("seed")) == ("1500", "none")
    assert resolve([("bot", {"budget_tokens": None})]).words("budget_tokens") == "auto"
