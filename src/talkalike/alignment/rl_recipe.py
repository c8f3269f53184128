"""The recipe of reinforcement learning: a double, a reward and the examples' contexts become an aligned adapter.

`align` is a generator of what happens, like the supervised recipe: it writes metrics, samples and checkpoints into the
run's folder, and ends with a model in the catalog whose card names everything it came from.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from talkalike.alignment.feedback_recipe import lineage
from talkalike.alignment.guard_rails import GuardRails, Replies, noted
from talkalike.alignment.learner import POLICY, Learner
from talkalike.alignment.prompts import reply_prompts
from talkalike.alignment.rl import Task, rl_steps
from talkalike.alignment.rl_report import RLProgress
from talkalike.alignment.rl_settings import RLConfig
from talkalike.alignment.rl_values import RLEvent, RLFinished, RLStarted, RLStep
from talkalike.alignment.rollouts import RolloutMemory
from talkalike.alignment.values import Reward
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.prepare import tokenizer_hash
from talkalike.examples.render import Renderer
from talkalike.models.roles import Roles
from talkalike.training import checkpoints
from talkalike.training.loop import make_accelerator
from talkalike.training.memory import memory_told
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder

OpenReward = Callable[[Roles], Reward]
"""Opens a reward on the run's own roles, so that a reward model shares the base in memory."""


