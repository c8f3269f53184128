"""The example sets of a workspace, as their manifests tell; the sets themselves are read by `examples`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from talkalike.workspace.files import mapping_of, number_of, read_json, text_of, texts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSummary:
    """A set of examples that was prepared for training."""

    name: str
    speakers: tuple[str, ...]
    base: str
    learned: int  # messages to learn from
    prepared: int  # when, in nanoseconds


def example_names(folder: Path) -> list[str]:
    """The example sets in the folder, the one prepared last first."""
    manifests = folder.glob("[!.]*/manifest.json")
    newest = sorted(manifests, key=lambda path: (path.stat().st_mtime_ns, path.parent.name), reverse=True)
    return [path.parent.name for path in newest]


def example_sets(folder: Path) -> tuple[ExampleSummary, ...]:
    """Those with a readable manifest, the one prepared last first."""
    found = []
    for name in example_names(folder):
        path = folder / name / "manifest.json"
        manifest = read_json(path)
        if manifest is not None:
            made = ExampleSummary(
                name=name,
                speakers=texts_of(manifest, "speakers"),
                base=text_of(manifest, "base"),
                learned=int(number_of(mapping_of(manifest, "train"), "learned") or 0),
                prepared=path.stat().st_mtime_ns,
            )
            found.append(made)
    return tuple(found)
