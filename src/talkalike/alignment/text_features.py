"""What can be told of a reply from its text alone: what it looks like, and which words it has. No torch."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from talkalike.alignment.preference_fit import Floats
from talkalike.alignment.reward_report import FEATURES

_FEWEST = 3  # texts in which a word has to stand
_WORD = re.compile(r"\w+|[^\w\s]")


def text_features(texts: Sequence[str]) -> Floats:
    """Length, questions, smileys and the like, (texts, measures)."""
    rows = [[*(measure(text) for measure in FEATURES.values()), len(text.split()), text.count("?")] for text in texts]
    return np.asarray(rows, dtype=np.float64)


def word_features(texts: Sequence[str], vocabulary: Sequence[str]) -> Floats:
    """Whether each word stands in the text, over the root of how many do, so that length alone is worth nothing."""
    places = {word: place for place, word in enumerate(vocabulary)}
    table = np.zeros((len(texts), len(places)))
    for row, text in zip(table, texts, strict=True):
        row[[places[word] for word in words_of(text) if word in places]] = 1.0
    return np.asarray(table / np.sqrt(table.sum(axis=1, keepdims=True) + 1))


def message_word_features(texts: Sequence[str], vocabulary: Sequence[str]) -> Floats:
    """The mean of `word_features` over a text's messages, its lines, so that more messages are not worth more."""
    messages = [[line for line in text.split("\n") if line.strip()] or [""] for text in texts]
    owners = np.repeat(np.arange(len(texts)), [len(lines) for lines in messages])
    table = np.zeros((len(texts), len(vocabulary)))
    np.add.at(table, owners, word_features([line for lines in messages for line in lines], vocabulary))
    return np.asarray(table / np.bincount(owners, minlength=len(texts))[:, None])


def words_of(text: str) -> set[str]:
    """The words and signs of a text, in small letters."""
    return set(_WORD.findall(text.casefold()))


def vocabulary_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The words that stand in more than a few of the texts, sorted."""
    counts = Counter(word for text in texts for word in words_of(text))
    return tuple(sorted(word for word, count in counts.items() if count >= _FEWEST))


def scaled_by_column(features_RF: Floats) -> tuple[Floats, Floats]:
    """(means, sizes) of measures that have units of their own: (x - means) / sizes has a length of about 1."""
    deviations_F = features_RF.std(axis=0)
    sizes_F = np.where(deviations_F > 1e-9, deviations_F, np.inf) * np.sqrt(features_RF.shape[1])
    return features_RF.mean(axis=0), sizes_F


def scaled_as_a_whole(features_RF: Floats) -> tuple[Floats, Floats]:
    """The same for features of one kind, which keep their proportions."""
    means_F = features_RF.mean(axis=0)
    length = float(np.sqrt(((features_RF - means_F) ** 2).sum(axis=1).mean()))
    return means_F, np.full(features_RF.shape[1], length or 1.0)


def different_pairs(groups: Sequence[Sequence[str]]) -> list[list[tuple[int, int, float]]]:
    """Of each group of texts pairs of two that differ, each text in one of them at most, with how much they differ.

    The first pair of a group is that of the two that differ most. People asked about two texts that hardly differ say
    "tie", which teaches little.
    """
    texts = [text for group in groups for text in group]
    if not texts:
        return [[] for _ in groups]
    blocks = []
    words = word_features(texts, vocabulary_of(texts))
    for features, scale in ((text_features(texts), scaled_by_column), (words, scaled_as_a_whole)):
        means_F, sizes_F = scale(features)
        blocks.append((features - means_F) / sizes_F)
    places_RF, start = np.hstack(blocks), 0
    found = []
    for group in groups:
        rows = places_RF[start : start + len(group)]
        start += len(group)
        two = [pair for pair in itertools.combinations(range(len(group)), 2) if group[pair[0]] != group[pair[1]]]
        apart = [(float(np.linalg.norm(rows[one] - rows[other])), one, other) for one, other in two]
        chosen: list[tuple[int, int, float]] = []
        for distance, one, other in sorted(apart, reverse=True):
            if not any({one, other} & {*pair[:2]} for pair in chosen):
                chosen.append((one, other, distance))
        found.append(chosen)
    return found
