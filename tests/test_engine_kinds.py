"""[engine] of the settings: who computes the replies of `chat` and `serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from command_line import succeed, talkalike
from loopback_server import serving
from talkalike.cli.doctor_engines import engine_checks
from talkalike.cli.engine_kinds import open_engine
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.engine.collecting import collect
from talkalike.engine.local import LocalEngine
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.engine.token_engine import TokenEngine
from talkalike.errors import UserError
from talkalike.workspace.cards import Card, Catalog
from taught_model import ANNA, GREEDY, WORDS, asked, facts

pytest_plugins = ("taught_site",)


@pytest.fixture
def root(tmp_path: Path, taught: Catalog) -> Path:
    """A workspace with the model that has learned bursts."""
    succeed("init", tmp_path / "ws")
    (tmp_path / "ws" / "models").symlink_to(taught.root)
    return tmp_path / "ws"


def settle(root: Path, **engine: str) -> Workspace:
    lines = [f'{key} = "{value}"' for key, value in engine.items()]
    (root / "talkalike.toml").write_text(
        "\n".join(["[model]", 'base = "tiny"', 'dtype = "float32"', "[engine]", *lines]) + "\n"
    )
    return open_workspace(root)


def test_each_kind_writes_the_same(root: Path, taught: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    script = ScriptedEngine([["far away"]], name="tiny")
    with serving(create_app(script, speaker=ANNA)) as url:
        kinds = {
            LocalEngine: settle(root),
            TokenEngine: settle(root, kind="llama.cpp", quant="f32"),
            RemoteEngine: settle(root, kind="remote", url=url),
        }
        for wanted, workspace in kinds.items():
            engine = open_engine(workspace, taught.card("tiny"))
            assert type(engine) is wanted and engine.name == "tiny"

            async def ask(engine=engine):
                try:
                    return await collect(engine, asked(WORDS[0]), GREEDY)
                finally:
                    await engine.close()

            found[wanted] = asyncio.run(ask())
    assert facts(found[LocalEngine]) == facts(found[TokenEngine])
    assert found[RemoteEngine].messages == ("far away",)
    files = list(taught.path("tiny").glob("llama.cpp-f32-*.gguf"))
    assert len(files) == 1 and files[0].stat().st_mode & 0o077 == 0


def test_what_is_missing_is_said(root: Path, taught: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    card = taught.card("tiny")
    with pytest.raises(UserError, match="needs the address of a server"):
        open_engine(settle(root, kind="remote"), card)
    soft = Card(name="tiny", kind="adapter", created=card.created, method="prompt", parents=("tiny",))
    for kind in ("remote", "llama.cpp"):
        with pytest.raises(UserError, match="is a soft prompt"):
            open_engine(settle(root, kind=kind, url="http://127.0.0.1:1/v1"), soft)
    settle(root, kind="remote", url="http://127.0.0.1:1/v1")
    gone = talkalike("chat", "--model", "tiny", "-w", root)
    assert gone.code == 1 and "No server answers at http://127.0.0.1:1/v1" in gone.err
    with pytest.raises(UserError, match="llamacpp") as wrong:
        settle(root, kind="llamacpp")
    assert '"llama.cpp"' in str(wrong.value.hint)
    monkeypatch.setattr("talkalike.engine.llama_cpp.find_spec", lambda name: None)
    settle(root, kind="llama.cpp")
    missing = talkalike("chat", "--model", "tiny", "-w", root)
    assert missing.code == 2 and "talkalike[llama-cpp]" in missing.err


def test_doctor_measures_the_engines_when_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkalike.cli.doctor_engines._ENOUGH", 12)
    workspace = settle(root, kind="llama.cpp", quant="f32")
    checks = {check.name: check for check in engine_checks(workspace, measure=True)}
    assert "tokens/s with tiny" in checks["local engine"].found and "tokens/s" in checks["llama.cpp"].found
    assert checks["engine"].found.startswith("llama.cpp is in use; ") and "here" in checks["engine"].found
    assert [check.found for check in engine_checks(workspace, measure=False)] == ["llama.cpp is in use"]
    (lost,) = engine_checks(settle(root, kind="remote"), measure=True)
    assert (lost.state, lost.todo) == ("problem", "Set url in [engine] of talkalike.toml.")
    monkeypatch.setattr("talkalike.cli.doctor_engines.find_spec", lambda name: None)
    (absent,) = engine_checks(settle(root, kind="llama.cpp"), measure=True)
    assert absent.state == "problem" and "talkalike[llama-cpp]" in absent.todo
