"""The recipe of reinforcement learning: a double, a reward and the examples' prompts become an aligned adapter.

`train_rl` is a generator of what happens, like the supervised recipe: it writes metrics, samples and checkpoints into
the run's folder, and ends with a model in the catalog whose card names everything it came from.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from talkalike.alignment.guard_rails import GuardRails, ReplySettings, scores_before_and_after
from talkalike.alignment.learner import POLICY, Learner
from talkalike.alignment.lineage import lineage, save_aligned
from talkalike.alignment.prompts import reply_prompts
from talkalike.alignment.rl import Task, rl_steps
from talkalike.alignment.rl_report import RLProgress
from talkalike.alignment.rl_settings import RLConfig
from talkalike.alignment.rl_values import RLEvent, RLFinished, RLStarted, RLStep
from talkalike.alignment.rollouts import RolloutMemory
from talkalike.alignment.strength import choose_strength
from talkalike.alignment.values import Reward
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.prepare import tokenizer_hash
from talkalike.examples.render import Renderer
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.training.memory import explain_out_of_memory
from talkalike.training.run import TrainingRun
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder

OpenReward = Callable[[Roles], Reward]
"""Opens a reward on the run's own roles, so that a reward model shares the base in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RLSources:
    """The inputs of a run: the models, the examples whose prompts are used, and the reward of the replies."""

    catalog: Catalog
    examples: ExampleSet
    reward: Reward | OpenReward


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of a run."""

    double: Card
    task: Task
    learner: Learner
    guard: GuardRails


def train_rl(
    config: RLConfig,
    sources: RLSources,
    *,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RLEvent]:
    """Trains and yields events; `should_stop` is asked after every step. Raises UserError when memory runs out."""
    settings, manifest = config.settings, sources.examples.manifest
    hint = (
        f"Lower row_tokens (now {settings.update.row_tokens}), prompts or group_size, or align a smaller "
        "double. The run can be resumed with --resume."
    )
    with explain_out_of_memory("The alignment ran out of memory.", hint=hint):
        parts = _load(config, sources)
        learner = parts.learner
        training = TrainingRun(
            folder=run,
            config=config,
            about={"kind": "rl", "examples": manifest.name, "examples_hash": manifest.hash},
            trainable=learner.trainable,
            optimizer=learner.optimizer,
            accelerator=learner.accelerator,
            progress=RLProgress(),
        )
        if resume and training.resume():
            learner.safe = training.best()
        progress = training.progress
        training.describe("running")
        yield _started(config, parts, progress.step)
        start = time.monotonic()
        if not progress.before:
            progress.before = parts.guard.measure()
            _record_replies(training, parts.guard)
        training.count_minutes(settings.minutes, ending=time.monotonic() - start)
        memory = RolloutMemory(run.path / "rollouts") if config.keep_rollouts else None
        reason = ""
        for step in rl_steps(learner, parts.task, progress, memory):
            _record(config, training, parts.guard, step)
            yield step
            if step.stop:
                reason = step.stop
                learner.restore_safe_state()
            elif should_stop():
                reason = "stopped"
                training.checkpoint(learner.safe)
                break
            else:
                training.checkpoint_in_time(learner.safe)
        over = progress.step >= settings.steps
        yield _finish(config, sources, parts, training, reason or ("finished" if over else "minutes"))


def _load(config: RLConfig, sources: RLSources) -> _Parts:
    catalog, examples, settings = sources.catalog, sources.examples, config.settings
    double = catalog.card(config.double)
    roles = Roles.open(catalog.path(config.double), catalog=catalog, device=config.device, dtype=config.dtype)
    accelerator = make_accelerator(roles.device, roles.dtype)
    renderer = Renderer(roles.loaded.tokenizer)
    if tokenizer_hash(renderer) != examples.manifest.tokenizer_hash:
        raise UserError(
            f"The examples '{examples.manifest.name}' are not in the vocabulary of '{config.double}'.",
            hint="Choose the examples that it was trained on, or prepare them for its base.",
        )
    token_budget = min(roles.loaded.context_length - settings.max_tokens, config.prompt_tokens)
    reward = sources.reward if isinstance(sources.reward, Reward) else sources.reward(roles)
    task = Task(
        prompts=reply_prompts(examples, renderer, max_tokens=token_budget),
        reward=reward,
        decode=lambda ids: str(renderer.tokenizer.decode(list(ids), skip_special_tokens=True)),
        stop_id=renderer.stop_id,
    )
    learner = Learner(roles, settings, accelerator, policy=config.policy, critic=config.critic)
    replies = ReplySettings(max_tokens=settings.max_tokens, prompt_tokens=config.prompt_tokens)
    guard = GuardRails(roles, POLICY, examples, accelerator, settings=replies, reward=reward)
    return _Parts(double=double, task=task, learner=learner, guard=guard)


def _started(config: RLConfig, parts: _Parts, step: int) -> RLStarted:
    roles = parts.learner.roles
    return RLStarted(
        step=step,
        steps=config.settings.steps,
        prompts=len(parts.task.prompts),
        nbytes=roles.nbytes,
        dtype=str(roles.dtype).removeprefix("torch."),
        device=str(roles.device),
    )


def _record(config: RLConfig, training: TrainingRun[RLProgress], guard: GuardRails, step: RLStep) -> None:
    if not training.writes:
        return
    values = dataclasses.asdict(step)
    shown = values.pop("shown")
    steps, wanted = config.settings.steps, config.evaluations
    if step.index * wanted // steps > (step.index - 1) * wanted // steps:
        values |= guard.likeness()
        training.folder.record_replies(step.index, guard.example_replies())
    training.record(values.pop("index"), **values, total_seconds=round(training.progress.seconds, 3))
    if shown:
        training.folder.record_samples(step.index, shown)


def _record_replies(training: TrainingRun[RLProgress], guard: GuardRails) -> None:
    if training.writes:
        training.folder.record_replies(training.progress.step, guard.example_replies())


def _finish(
    config: RLConfig, sources: RLSources, parts: _Parts, training: TrainingRun[RLProgress], reason: str
) -> RLFinished:
    double, manifest = parts.double, sources.examples.manifest
    tried = []
    if reason != "stopped" and config.wins < 1 and config.policy.method == "lora":
        tried = choose_strength(
            parts.learner.roles,
            parts.task.reward,
            sources.examples,
            speaker=(double.speakers or manifest.speakers)[0],
            wins=config.wins,
            seed=config.settings.seed,
        )
    after = parts.guard.measure()
    _record_replies(training, parts.guard)
    card = training.card(
        kind="adapter",
        method=config.policy.method,
        parents=lineage(double),
        speakers=double.speakers or manifest.speakers,
        examples=manifest.name,
        examples_hash=manifest.hash,
        settings={
            **_judgements_behind(config, sources.catalog),
            "strengths": {str(one.factor): round(one.expected.share, 4) for one in tried},
        },
        seed=config.settings.seed,
        scores={
            **scores_before_and_after(training.progress.before, after),
            **({"strength": tried[-1].factor} if tried else {}),
            "ended": reason,
        },
        fictional=manifest.fictional or double.fictional,
    )
    if training.writes:
        card = save_aligned(parts.learner.roles, POLICY, card, double=double, catalog=sources.catalog)
    training.finish(reason)
    return RLFinished(reason=reason, card=card, seconds=training.progress.seconds)


def _judgements_behind(config: RLConfig, catalog: Catalog) -> dict[str, Any]:
    """The judgements that the reward model was trained on, for the double's card."""
    card = next((card for card in catalog.cards() if card.kind == "reward" and card.name == config.reward), None)
    return {"learned_from": card.settings["learned_from"]} if card and "learned_from" in card.settings else {}
