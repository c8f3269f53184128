"""A reward model for few judgements: nothing of the double is trained, only how much each feature of a reply counts.

See `preference_fit` for the fit and `reply_features` for the features. Its members were fitted on resampled judgements.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from talkalike.alignment.preference_fit import Comparisons, Floats, PreferenceFit, fit_preferences, side_by_side
from talkalike.alignment.reply_features import TEXT, FeatureReader
from talkalike.alignment.reward_model import RewardScore
from talkalike.alignment.text_features import scaled_as_a_whole, scaled_by_column, vocabulary_of
from talkalike.alignment.values import ExpectedWins, ReplySample
from talkalike.errors import UserError
from talkalike.examples.prepare import tokenizer_hash
from talkalike.models.adapters import disk_errors
from talkalike.models.roles import Roles
from talkalike.workspace.cards import Catalog
from talkalike.workspace.files import write_json
from talkalike.workspace.rebuilding import read_as

FORM_FILE, WEIGHTS_FILE = "linear-reward.json", "linear-reward.safetensors"
_HINT = "Train it again with `talkalike align reward`."
_CAUTION = 0.5  # of the members' standard deviation is taken off, so that what they are unsure of is worth less


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearForm:
    """What a linear reward model is made of, beside its numbers."""

    reference: str  # the double whose states it reads
    scale: str  # what the judgements were about
    blocks: tuple[str, ...]
    strength: float  # variance of the prior
    vocabulary: tuple[str, ...]
    max_tokens: int
    members: int
    tokenizer_hash: str


class LinearReward:
    """Scores replies; the score of one reply depends on nothing but that reply and its prompt."""

    def __init__(self, roles: Roles, form: LinearForm, tensors: Mapping[str, Floats]) -> None:
        """`tensors`: `weights` (members, features), and of each block `mean.<block>` and `size.<block>`."""
        self.form = form
        self.names = tuple(f"member-{member}" for member in range(form.members))
        self._tensors = tensors
        self._reader = FeatureReader(roles, vocabulary=form.vocabulary, max_tokens=form.max_tokens)

    @classmethod
    def load(
        cls, catalog: Catalog, name: str, *, roles: Roles | None = None, device: str = "auto", dtype: str = "auto"
    ) -> LinearReward:
        """The model of this name; on `roles` where its double is the same, else on a base of its own.

        Raises UserError where it is damaged, or does not fit the double it was made for.
        """
        folder = catalog.path(name)
        form = read_as(LinearForm, folder / FORM_FILE, hint=_HINT)
        if roles is None or roles.loaded.name != form.reference:
            if not catalog.exists(form.reference):
                raise UserError(
                    f"The reward model '{name}' stands on '{form.reference}', which is gone.",
                    hint="Restore that model, or train the reward again with `talkalike align reward`.",
                )
            roles = Roles.open(catalog.path(form.reference), catalog=catalog, device=device, dtype=dtype)
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
        except (OSError, SafetensorError) as problem:
            raise UserError(f"The reward model in {folder} cannot be read: {problem}.", hint=_HINT) from None
        model = cls(roles, form, tensors)
        sizes = sum(len(tensors[f"mean.{block}"]) for block in form.blocks)
        if tokenizer_hash(model._reader.renderer) != form.tokenizer_hash or tensors["weights"].shape[1] != sizes:
            raise UserError(
                f"The reward model '{name}' was made for another '{form.reference}' than the one that is here.",
                hint=_HINT,
            )
        return model

    def save(self, folder: Path) -> None:
        """Writes the form and the numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        with disk_errors():
            save_file(
                {name: np.ascontiguousarray(table) for name, table in self._tensors.items()}, folder / WEIGHTS_FILE
            )
        write_json(folder / FORM_FILE, dataclasses.asdict(self.form))

    def values(self, samples: Sequence[ReplySample]) -> Floats:
        """What each member says of each reply, (replies, members); differences are log odds of being preferred."""
        if not samples:
            return np.zeros((0, self.form.members))
        found = self._reader.blocks(samples, self.form.blocks)
        scaled = {name: self._scaled(name, features) for name, features in found.items()}
        return np.asarray(side_by_side(scaled, self.form.blocks) @ self._tensors["weights"].T)

    def scores(self, samples: Sequence[ReplySample]) -> list[RewardScore]:
        """Value and spread of each reply, in order."""
        return self.combine_members(self.values(samples))

    def combine_members(self, values_RM: Floats) -> list[RewardScore]:
        """What the members say of each reply, as one score."""
        return [
            RewardScore(value=float(row.mean()), spread=float(row.std()), by_scale={self.form.scale: float(row.mean())})
            for row in values_RM
        ]

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """The values, less what the members are unsure of: what `values.Reward` asks for."""
        return [score.value - _CAUTION * score.spread for score in self.scores(samples)]

    def disagreements(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> list[float]:
        """How much there is to learn from people about each pair, from 0 to 1.

        It is large where the members see a large difference, whether they agree on its sign or not: two replies in
        which they see none would be a tie, which teaches little.
        """
        values = self.values([sample for pair in pairs for sample in pair])
        return [
            math.tanh(float(np.sqrt(np.mean((first - second) ** 2))) / 2)
            for first, second in zip(values[::2], values[1::2], strict=True)
        ]

    def expect_wins(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> ExpectedWins:
        """How often people are expected to prefer the first reply of these pairs, a tie counting as half a win."""
        values = self.values([sample for pair in pairs for sample in pair])
        shares_PM = 1 / (1 + np.exp(values[1::2] - values[::2]))
        unsure = shares_PM.mean(axis=0).var() + shares_PM.mean(axis=1).var() / len(pairs)
        share, far = float(shares_PM.mean()), 1.96 * float(np.sqrt(unsure))
        return ExpectedWins(share=share, low=max(0.0, share - far), high=min(1.0, share + far))

    def _scaled(self, block: str, features: Floats) -> Floats:
        return np.asarray((features - self._tensors[f"mean.{block}"]) / self._tensors[f"size.{block}"])


def fit_linear_reward(
    roles: Roles, samples: Sequence[ReplySample], comparisons: Comparisons, form: LinearForm, *, seed: int = 0
) -> tuple[LinearReward, PreferenceFit, Floats]:
    """A reward model on these replies' comparisons, and what its members say of these replies.

    `form`: with blocks, vocabulary and hash still to be found.
    """
    form = dataclasses.replace(form, vocabulary=vocabulary_of([sample.text for sample in samples]))
    reader = FeatureReader(roles, vocabulary=form.vocabulary, max_tokens=form.max_tokens)
    found = {name: features for name, features in reader.blocks(samples).items() if features.shape[1]}
    tensors: dict[str, Floats] = {}
    scaled = {}
    for name, features in found.items():
        scale = scaled_by_column if name == TEXT else scaled_as_a_whole
        tensors[f"mean.{name}"], tensors[f"size.{name}"] = scale(features)
        scaled[name] = (features - tensors[f"mean.{name}"]) / tensors[f"size.{name}"]
    fit = fit_preferences(scaled, comparisons, members=form.members, seed=seed)
    tensors["weights"] = fit.weights_MF
    form = dataclasses.replace(
        form,
        blocks=fit.choice.blocks,
        strength=fit.choice.strength,
        tokenizer_hash=tokenizer_hash(reader.renderer),
    )
    values_RM = side_by_side(scaled, form.blocks) @ fit.weights_MF.T
    return LinearReward(roles, form, tensors), fit, values_RM
