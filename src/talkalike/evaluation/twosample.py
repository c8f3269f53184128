"""Can a fresh classifier tell the model's replies from the author's real ones? (classifier two-sample test, C2ST)

The strictest measure here: every difference counts, not only style. The area under the ROC curve is
the probability that of one real and one generated reply the classifier picks the right one: 0.5 is indistinguishable,
1.0 is always recognised. Lopez-Paz & Oquab 2017, arXiv:1610.06545.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from talkalike.evaluation.intervals import Estimate, Floats, Indices, estimate, undefined, weights

MIN_REPLIES = 20
FOLDS = 5


def two_sample_auc(
    real: Sequence[Sequence[str]], generated: Sequence[Sequence[str]], *, bootstrap: int = 1000, seed: int = 0
) -> Estimate:
    """Cross-validated AUC of real against generated replies (bursts of messages, one of each for every context).

    Both replies to one context are always in the same fold, and only replies of one fold are compared (their scores
    come from the same classifier).
    """
    n = len(real)
    if n != len(generated):
        raise ValueError(f"{n} real replies, {len(generated)} generated ones")
    if n < MIN_REPLIES:
        return undefined(f"{n} replies are too few to learn the difference; at least {MIN_REPLIES} are needed.", n=n)
    real_texts = ["\n".join(messages) for messages in real]
    generated_texts = ["\n".join(messages) for messages in generated]
    if not any("".join(text.split()) for text in real_texts + generated_texts):
        return undefined("All replies are empty.", n=n)
    folds_R = np.random.default_rng(seed).permutation(n) % FOLDS
    real_scores, generated_scores = np.zeros(n), np.zeros(n)
    for fold in range(FOLDS):
        learn, judge = np.flatnonzero(folds_R != fold), np.flatnonzero(folds_R == fold)
        classifier = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False, sublinear_tf=True),
            LogisticRegression(C=10.0, solver="liblinear", random_state=0),
        )
        texts = [real_texts[index] for index in learn] + [generated_texts[index] for index in learn]
        classifier.fit(texts, np.repeat([1, 0], len(learn)))
        real_scores[judge] = classifier.decision_function([real_texts[index] for index in judge])
        generated_scores[judge] = classifier.decision_function([generated_texts[index] for index in judge])
    drawn_BR = np.vstack([np.ones(n), weights(n, draws=bootstrap, seed=seed)])
    areas_B = auc_within_folds(real_scores, generated_scores, folds_R, drawn_BR)
    return estimate(areas_B[0], areas_B[1:], n=n)


def auc_within_folds(real_R: Floats, generated_R: Floats, folds_R: Indices, weights_BR: Floats) -> Floats:
    """AUC [B] over the pairs of one fold, reply i counted weights[b, i] times on both sides."""
    same_RR = (folds_R[:, None] == folds_R[None, :]).astype(np.float64)
    wins_RR = pairwise_wins(real_R, generated_R) * same_RR
    won_B = ((weights_BR @ wins_RR) * weights_BR).sum(axis=1)
    return won_B / ((weights_BR @ same_RR) * weights_BR).sum(axis=1)


def pairwise_wins(higher: Floats, lower: Floats) -> NDArray[np.float64]:
    """[i, j]: 1 where higher[i] > lower[j], 1/2 where equal; the mean of the matrix is the AUC."""
    return (higher[:, None] > lower[None, :]) + 0.5 * (higher[:, None] == lower[None, :])
