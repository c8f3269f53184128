"""Prefix caches that outlive the process: written while nobody waits, read when their conversation goes on.

A file belongs to one exact model (weights, adapter, number format), is checked before it is used, and is dropped
where anything about it is wrong: then the conversation is read anew, as without it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.engine.cache import CacheStore, PrefixCache
from talkalike.workspace.files import replacing
from talkalike.workspace.prefixes import SavedPrefixes, prefix_file, was_forgotten

QUIET = 3.0  # seconds without a reply after which a conversation is written
WORTH_WRITING = 64  # new tokens; fewer are read again in a moment
CLOSING = 5.0  # seconds that writing may take when the engine ends
_FORMAT = "1"
_log = logging.getLogger(__name__)


class WarmFolder:
    """The saved prefixes of one model, under `SavedPrefixes.root`."""

    def __init__(self, saved: SavedPrefixes, *, model: str, identity: str) -> None:
        self._saved = saved
        self._identity = identity
        self._folder = saved.folder(model, identity)
        self.damaged = 0  # files that could not be used

    def beside(self, adapter: str) -> WarmFolder:
        """The one of a double that is added to this model, by its adapter's key, which begins with its name."""
        identity = hashlib.sha256(f"{self._identity} {adapter}".encode()).hexdigest()[:20]
        return WarmFolder(self._saved, model=adapter.rsplit(":", 2)[0], identity=identity)

    def read(self, conversation: str, cache: PrefixCache) -> None:
        """Fills the empty cache, where there is something for it."""
        file = prefix_file(self._folder, conversation)
        if not file.exists():
            return
        try:
            with safe_open(file, framework="pt") as stored:
                about = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # no mapping
            if about.get("model") != self._identity or about.get("format") != _FORMAT:
                raise ValueError("it is another model's")
            if about.get("sum") != _checksum(tensors):
                raise ValueError("its checksum is wrong")
            cache.restore(tensors)
            os.utime(file)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as problem:
            with suppress(OSError):
                file.unlink()
            self.damaged += 1
            reason = str(problem).split("\n")[0][:200]
            _log.warning(
                "A saved conversation could not be used and was dropped (%s); it is read anew. So far: %d.",
                reason,
                self.damaged,
            )

    def write(self, conversation: str, tensors: dict[str, Tensor], *, since: float) -> None:
        """Keeps these, unless the conversation was forgotten after `since` (time.time()), or while this writes."""
        if was_forgotten(self._saved.root, conversation, since):
            return
        file = prefix_file(self._folder, conversation)
        about = {"format": _FORMAT, "model": self._identity, "sum": _checksum(tensors)}
        try:
            self._saved.make(self._folder)
            with replacing(file) as temporary:
                save_file(tensors, temporary, metadata=about)
            if was_forgotten(self._saved.root, conversation, since):
                file.unlink(missing_ok=True)
            self._saved.trim()
        except (SafetensorError, OSError) as problem:
            _log.warning("A conversation could not be saved for the next start: %s.", problem)


@dataclass(frozen=True, slots=True)
class _Due:
    """A conversation that may be written: since when what it holds was known, and when its last reply ended."""

    since: float
    ended: float


class WarmCaches:
    """A `CacheStore` whose idle conversations are also on disk. Used by the worker; a thread of its own writes."""

    def __init__(self, caches: CacheStore, folder: WarmFolder) -> None:
        self._caches = caches
        self._folders = {"": folder}  # by adapter
        self._lock = threading.Lock()  # held while a cache is copied, so that no reply changes it
        self._due: dict[tuple[str, str], _Due] = {}  # by adapter and conversation
        self._taken: dict[int, float] = {}
        self._given, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_quiet_ones, name="warm conversations", daemon=True)
        self._thread.start()

    def take(self, conversation: str, *, adapter: str = "") -> PrefixCache:
        """The conversation's cache: from memory, else from disk, else empty."""
        with self._lock:
            cache = self._caches.take(conversation, adapter=adapter)
            self._taken[id(cache)] = time.time()
        if conversation and not cache.length:
            self._folder_of(adapter).read(conversation, cache)
        return cache

    def give(self, conversation: str, cache: PrefixCache, *, adapter: str = "") -> None:
        """Keeps it in memory, and on disk once nobody has talked there for a while."""
        with self._lock:
            since = self._taken.pop(id(cache), 0.0)
            self._caches.give(conversation, cache, adapter=adapter)
            if conversation:
                self._due[adapter, conversation] = _Due(since, time.monotonic())
                self._given.set()

    def drop(self, cache: PrefixCache) -> None:
        """The cache was taken and does not come back."""
        with self._lock:
            self._taken.pop(id(cache), None)

    def close(self) -> None:
        """Writes what is not written yet, the newest first, for a few seconds at most, and frees the memory."""
        self._closing.set()
        self._given.set()
        self._thread.join()
        latest = time.monotonic() + CLOSING
        for adapter, conversation in reversed(self._waiting(ended_before=float("inf"))):
            if time.monotonic() < latest:
                self._write(adapter, conversation)
        self._caches.close()

    def _write_quiet_ones(self) -> None:
        while not self._closing.is_set():
            self._given.wait()
            if self._closing.wait(QUIET / 2):
                return
            for adapter, conversation in self._waiting(ended_before=time.monotonic() - QUIET):
                self._write(adapter, conversation)
            with self._lock:
                if not self._due:
                    self._given.clear()

    def _waiting(self, *, ended_before: float) -> list[tuple[str, str]]:
        with self._lock:
            return [whose for whose, due in self._due.items() if due.ended <= ended_before]

    def _write(self, adapter: str, conversation: str) -> None:
        with self._lock:
            due = self._due.pop((adapter, conversation), None)
            cache = self._caches.look_at(conversation, adapter=adapter)
            if due is None or cache is None or len(cache.tokens) - cache.kept < WORTH_WRITING:
                return
            with torch.inference_mode():
                tensors = cache.copied()
            cache.kept = len(cache.tokens)
        self._folder_of(adapter).write(conversation, tensors, since=due.since)

    def _folder_of(self, adapter: str) -> WarmFolder:
        with self._lock:
            if adapter not in self._folders:
                self._folders[adapter] = self._folders[""].beside(adapter)
            return self._folders[adapter]


def identity_of(folders: Iterable[Path], model: PreTrainedModel) -> str:
    """Names exactly what computed a prefix: the files of model and base, the format, and the libraries' versions."""
    quantised = getattr(model.config, "quantization_config", None)
    lines = [_FORMAT, torch.__version__, transformers.__version__, str(model.dtype), model.device.type, str(quantised)]
    for folder in folders:
        for file in sorted(file for file in folder.iterdir() if file.suffix in {".json", ".safetensors"}):
            if file.name != "card.json":  # measured again, a model is the same
                about = file.stat()
                lines.append(f"{folder.name}/{file.name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]


def _checksum(tensors: dict[str, Tensor]) -> str:
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].contiguous().view(torch.uint8).numpy().data, zlib.crc32(name.encode(), found))
    return f"{found:08x}"
