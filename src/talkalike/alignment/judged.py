"""What people said about replies, as a trainer needs it: contexts, each with its judged replies. No torch.

Reads the lines that `talkalike judgements export` writes. What cannot be used is counted by reason.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from talkalike.errors import UserError
from talkalike.store.judging.judgement_values import (
    AnyRecord,
    Choice,
    ComparisonRecord,
    CorrectionRecord,
    FlagRecord,
    JudgedReply,
    Kind,
    RatingRecord,
    Turn,
)
from talkalike.store.judging.lines import LineError, from_line

OPINION = "opinion"  # a scale of its own: good or bad, from ratings, pairs or flags
TIES = "ties"  # the reason for which a trained reward model leaves them out
_LISTED = 20  # unreadable lines that are named; all are counted
_JUDGE_MORE = "Collect judgements on Discord or on the website, then run `talkalike judgements export FILE`."
KINDS = {"human": (Kind.HUMAN,), "ai": (Kind.AI,), "all": (Kind.HUMAN, Kind.AI)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """The records of a file. `skipped` names the first unreadable lines with what is wrong, `left_out` counts all."""

    records: tuple[AnyRecord, ...]
    left_out: Mapping[str, int]
    skipped: tuple[tuple[int, str], ...]
    digest: str  # SHA-256 of the records used, whatever their order

    @property
    def judges(self) -> frozenset[str]:
        """The pseudonyms of those who judged."""
        return frozenset(record.judge for record in self.records)

    @property
    def models(self) -> frozenset[str]:
        """The models whose replies were judged."""
        return frozenset(reply.model for record in self.records for reply in _replies(record) if reply.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedContext:
    """A context with all its judged replies; numbers are places in `replies`, each a tuple of messages.

    `pairs` are (better, worse), after a vote where several people judged the same two; `soft` says of those that only
    an AI judged how likely the better one is better, above 0.5; `bad` was flagged, or one of two both called bad.
    """

    turns: tuple[Turn, ...]
    speaker: str
    replies: tuple[tuple[str, ...], ...]
    pairs: tuple[tuple[int, int], ...] = ()
    ratings: tuple[tuple[int, str, int], ...] = ()  # (reply, scale, 1 to 5)
    bad: tuple[int, ...] = ()
    corrections: int = 0  # how many of the pairs are somebody's own words against the double's
    soft: Mapping[tuple[int, int], float] = field(default_factory=dict)
    ties: tuple[tuple[int, int], ...] = ()  # two of which none was called better, or each by as many


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredJudgements:
    """All contexts, in the order of the file, and how many judgements say nothing that can be learned, by reason.

    `tied`: contexts that hold ties and nothing else; only a linear reward model learns from these.
    """

    contexts: tuple[JudgedContext, ...]
    tied: tuple[JudgedContext, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def pairs(self) -> int:
        """The number of preferences."""
        return sum(len(context.pairs) for context in self.contexts)

    @property
    def ratings(self) -> int:
        """The number of ratings."""
        return sum(len(context.ratings) for context in self.contexts)


def read_judgements(file: Path, *, kinds: Sequence[Kind] = (Kind.HUMAN,)) -> Judgements:
    """The judgements in a file, of these kinds of judges only. Raises UserError where there is none."""
    if not file.is_file():
        raise UserError(f"There is no file {file} with judgements.", hint=_JUDGE_MORE)
    latest: dict[str, AnyRecord] = {}
    left_out, skipped, others = Counter[str](), list[tuple[int, str]](), 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = from_line(line.decode("utf-8"))
            except (LineError, UnicodeDecodeError) as problem:
                if line.strip():
                    left_out["lines that are no judgement"] += 1
                    skipped.append((number, str(problem)))
                continue
            if record.kind not in kinds:
                others += 1
                continue
            known = latest.get(record.id) if record.id else None
            if known is not None:
                left_out["the same judgement again"] += 1
                record = max(known, record, key=lambda one: one.at)
            latest[record.id or f"line {number}"] = record
    if others:
        left_out["given by the other kind of judge (people, AI)"] = others
    if not latest:
        why = " by the kind of judges that was asked for" if others else ""
        raise UserError(
            f"There are no judgements{why} in {file}.", hint="Choose another --judges." if others else _JUDGE_MORE
        )
    digests = sorted(hashlib.sha256(repr(record).encode()).hexdigest() for record in latest.values())
    return Judgements(
        records=tuple(latest.values()),
        left_out=dict(left_out),
        skipped=tuple(skipped[:_LISTED]),
        digest=hashlib.sha256("".join(digests).encode()).hexdigest(),
    )


def gather(judgements: Judgements) -> GatheredJudgements:
    """Groups judgements by context. The same two replies judged by several people become what most of them said."""
    contexts: dict[tuple[object, ...], _Builder] = {}
    left_out = Counter[str]()
    for record in judgements.records:
        first = _replies(record)[0]
        key = (first.context, first.speaker)
        builder = contexts.setdefault(key, _Builder(first.context, first.speaker))
        reason = builder.add(record)
        if reason:
            left_out[reason] += 1
    made, tied = [], []
    for builder in contexts.values():
        context, contradictory = builder.build()
        left_out["two replies of which each was preferred equally often"] += contradictory
        if context.pairs or context.ratings or context.bad:
            made.append(context)
        elif context.ties:
            tied.append(context)
    return GatheredJudgements(
        contexts=tuple(made), tied=tuple(tied), left_out={reason: count for reason, count in left_out.items() if count}
    )


def remarks(judgements: Judgements, gathered: GatheredJudgements, *, known_models: Iterable[str]) -> list[str]:
    """Warnings for the owner before they trust what is learned, a sentence each."""
    found = []
    if len(judgements.judges) == 1:
        found.append("All judgements are by one person: the model learns what they prefer, and others may not agree.")
    vanished = sorted(judgements.models - set(known_models))
    if vanished:
        found.append(
            f"Some judged replies are by models that are no longer here ({', '.join(vanished)}). "
            "Their texts are learned from all the same."
        )
    contradictory = _count_contradictory_ratings(gathered)
    if contradictory:
        found.append(f"{contradictory} replies were rated at least 3 apart on the same scale by different people.")
    return found


def nothing_to_learn(judgements: Judgements, gathered: GatheredJudgements) -> UserError:
    """The error where no judgement tells which reply is better."""
    reasons = {**judgements.left_out, **gathered.left_out}
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none of the kind that is needed"
    return UserError(
        f"None of {len(judgements.records)} judgements says which reply is better: {why}.",
        hint="Compare or rate some more replies; ties, skips and contradictions teach nothing.",
    )


class _Builder:
    """One context while its judgements are read."""

    def __init__(self, turns: tuple[Turn, ...], speaker: str) -> None:
        self.turns, self.speaker = turns, speaker
        self.replies: dict[tuple[str, ...], int] = {}
        self.votes: Counter[tuple[int, int]] = Counter()
        self.shares: dict[tuple[int, int], list[float]] = {}  # what AI judges say of (first, second)
        self.ratings: list[tuple[int, str, int]] = []
        self.bad: set[int] = set()
        self.ties: set[tuple[int, int]] = set()
        self.corrections = 0

    def add(self, record: AnyRecord) -> str:
        """Takes a judgement; returns why nothing can be learned from it, or ""."""
        if isinstance(record, ComparisonRecord):
            return self._add_comparison(record)
        if isinstance(record, RatingRecord):
            self.ratings.append((self._place(record.reply.messages), record.scale.value, record.value))
            return ""
        if isinstance(record, CorrectionRecord):
            edited = tuple(message for message in record.text.split("\n") if message.strip())
            if edited == record.reply.messages:
                return "corrections that change nothing"
            self.votes[self._place(edited), self._place(record.reply.messages)] += 1
            self.corrections += 1
            return ""
        if isinstance(record, FlagRecord):
            self.bad.add(self._place(record.reply.messages))
            return ""
        return "skipped by the judge"

    def _add_comparison(self, record: ComparisonRecord) -> str:
        if record.choice is Choice.SKIP:
            return "skipped by the judge"
        a, b = self._place(record.a.messages), self._place(record.b.messages)
        if record.choice is Choice.BOTH_BAD:
            self.bad.update((a, b))
            self.ties.add((min(a, b), max(a, b)))
            return "both called bad"
        if record.choice is Choice.TIE:
            self.ties.add((min(a, b), max(a, b)))
            return TIES
        if a == b:
            return "two replies with the same words"
        if record.probability is not None:
            pair, share = ((a, b), record.probability) if a < b else ((b, a), 1 - record.probability)
            self.shares.setdefault(pair, []).append(share)
        else:
            self.votes[(a, b) if record.choice is Choice.A else (b, a)] += 1
        return ""

    def build(self) -> tuple[JudgedContext, int]:
        """The context, and on how many pairs of replies opinions cancel out.

        What people chose decides; soft labels count only where nobody chose, as their mean over judges (rules).
        """
        pairs, contradictory = [], set[tuple[int, int]]()
        chosen = {(min(pair), max(pair)) for pair in self.votes}
        soft: dict[tuple[int, int], float] = {}
        for first, second in sorted(chosen | self.shares.keys()):
            lead: float = self.votes[first, second] - self.votes[second, first]
            if (first, second) not in chosen:
                lead = math.fsum(self.shares[first, second]) / len(self.shares[first, second]) - 0.5
                soft[(first, second) if lead > 0 else (second, first)] = 0.5 + abs(lead)
            if lead:
                pairs.append((first, second) if lead > 0 else (second, first))
            else:
                contradictory.add((first, second))
        ties = (self.ties | contradictory) - {(min(pair), max(pair)) for pair in pairs}
        context = JudgedContext(
            turns=self.turns,
            speaker=self.speaker,
            replies=tuple(self.replies),
            pairs=tuple(pairs),
            ratings=tuple(self.ratings),
            bad=tuple(sorted(self.bad)),
            corrections=self.corrections,
            soft={pair: soft[pair] for pair in pairs if pair in soft},
            ties=tuple(sorted(two for two in ties if two[0] != two[1])),
        )
        return context, len(contradictory)

    def _place(self, messages: tuple[str, ...]) -> int:
        return self.replies.setdefault(messages, len(self.replies))


def _replies(record: AnyRecord) -> tuple[JudgedReply, ...]:
    return (record.a, record.b) if isinstance(record, ComparisonRecord) else (record.reply,)


def _count_contradictory_ratings(gathered: GatheredJudgements) -> int:
    count = 0
    for context in gathered.contexts:
        values: dict[tuple[int, str], list[int]] = {}
        for reply, scale, value in context.ratings:
            values.setdefault((reply, scale), []).append(value)
        count += sum(max(given) - min(given) >= 3 for given in values.values())
    return count
