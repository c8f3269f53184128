"""The real small eye, fetched once into the checkout's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetched import CACHE, fetch_once


@pytest.fixture(scope="session")
def small_eye_folder() -> Path:
    """Where its weights and names are."""
    folder = CACHE / "eyes" / "small"
    fetch_once(folder / "card.json", "eye", "fetch", "small")
    return folder
