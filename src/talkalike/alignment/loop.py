"""One round of `talkalike align loop`: new judgements become a candidate beside the present double.

Four parts in this order: `begin_round`, `train_candidate`, `check_candidate`, `compare_blindly`. The round is written
after each, so that one that was cut off goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from talkalike.alignment.heldout_prompts import choose_prompts
from talkalike.alignment.judged import Judgements, gather, nothing_to_learn
from talkalike.alignment.loop_checks import measure_candidate
from talkalike.alignment.loop_state import (
    CANDIDATE_RUN,
    FINISHED,
    REWARD_RUN,
    LoopConfig,
    LoopSources,
    RewardModelKnown,
    Round,
    TrainingEvent,
    count_unused,
    fingerprints,
    read_rounds,
)
from talkalike.alignment.loop_training import RoundTraining
from talkalike.alignment.pairing import make_pairs
from talkalike.alignment.sufficiency import check_sufficiency
from talkalike.errors import UserError
from talkalike.examples.heldout import load_replies
from talkalike.examples.opening import examples_of
from talkalike.store.store import Store
from talkalike.workspace.cards import Card, Catalog, check_name
from talkalike.workspace.paths import WorkspacePaths
from talkalike.workspace.run_folder import RUN
from talkalike.workspace.serving import promote, serving_model

LoopEvent = Round | RewardModelKnown | TrainingEvent


def check_present(paths: WorkspacePaths, present: Card) -> None:
    """Raises UserError where the candidate could not be measured, before anything is trained."""
    examples = examples_of(paths.examples, present)
    examples.verify()
    choose_prompts(load_replies(examples), present.speakers[0], 1, seed=0)


def new_round_id(runs: Path) -> str:
    """A free name for the folder of a round that begins now."""
    started = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    names = [f"loop-{started}", *(f"loop-{started}-{number}" for number in range(2, 100))]
    return next(name for name in names if not (runs / name).exists())


def begin_round(
    config: LoopConfig, paths: WorkspacePaths, judgements: Judgements, *, round_id: str, present: Card, fewest: int
) -> Round:
    """A new round with these judgements, which lie in its folder, or an unfinished one with the same settings.

    Raises UserError, and removes the folder, where fewer than `fewest` judgements are new to all finished rounds.
    """
    try:
        planned = _plan_round(config, paths, judgements, round_id=round_id, present=present, fewest=fewest)
    except UserError:
        shutil.rmtree(paths.runs / round_id)
        raise
    if planned.id != round_id:
        shutil.rmtree(paths.runs / round_id)
    return planned.save(paths.runs)


def _plan_round(
    config: LoopConfig, paths: WorkspacePaths, judgements: Judgements, *, round_id: str, present: Card, fewest: int
) -> Round:
    known, prints = read_rounds(paths.runs), fingerprints(judgements)
    new = count_unused(prints, known)
    gathered = gather(judgements)
    if not gathered.pairs and not gathered.ratings:
        raise nothing_to_learn(judgements, gathered)
    wanted = Round(
        id=round_id,
        present=present.name,
        candidate="",
        reward="",
        digest=judgements.digest,
        used=prints,
        new=new,
        options=config,
    )
    cut_off = next((each for each in reversed(known) if each.continues(wanted)), None)
    if cut_off is not None:
        return replace(cut_off, state="running")
    if new < fewest:
        are = "is 1 new judgement" if new == 1 else f"are {new:,} new judgements"
        raise UserError(
            f"There {are} since the last finished round; {fewest} are wanted.",
            hint=f"Judge some more replies, or lower the limit: --new {new}" if new else "Judge some more replies.",
        )
    catalog = paths.catalog()
    known_reward = _find_reward(catalog, present, judgements.digest) if config.needs_reward else None
    candidate, reward = _free_names(catalog, present, config.name, reward=known_reward)
    return replace(wanted, candidate=candidate, reward=reward if config.needs_reward else "")


def train_candidate(
    current: Round, sources: LoopSources, judgements: Judgements, should_stop: Callable[[], bool]
) -> Iterator[LoopEvent]:
    """Trains what is not trained yet; yields what happens, and the round whenever it changed.

    The last round has `ended`, or the state "stopped" where `should_stop` said so. Raises UserError, also where the
    judgements are not enough; a round that would have nothing to continue is deleted then. Its reward model is kept.
    """
    runs = sources.replies.paths.runs
    try:
        yield from _train_missing(current, sources, judgements, should_stop)
    except UserError:
        rewarded = sources.replies.paths.catalog().exists(current.reward)
        unfinished = (CANDIDATE_RUN,) if rewarded else (REWARD_RUN, CANDIDATE_RUN)
        if not any((current.run(runs, part).path / RUN).is_file() for part in unfinished):
            shutil.rmtree(runs / current.id, ignore_errors=True)
        raise


def _train_missing(
    current: Round, sources: LoopSources, judgements: Judgements, should_stop: Callable[[], bool]
) -> Iterator[LoopEvent]:
    paths, catalog = sources.replies.paths, sources.replies.paths.catalog()
    if current.ended:
        return
    training = RoundTraining(current=current, sources=sources, judgements=judgements, should_stop=should_stop)
    if current.reward and catalog.exists(current.reward):
        yield RewardModelKnown(name=current.reward)
    elif current.reward:
        start = time.monotonic()
        yield from training.train_reward()
        current = current.add_time(REWARD_RUN, start).save(paths.runs)
        yield current
    if current.reward and catalog.exists(current.reward) and not current.options.anyway:
        check_sufficiency(catalog.card(current.reward), judgements=len(current.used))
    if not should_stop():
        _mark_serving(paths, catalog.card(current.present))
        start = time.monotonic()
        ended = yield from training.train_candidate()
        current = replace(current.add_time(CANDIDATE_RUN, start), ended="" if ended == "stopped" else ended)
    yield replace(current, state="running" if current.ended else "stopped").save(paths.runs)


def check_candidate(current: Round, sources: LoopSources) -> Round:
    """The round with what was measured of the candidate and of the present double."""
    if current.checks:
        return current
    start = time.monotonic()
    checks = measure_candidate(current, sources)
    return replace(current.add_time("checks", start), checks=checks).save(sources.replies.paths.runs)


def compare_blindly(current: Round, sources: LoopSources, store: Store) -> Round:
    """Finishes the round: makes blind pairs of both doubles' replies, and writes what was measured on the card."""
    paths, catalog = sources.replies.paths, sources.replies.paths.catalog()
    if current.batch is None:
        start, options = time.monotonic(), current.options
        cards = (catalog.card(current.candidate), catalog.card(current.present))
        made = asyncio.run(make_pairs(sources.replies, store, cards, count=options.pairs, seed=options.seed))
        current = replace(current.add_time("pairs", start), batch=made.id, pairs=made.pairs).save(paths.runs)
    _write_card(catalog, current)
    return replace(current, state=FINISHED).save(paths.runs)


