"""A reply in numbers, in three blocks: what its text looks like, its words, and the double's own states.

The states are the mean of the last layer over the reply's tokens. A reward on them needs no training of the network,
and on few judgements it knows much more than one that is trained (docs/lab-notebook.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from talkalike.alignment.feedback_loop import autocast, by_prompt, reply_rows
from talkalike.alignment.preference_fit import Floats
from talkalike.alignment.reward_model import fitting
from talkalike.alignment.reward_report import FEATURES
from talkalike.alignment.shared_rows import shared_row_attention, target_states
from talkalike.alignment.values import ReplySample
from talkalike.examples.render import Renderer
from talkalike.models.roles import Roles

TEXT, WORDS, STATES = "text", "words", "states"
BLOCKS = (TEXT, WORDS, STATES)
_FEWEST = 3  # replies in which a word has to stand
_WORD = re.compile(r"\w+|[^\w\s]")


class FeatureReader:
    """Puts replies into numbers on one double. `vocabulary`: the words that count."""

    def __init__(self, roles: Roles, *, vocabulary: Sequence[str], max_tokens: int) -> None:
        self.roles, self.max_tokens = roles, max_tokens
        self.renderer = Renderer(roles.loaded.tokenizer)
        self._places = {word: place for place, word in enumerate(vocabulary)}

    def blocks(self, samples: Sequence[ReplySample], wanted: Collection[str] = BLOCKS) -> dict[str, Floats]:
        """The wanted blocks of every reply, (replies, features) each, in order."""
        readers = {TEXT: self._text, WORDS: self._words, STATES: self._states}
        return {name: readers[name](samples) for name in BLOCKS if name in wanted}

    def _text(self, samples: Sequence[ReplySample]) -> Floats:
        rows = [
            [*(measure(sample.text) for measure in FEATURES.values()), len(sample.text.split()), sample.text.count("?")]
            for sample in samples
        ]
        return np.asarray(rows, dtype=np.float64)

    def _words(self, samples: Sequence[ReplySample]) -> Floats:
        """Whether each word stands in the reply, over the root of how many do, so that length is no virtue."""
        table = np.zeros((len(samples), len(self._places)))
        for row, sample in zip(table, samples, strict=True):
            row[[self._places[word] for word in words_of(sample.text) if word in self._places]] = 1.0
        return table / np.sqrt(table.sum(axis=1, keepdims=True) + 1)

    def _states(self, samples: Sequence[ReplySample]) -> Floats:
        contexts, places = by_prompt([fitting(sample, self.renderer, self.max_tokens) for sample in samples])
        found: dict[tuple[int, int], Floats] = {}
        rows = reply_rows(contexts, range(len(contexts)), row_tokens=4096, device=self.roles.device, after_last=True)
        with torch.no_grad():
            for row in rows:
                with self.roles.use(None) as network, shared_row_attention(network), autocast(self.roles):
                    states_LD = target_states(network, row.row)
                states_LD = F.rms_norm(states_LD.float(), states_LD.shape[-1:])
                sums_ND = states_LD.new_zeros(len(row.lengths_N), states_LD.shape[1])
                means_ND = sums_ND.index_add_(0, row.owner_L, states_LD) / row.lengths_N[:, None]
                means = means_ND.double().cpu().numpy()
                for index, start in zip(row.contexts, row.starts, strict=True):
                    for reply in range(len(contexts[index].samples)):
                        found[index, reply] = means[start + reply]
        return np.stack([found[place] for place in places])


def words_of(text: str) -> set[str]:
    """The words and signs of a text, in small letters."""
    return set(_WORD.findall(text.casefold()))


def vocabulary_of(samples: Sequence[ReplySample]) -> tuple[str, ...]:
    """The words of the replies that stand in more than a few of them, sorted."""
    counts = Counter(word for sample in samples for word in words_of(sample.text))
    return tuple(sorted(word for word, count in counts.items() if count >= _FEWEST))
