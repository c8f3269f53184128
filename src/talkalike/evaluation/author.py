"""Who wrote this? A character-n-gram classifier of one author, and the style recovery it measures.

The classifier is TF-IDF over character 2-5-grams inside words with logistic regression, the field's plain baseline for
authorship. It learns the author against the other speakers of the same chats, from training-period messages only, so
that topic and time give little away. It judges pools of about ten replies, never a single message: a single chat
line says too little.

    style recovery = (s_double - s_base) / (s_real - s_base)

with s either the share of pools attributed to the author (the headline: it can be said in one sentence) or the pools'
mean log-odds. The share saturates when pools are easy to tell apart (real 100%, base 0%): a double that moves from 60%
to 90% of the author's style may stay at 100%. The log-odds keep moving, so both are reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from talkalike.errors import UserError
from talkalike.evaluation.intervals import Estimate, Floats, Indices, estimate, resample, undefined

MIN_GAP = 0.1  # s_real - s_base below this: the classifier cannot tell the author from the base, nothing to recover
MIN_POOLS = 4
MIN_POOL_SIZE = 5
MIN_MESSAGES = 50  # of the author, and of the others together
CHUNKS_WANTED = 400  # training chunks of each class; few messages are regrouped until there are about this many
MAX_REGROUPINGS = 8
POOLS_DRAWN = 100  # overlapping pools in each bootstrap sample, so that little hangs on which replies share a pool
BLOCK = 20_000  # pools scored at a time, bounds the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorSettings:
    """How the classifier is trained and asked. `pool_size` counts replies, `chunk_size` training messages."""

    pool_size: int = 10
    chunk_size: int = 10
    max_messages: int = 6000  # of each class
    max_features: int = 60_000
    strength: float = 10.0  # inverse regularisation of the logistic regression
    bootstrap: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleArm:
    """How one arm's pools look to the classifier: `share` attributed to the author, and their mean `log_odds`."""

    share: Estimate
    log_odds: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleRecovery:
    """The headline with everything it was made of. `others`: real replies of the other speakers (should be near 0)."""

    recovery: Estimate  # on shares
    recovery_log_odds: Estimate
    real: StyleArm
    double: StyleArm
    base: StyleArm
    others: StyleArm | None
    pool_size: int
    author_messages: int  # the classifier was trained on
    other_messages: int
    other_speakers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFeatures:
    """R replies as the classifier sees them: enough to score any pool of them without touching text again.

    A pool's TF-IDF vector is the normalised sum of its replies' vectors, so its log-odds are
    sum(along_R) / sqrt(sum of the pool's block of gram_RR) + intercept.
    """

    along_R: Floats
    gram_RR: Floats


class AuthorClassifier:
    """Log-odds that pooled texts were written by the author. Deterministic for the same texts, order and settings."""

    def __init__(self, author: Sequence[str], others: Mapping[str, Sequence[str]], settings: AuthorSettings) -> None:
        """Trains. `others`: messages by speaker, thinned to an equal say of each speaker and the author's count.

        Raises UserError where either side has too few messages.
        """
        rng = np.random.default_rng(settings.seed)
        texts_of_others = [text for texts in others.values() for text in texts]
        count = min(len(author), len(texts_of_others), settings.max_messages)
        if count < MIN_MESSAGES:
            raise UserError(
                f"The author's style cannot be learned from {len(author)} messages against {len(texts_of_others)} "
                f"of the other speakers: at least {MIN_MESSAGES} of each are needed.",
                hint="Import more conversations, or choose a speaker who says more.",
            )
        theirs = equal_say([list(texts) for texts in others.values()], count, rng)
        mine = [author[index] for index in rng.choice(len(author), size=count, replace=False)]
        self.messages = count
        self.speakers = sum(1 for texts in others.values() if texts)
        chunks = _chunks(mine, settings.chunk_size, rng), _chunks(theirs, settings.chunk_size, rng)
        self._vectorizer = TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=(2, 5),
            lowercase=False,
            min_df=2,
            max_features=settings.max_features,
            norm=None,  # pools are normalised after summing
        )
        features = normalize(self._vectorizer.fit_transform([*chunks[0], *chunks[1]]))
        model = LogisticRegression(C=settings.strength, solver="liblinear", random_state=0)
        model.fit(features, np.repeat([1, 0], [len(chunks[0]), len(chunks[1])]))
        self._coefficients: Floats = model.coef_[0]
        self._intercept = float(model.intercept_[0])

    def prepare(self, replies: Sequence[Sequence[str]]) -> ReplyFeatures:
        """The replies (each a burst of messages) made ready for pooling."""
        weighted = self._vectorizer.transform(["\n".join(messages) for messages in replies])
        return ReplyFeatures(along_R=weighted @ self._coefficients, gram_RR=(weighted @ weighted.T).toarray())

    def log_odds(self, prepared: ReplyFeatures, pools_NK: Indices) -> Floats:
        """Log-odds [N] of pools given by their members' indices; a pool without any known n-gram gets the intercept."""
        blocks = [np.empty(0)]
        for start in range(0, len(pools_NK), BLOCK):
            pools = pools_NK[start : start + BLOCK]
            squared = prepared.gram_RR[pools[:, :, None], pools[:, None, :]].sum(axis=(1, 2))
            length = np.sqrt(np.maximum(squared, 1e-12))
            blocks.append(prepared.along_R[pools].sum(axis=1) / length + self._intercept)
        return np.concatenate(blocks)