def _write_card(catalog: Catalog, current: Round) -> None:
    """Writes on the candidate's card what it came from and what was measured."""
    card = catalog.card(current.candidate)
    about = {"judgements": current.digest, "of_them_new": current.new, "judgements_used": len(current.used)}
    about |= {"reward_model": current.reward, "present": current.present, "via": current.options.via}
    about |= {"id": current.id, "batch": current.batch, "options": asdict(current.options)}
    scores = {**card.scores, "checks": dict(current.checks)}
    catalog.save_card(replace(card, settings={**card.settings, "round": about}, scores=scores))


def _free_names(catalog: Catalog, present: Card, wanted: str | None, *, reward: str | None) -> tuple[str, str]:
    """Names for the candidate and its reward model, where there is no `reward` yet."""
    if wanted is not None and catalog.exists(check_name(wanted)):
        raise UserError(f"There is a model '{wanted}' already.", hint="Choose another --name.")
    stem = re.sub(r"-aligned(-\d+)?$", "", present.name)[:50]
    for number in range(1, 1000):
        name = wanted or (f"{stem}-aligned" if number == 1 else f"{stem}-aligned-{number}")
        free = f"{name[:50]}-reward" if number == 1 or not wanted else f"{name[:50]}-reward-{number}"
        if not catalog.exists(name) and (reward or not catalog.exists(free)):
            return name, reward or free
    raise UserError(f"There are a thousand candidates of '{stem}'.", hint="Choose a --name.")


def _find_reward(catalog: Catalog, present: Card, digest: str) -> str | None:
    """A reward model on this double that was trained on exactly these judgements."""
    for card in reversed(catalog.cards()):
        about = card.settings.get("learned_from", {}) if card.kind == "reward" else {}
        if about.get("judgements") == digest and card.settings.get("reference") == present.name:
            return card.name
    return None


def _mark_serving(paths: WorkspacePaths, present: Card) -> None:
    """Marks the double that serves now where none is marked: else the newest model, the candidate, would serve."""
    if serving_model(paths.models) is None:
        newest = paths.catalog().newest_double()
        promote(paths.models, newest.name if newest else present.name, "talkalike align loop")
