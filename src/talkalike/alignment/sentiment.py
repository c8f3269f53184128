"""Sentiment as a reward, by VADER's word list, which ships with its package.

It is easily exploited ("good good good"): read the KL and the distinct-2 of a run beside its reward.
"""

from __future__ import annotations

from collections.abc import Sequence

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from talkalike.alignment.values import ReplySample


class SentimentReward:
    """How friendly a reply sounds, from -1 to 1: VADER's compound score (Hutto and Gilbert, 2014). English only.

    It knows slang, smileys, emoji and shouting; 0 means neutral, or no word that it knows.
    """

    def __init__(self) -> None:
        self._analyzer = SentimentIntensityAnalyzer()

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """The compound score of each reply."""
        return [float(self._analyzer.polarity_scores(sample.text)["compound"]) for sample in samples]
