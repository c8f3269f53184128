"""A reply in numbers, in three blocks: what its text looks like, its words, and the double's own states.

The states are the mean of the last layer over the reply's tokens. A reward on them needs no training of the network,
and on few judgements it knows much more than one that is trained (docs/lab-notebook.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from talkalike.alignment.feedback_loop import autocast, group_by_prompt, reply_rows
from talkalike.alignment.preference_fit import Floats
from talkalike.alignment.reward_model import fit_sample
from talkalike.alignment.shared_rows import shared_row_attention, target_states
from talkalike.alignment.text_features import message_word_features, text_features, word_features
from talkalike.alignment.values import ReplySample
from talkalike.examples.render import Renderer
from talkalike.models.roles import Roles

TEXT, WORDS, STATES = "text", "message words", "states"
BLOCKS = (TEXT, WORDS, STATES)
_WORDS_OF_ALL = "words"  # of models fitted before 0.4.0, to which a word in one of many messages was worth as much


class FeatureReader:
    """Puts replies into numbers on one double. `vocabulary`: the words that count."""

    def __init__(self, roles: Roles, *, vocabulary: Sequence[str], max_tokens: int) -> None:
        self.roles, self.max_tokens = roles, max_tokens
        self.renderer = Renderer(roles.loaded.tokenizer)
        self._vocabulary = vocabulary

    def blocks(self, samples: Sequence[ReplySample], wanted: Collection[str] = BLOCKS) -> dict[str, Floats]:
        """The wanted blocks of every reply, (replies, features) each, in order."""
        found: dict[str, Floats] = {}
        if TEXT in wanted:
            found[TEXT] = text_features([sample.text for sample in samples])
        if WORDS in wanted:
            found[WORDS] = message_word_features([sample.text for sample in samples], self._vocabulary)
        if _WORDS_OF_ALL in wanted:
            found[_WORDS_OF_ALL] = word_features([sample.text for sample in samples], self._vocabulary)
        if STATES in wanted:
            found[STATES] = self._states(samples)
        return found

    def _states(self, samples: Sequence[ReplySample]) -> Floats:
        contexts, places = group_by_prompt([fit_sample(sample, self.renderer, self.max_tokens) for sample in samples])
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
