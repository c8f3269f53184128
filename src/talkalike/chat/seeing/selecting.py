"""Which examples of a task are shown before a question: never the picture that is asked about, nor a copy of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from talkalike.chat.seeing.prints import PicturePrint
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.pictures.picture import PictureRef

SAME_FEATURES = 0.995  # cosine from which two pictures count as one


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOfPictures:
    """What is known of pictures, by hash: the features of an eye, and prints. Both may be missing."""

    features: Mapping[str, Sequence[float]] = field(default_factory=dict)
    prints: Mapping[str, PicturePrint] = field(default_factory=dict)

    def cosine(self, one: str, other: str) -> float | None:
        """How alike two pictures are by their features; None where those of one are missing."""
        if one not in self.features or other not in self.features:
            return None
        a, b = (np.asarray(self.features[hash_], dtype=np.float64) for hash_ in (one, other))
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / length if length else 0.0

    def is_same(self, one: str, other: str) -> bool:
        """Whether two pictures are one and the same, or copies of each other."""
        if one == other:
            return True
        if one in self.prints and other in self.prints and self.prints[one].is_near(self.prints[other]):
            return True
        return (self.cosine(one, other) or 0.0) >= SAME_FEATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedShots:
    """The shots to be shown, the nearest last. `dropped`: what the task has that must not be shown, and why."""

    shots: tuple[Shot, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


NOTHING_KNOWN = KnownOfPictures()


def select_shots(spec: TaskSpec, asked: Iterable[PictureRef], known: KnownOfPictures = NOTHING_KNOWN) -> SelectedShots:
    """The examples that are shown before a question about the pictures `asked`, at most as many as the task says.

    Nearest by the cosine of features; examples without a picture or features come behind all others. Where there are no
    features of the picture asked about, the newest are shown, and that is said.
    """
    hashes = [picture.hash for picture in asked]
    usable: list[Shot] = []
    dropped: list[tuple[str, str]] = []
    for number, shot in enumerate(spec.shots, start=1):
        if shot.picture and any(known.is_same(shot.picture.hash, hash_) for hash_ in hashes):
            dropped.append((f"example {number}", "it shows the picture that you ask about"))
        else:
            usable.append(shot)
    notes: tuple[str, ...] = ()
    most = spec.max_shots
    if spec.selection is Selection.ALL:
        usable = usable[:most]
    elif spec.selection is Selection.NEAREST and any(hash_ in known.features for hash_ in hashes):
        usable = _by_distance(usable, hashes, known)
    elif spec.selection is Selection.NEAREST:
        notes = ("No eye here can tell which examples are nearest to the picture: the newest ones were shown.",)
    shown = usable[len(usable) - most :] if len(usable) > most else usable
    return SelectedShots(shots=tuple(shown), dropped=tuple(dropped), notes=notes)


def _by_distance(shots: Sequence[Shot], hashes: Sequence[str], known: KnownOfPictures) -> list[Shot]:
    """The nearest last; those that are equally near in the order of their hashes, so that it is the same each time."""

    def rank(shot: Shot) -> tuple[float, str]:
        if shot.picture is None:
            return -2.0, shot.output
        found = [known.cosine(shot.picture.hash, hash_) for hash_ in hashes]
        return max((one for one in found if one is not None), default=-1.5), shot.picture.hash

    return sorted(shots, key=rank)
