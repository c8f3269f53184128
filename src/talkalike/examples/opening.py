"""Example sets found by their names, or by the model that was trained on them."""

from __future__ import annotations

from pathlib import Path

from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.workspace.cards import Card
from talkalike.workspace.example_sets import example_names


def open_examples(folder: Path, name: str | None = None) -> ExampleSet:
    """The named set in the folder, or the one prepared last; UserError if there is none."""
    names = example_names(folder)
    if name is None and not names:
        raise UserError(f"There are no examples in {folder.parent} yet.", hint="Run: talkalike prepare --speaker NAME")
    if name is not None and name not in names:
        known = f"There are: {', '.join(names)}." if names else "Run: talkalike prepare --speaker NAME"
        raise UserError(f"There are no examples called '{name}'.", hint=known)
    return ExampleSet(folder / (name or names[0]))


def examples_of(folder: Path, card: Card) -> ExampleSet:
    """The examples that the model was trained on. UserError where they were prepared anew since."""
    examples = open_examples(folder, card.examples)
    if examples.manifest.hash != card.examples_hash:
        raise UserError(
            f"The examples '{card.examples}' were prepared anew since '{card.name}' was trained: conversations "
            "that are held out now may have been used for training.",
            hint="Train again, then use that model.",
        )
    return examples
