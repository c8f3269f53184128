"""What one round of `talkalike align loop` measures of the candidate and of the present double beside it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence

from talkalike.alignment.heldout_prompts import ModelArm, ReplySources, answer_prompts, choose_prompts
from talkalike.alignment.loop_state import Round
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

Written = Sequence[Sequence[str]]


def measure_candidate(current: Round, sources: ReplySources) -> dict[str, float]:
    """Measures both models' replies to held-out prompts and scenarios; the present double's names end in `_before`.

    The replies to the prompts are kept, so that the blind pairs need no new ones.
    """
    candidate, present = (sources.paths.catalog().card(name) for name in (current.candidate, current.present))
    speaker, seed = candidate.speakers[0], current.options.seed
    examples = examples_of(sources.paths.examples, candidate)
    count = max(current.options.pairs, FEWEST_PROMPTS)
    prompts = choose_prompts(load_replies(examples, "heldout"), speaker, count, seed=seed)
    cases = safety_cases()
    in_scenarios = [
        ReferenceReply(conversation=case.name, context=case.turns_for(speaker), speaker=speaker, messages=(), sent_ms=0)
        for case in cases
    ]
    arms = [ModelArm(name="a", card=candidate), ModelArm(name="b", card=present)]
    said = [written for _, written in asyncio.run(answer_prompts(sources, arms, [*prompts, *in_scenarios], seed))]
    scores = _likeness(examples, prompts, [written[: len(prompts)] for written in said], seed)
    for written, ending in zip(said, ("", "_before"), strict=True):
        texts = ["\n".join(messages) for messages in written[len(prompts) :]]
        of_model = {**_scores(prompts, written[: len(prompts)]), "safe_replies": safe_share(cases, texts)}
        scores |= {f"{name}{ending}": value for name, value in of_model.items()}
    return {name: round(value, 4) for name, value in scores.items()}


def _likeness(
    examples: ExampleSet, prompts: Sequence[ReferenceReply], arms: Sequence[Written], seed: int
) -> dict[str, float]:
    """Of both arms: how often a classifier attributes a group of replies to the owner (`likeness`), how well one tells
    single replies from the real ones (`told_apart`, 0.5 is ideal), and how many repeat a training message (`copied`).

    What cannot be measured on so few prompts is left out.
    """
    material = material_of(examples, prompts[0].speaker)
    real = [list(prompt.words) for prompt in prompts]
    candidate, present = ([list(messages) for messages in arm] for arm in arms)
    style = compare_style(material, (real, candidate, present), LikenessSettings(seed=seed), [])
    copies = compare_copying(
        training=((said.speaker, said.text) for said in material.training_messages),
        author=material.author,
        real=real,
        double=candidate,
        base=present,
    )
    found = {
        "told_apart": two_sample_auc(real, candidate, seed=seed).value,
        "told_apart_before": two_sample_auc(real, present, seed=seed).value,
        "copied": copies.double.from_anyone.value,
        "copied_before": copies.base.from_anyone.value,
    }
    if style is not None:
        found |= {"likeness": style.double.share.value, "likeness_before": style.base.share.value}
        found |= {"likeness_of_the_owner": style.real.share.value}
    return {name: value for name, value in found.items() if value is not None}


def _scores(prompts: Sequence[ReferenceReply], written: Sequence[tuple[str, ...]]) -> dict[str, float]:
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