def style_recovery(
    classifier: AuthorClassifier,
    *,
    real: Sequence[Sequence[str]],
    double: Sequence[Sequence[str]],
    base: Sequence[Sequence[str]],
    others: Sequence[Sequence[str]] = (),
    settings: AuthorSettings,
) -> StyleRecovery:
    """Compares the three arms, which must hold replies to the same contexts in the same order (paired bootstrap)."""
    if not len(real) == len(double) == len(base):
        raise ValueError(f"arms of different length: {len(real)} real, {len(double)} double, {len(base)} base")
    n = len(real)
    size = pool_size(n, settings.pool_size)
    arms = {
        name: _score(classifier, replies, settings)
        for name, replies in (("real", real), ("double", double), ("base", base))
    }
    return StyleRecovery(
        recovery=_recovery([arm.shares for arm in arms.values()], n=n, kind="share"),
        recovery_log_odds=_recovery([arm.log_odds for arm in arms.values()], n=n, kind="log-odds"),
        real=arms["real"].arm,
        double=arms["double"].arm,
        base=arms["base"].arm,
        others=_score(classifier, others, settings).arm if others else None,
        pool_size=size,
        author_messages=classifier.messages,
        other_messages=classifier.messages,
        other_speakers=classifier.speakers,
    )


def pool_size(replies: int, wanted: int) -> int:
    """Replies in a pool: as many as wanted, fewer where MIN_POOLS pools would not fit, 0 where there are too few."""
    size = min(wanted, replies // MIN_POOLS)
    return size if size >= min(wanted, MIN_POOL_SIZE) else 0


def too_few(replies: int, size: int) -> str:
    """Why so few replies cannot be measured."""
    return (
        f"Only {replies} held-out replies: how they are written shows in groups of {size} or more, and {MIN_POOLS} "
        f"groups are needed, so at least {MIN_POOLS * size} replies."
    )


def draw_pools(samples_BR: Indices, size: int, *, pools: int, seed: int) -> Indices:
    """Pools [B, at least `pools`, size] of each sample's replies: the sample is shuffled and cut, again and again."""
    draws, n = samples_BR.shape
    cuts = n // size
    rounds = -(-pools // cuts)
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(samples_BR[:, None, :], (draws, rounds, n)), axis=2)
    return shuffled[:, :, : cuts * size].reshape(draws, rounds * cuts, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """An arm with its bootstrap replicates; element 0 is the value itself, from the replies as they are."""

    arm: StyleArm
    shares: Floats
    log_odds: Floats


def _score(classifier: AuthorClassifier, replies: Sequence[Sequence[str]], settings: AuthorSettings) -> _Scored:
    n = len(replies)
    size = pool_size(n, settings.pool_size)
    if not size:
        why = too_few(n, min(settings.pool_size, MIN_POOL_SIZE))
        nothing = undefined(why, n=n)
        return _Scored(arm=StyleArm(share=nothing, log_odds=nothing), shares=np.empty(0), log_odds=np.empty(0))
    samples = np.vstack([np.arange(n), resample(n, draws=settings.bootstrap, seed=settings.seed)])
    pools = draw_pools(samples, size, pools=POOLS_DRAWN, seed=settings.seed + 1)
    log_odds = classifier.log_odds(classifier.prepare(replies), pools.reshape(-1, size)).reshape(pools.shape[:2])
    shares, means = (log_odds > 0).mean(axis=1), log_odds.mean(axis=1)
    arm = StyleArm(share=estimate(shares[0], shares[1:], n=n), log_odds=estimate(means[0], means[1:], n=n))
    return _Scored(arm=arm, shares=shares, log_odds=means)


def _recovery(arms: Sequence[Floats], *, n: int, kind: str) -> Estimate:
    real, double, base = arms
    if not len(real):
        return undefined(too_few(n, MIN_POOL_SIZE), n=n)
    gaps = real - base
    if kind == "share" and gaps[0] < MIN_GAP:
        return undefined(
            f"The author's own replies ({real[0]:.0%} of pools attributed to them) and the base model's "
            f"({base[0]:.0%}) look too much alike to the classifier: there is no distance to recover.",
            n=n,
        )
    if kind == "log-odds" and (gaps[0] <= 0 or np.percentile(gaps[1:], 2.5) <= 0):
        return undefined("The author's own replies do not score clearly above the base model's.", n=n)
    # A bootstrap sample with next to no gap would divide by nothing: its gap counts as half the smallest one accepted.
    least = MIN_GAP / 2 if kind == "share" else 0.1 * gaps[0]
    recovered = (double - base) / np.maximum(gaps, least)
    return estimate(recovered[0], recovered[1:], n=n)


def equal_say(texts_by_speaker: Sequence[Sequence[str]], count: int, rng: np.random.Generator) -> list[str]:
    """`count` texts, as equally from each speaker as their numbers allow (whoever has few gives all)."""
    kept: list[str] = []
    queue = sorted((texts for texts in texts_by_speaker if texts), key=len)
    for position, texts in enumerate(queue):
        share = min(len(texts), -(-(count - len(kept)) // (len(queue) - position)))
        kept += [texts[index] for index in rng.choice(len(texts), size=share, replace=False)]
    return kept


def _chunks(messages: Sequence[str], size: int, rng: np.random.Generator) -> list[str]:
    """Training texts of `size` messages each; few messages are regrouped several times, each time differently."""
    cuts = max(1, len(messages) // size)
    rounds = min(MAX_REGROUPINGS, -(-CHUNKS_WANTED // cuts))
    parts = [part for _ in range(rounds) for part in np.array_split(rng.permutation(len(messages)), cuts)]
    return ["\n".join(messages[index] for index in part) for part in parts]
