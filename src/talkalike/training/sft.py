"""The supervised recipe: examples of how somebody writes become an adapter (or a model) that writes like them.

`train` is a generator: it yields what happens, the caller shows it and may stop it between two steps. It keeps the
state with the lowest held-out loss (the last one where nothing is held out), writes checkpoints, and ends with a model
in the catalog and its card. What learned nothing is no model.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.dataset import Documents, ExampleSet
from talkalike.models.adapters import Trainable, make_trainable, save_trained
from talkalike.models.load import load_network
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.training import checkpoints
from talkalike.training.loop import (
    Progress,
    make_accelerator,
    make_optimizer,
    mean_loss,
    steps_per_epoch,
    trained_tensors,
    training_steps,
)
from talkalike.training.memory import memory_told
from talkalike.training.values import Evaluated, Event, Finished, Started, Step, TrainConfig
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder

_LOOKS_AT_THE_END = 1.5  # of them as many seconds: one more look, and writing the model


@dataclass(slots=True)
class _Best:
    """The lowest held-out loss and what it is compared with."""

    first: float = float("nan")
    loss: float = float("inf")
    step: int = 0
    since: int = 0  # evaluations without a new best
    evaluated: int = 0  # evaluations done
    at: int = -1  # the step of the latest


class _Recipe:
    """The parts of one training that live as long as it does."""

    def __init__(self, config: TrainConfig, catalog: Catalog, examples: ExampleSet, run: RunFolder) -> None:
        device = choose_device(config.device)
        dtype = choose_dtype(config.dtype, device)
        self.config, self.catalog, self.examples, self.run = config, catalog, examples, run
        self.dtype = dtype
        self.train = examples.split("train")
        self.heldout = examples.split("heldout")
        self.evaluated_on = _evenly_spaced(self.heldout, config.evaluation_tokens)
        self.look_seconds = 0.0  # of one evaluation, with keeping what is best
        self.accelerator = make_accelerator(
            device, dtype, log_with=list(config.trackers) or None, project_dir=str(run.path)
        )
        network = load_network(catalog.path(config.base), dtype=dtype, device=self.accelerator.device)
        if network.config.is_encoder_decoder:
            raise UserError(
                f"'{config.base}' is an encoder-decoder model: it can answer, but doubles are trained on causal ones.",
                hint="Choose a causal base model.",
            )
        self._check_lengths(network)
        self.trainable: Trainable = make_trainable(network, config.adapter, seed=config.loop.seed)
        self.optimizer = make_optimizer(self.trainable, config.loop)
        self.progress = Progress()
        self.best = _Best()

    def _check_lengths(self, network: PreTrainedModel) -> None:
        """No example is longer than what the base reads: some would fail at it, others learn nonsense."""
        room = int(getattr(network.config, "max_position_embeddings", None) or 2**31)
        soft = self.config.adapter.prompt_length if self.config.adapter.method == "prompt" else 0
        longest = max([0, *self.train.lengths.tolist(), *self.heldout.lengths.tolist()])
        if longest + soft > room:
            raise UserError(
                f"The longest example has {longest:,} tokens, and '{self.config.base}' reads {room - soft:,} at once.",
                hint=f"Prepare the examples again: talkalike prepare --max-tokens {room - soft} --speaker …",
            )

    def started(self) -> Started:
        if self.config.trackers:
            self.accelerator.init_trackers("talkalike", config={"model": self.config.name, "base": self.config.base})
        return Started(
            step=self.progress.step,
            steps_per_epoch=steps_per_epoch(self.train, self.config.loop),
            trained_parameters=self.trainable.trained,
            dtype=str(self.dtype).removeprefix("torch."),
            device=str(self.accelerator.device),
        )

    def record(self, step: Step) -> None:
        if not math.isfinite(step.loss):
            raise TalkalikeError(
                f"The loss became {step.loss} in step {step.index}: the training diverged.",
                hint="Lower the learning rate (--lr), then start again.",
            )
        self.run.record(
            step=step.index,
            epoch=round(step.epoch, 4),
            loss=step.loss,
            loss_tokens=step.loss_tokens,
            tokens=step.tokens,
            seconds=round(self.progress.seconds, 3),
            learning_rate=step.learning_rate,
            grad_norm=step.grad_norm,
        )
        if self.config.trackers:
            self.accelerator.log({"loss": step.loss, "learning_rate": step.learning_rate}, step=step.index)

    def evaluate(self) -> Iterator[Evaluated]:
        """A look at what is held out; none where nothing is."""
        if not self.evaluated_on:
            return
        start = time.monotonic()
        loss = mean_loss(self.trainable, self.heldout, self.evaluated_on, self.accelerator)
        best = self.best
        if best.evaluated == 0:
            best.first = loss
        is_best = loss < best.loss
        best.evaluated += 1
        best.since = 0 if is_best else best.since + 1
        best.at = self.progress.step
        if is_best:
            best.loss, best.step = loss, self.progress.step
            if self.accelerator.is_main_process:
                checkpoints.save_best(self.run, trained_tensors(self.trainable))
        self.look_seconds = time.monotonic() - start
        self.run.record(step=self.progress.step, heldout_loss=loss, seconds=round(self.progress.seconds, 3))
        if self.config.trackers:
            self.accelerator.log({"heldout_loss": loss}, step=self.progress.step)
        yield Evaluated(step=self.progress.step, heldout_loss=loss, is_best=is_best)

    def begin(self) -> None:
        """Notes what loading took, with the first look; raises UserError where no time is left for a single step."""
        progress, minutes = self.progress, self.config.loop.minutes
        progress.seconds += time.monotonic() - self.run.began
        if progress.step == 0:
            progress.loading, progress.ending = progress.seconds, _LOOKS_AT_THE_END * self.look_seconds
        if progress.step == 0 and not progress.has_time(0.0, minutes):
            raise UserError(
                f"{minutes:g} minutes are over before the first step: loading the model and a first look at what is "
                f"held out took {progress.loading:.0f} seconds, and {progress.ending:.0f} have to be left for the end.",
                hint="No model was made. Give it more --minutes, or none: it then ends with its --epochs.",
            )

    def is_due(self, step: Step) -> bool:
        """Whether to look at what is held out after this step."""
        due = step.done * self.config.evaluations >= self.best.evaluated
        return due and self.progress.has_time(self.look_seconds, self.config.loop.minutes)

    @property
    def learned(self) -> bool:
        """Whether there is anything better than before the first step (or nothing to measure it by)."""
        return self.progress.step > 0 and (not self.evaluated_on or self.best.step > 0)

    def checkpoint(self) -> None:
        if self.accelerator.is_main_process:
            state = {
                **dataclasses.asdict(self.progress),
                "look_seconds": self.look_seconds,
                "best": dataclasses.asdict(self.best),
            }
            checkpoints.save_checkpoint(self.run, self.trainable, self.optimizer, state)

    def resume(self) -> None:
        state = checkpoints.load_checkpoint(self.run, self.trainable, self.optimizer)
        if state is None:
            return
        self.best = _Best(**state.pop("best"))
        self.look_seconds = state.pop("look_seconds", 0.0)
        self.progress = Progress(**state)
        self.run.forget_after(self.progress.step)

    def save_model(self, reason: str) -> Card:
        """Puts the best state into the network, writes the model and, last, its card."""
        best = checkpoints.load_best(self.run)
        current = trained_tensors(self.trainable)
        if best is not None:
            _assign(self.trainable, best)
        config, manifest = self.config, self.examples.manifest
        folder = self.catalog.path(config.name)
        save_trained(self.trainable, folder, base=self.catalog.address(config.base), dtype=self.dtype)
        if config.adapter.method in {"full", "last-n"}:
            _copy_tokenizer(self.catalog.path(config.base), folder)
        _assign(self.trainable, current)
        card = Card(
            name=config.name,
            kind="full" if config.adapter.method in {"full", "last-n"} else "adapter",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            method=config.adapter.method,
            parents=(config.base,),
            speakers=manifest.speakers,
            examples=manifest.name,
            examples_hash=manifest.hash,
            settings=dataclasses.asdict(config),
            seed=config.loop.seed,
            scores={
                **self._heldout_scores(),
                "steps": self.progress.step,
                "training_seconds": round(self.progress.seconds, 1),
                "ended": reason,
            },
            fictional=manifest.fictional,
        )
        self.catalog.save_card(card)
        return card

    def _heldout_scores(self) -> dict[str, Any]:
        if not self.evaluated_on:
            return {"best_step": self.progress.step}
        best = self.best
        losses = {"heldout_loss_before": round(best.first, 4), "heldout_loss": round(best.loss, 4)}
        return {**losses, "best_step": best.step}

    def finish(self, reason: str) -> Finished:
        if self.config.trackers:
            self.accelerator.end_training()
        if not self.learned and reason != "stopped":
            raise UserError(
                f"Nothing was learned in {self.progress.step} steps: the held-out loss never fell below the "
                f"{self.best.first:.3f} that it had before the first one. No model was made.",
                hint="Try a lower learning rate (--lr), more time, or more examples.",
            )
        card = self.save_model(reason) if self.learned else None
        self.describe("stopped" if reason == "stopped" else "finished")
        if reason != "stopped":
            self.run.drop_checkpoints()
        return Finished(reason=reason, card=card, seconds=self.progress.seconds)

    def describe(self, state: str) -> None:
        manifest = self.examples.manifest
        about: dict[str, Any] = {"model": self.config.name, "state": state}
        about |= {"examples": manifest.name, "examples_hash": manifest.hash}
        self.run.describe({**about, "settings": dataclasses.asdict(self.config)})


def train(
    config: TrainConfig,
    *,
    catalog: Catalog,
    examples: ExampleSet,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains and yields events; `should_stop` is asked after every step. Raises UserError when memory runs out."""
    hint = (
        f"Lower row_tokens in [train] (now {config.loop.row_tokens}), choose a smaller base, or train with "
        "--method last-n. The run can be resumed with --resume."
    )
    with memory_told("The training ran out of memory.", hint=hint):
        recipe = _Recipe(config, catalog, examples, run)
        if resume:
            recipe.resume()
        yield from _train(recipe, should_stop)


