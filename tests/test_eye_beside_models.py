"""Which eye the settings mean, and the eye in the process of the default model, as the faces reach it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from doubles import catalog_with_base, put_double
from small_eye import small_eye_folder as small_eye_folder
from talkalike.cli.doctor_eyes import eye_check
from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.eye_opening import chosen_eye, eye_here, open_onlooker
from talkalike.cli.workspace import Workspace, make_workspace, open_workspace
from talkalike.engine.gated_eye import GatedEye
from talkalike.engine.local_eye import LocalSmallEye
from talkalike.engine.vision_chat import VisionChat
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.pixels import plain_square
from talkalike.settings import Settings
from talkalike.workspace.eyes import EyeCard
from test_eye_small import written
from test_pictures_looked_at import animation
from vision_server import vision_server


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, small_eye_folder: Path) -> Workspace:
    root = tmp_path_factory.mktemp("seeing") / "workspace"
    make_workspace(root)
    put_double(catalog_with_base(root / "models"), "anna", seed=1)
    shutil.copytree(small_eye_folder, root / "eyes" / "small")
    return open_workspace(root)


def with_eye(workspace: Workspace, **eye: object) -> Workspace:
    settings = workspace.settings.model_copy(update={"eye": Settings.model_validate({"eye": eye}).eye})
    return Workspace(root=workspace.root, settings=settings)


def test_the_eye_is_in_the_default_models_process(workspace: Workspace) -> None:
    async def look() -> None:
        engines = WorkspaceEngines(workspace)
        onlooker = await open_onlooker(with_eye(workspace, seconds=60), engines)
        assert onlooker is not None and onlooker.eye is not None
        try:
            process = await engines.process()
            before = process.memory_bytes
            page, moving = written("see you at 7"), normalise(animation("GIF"))
            shared = await onlooker.look([page, moving, page])
            assert shared[0].looked is not None and shared[0].looked.words == 'text: "see you at 7"'
            assert shared[2] == shared[0] and shared[1].looked is not None and not shared[1].looked.sure
            assert process.memory_bytes - before < 600 * 2**20
            assert process._process is not None
            os.kill(process._process.pid, signal.SIGKILL)
            again = await onlooker.look([plain_square((9, 9, 9))])
            assert again[0].looked is not None or again[0].unseen
        finally:
            await onlooker.close()
            await engines.close()

    asyncio.run(look())


def test_which_eye_the_settings_mean(workspace: Workspace) -> None:
    catalog = workspace.eye_catalog()
    other = EyeCard(name="other", kind="vision", source="folder", created="2100-01-01T00:00:00+00:00")
    catalog.path("other").mkdir()
    catalog.save_card(other)
    try:
        chosen = {name: chosen_eye(with_eye(workspace, model=name)) for name in ("auto", "off", "small")}
        assert (chosen["auto"], chosen["off"]) == (other, None) and chosen["small"] == catalog.card("small")
        with pytest.raises(UserError, match="no eye 'smal' here") as told:
            chosen_eye(with_eye(workspace, model="smal"))
        assert "small" in told.value.hint
        assert chosen_eye(with_eye(workspace, url="http://127.0.0.1:9/v1")) is None
    finally:
        shutil.rmtree(catalog.path("other"))


def test_for_a_command_it_is_opened_here(workspace: Workspace, tmp_path: Path) -> None:
    assert isinstance(asyncio.run(eye_here(workspace)), LocalSmallEye)
    assert isinstance(asyncio.run(eye_here(with_eye(workspace, gate="nsfw"))), GatedEye)
    with pytest.raises(UserError, match='"off"'):
        asyncio.run(eye_here(with_eye(workspace, model="off")))
    make_workspace(tmp_path / "empty")
    with pytest.raises(UserError, match="no eye that could look"):
        asyncio.run(eye_here(open_workspace(tmp_path / "empty")))


def test_a_vision_server_is_tried_before_it_is_relied_on(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = WorkspaceEngines(workspace)

    def opened(**eye: object) -> object:
        onlooker = asyncio.run(open_onlooker(with_eye(workspace, **eye), engines))
        return onlooker and onlooker.eye

    assert opened(model="off", url="http://127.0.0.1:9/v1") is None
    assert opened(url="http://127.0.0.1:9/v1") is None
    assert "Nobody looks at pictures" in capsys.readouterr().err
    later = opened(url="http://127.0.0.1:9/v1", model="seer")
    assert isinstance(later, VisionChat) and later.name == "seer"
    with vision_server(lambda _: "I cannot see.") as (url, _):
        assert opened(url=url) is None
    assert "does not see pictures" in capsys.readouterr().err


def test_doctor_tells_which_eye_there_is(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        words: eye_check(with_eye(workspace, **settings))
        for words, settings in (
            ("small, which reads text", {}),
            ("as the settings say", {"model": "off"}),
            ("sent to http://127.0.0.1:9/v1", {"url": "http://127.0.0.1:9/v1"}),
            ("no eye 'smal' here", {"model": "smal"}),
        )
    }
    assert all(words in check.found for words, check in found.items())
    assert [check.state for check in found.values()] == ["ok", "ok", "ok", "problem"]
    monkeypatch.setattr("talkalike.cli.doctor_eyes.find_spec", lambda name: None)
    lacking = eye_check(with_eye(workspace, gate="nsfw"))
    assert lacking.state == "problem" and "talkalike[eye]" in lacking.todo
