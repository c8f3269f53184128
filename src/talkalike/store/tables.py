"""The models, loaded when first used: Django refuses to load them before it knows the database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talkalike.store import models as tables
    from talkalike.store.judging import models as judging_tables
    from talkalike.store.seeing import models as seeing_tables
    from talkalike.store.talking import models as talking_tables
else:

    class _Tables:
        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> type:
            return getattr(import_module(self._module), name)

    tables = _Tables("talkalike.store.models")
    judging_tables = _Tables("talkalike.store.judging.models")
    seeing_tables = _Tables("talkalike.store.seeing.models")
    talking_tables = _Tables("talkalike.store.talking.models")

__all__ = ["judging_tables", "seeing_tables", "tables", "talking_tables"]