def _train(recipe: _Recipe, should_stop: Callable[[], bool]) -> Iterator[Event]:
    config, progress = recipe.config, recipe.progress
    recipe.describe("running")
    yield recipe.started()
    if recipe.best.evaluated == 0:
        yield from recipe.evaluate()
    recipe.begin()
    saved_at = time.monotonic()
    reason = "finished"
    for step in training_steps(
        recipe.trainable,
        recipe.train,
        optimizer=recipe.optimizer,
        settings=config.loop,
        accelerator=recipe.accelerator,
        progress=progress,
    ):
        recipe.record(step)
        yield step
        if recipe.is_due(step):
            yield from recipe.evaluate()
            if config.patience and recipe.best.since >= config.patience:
                reason = "early"
                break
        if should_stop():
            reason = "stopped"
            break
        if time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
            recipe.checkpoint()
            saved_at = time.monotonic()
    if reason == "stopped":
        recipe.checkpoint()  # before the last look, of which the resumed training does not know
    if recipe.best.at < progress.step:
        yield from recipe.evaluate()
    yield recipe.finish(reason)


def _evenly_spaced(documents: Documents, tokens: int) -> list[int]:
    """Indices of documents with loss, spread over the split, that hold about `tokens` together."""
    found = documents.measurable
    total = sum(int(documents.lengths[index]) for index in found)
    wanted = min(len(found), max(1, round(len(found) * tokens / max(1, total))))
    places = {round(place * (len(found) - 1) / max(1, wanted - 1)) for place in range(wanted)}
    return [found[place] for place in sorted(places)]


def _assign(trainable: Trainable, tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trainable.parameters.items():
            parameter.copy_(tensors[name])


def _copy_tokenizer(source: Path, target: Path) -> None:
    for pattern in ("tokenizer*", "special_tokens_map.json", "chat_template*"):
        for file in source.glob(pattern):
            (target / file.name).write_bytes(file.read_bytes())
