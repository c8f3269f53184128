"""Checks an AI judge against people on pairs that they judged, then lets it judge pairs that nobody judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from talkalike.alignment.judge import ScoringEngine, Verdict, judge
from talkalike.alignment.judge_agreement import (
    LEAST_KAPPA,
    JudgeAgreement,
    PeoplesPairs,
    measure_agreement,
    require_some,
    why_refused,
)
from talkalike.alignment.judge_rules import JudgeRule
from talkalike.alignment.prompts import ReplyPrompt
from talkalike.engine.collecting import collect
from talkalike.engine.protocol import ContextTooLongError, Engine, Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.reactions import plain
from talkalike.store.judging.judgement_values import Choice, JudgedReply

ORIGIN = "judge"
_ASK_PEOPLE = "People have to compare some first: on Discord, or on the website's judging page."


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCheck:
    """How each rule's judge agrees with people. `refused` says why some are not used; `left_out` counts pairs."""

    by_rule: Mapping[str, JudgeAgreement]
    refused: Mapping[str, str]
    left_out: Mapping[str, int]

    def accepted(self, rules: Sequence[JudgeRule]) -> tuple[JudgeRule, ...]:
        """The rules by which this model may judge."""
        return tuple(rule for rule in rules if rule.id not in self.refused)


async def measure_judge(
    engine: ScoringEngine,
    people: PeoplesPairs,
    rules: Sequence[JudgeRule],
    *,
    least: float = LEAST_KAPPA,
    on_progress: Callable[[int, int], None] | None = None,
) -> JudgeCheck:
    """Measures how far a judge agrees with people by each rule. Raises UserError where none agrees enough."""
    if not people.pairs:
        raise UserError(
            "There are no pairs of which people prefer one reply, so nobody knows whether an AI judges as they do.",
            hint=_ASK_PEOPLE,
        )
    said: dict[str, list[Choice]] = {rule.id: [] for rule in rules}
    verdicts: dict[str, list[Verdict]] = {rule.id: [] for rule in rules}
    left_out = Counter(people.left_out)
    for number, (record, choice) in enumerate(people.pairs, start=1):
        found = await verdicts_on(engine, record.a, record.b, rules)
        if not found:
            left_out["too long for the judge"] += 1
        for rule, verdict in found:
            said[rule.id].append(choice)
            verdicts[rule.id].append(verdict)
        if on_progress is not None:
            on_progress(number, len(people.pairs))
    by_rule = {rule.id: measure_agreement(said[rule.id], verdicts[rule.id]) for rule in rules}
    reasons = {rule: why_refused(found, least=least) for rule, found in by_rule.items()}
    refused = {rule: why for rule, why in reasons.items() if why}
    require_some(refused, [rule for rule in by_rule if rule not in refused], model=engine.name)
    return JudgeCheck(by_rule=by_rule, refused=refused, left_out=dict(left_out))


async def verdicts_on(
    engine: ScoringEngine, a: JudgedReply, b: JudgedReply, rules: Sequence[JudgeRule]
) -> list[tuple[JudgeRule, Verdict]]:
    """What the judge thinks by each rule; nothing where the replies are too long for it."""
    try:
        return [(rule, await judge(engine, a.context, a.speaker, a.messages, b.messages, rule)) for rule in rules]
    except ContextTooLongError:
        return []


async def sample_pairs(
    engine: Engine, prompts: Sequence[ReplyPrompt], count: int, *, sampling: Sampling
) -> AsyncGenerator[tuple[JudgedReply, JudgedReply] | None, None]:
    """Two replies of one model to each of `count` prompts, drawn by the sampling's seed; None where both are equal."""
    seed = sampling.seed or 0
    chosen = random.Random(seed).sample(list(prompts), min(count, len(prompts)))
    for number, prompt in enumerate(chosen):
        first, second = [
            await _reply(engine, prompt, replace(sampling, seed=(seed + 2 * number + which) % 2**32))
            for which in (0, 1)
        ]
        silent = not (any(first.messages) and any(second.messages))
        yield None if silent or first.messages == second.messages else (first, second)


async def _reply(engine: Engine, prompt: ReplyPrompt, sampling: Sampling) -> JudgedReply:
    reply = await collect(engine, Prompt(turns=prompt.turns, speaker=prompt.speaker), sampling)
    return JudgedReply(
        context=tuple((turn.speaker, turn.text) for turn in prompt.turns),
        speaker=prompt.speaker,
        messages=tuple(plain(text) for text in reply.messages if text.strip()),
        model=engine.name,
        sampling=asdict(sampling),
        origin=ORIGIN,
    )
