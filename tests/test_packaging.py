"""What somebody gets who installs talkalike without a checkout: everything that it needs is in the wheel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import httpx
import pytest

from tiny_model import build_tiny_llama

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "import sys; from talkalike.cli.main import main; main()"


def build(target: str, source: Path, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = into.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder)) as file:
        file.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content alone, the wheel made from the source archive, as pip makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build("wheel", archive, folder)) as file:
        file.extractall(folder / "site")
    return folder / "site"


def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    """The installed package comes before the checkout, which the developer's environment also knows."""
    settings = {"TALKALIKE_MODEL_BASE": str(tmp_path / "tiny"), "TALKALIKE_TRAIN_EPOCHS": "0.1"}
    return {**os.environ, "PYTHONPATH": str(installed), **settings}


def talkalike(installed: Path, tmp_path: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(installed, tmp_path), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "%|" not in done.stdout + done.stderr  # a library's bar
    return done.stdout


def test_the_source_archive_holds_what_the_tests_need(archive: Path) -> None:
    for name in ("README.md", "LICENSE", "pyproject.toml", "constraints.txt", "Makefile", "tests/conftest.py"):
        assert (archive / name).is_file(), name


def test_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout")
    missing = [name for name in listed.stdout.split("\n") if name and not (installed / name[4:]).is_file()]
    assert missing == []
    assert not (installed / "tests").exists()


def test_the_demo_and_the_site_run_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    where = "import talkalike; print(talkalike.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        env=environment(installed, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(installed)
    assert "import" in talkalike(installed, tmp_path, "--help")
    build_tiny_llama(tmp_path / "tiny")
    said = talkalike(installed, tmp_path, "demo", "ws", "--minutes", "30", "--replies", "10", "--no-chat")
    assert "Juno Marwick" in said and "What to do next" in said
    the_site_answers(installed, tmp_path)


def the_site_answers(installed: Path, tmp_path: Path) -> None:
    """Its tables are made, its pages and every file they name are there."""
    settings = {**environment(installed, tmp_path), "TALKALIKE_WEB_PORT": "0"}
    command = [sys.executable, "-c", PROGRAM, "serve", "--web", "--workspace", "ws"]
    with subprocess.Popen(command, cwd=tmp_path, env=settings, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr
        said: list[str] = []
        for line in serving.stderr:
            said.append(line)
            if line.startswith("The site: "):
                break
        address = said[-1].removeprefix("The site: ").strip()
        assert address.startswith("http"), "".join(said)
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            page = client.get("/login/")
            assert page.status_code == 200
            files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
            assert len(files) > 2
            assert {client.get(file).status_code for file in files} == {200}
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)
        assert serving.returncode == 0
