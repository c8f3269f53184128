"""Static files under addresses that change with their content, so that browsers may keep them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class VersionedStorage(StaticFilesStorage):
    """Adds "?v=" and a digest of the file. Files are served from where they are installed: nothing is collected."""

    def url(self, name: str | None) -> str:
        """The address of a file; one that does not exist is a mistake of ours."""
        plain = get_script_prefix().rstrip("/") + super().url(name)
        return f"{plain}?v={version(name)}" if name else plain


@cache
def version(name: str) -> str:
    """A digest of the file's content."""
    found = finders.find(name)
    if not isinstance(found, str):
        raise ValueError(f"there is no static file {name}")
    return hashlib.sha256(Path(found).read_bytes()).hexdigest()[:12]
