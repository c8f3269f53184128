"""The loss of a reward model on judgements, and its scores of held-out ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from talkalike.alignment.feedback_loop import FeedbackSums, reply_rows
from talkalike.alignment.judged_parts import EncodedContext
from talkalike.alignment.reward_model import RewardModel, expected_ratings, pair_losses, rating_losses
from talkalike.alignment.reward_report import ScoredContext


class RewardObjective:
    """Ratings by cross-entropy and pairs by Bradley-Terry on one head; the mean over the judgements of a batch."""

    def __init__(
        self, model: RewardModel, contexts: Sequence[EncodedContext], *, centring: float, row_tokens: int
    ) -> None:
        self.model, self.contexts = model, contexts
        self.centring, self.row_tokens = centring, row_tokens

    def accumulate(self, member: int, batch: Sequence[int], mine: Sequence[int]) -> FeedbackSums:
        """Adds the gradients of the batch's mean loss that come from `mine`, a part of it."""
        count = max(1, sum(self.contexts[index].judgements for index in batch))
        return self._sum_losses(member, mine, divisor=count)

    def measure(self) -> FeedbackSums:
        """Sums over all contexts and members, without gradients."""
        total = FeedbackSums()
        with torch.no_grad():
            for member in range(len(self.model.names)):
                total.add(self._sum_losses(member, range(len(self.contexts)), divisor=None))
        return total

    def _sum_losses(self, member: int, indices: Sequence[int], *, divisor: int | None) -> FeedbackSums:
        tally = FeedbackSums()
        device = self.model.roles.device
        for row in reply_rows(self.contexts, indices, row_tokens=self.row_tokens, device=device, after_last=True):
            tally.tokens += row.tokens
            pairs, ratings = self._judgements(row.contexts, row.starts)
            if not pairs and not ratings:
                continue
            logits = self.model.logits(member, row)
            losses = []
            if ratings:
                reply, scale, value = torch.tensor(ratings, device=device).T
                losses.append(rating_losses(logits[reply, scale], value))
            if pairs:
                place = self.model.form.scales.index(self.model.form.pair_scale)
                better, worse = torch.tensor(pairs, device=device).T
                expected_N = expected_ratings(logits[:, place])
                better_P, worse_P = expected_N[better], expected_N[worse]
                shares_P = torch.tensor([share for index in row.contexts for share in self.contexts[index].shares])
                losses.append(pair_losses(better_P, worse_P, centring=self.centring, shares_P=shares_P.to(better_P)))
                tally.add(FeedbackSums.of_gaps((better_P - worse_P).detach()))
            loss = torch.cat(losses).sum()
            if divisor is not None:
                (loss / divisor).backward()
            tally.add(FeedbackSums(loss=float(loss.detach()), judgements=len(pairs) + len(ratings)))
        return tally

    def _judgements(
        self, contexts: Sequence[int], starts: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
        """The pairs and ratings of a row, by the indices of its replies."""
        scales = self.model.form.scales
        pairs, ratings = [], []
        for index, start in zip(contexts, starts, strict=True):
            context = self.contexts[index]
            pairs += [(start + better, start + worse) for better, worse in context.pairs]
            ratings += [(start + reply, scales.index(scale), value) for reply, scale, value in context.ratings]
        return pairs, ratings


def score_contexts(model: RewardModel, contexts: Sequence[EncodedContext]) -> list[ScoredContext]:
    """Scores each reply of the contexts."""
    scores = iter(model.scores([sample for context in contexts for sample in context.samples]))
    made = []
    for context in contexts:
        own = [next(scores) for _ in context.samples]
        made.append(
            ScoredContext(
                context=context,
                values=[score.value for score in own],
                spreads=[score.spread for score in own],
                by_scale=[score.by_scale for score in own],
            )
        )
    return made
