"""What one round of `talkalike align loop` measures of the candidate and of the present double beside it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence

from talkalike.alignment.heldout_prompts import (
    ModelArm,
    ReplySources,
    choose_prompts,
    draw_replies,
    pairs_that_differ,
    reply_samples_of,
)
from talkalike.alignment.linear_reward import LinearReward
from talkalike.alignment.loop_state import LoopSources, Round
from talkalike.alignment.rewards import open_reward
from talkalike.chat.scenario_scores import likeness, safe_share
from talkalike.chat.scenarios import safety_cases
from talkalike.chats.redaction import redact
from talkalike.evaluation.copying import compare_copying
from talkalike.evaluation.likeness import LikenessSettings, compare_style
from talkalike.evaluation.scoring import material_of
from talkalike.evaluation.twosample import two_sample_auc
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import ReferenceReply, load_replies
from talkalike.examples.opening import examples_of

FEWEST_PROMPTS = 50  # at least, where there are so many: likeness is measured on groups of replies
DRAWS = 3  # replies to each prompt: one alone leaves likeness to luck
_OTHER_SEEDS = 7919  # between the draws

Written = Sequence[Sequence[str]]
"""A model's replies to the same prompts, each a sequence of messages."""


def measure_candidate(current: Round, sources: LoopSources) -> dict[str, float]:
    """Measures both models' replies to held-out prompts and scenarios; the present double's names end in `_before`.

    The replies to the prompts are kept, so that the blind pairs need no new ones.
    """
    catalog, seed = sources.replies.paths.catalog(), current.options.seed
    candidate, present = (catalog.card(name) for name in (current.candidate, current.present))
    speaker = candidate.speakers[0]
    examples = examples_of(sources.replies.paths.examples, candidate)
    count = max(current.options.pairs, FEWEST_PROMPTS)
    prompts = choose_prompts(load_replies(examples, "heldout"), speaker, count, seed=seed)
    cases = safety_cases()
    in_scenarios = [
        ReferenceReply(conversation=case.name, context=case.turns_for(speaker), speaker=speaker, messages=(), sent_ms=0)
        for case in cases
    ]
    arms = [ModelArm(name="a", card=candidate), ModelArm(name="b", card=present)]
    answered = asyncio.run(_answer(sources.replies, arms, [*prompts, *in_scenarios], seed))
    replies = [[draw[: len(prompts)] for draw in draws] for draws in answered]
    scores = _compare(examples, prompts, replies, seed) | _expected_wins(current, sources, prompts, replies)
    for arm, (drawn, ending) in enumerate(zip(replies, ("", "_before"), strict=True)):
        texts = [["\n".join(messages) for messages in draw[len(prompts) :]] for draw in answered[arm]]
        of_model = _mean([_scores(prompts, draw) for draw in drawn])
        of_model["safe_replies"] = safe_share(cases * len(texts), list(itertools.chain.from_iterable(texts)))
        scores |= {f"{name}{ending}": value for name, value in of_model.items()}
    return {name: round(value, 4) for name, value in scores.items()}


async def _answer(
    sources: ReplySources, arms: Sequence[ModelArm], prompts: Sequence[ReferenceReply], seed: int
) -> list[list[list[tuple[str, ...]]]]:
    """Each arm's replies to all prompts, draw by draw."""
    seeds = [seed + _OTHER_SEEDS * draw for draw in range(DRAWS)]
    return [await draw_replies(sources, arm, prompts, seeds) for arm in arms]


def _compare(
    examples: ExampleSet, prompts: Sequence[ReferenceReply], arms: Sequence[Sequence[Written]], seed: int
) -> dict[str, float]:
    """Of both arms: how often a classifier attributes a group of replies to the owner (`likeness`), how well one tells
    single replies from the real ones (`told_apart`, 0.5 is ideal), and how many repeat a training message (`copied`).

    What cannot be measured on so few prompts is left out.
    """
    material = material_of(examples, prompts[0].speaker)
    real = [list(prompt.words) for prompt in prompts]
    candidate, present = ([list(messages) for draw in arm for messages in draw] for arm in arms)
    style = compare_style(material, (real * DRAWS, candidate, present), LikenessSettings(seed=seed), [])
    copies = compare_copying(
        training=((said.speaker, said.text) for said in material.training_messages),
        author=material.author,
        real=real * DRAWS,
        double=candidate,
        base=present,
    )
    found = {"copied": copies.double.from_anyone.value, "copied_before": copies.base.from_anyone.value}
    for ending, arm in zip(("", "_before"), arms, strict=True):
        areas = [two_sample_auc(real, [list(messages) for messages in draw], seed=seed).value for draw in arm]
        told = [area for area in areas if area is not None]
        found[f"told_apart{ending}"] = statistics.fmean(told) if told else None
    if style is not None:
        found |= {"likeness": style.double.share.value, "likeness_before": style.base.share.value}
        found |= {"likeness_of_the_owner": style.real.share.value}
    return {name: value for name, value in found.items() if value is not None}


def _expected_wins(
    current: Round, sources: LoopSources, prompts: Sequence[ReferenceReply], arms: Sequence[Sequence[Written]]
) -> dict[str, float]:
    """What a linear reward model expects of the blind comparison; nothing where there is no such model."""
    if not current.reward:
        return {}
    catalog = sources.replies.paths.catalog()
    model = open_reward(current.reward, catalog=catalog, dtype=sources.dtype, device=sources.device)
    pairs = pairs_that_differ(*(reply_samples_of(prompts, arm[0]) for arm in arms))
    if not isinstance(model, LinearReward) or not pairs:
        return {}
    expected = model.expect_wins(pairs)
    return {
        "expected_wins": expected.share,
        "expected_wins_low": expected.low,
        "expected_wins_high": expected.high,
    }


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each measure over the draws."""
    return {name: statistics.fmean(one[name] for one in found) for name in found[0]}


def _scores(prompts: Sequence[ReferenceReply], written: Written) -> dict[str, float]:
    texts = ["\n".join(messages) for messages in written]
    bigrams = [pair for text in texts for pair in itertools.pairwise(text.split())]
    real = ["\n".join(prompt.words) for prompt in prompts]
    likes = [likeness(messages, [reply]) or 0.0 for messages, reply in zip(written, real, strict=True)]
    return {
        "likeness_to_real": statistics.fmean(likes),
        "distinct_2": len(set(bigrams)) / max(1, len(bigrams)),
        "characters": statistics.fmean(map(len, texts)),
        "empty": statistics.fmean(not text.strip() for text in texts),
        "leaks": statistics.fmean(bool(redact(text).counts) for text in texts),
    }
