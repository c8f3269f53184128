"""Many doubles behind the API and the faces: one process for a base, each double under its name."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path

import openai
import pytest

from doubles import NEVER, catalog_with_base, put_double
from loopback_server import serving
from talkalike.alignment.best_of import BestOfEngine
from talkalike.cli.engines import WorkspaceEngines, base_to_share
from talkalike.cli.offering import OpenedByName, doubles_beside, open_models
from talkalike.cli.workspace import Workspace, make_workspace, open_workspace
from talkalike.engine.collecting import collect
from talkalike.engine.local import LocalEngine
from talkalike.engine.offer import Beside
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Engine, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.server import create_app
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.models.adapter_config import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from talkalike.models.load import load_for_inference
from talkalike.settings import Settings
from talkalike.workspace.cards import Card

GREEDY = Sampling(temperature=0.0, max_tokens=8, max_messages=1)
PROMPT = Prompt(turns=(Turn("Anna", "what is the plan?"),), speaker="Bob")


def with_settings(workspace: Workspace, **serve: object) -> Workspace:
    settings = Settings.model_validate(
        {"model": {"dtype": "float32", "device": "cpu"}, "serve": serve} | {"chat": {"temperature": 0.0}}
    )
    return dataclasses.replace(workspace, settings=settings)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three doubles on `tiny`, a DoRA on it, and one whose base is gone; Bob's is the one that was trained last."""
    root = tmp_path_factory.mktemp("served") / "workspace"
    make_workspace(root)
    settings = root / "talkalike.toml"
    text = settings.read_text(encoding="utf-8").replace('dtype = "auto"', 'dtype = "float32"')
    settings.write_text(text.replace('device = "auto"', 'device = "cpu"'), encoding="utf-8")
    catalog = catalog_with_base(root / "models")
    for seed, name in enumerate(("anna", "bob", "cyril", "by-dora", "orphan")):
        put_double(catalog, name, seed=seed)
    catalog.save_card(dataclasses.replace(catalog.card("bob"), created="2026-02-01T00:00:00+00:00"))
    config = catalog.path("by-dora") / ADAPTER_CONFIG
    config.write_text(config.read_text(encoding="utf-8").replace('"use_dora": false', '"use_dora": true'))
    catalog.save_card(dataclasses.replace(catalog.card("orphan"), parents=("fetched-once",)))
    catalog.save_card(Card(name="whole", kind="full", created=NEVER, parents=("tiny",), method="full"))
    return open_workspace(root)


def said(workspace: Workspace, name: str) -> list[str]:
    """What the double says by itself, merged."""
    catalog = workspace.catalog()
    engine = LocalEngine(load_for_inference(catalog.path(name), catalog=catalog, dtype="float32", device="cpu"))
    return asyncio.run(messages(engine))


async def messages(engine: Engine) -> list[str]:
    try:
        return list((await collect(engine, PROMPT, GREEDY)).messages)
    finally:
        await engine.close()


def test_the_api_answers_as_the_model_that_is_named(workspace: Workspace) -> None:
    opened = open_models(workspace, workspace.catalog().card("bob"), beside=None)
    app = create_app(opened.engine, speaker="Bob", beside=Beside(models=opened.others), api_key="k")
    with serving(app) as url, openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=30) as api:
        assert [model.id for model in api.models.list()] == ["bob", "anna", "cyril", "tiny"]
        assert api.models.retrieve("anna").model_dump()["talkalike"]["speaker"] == "Bob"
        for name in ("anna", "bob", "cyril", "tiny"):
            answer = api.chat.completions.create(
                model=name,
                messages=[{"role": "user", "name": "Anna", "content": "what is the plan?"}],
                temperature=0,
                max_tokens=8,
                extra_body={"max_messages": 1, "speaker": "Bob"},
            )
            assert (answer.model, answer.choices[0].message.content) == (name, "\n".join(said(workspace, name)))
            assert api.completions.create(model=name, prompt="a", max_tokens=2).model == name
        for name in ("by-dora", "orphan", "whole", "nobody"):
            with pytest.raises(openai.NotFoundError, match="/v1/models lists"):
                api.completions.create(model=name, prompt="a")
        remote = asyncio.run(RemoteEngine.connect(url, api_key="k"))
        assert remote.name == "bob", "the first model is meant where none is named"

        weights = workspace.catalog().path("cyril") / ADAPTER_WEIGHTS
        kept = weights.read_bytes()
        try:
            weights.write_bytes(kept[:100])
            assert [model.id for model in api.models.list()] == ["bob", "anna", "tiny"]
            with pytest.raises(openai.BadRequestError, match=r"'cyril'.*damaged"):
                api.completions.create(model="cyril", prompt="a")
        finally:
            weights.write_bytes(kept)
    asyncio.run(opened.close())


