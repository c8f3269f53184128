"""A pytest plugin: the model of `taught_model` in a catalog, as a file for llama.cpp, and in the local engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkalike.engine.llama_files import gguf_path, write_gguf
from talkalike.engine.local import LocalEngine
from talkalike.models.load import load_for_inference
from talkalike.workspace.cards import Card, Catalog
from taught_model import teach
from tiny_model import build_tiny_llama


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog with a base `tiny` that writes bursts."""
    catalog = Catalog(tmp_path_factory.mktemp("models"))
    build_tiny_llama(catalog.path("tiny"))
    teach(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


@pytest.fixture(scope="session")
def taught_file(taught: Catalog) -> Path:
    """It as a file for llama.cpp, nothing rounded."""
    file = gguf_path(taught, taught.card("tiny"), quant="f32")
    write_gguf(taught, taught.card("tiny"), file, quant="f32")
    return file


@pytest.fixture
def ours(taught: Catalog) -> LocalEngine:
    """The local engine over it."""
    return LocalEngine(load_for_inference(taught.path("tiny"), catalog=taught, dtype="float32", device="cpu"))
