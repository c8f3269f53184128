"""The trainings of one round of `talkalike align loop`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.judged import Judgements
from talkalike.alignment.loop_state import Round
from talkalike.alignment.preference_values import LEARNING_RATES, PreferenceConfig
from talkalike.alignment.reward_values import RewardConfig
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLConfig, RLSettings
from talkalike.cli.aligning_rl import show_steps
from talkalike.cli.aligning_runs import show_feedback
from talkalike.cli.moments import examples_of
from talkalike.cli.output import percent, say
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.workspace.cards import Card, check_name
from talkalike.workspace.run_folder import RunFolder
from talkalike.workspace.serving import promote, serving_model

_PROMPT_TOKENS = 192  # of the contexts that are practised on: two cores have to do it
_JUDGED_TOKENS = 512  # of a judged context with its replies
_ROLLOUTS = (8, 12)  # contexts in a step, replies to each: these are short, and read their context once
_MAX_KL = 3.0  # nats in a message of some seven tokens: beyond that it writes like somebody else
_CACHE = ("cache", "reference-logprobs")  # in the workspace, as of `align dpo`


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the trainings of a round stand on. `interrupted`: whether Ctrl-C was pressed."""

    opened: Workspace
    judgements: Judgements
    interrupted: Callable[[], bool]
    quiet: bool

    @property
    def adapter(self) -> AdapterSettings:
        """What is trained of a model."""
        return AdapterSettings(method="lora", rank=self.opened.settings.train.rank)


def present_double(opened: Workspace, wanted: str | None) -> Card:
    """The double that is to be made better: the one that is named, else that serves, else made last."""
    catalog = opened.catalog()
    newest = catalog.newest_double()
    name = wanted or serving_model(opened.models) or (newest.name if newest else None)
    if name is None:
        raise UserError("There is no double to make better.", hint="Train one first: talkalike train")
    card = catalog.card(name)
    if not card.is_double or not card.speakers:
        raise UserError(f"'{name}' is nobody's double.", hint="Choose a double with --model.")
    return card


def free_names(opened: Workspace, present: Card, wanted: str | None) -> tuple[str, str]:
    """Names for the candidate and its reward model."""
    catalog = opened.catalog()
    if wanted is not None and catalog.exists(check_name(wanted)):
        raise UserError(f"There is a model '{wanted}' already.", hint="Choose another --name.")
    stem = re.sub(r"-aligned(-\d+)?$", "", present.name)[:50]
    for number in range(1, 1000):
        name = wanted or (f"{stem}-aligned" if number == 1 else f"{stem}-aligned-{number}")
        taste = f"{name[:50]}-taste" if number == 1 or not wanted else f"{name[:50]}-taste-{number}"
        if not catalog.exists(name) and not catalog.exists(taste):
            return name, taste
    raise UserError(f"There are a thousand candidates of '{stem}'.", hint="Choose a --name.")


def keep_serving(opened: Workspace, present: Card) -> None:
    """Marks the present double as the one that serves where nothing is marked: the newest model would serve else."""
    if serving_model(opened.models) is None:
        newest = opened.catalog().newest_double()
        promote(opened.models, newest.name if newest else present.name, "talkalike align loop")


def known_taste(opened: Workspace, present: Card, digest: str) -> str | None:
    """A reward model on this double that was learned from exactly these judgements."""
    for card in reversed(opened.catalog().cards()):
        about = card.settings.get("learned_from", {}) if card.kind == "reward" else {}
        if about.get("judgements") == digest and card.settings.get("reference") == present.name:
            return card.name
    return None


def learn_taste(means: Means, this: Round) -> bool:
    """Trains the round's reward model; False where it was stopped (and can go on)."""
    from talkalike.alignment.reward_training import train_reward  # torch: the help does not wait for it

    opened, options = means.opened, this.options
    config = RewardConfig(
        name=this.reward,
        reference=this.present,
        loop=FeedbackSettings(learning_rate=options["reward_lr"], epochs=options["epochs"], seed=options["seed"]),
        adapter=means.adapter,
        evaluations=2,
        max_tokens=_JUDGED_TOKENS,
        dtype=opened.settings.model.dtype,
        device=opened.settings.model.device,
    )
    run = RunFolder(opened.runs / f"{this.id}-taste")
    events = train_reward(
        config,
        catalog=opened.catalog(),
        judgements=means.judgements,
        run=run,
        resume=bool(run.description()),
        should_stop=means.interrupted,
    )
    finished = show_feedback(events, run, quiet=means.quiet)
    share = finished.report.accuracy.share
    if finished.reason != "stopped" and share is not None and not means.quiet:
        say(f"'{this.reward}' puts {percent(share)} of the held-out pairs in the right order.")
    return finished.reason != "stopped"


def practise(means: Means, this: Round) -> Round:
    """Reinforcement learning with the reward model, within the minutes; `ended` is "" where Ctrl-C stopped it."""
    from talkalike.alignment.rl_recipe import RLSources, align  # torch: the help does not wait for it

    opened, options, catalog = means.opened, this.options, means.opened.catalog()
    settings = RLSettings(
        steps=options["steps"],
        minutes=options["minutes"],
        prompts=_ROLLOUTS[0],
        samples=_ROLLOUTS[1],
        max_tokens=options["max_tokens"],
        seed=options["seed"],
        shaping=RewardShaping(kl=options["kl"]),
        max_kl=_MAX_KL,
        update=PolicyUpdate(learning_rate=options["lr"] or 3e-4, minibatches=1),
    )
    config = RLConfig(
        name=this.candidate,
        double=this.present,
        reward=this.reward,
        settings=settings,
        policy=means.adapter,
        dtype=opened.settings.model.dtype,
        device=opened.settings.model.device,
        prompt_tokens=_PROMPT_TOKENS,
    )
    run = RunFolder(opened.runs / f"{this.id}-practice")
    sources = RLSources(
        catalog=catalog,
        examples=examples_of(opened, catalog.card(this.present)),
        reward=lambda roles: open_reward(this.reward, catalog=catalog, roles=roles),
    )
    events = align(
        config,
        sources,
        run=run,
        resume=bool(run.description()),
        should_stop=means.interrupted,
    )
    last = show_steps(events, run, quiet=means.quiet)
    return this if last.reason == "stopped" else dataclasses.replace(this, ended=last.reason)


def prefer(means: Means, this: Round) -> Round:
    """DPO on the judgements; `ended` is "" where Ctrl-C stopped it."""
    # torch: the help does not wait for it
    from talkalike.alignment.preference_training import PreferenceSources, align_preferences

    opened, options, adapter = means.opened, this.options, means.adapter
    rate = options["lr"] or LEARNING_RATES[adapter.method]
    config = PreferenceConfig(
        name=this.candidate,
        double=this.present,
        loop=FeedbackSettings(learning_rate=rate, epochs=options["epochs"], seed=options["seed"]),
        policy=adapter,
        evaluations=2,
        max_tokens=_JUDGED_TOKENS,
        dtype=opened.settings.model.dtype,
        device=opened.settings.model.device,
    )
    run = RunFolder(opened.runs / f"{this.id}-practice")
    sources = PreferenceSources(
        catalog=opened.catalog(),
        judgements=means.judgements,
        cache=opened.root.joinpath(*_CACHE),
        examples=examples_of(opened, opened.catalog().card(this.present)),
    )
    events = align_preferences(config, sources, run=run, resume=bool(run.description()), should_stop=means.interrupted)
    last = show_feedback(events, run, quiet=means.quiet)
    return this if last.reason == "stopped" else dataclasses.replace(this, ended=last.reason)
