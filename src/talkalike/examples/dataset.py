"""An example set on disk: token shards that are memory-mapped, the same pieces as text, and a manifest with hashes.

`<split>.ids.npy` and `<split>.mask.npy` hold all tokens of a split one document after the other, `<split>.offsets.npy`
where each document starts; `<split>.jsonl` holds the documents' turns, one a line. Plain numpy files, never pickles.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkalike.errors import UserError
from talkalike.examples.render import Mask, Rendered, TokenIds, Turn
from talkalike.workspace.files import replacing_folder, write_json
from talkalike.workspace.rebuilding import read_as

SPLITS = ("train", "heldout")
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A stretch of one conversation as it is rendered. `learn[i]` says that turn i is a target."""

    conversation: str
    turns: tuple[Turn, ...]
    learn: tuple[bool, ...]
    sent_ms: tuple[int, ...]
    ended: bool = False  # silence follows
    next_speaker: str | None = None  # whose turn follows where no silence does


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    sessions: int
    documents: int
    tokens: int
    loss_tokens: int
    messages: int  # reactions are counted by themselves
    learned: int
    reactions: int = 0
    learned_reactions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where an example set comes from and what it holds. `hash` is over the token files, so equal means equal."""

    name: str
    speakers: tuple[str, ...]  # names as rendered
    speaker_ids: tuple[str, ...]
    base: str
    form: str
    tokenizer_hash: str
    settings: Mapping[str, Any]
    sources: Mapping[str, int]  # messages read, by conversation id
    train: SplitCounts
    heldout: SplitCounts
    dropped: Mapping[str, int] = field(default_factory=dict)  # messages, by reason
    redacted: Mapping[str, int] = field(default_factory=dict)  # spans, by sort
    left_out: Mapping[str, int] = field(default_factory=dict)  # turns, sessions: kept in the archive, not in examples
    shortened: Mapping[str, int] = field(default_factory=dict)  # messages that were too long, by what became of them
    fictional: bool = False
    hash: str = ""


class Documents:
    """One split's documents, memory-mapped. Indexing yields read-only arrays of one document."""

    def __init__(self, folder: Path, split: str) -> None:
        self._ids: TokenIds = np.load(folder / f"{split}.ids.npy", mmap_mode="r", allow_pickle=False)
        self._mask: Mask = np.load(folder / f"{split}.mask.npy", mmap_mode="r", allow_pickle=False)
        self._offsets: NDArray[np.int64] = np.load(folder / f"{split}.offsets.npy", allow_pickle=False)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def ids(self, index: int) -> TokenIds:
        """Token ids (T,) of a document."""
        return self._ids[self._offsets[index] : self._offsets[index + 1]]

    def mask(self, index: int) -> Mask:
        """Loss mask (T,) of a document."""
        return self._mask[self._offsets[index] : self._offsets[index + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self._offsets)

    @property
    def tokens(self) -> int:
        return int(self._offsets[-1])

    @property
    def loss_tokens(self) -> int:
        """How many tokens the loss is computed on."""
        return int(self._mask.sum())

    @property
    def measurable(self) -> list[int]:
        """The documents with loss: where all that was learned is said in another part too, there is none."""
        return [index for index in range(len(self)) if self.mask(index).any()]


class ExampleSet:
    """An example set in its folder. Raises UserError if there is none, or if its files do not match its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        if not path.is_file():
            raise UserError(f"There are no examples in {folder}.", hint="Make them with `talkalike prepare`.")
        self.manifest = read_as(Manifest, path, hint="Run `talkalike prepare` again.")

    def split(self, split: str) -> Documents:
        """The documents of "train" or "heldout"."""
        try:
            return Documents(self.folder, split)
        except (OSError, ValueError) as problem:
            raise UserError(
                f"The examples in {self.folder} are damaged: {problem}.", hint="Run `talkalike prepare` again."
            ) from None

    def documents(self, split: str) -> Iterator[Document]:
        """The same documents as turns with their texts."""
        path = self.folder / f"{split}.jsonl"
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    document = _read_document(line)
                except (ValueError, TypeError, KeyError) as problem:
                    raise UserError(f"{path} is damaged: {problem}.", hint="Run `talkalike prepare` again.") from None
                yield document

    def verify(self) -> None:
        """Reads every token file and compares with the manifest's hash; raises UserError on a difference."""
        if files_hash(self.folder) != self.manifest.hash:
            raise UserError(f"The examples in {self.folder} changed on disk.", hint="Run `talkalike prepare` again.")


def _read_document(line: str) -> Document:
    raw = json.loads(line)
    raw["turns"] = tuple(Turn(speaker, text) for speaker, text in raw["turns"])
    raw["learn"], raw["sent_ms"] = tuple(raw["learn"]), tuple(raw["sent_ms"])
    return Document(**raw)


def write_examples(
    folder: Path,
    documents: Mapping[str, Sequence[Document]],
    rendered: Mapping[str, Sequence[Rendered]],
    about: Manifest,
) -> Manifest:
    """Writes an example set beside its place and moves it there; an older one of the same name is replaced."""
    with replacing_folder(folder) as scratch:
        for split in SPLITS:
            _write_split(scratch, split, documents[split], rendered[split])
        manifest = dataclasses.replace(about, hash=files_hash(scratch))
        write_json(scratch / MANIFEST, dataclasses.asdict(manifest))
    return manifest


def files_hash(folder: Path) -> str:
    """SHA-256 over the token files of both splits."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for part in ("ids", "mask", "offsets"):
            digest.update((folder / f"{split}.{part}.npy").read_bytes())
    return digest.hexdigest()


def _write_split(folder: Path, split: str, documents: Sequence[Document], rendered: Sequence[Rendered]) -> None:
    ids = [piece.ids_T for piece in rendered] or [np.zeros(0, dtype=np.int32)]
    masks = [piece.mask_T for piece in rendered] or [np.zeros(0, dtype=np.bool_)]
    offsets = np.cumsum([0, *(len(piece.ids_T) for piece in rendered)], dtype=np.int64)
    np.save(folder / f"{split}.ids.npy", np.concatenate(ids), allow_pickle=False)
    np.save(folder / f"{split}.mask.npy", np.concatenate(masks), allow_pickle=False)
    np.save(folder / f"{split}.offsets.npy", offsets, allow_pickle=False)
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
        for document in documents:
            fields = {f.name: getattr(document, f.name) for f in dataclasses.fields(Document)}
            fields["turns"] = [(turn.speaker, turn.text) for turn in document.turns]
            lines.write(json.dumps(fields, ensure_ascii=False) + "\n")
