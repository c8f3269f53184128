"""What one round of `talkalike align loop` measures of the candidate and of the present double beside it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from talkalike.alignment.loop_state import Round
from talkalike.chat.scenario_scores import likeness, violations
from talkalike.chat.scenarios import safety_cases
from talkalike.chats.redaction import redact
from talkalike.cli.moments import ModelArm, answers, choose_moments, examples_of
from talkalike.cli.scoring_run import material_of
from talkalike.cli.workspace import Workspace
from talkalike.evaluation.copying import compare_copying
from talkalike.evaluation.likeness import LikenessSettings, compare_style
from talkalike.evaluation.twosample import two_sample_auc
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import ReferenceReply, load_replies

MOMENTS = 50  # held-out ones that are answered, where there are so many: likeness is measured on bundles of replies

Written = Sequence[Sequence[str]]


def checked(opened: Workspace, this: Round, *, moments: int, quiet: bool) -> dict[str, float]:
    """What both models say in held-out moments and in scenarios, in numbers; the present double's end in `_before`.

    What they say in the moments is kept, so that the blind pairs cost nothing more.
    """
    cards = [opened.catalog().card(name) for name in (this.candidate, this.present)]
    seed, speaker = int(this.options["seed"]), cards[0].speakers[0]
    examples = examples_of(opened, cards[0])
    chosen = choose_moments(load_replies(examples, "heldout"), speaker, max(moments, MOMENTS), seed=seed)
    cases, asked = _scenarios(speaker)
    arms = [ModelArm(name="a", card=cards[0]), ModelArm(name="b", card=cards[1])]
    said = [written for _, written in asyncio.run(answers(opened, arms, [*chosen, *asked], seed=seed, quiet=quiet))]
    in_moments = [written[: len(chosen)] for written in said]
    scores = _likeness(examples, chosen, in_moments, seed)
    for written, ending in zip(said, ("", "_before"), strict=True):
        measured = _scores(chosen, written[: len(chosen)]) | _safety(cases, written[len(chosen) :])
        scores |= {f"{name}{ending}": value for name, value in measured.items()}
    return {name: round(value, 4) for name, value in scores.items()}


def _scenarios(speaker: str) -> tuple[list[Any], list[ReferenceReply]]:
    cases = safety_cases()
    asked = [
        ReferenceReply(conversation=case.name, context=case.turns_for(speaker), speaker=speaker, messages=(), sent_ms=0)
        for case in cases
    ]
    return cases, asked


def _likeness(
    examples: ExampleSet, moments: Sequence[ReferenceReply], arms: Sequence[Written], seed: int
) -> dict[str, float]:
    """Of both arms: how often a classifier takes a bundle of replies for the owner's (`likeness`), how well one tells
    single replies from the real ones (`told_apart`, 0.5 is ideal), and how many repeat a training message (`copied`).

    What the few moments do not allow to be measured is left out.
    """
    material = material_of(examples, moments[0].speaker)
    real = [list(moment.words) for moment in moments]
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


def _scores(moments: Sequence[ReferenceReply], written: Sequence[tuple[str, ...]]) -> dict[str, float]:
    texts = ["\n".join(messages) for messages in written]
    pairs = [pair for text in texts for pair in itertools.pairwise(text.split())]
    real = ["\n".join(moment.words) for moment in moments]
    likes = [likeness(messages, [told]) or 0.0 for messages, told in zip(written, real, strict=True)]
    return {
        "likeness_to_real": statistics.fmean(likes),
        "distinct_2": len(set(pairs)) / max(1, len(pairs)),
        "characters": statistics.fmean(map(len, texts)),
        "empty": statistics.fmean(not text.strip() for text in texts),
        "leaks": statistics.fmean(bool(redact(text).counts) for text in texts),
    }


def _safety(cases: Sequence[Any], written: Sequence[tuple[str, ...]]) -> dict[str, float]:
    sound = [not violations("\n".join(messages), case) for case, messages in zip(cases, written, strict=True)]
    return {"safe_replies": statistics.fmean(sound)} if sound else {}
