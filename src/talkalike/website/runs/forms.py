"""The recipe form: what can be chosen is what lies in the workspace."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from django import forms
from django.core.validators import RegexValidator

from talkalike.website.runs.service import Alignment, Recipe
from talkalike.workspace.cards import Card
from talkalike.workspace.example_sets import ExampleSummary

METHODS = (
    ("", "as in the settings"),
    ("lora", "LoRA: small matrices beside the weights (fast, little memory)"),
    ("dora", "DoRA: LoRA that also learns the magnitude of each weight"),
    ("last-n", "the last layers, all their weights"),
    ("full", "all weights (slow, much memory)"),
    ("prompt", "a learned prompt (tiny)"),
)
_NAME = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9_-]\Z|\A[A-Za-z0-9]\Z",
    "Use up to 64 letters, digits, dots, dashes and underscores, starting with a letter or digit.",
)
LONGEST = 7 * 24 * 60  # minutes


class _NewModelForm(forms.Form):
    """A training that produces a model, under a name that is free."""

    name = forms.CharField(label="Name of the new model", max_length=64, validators=[_NAME])

    def __init__(self, *args: Any, taken: Collection[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taken = {name.casefold() for name in taken}

    def offer(self, **choices: Sequence[tuple[str, str]]) -> None:
        """Sets the choices of these fields."""
        for name, offered in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = offered

    def clean_name(self) -> str:
        """Nothing is trained over a model that is there, nor over one that is being trained."""
        name = str(self.cleaned_data["name"])
        if name.casefold() in self._taken:
            raise forms.ValidationError(f"A model named '{name}' already exists or is being trained.")
        return name


class RecipeForm(_NewModelForm):
    """Which examples to train on, from which base, how and for how long."""

    examples = forms.ChoiceField(label="Examples")
    base = forms.ChoiceField(label="Base model", required=False)
    method = forms.ChoiceField(label="Training method", choices=METHODS, required=False)
    minutes = forms.FloatField(
        label="Time limit (minutes)",
        min_value=0.1,
        max_value=LONGEST,
        initial=10,
        required=False,
        help_text="Training stops after this time; the learning rate schedule fits it. Empty: as in the settings.",
    )
    epochs = forms.FloatField(
        label="Epochs (passes over the examples), at most",
        min_value=0.01,
        max_value=1000,
        required=False,
        help_text="Empty: as in the settings.",
    )
    learning_rate = forms.FloatField(
        label="Peak learning rate",
        min_value=1e-8,
        max_value=1,
        required=False,
        help_text="Empty: the default of the method.",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    def __init__(self, *args: Any, examples: Sequence[ExampleSummary], cards: Sequence[Card], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._base_of = {one.name: one.base for one in examples}
        offered = [(one.name, f"{one.name} ({', '.join(one.speakers)}: {one.learned:,} messages)") for one in examples]
        bases = [("", "the base model of the examples")]
        bases += [(card.name, card.name) for card in cards if card.kind in ("base", "full")]
        self.offer(examples=offered, base=bases)
        if examples:
            self.fields["name"].initial = free_name(examples[0].name, self._taken)

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


KINDS = (
    ("reward", "Reward model: learns from judgements to score replies"),
    ("rl", "RL training: a double learns to write replies with a higher reward"),
    ("dpo", "Preference training (DPO): a double learns from preferred and rejected replies"),
)
SENTIMENT = ("sentiment", "positive words (built in, to try it out)")


class AlignmentForm(_NewModelForm):
    """Training on judgements: what kind, from which double, with which reward."""

    field_order = ("kind", "double", "name")
    kind = forms.ChoiceField(label="Kind of training", choices=KINDS)
    double = forms.ChoiceField(label="Double to start from")
    reward = forms.ChoiceField(label="Reward (RL training)", required=False)
    steps = forms.IntegerField(
        label="Steps (RL training)", min_value=1, max_value=100_000, required=False, help_text="Empty: 100."
    )
    epochs = forms.FloatField(
        label="Epochs (passes over the judgements)",
        min_value=0.01,
        max_value=1000,
        required=False,
        help_text="For reward models and preference training. Empty: 2.",
    )
    judges = forms.ChoiceField(
        label="Judgements by", choices=[("human", "people"), ("ai", "AI judges"), ("all", "both")], required=False
    )

    def __init__(self, *args: Any, cards: Sequence[Card], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = doubles(cards)
        rewards = [(card.name, card.name) for card in reversed(cards) if card.kind == "reward"]
        self.offer(double=[(card.name, card.name) for card in found], reward=[("", "none"), *rewards, SENTIMENT])
        if found:
            self.fields["name"].initial = free_name(f"{found[0].name}-aligned", self._taken)

    def clean(self) -> dict[str, Any]:
        """RL training needs a reward."""
        cleaned = super().clean() or {}
        if cleaned.get("kind") == "rl" and not cleaned.get("reward"):
            self.add_error(
                "reward", "RL training needs a reward. Train a reward model first, or choose the built-in one."
            )
        return cleaned

    @property
    def alignment(self) -> Alignment:
        """What was asked for; once the form is valid."""
        return Alignment(**self.cleaned_data)


def doubles(cards: Sequence[Card]) -> list[Card]:
    """The models that write like somebody, the newest first."""
    return [card for card in reversed(cards) if card.is_double]


def free_name(examples: str, taken: Collection[str]) -> str:
    """The examples' name with the first number that is free, as the command line would call it."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", examples).strip("-_")[:56] or "model"
    return next(f"{stem}-{n}" for n in range(1, len(taken) + 2) if f"{stem}-{n}".casefold() not in taken)
