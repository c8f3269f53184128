"""Fetching bases from a hub: a small server of ours that answers as the real one does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from command_line import succeed
from families import build
from talkalike.errors import UserError
from talkalike.models.fetch import fetch_base
from talkalike.models.hub import choose_files
from talkalike.workspace.cards import Catalog

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name, each a folder; some are gated, and some say that they are larger than they are."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.fetched: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def files(self, name: str) -> Mapping[str, int]:
        found = sorted(file for file in self.folders[name].rglob("*") if file.is_file())
        return {
            str(file.relative_to(self.folders[name])): self.sizes.get(file.name, file.stat().st_size) for file in found
        }

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        plain = path.partition("?")[0]
        if plain.startswith("/api/models/"):
            name = "/".join(plain.split("/")[3:5])
            if name not in self.folders:
                return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
            files = self.files(name)
            if "/tree/" in plain:
                entries = [
                    {"type": "file", "path": file, "size": size, "oid": hashlib.sha1(file.encode()).hexdigest()}
                    for file, size in files.items()
                ]
                return 200, {}, json.dumps(entries).encode()
            siblings = [{"rfilename": file, "size": size} for file, size in files.items()]
            about: dict[str, Any] = {"id": name, "sha": SHA, "siblings": siblings, "gated": name in self.gated}
            return 200, {}, json.dumps(about).encode()
        name, _, file = plain.removeprefix("/").partition(f"/resolve/{SHA}/")
        if name in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        content = (self.folders[name] / file).read_bytes()
        self.fetched.append(file)
        return 200, {"X-Repo-Commit": SHA, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}, content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                code, headers, content = hub.answer(self.path)
                self.send_response(code)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub()
    made.folders["anna/Small"] = build("qwen2", tmp_path / "hub" / "small")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    succeed("init", tmp_path / "ws")
    return tmp_path / "ws"


def fetch(hub: Hub, name: str, root: Path) -> subprocess.CompletedProcess[str]:
    """What the command says, asked of this hub."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "talkalike.cli.main", "models", "fetch", name, "-w", str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_base_comes_from_the_hub_without_what_it_does_not_need(hub: Hub, root: Path) -> None:
    folder = hub.folders["anna/Small"]
    (folder / "original").mkdir()
    for name in ("original/consolidated.safetensors", "pytorch_model.bin", "README.md", "model.gguf", "LICENSE"):
        (folder / name).write_bytes(b"x" * 50)
    done = fetch(hub, "anna/Small", root)
    assert done.returncode == 0, done.stderr
    assert "Fetching anna/Small from the hub: 0." in done.stderr and " MB in " in done.stderr
    kept = {file.name for file in (root / "models" / "small").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "LICENSE"} <= kept
    assert not kept & {"original", "pytorch_model.bin", "model.gguf", ".cache"}
    assert not {"original/consolidated.safetensors", "pytorch_model.bin", "model.gguf"} & set(hub.fetched)
    assert json.loads((root / "models" / "small" / "card.json").read_text())["source"] == "hub:anna/Small"
    before = len(hub.fetched)
    assert fetch(hub, "anna/Small", root).returncode == 0 and len(hub.fetched) == before, "it is here already"


def test_what_would_be_fetched_in_vain_is_not_fetched(hub: Hub, root: Path, tmp_path: Path) -> None:
    def refused(name: str, *words: str) -> None:
        done = fetch(hub, name, root)
        assert done.returncode == 2 and not hub.fetched, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and not list((root / "models").iterdir())

    refused("anna/Nothing", "There is no model 'anna/Nothing' on the hub, or it is private", "hf auth login")
    hub.gated.add("anna/Small")
    refused("anna/Small", "'anna/Small' is gated", "Accept their terms", "HF_TOKEN")
    hub.gated.clear()
    hub.sizes["model.safetensors"] = 900_000_000_000_000
    refused("anna/Small", "'anna/Small' has 900000.0 GB", "has room for", "choose a smaller model")
    hub.sizes.clear()
    weights = hub.folders["anna/Small"] / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    refused("anna/Small", "a form that can hide programs (*.bin and the like)", "have it converted")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.json", "a-Q4_0.gguf"], "as GGUF only"),
        (["adapter_config.json", "adapter_model.safetensors"], "is an adapter, not a base"),
        (["config.json", "pytorch_model-00001-of-00002.bin"], "hide programs"),
        (["config.json", "tokenizer.json"], "has no weights"),
        (["model.safetensors", "tokenizer.json"], "it has no config.json"),
        ([], "it has no config.json"),
        (["config.json", "onnx/model.onnx", "original/model.safetensors"], "has no weights"),
    ],
)
def test_why_a_repository_is_no_base(files: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose_files("anna/it", dict.fromkeys(files, 1))


def test_shards_are_taken_and_a_second_copy_of_the_weights_is_not() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    rest = ["config.json", "tokenizer.json", "chat_template.jinja"]
    assert choose_files("anna/it", dict.fromkeys([*shards, *rest, "consolidated.safetensors"], 1)) == [*shards, *rest]


def test_a_gguf_file_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a GGUF file, whose weights cannot be trained") as told:
        fetch_base(str(tmp_path / "model-Q4_K_M.gguf"), Catalog(tmp_path), say=print)
    assert "the model that it was made from" in told.value.hint
