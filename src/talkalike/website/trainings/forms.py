"""The recipe form: what can be chosen is what lies in the workspace."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from django import forms
from django.core.validators import RegexValidator

from talkalike.jobs.cards import Examples, ModelCard
from talkalike.website.trainings.service import Recipe

METHODS = (
    ("", "as in the settings"),
    ("lora", "LoRA: small matrices beside the weights (quick, little memory)"),
    ("dora", "DoRA: LoRA with a size of its own for each direction"),
    ("last-n", "the last layers as a whole"),
    ("full", "all weights (slow, much memory)"),
    ("prompt", "a learned prompt (tiny)"),
)
_NAME = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9_-]\Z|\A[A-Za-z0-9]\Z",
    "Use up to 64 letters, digits, dots, dashes and underscores, starting with a letter or digit.",
)
LONGEST = 7 * 24 * 60  # minutes


class RecipeForm(forms.Form):
    """A new training."""

    name = forms.CharField(label="Name of the new model", max_length=64, validators=[_NAME])
    examples = forms.ChoiceField(label="Examples")
    base = forms.ChoiceField(label="Base model", required=False)
    method = forms.ChoiceField(label="What is trained", choices=METHODS, required=False)
    minutes = forms.FloatField(
        label="Minutes",
        min_value=0.1,
        max_value=LONGEST,
        initial=10,
        required=False,
        help_text="It stops after this long; the schedule is fitted to it. Empty: as in the settings.",
    )
    epochs = forms.FloatField(
        label="Passes over the examples, at most",
        min_value=0.01,
        max_value=1000,
        required=False,
        help_text="Empty: as in the settings.",
    )
    learning_rate = forms.FloatField(
        label="Highest learning rate",
        min_value=1e-8,
        max_value=1,
        required=False,
        help_text="Empty: what suits the method.",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    def __init__(
        self,
        *args: Any,
        examples: Sequence[Examples],
        cards: Sequence[ModelCard],
        taken: Collection[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._taken = {name.casefold() for name in taken}
        self._base_of = {one.name: one.base for one in examples}
        offered = [(one.name, f"{one.name} ({', '.join(one.speakers)}: {one.learned:,} messages)") for one in examples]
        bases = [("", "the one the examples were prepared for")]
        bases += [(card.name, card.name) for card in cards if card.kind in ("base", "full")]
        for name, choices in (("examples", offered), ("base", bases)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
        if examples:
            self.fields["name"].initial = free_name(examples[0].name, self._taken)

    def clean_name(self) -> str:
        """Nothing is trained over a model that is there, nor over one that is being trained."""
        name = str(self.cleaned_data["name"])
        if name.casefold() in self._taken:
            raise forms.ValidationError(f"There is a model '{name}' already, or one that is being trained.")
        return name

    @property
    def recipe(self) -> Recipe:
        """What was asked for; once the form is valid."""
        given = self.cleaned_data
        return Recipe(
            name=given["name"],
            examples=given["examples"],
            method=given["method"],
            base=given["base"] or self._base_of[given["examples"]],
            minutes=given["minutes"],
            epochs=given["epochs"],
            learning_rate=given["learning_rate"],
        )


def free_name(examples: str, taken: Collection[str]) -> str:
    """The examples' name with the first number that is free, as the command line would call it."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", examples).strip("-_")[:56] or "model"
    return next(f"{stem}-{n}" for n in range(1, len(taken) + 2) if f"{stem}-{n}".casefold() not in taken)