def test_one_process_for_a_base_and_its_doubles(workspace: Workspace) -> None:
    """As the faces open them: a model for each server or channel, without a second process."""

    async def talk() -> tuple[list[list[str]], list[str], int]:
        engines = WorkspaceEngines(workspace)
        try:
            opened = [await engines.open(name) for name in ("bob", "anna", "tiny", "bob")]
            assert opened[0] is opened[3] and isinstance(opened[2], ProcessEngine)
            assert {engine.context_length for engine in opened} == {1024}
            replies = await asyncio.gather(*(collect(engine, PROMPT, GREEDY) for engine in opened))
            with pytest.raises(UserError, match="no model 'nobody'"):
                await engines.open("nobody")
            health = engines.health()
            return [list(reply.messages) for reply in replies], [one.model for one in health], len(engines._running)
        finally:
            await engines.close()

    found, health, processes = asyncio.run(talk())
    assert found == [said(workspace, name) for name in ("bob", "anna", "tiny", "bob")]
    assert found[0] != found[1]
    assert (health, processes) == (["bob, anna, tiny"], 1)


def test_a_double_that_is_alone_on_its_base_is_merged(workspace: Workspace, tmp_path: Path) -> None:
    alone = open_workspace(Path(shutil.copytree(workspace.root, tmp_path / "alone")))
    for name in ("anna", "cyril", "by-dora", "orphan", "whole"):
        shutil.rmtree(alone.catalog().path(name))
    engines = WorkspaceEngines(alone)
    assert (engines._process_of("bob"), engines._process_of("tiny")) == ("bob", "tiny")
    put_double(alone.catalog(), "anna", seed=0)
    assert (engines._process_of("bob"), engines._process_of("anna")) == ("tiny", "tiny")
    engines._running["bob"] = None  # type: ignore[assignment]  # its name alone is asked for
    assert (engines._process_of("bob"), engines._process_of("anna")) == ("bob", "tiny"), "it stays while it runs"


def test_who_shares_a_base(workspace: Workspace) -> None:
    catalog = workspace.catalog()
    shares = {card.name: base_to_share(workspace, card) for card in catalog.cards()}
    assert shares == {
        "tiny": "tiny", "anna": "tiny", "bob": "tiny", "cyril": "tiny", "by-dora": None, "orphan": None, "whole": None
    }  # fmt: skip
    merged = with_settings(workspace, adapters_mb=0)
    assert {base_to_share(merged, card) for card in catalog.cards()} == {None}


@pytest.mark.parametrize(
    ("model", "doubles", "offered"),
    [
        ("bob", "", ()),
        ("bob", "all", ("anna", "cyril")),
        ("bob", "cyril, bob", ("cyril",)),
        ("tiny", "anna", ("anna",)),
        ("bob", "by-dora", "'by-dora' of `doubles` in .* has a base of its own"),
        ("bob", "ana", "no model called 'ana'"),
        ("by-dora", "anna", "No other double can be served beside 'by-dora'"),
    ],
)
def test_the_settings_say_which_doubles_are_offered(
    workspace: Workspace, model: str, doubles: str, offered: tuple[str, ...] | str
) -> None:
    chosen = with_settings(workspace, doubles=doubles)
    card = workspace.catalog().card(model)
    if isinstance(offered, tuple):
        assert doubles_beside(chosen, card) == offered
        return
    with pytest.raises(UserError, match=offered):
        doubles_beside(chosen, card)


async def test_only_those_that_are_offered_can_be_named(workspace: Workspace) -> None:
    """A list in the settings is no wildcard; and a model that stays alone is merged, as ever."""
    card = workspace.catalog().card("bob")
    opened = open_models(workspace, card, beside=("anna",))
    assert opened.others is not None and await opened.others.names() == ("anna",)
    assert await opened.others.find("cyril") is None
    offered = await opened.others.find("anna")
    assert offered is not None and isinstance(offered.engine, BestOfEngine) and offered.speaker == "Bob"
    await opened.close()
    alone = open_models(workspace, card)
    assert alone.others is None and alone.shared is None
    await alone.close()
    by_name = OpenedByName(WorkspaceEngines(workspace), ("anna", "gone"))
    assert await by_name.names() == ["anna"]
    assert await by_name.find("cyril") is None