class _Recipe:
    """The parts of one run that live as long as it does."""

    def __init__(
        self, config: RLConfig, catalog: Catalog, examples: ExampleSet, reward: Reward | OpenReward, run: RunFolder
    ) -> None:
        self.config, self.catalog, self.examples, self.run = config, catalog, examples, run
        self.double = catalog.card(config.double)
        self.roles = Roles.open(catalog.path(config.double), catalog=catalog, device=config.device, dtype=config.dtype)
        self.accelerator = make_accelerator(self.roles.device, self.roles.dtype)
        renderer = Renderer(self.roles.loaded.tokenizer)
        if tokenizer_hash(renderer) != examples.manifest.tokenizer_hash:
            raise UserError(
                f"The examples '{examples.manifest.name}' are not in the vocabulary of '{config.double}'.",
                hint="Choose the examples that it was trained on, or prepare them for its base.",
            )
        room = self.roles.loaded.context_length - config.settings.max_tokens
        self.task = Task(
            prompts=reply_prompts(examples, renderer, max_tokens=min(room, config.prompt_tokens)),
            reward=reward if isinstance(reward, Reward) else reward(self.roles),
            decode=lambda ids: str(renderer.tokenizer.decode(list(ids), skip_special_tokens=True)),
            stop_id=renderer.stop_id,
        )
        self.learner = Learner(
            self.roles, config.settings, self.accelerator, policy=config.policy, critic=config.critic
        )
        replies = Replies(max_tokens=config.settings.max_tokens, prompt_tokens=config.prompt_tokens)
        self.guard = GuardRails(
            self.roles, POLICY, examples, self.accelerator, replies=replies, reward=self.task.reward
        )
        self.progress = RLProgress()
        self.memory = RolloutMemory(run.path / "rollouts") if config.keep_rollouts else None
        self.before: dict[str, float] = {}

    def started(self) -> RLStarted:
        return RLStarted(
            step=self.progress.step,
            steps=self.config.settings.steps,
            prompts=len(self.task.prompts),
            nbytes=self.roles.nbytes,
            dtype=str(self.roles.dtype).removeprefix("torch."),
            device=str(self.roles.device),
        )

    def record(self, step: RLStep) -> None:
        if not self.accelerator.is_main_process:
            return
        values = dataclasses.asdict(step)
        shown = values.pop("shown")
        steps, wanted = self.config.settings.steps, self.config.evaluations
        if step.index * wanted // steps > (step.index - 1) * wanted // steps:
            values |= self.guard.likeness()
            self.run.record_replies(step.index, self.guard.shown())
        self.run.record(step=values.pop("index"), **values, total_seconds=round(self.progress.seconds, 3))
        if shown:
            self.run.record_samples(step.index, shown)

    def checkpoint(self) -> None:
        if self.accelerator.is_main_process:
            state = {**dataclasses.asdict(self.progress), "before": self.before}
            if self.learner.safe:
                checkpoints.save_best(self.run, self.learner.safe)
            checkpoints.save_checkpoint(self.run, self.learner.trainable, self.learner.optimizer, state)

    def resume(self) -> None:
        state = checkpoints.load_checkpoint(self.run, self.learner.trainable, self.learner.optimizer)
        if state is None:
            return
        self.before = state.pop("before")
        self.progress = RLProgress(**state)
        self.learner.safe = checkpoints.load_best(self.run) or {}
        if self.accelerator.is_main_process:
            self.run.forget_after(self.progress.step)

    def begin(self, looked: float) -> None:
        """Notes what loading took, with a first look of so many seconds, as there will be one at the end.

        Raises UserError where no time is left for a single step.
        """
        progress, minutes = self.progress, self.config.settings.minutes
        progress.seconds += time.monotonic() - self.run.began
        if progress.step == 0:
            progress.loading, progress.ending = progress.seconds, looked
        if progress.step == 0 and not progress.has_time(0.0, minutes):
            raise UserError(
                f"{minutes:g} minutes are over before the first step: loading the model and measuring it as it is took "
                f"{progress.loading:.0f} seconds, and measuring it in the end takes {looked:.0f}.",
                hint="No model was made. Give it more --minutes.",
            )

    def finish(self, reason: str) -> RLFinished:
        after = self.guard.look()
        card = self._card(reason, after)
        if self.accelerator.is_main_process:
            self.run.record_replies(self.progress.step, self.guard.shown())
            folder = self.catalog.path(self.config.name)
            kind = self.roles.save(POLICY, folder, base=self.catalog.address(lineage(self.double)[0]))
            card = dataclasses.replace(card, kind=kind, parents=lineage(self.double, whole=kind == "full"))
            self.catalog.save_card(card)
            self.describe("stopped" if reason == "stopped" else "finished")
            if reason != "stopped":
                self.run.drop_checkpoints()
        return RLFinished(reason=reason, card=card, seconds=self.progress.seconds)

    def _card(self, reason: str, after: dict[str, float]) -> Card:
        manifest = self.examples.manifest
        scores: dict[str, Any] = {**noted(self.before, after)}
        scores |= {"steps": self.progress.step, "training_seconds": round(self.progress.seconds, 1), "ended": reason}
        return Card(
            name=self.config.name,
            kind="adapter",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            method=self.config.policy.method,
            parents=lineage(self.double),
            speakers=self.double.speakers or manifest.speakers,
            examples=manifest.name,
            examples_hash=manifest.hash,
            settings={**dataclasses.asdict(self.config), **self._learned_from()},
            seed=self.config.settings.seed,
            scores=scores,
            fictional=manifest.fictional or self.double.fictional,
        )

    def _learned_from(self) -> dict[str, Any]:
        """What a reward model was learned from: the judgements behind this double."""
        name = self.config.reward
        card = next((card for card in self.catalog.cards() if card.kind == "reward" and card.name == name), None)
        return {"learned_from": card.settings["learned_from"]} if card and "learned_from" in card.settings else {}

    def describe(self, state: str) -> None:
        manifest = self.examples.manifest
        about: dict[str, Any] = {"model": self.config.name, "kind": "rl", "state": state}
        about |= {"examples": manifest.name, "examples_hash": manifest.hash}
        self.run.describe({**about, "settings": dataclasses.asdict(self.config)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RLSources:
    """What a run is made from: the models, whose contexts are practised on, and what scores the replies."""

    catalog: Catalog
    examples: ExampleSet
    reward: Reward | OpenReward


def align(
    config: RLConfig,
    sources: RLSources,
    *,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RLEvent]:
    """Aligns and yields events; `should_stop` is asked after every step. Raises UserError when memory runs out."""
    hint = (
        f"Lower row_tokens (now {config.settings.update.row_tokens}), prompts or samples, or align a smaller "
        "double. The run can be resumed with --resume."
    )
    with memory_told("The alignment ran out of memory.", hint=hint):
        recipe = _Recipe(config, sources.catalog, sources.examples, sources.reward, run)
        if resume:
            recipe.resume()
        yield from _align(recipe, should_stop)


def _align(recipe: _Recipe, should_stop: Callable[[], bool]) -> Iterator[RLEvent]:
    if recipe.accelerator.is_main_process:
        recipe.describe("running")
    yield recipe.started()
    start = time.monotonic()
    if not recipe.before:
        recipe.before = recipe.guard.look()
        if recipe.accelerator.is_main_process:
            recipe.run.record_replies(0, recipe.guard.shown())
    recipe.begin(time.monotonic() - start)
    saved_at = time.monotonic()
    reason = ""
    for step in rl_steps(recipe.learner, recipe.task, recipe.progress, recipe.memory):
        recipe.record(step)
        yield step
        if step.stop:
            reason = step.stop
            recipe.learner.go_back()
        elif should_stop():
            reason = "stopped"
            break
        elif time.monotonic() - saved_at > 60 * recipe.config.checkpoint_minutes:
            recipe.checkpoint()
            saved_at = time.monotonic()
    if reason == "stopped":
        recipe.checkpoint()
    over = recipe.progress.step >= recipe.config.settings.steps
    yield recipe.finish(reason or ("finished" if over else "minutes"))
