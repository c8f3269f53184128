"""A workspace is its owner's alone, whatever the mask; what others could read is found and closed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from command_line import sample_workspace, succeed, talkalike
from talkalike.jobs import job
from talkalike.workspace.privacy import close_folder, open_to_others, owner_only


@contextmanager
def mask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def modes(root: Path) -> dict[str, int]:
    """Every file and folder that is not 0600 or 0700; programs' own rights to run are none of anybody else's."""
    found = {}
    for path in (root, *root.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (0o700 if path.is_dir() else 0o600) and not path.is_symlink():
            found[str(path.relative_to(root))] = mode
    return found


def serve_until_answered(root: Path) -> None:
    """The API and the site, with the model in its own process, as a person starts them; one login page asked for."""
    (root / "talkalike.toml").write_text('[model]\nbase = "tiny"\n[serve]\nport = 0\n[web]\nport = 0\n')
    code = "from talkalike.cli.main import main; main()"
    words = [sys.executable, "-c", code, "serve", "--engine", "--web", "--workspace", str(root)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr
        said, address = [], ""
        for line in serving.stderr:
            said.append(line)
            if line.startswith("The site: "):
                address = line.removeprefix("The site: ").strip()
                break
        assert address, "".join(said)
        assert httpx.get(f"{address}login/", trust_env=False, timeout=30).status_code == 200
        assert {path.name for path in root.iterdir()} >= {"talkalike.db", "talkalike.db-wal", "talkalike.db-shm"}
        assert modes(root) == {}  # while everything runs
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)
        assert serving.returncode == 0


def test_nothing_in_a_workspace_is_open_to_others(tmp_path: Path) -> None:
    """From init to serving under the most open mask there is, by every writer: ours, libraries' and children's."""
    with mask(0):
        root = sample_workspace(tmp_path)
        succeed("prepare", "-s", "juno", "--base", "tiny", "--no-estimate", "-w", root)
        trained = ("train", "--minutes", 0.1, "-w", root)
        double = succeed(*trained, "--json").json["model"]
        succeed("score", "--model", double, "--replies", 10, "-w", root)
        succeed("judgements", "pairs", "--model", double, "--prompts", 2, "-w", root)
        succeed("judgements", "export", root / "judgements.jsonl", "-w", root)
        assert modes(root) == {}
        serve_until_answered(root)
        assert os.umask(0) == 0  # the caller's own mask is back
    assert modes(root) == {}
    assert {path.name for path in root.iterdir()} >= {"chats", "examples", "models", "runs", "web.secret"}


def test_what_a_job_writes_is_private(tmp_path: Path) -> None:
    with mask(0), owner_only():
        folder = tmp_path / "run"
        job.start([sys.executable, "-c", "open('made.txt', 'w').write('x')"], folder, cwd=tmp_path)
    while (status := job.status(folder)) and status.running:
        time.sleep(0.05)
    assert (tmp_path / "made.txt").exists()
    tmp_path.chmod(0o700)
    assert modes(tmp_path) == {}


def test_the_doctor_closes_what_others_could_read(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.txt"
    outside.write_text("not of the workspace")
    outside.chmod(0o644)
    root = tmp_path / "ws"
    succeed("init", root)
    (root / "chats").mkdir(mode=0o755)
    for name, mode in {"talkalike.db": 0o644, "chats/index.json": 0o664, "run-me.sh": 0o755, "mine": 0o600}.items():
        (root / name).write_text("x")
        (root / name).chmod(mode)
    (root / "link").symlink_to(outside)
    root.chmod(0o755)

    def privacy() -> tuple[str, str]:
        checks = talkalike("doctor", "-w", root, "--json").json["checks"]
        (found,) = [check for check in checks if check["name"] == "privacy"]
        return found["state"], found["found"]

    state, found = privacy()
    assert state == "warning" and "ws" in found and "and 2 more" in found and "now only yours can" in found
    assert privacy() == ("ok", "only your account can read the workspace")
    assert modes(root) == {"run-me.sh": 0o700}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_opening_an_old_workspace_closes_its_folder(tmp_path: Path) -> None:
    succeed("init", tmp_path / "ws")
    (tmp_path / "ws").chmod(0o755)
    talkalike("people", "-w", tmp_path / "ws")
    assert stat.S_IMODE((tmp_path / "ws").stat().st_mode) == 0o700


def test_a_folder_that_was_there_is_closed_but_not_one_that_all_share(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    for folder in (own, shared):
        folder.mkdir()
    own.chmod(0o755)
    shared.chmod(0o1777)  # as /tmp is
    succeed("init", own)
    close_folder(shared)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert open_to_others(own) == []


@pytest.mark.parametrize("given", [0, 0o022, 0o077])
def test_the_mask_is_given_back_after_an_error_too(given: int) -> None:
    with mask(given):
        assert talkalike("people", "-w", "/nowhere/at/all").code == 2
        assert os.umask(given) == given
