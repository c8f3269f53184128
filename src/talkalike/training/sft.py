"""The supervised recipe: examples of how somebody writes become an adapter (or a model) that writes like them.

`train_supervised` is a generator: it yields what happens, the caller shows it and may stop it between two steps. It
keeps the state with the lowest held-out loss (the last one where nothing is held out), writes checkpoints, and ends
with a model in the catalog and its card. A training that never lowered the held-out loss makes no model.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.examples.dataset import Documents, ExampleSet
from talkalike.models.adapter_settings import refuse_quantized
from talkalike.models.adapters import make_trainable, recompute_layers, save_trained
from talkalike.models.load import load_network
from talkalike.models.placement import refuse_offloaded
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.models.tokenizer import copy_tokenizer, load_tokenizer, vocabulary_hash
from talkalike.training.checkpoints import assign, copies
from talkalike.training.loop import (
    Progress,
    make_accelerator,
    make_optimizer,
    mean_loss,
    steps_per_epoch,
    training_steps,
)
from talkalike.training.memory import explain_out_of_memory
from talkalike.training.run import TrainingRun, refuse_divergence
from talkalike.training.starting import start_from
from talkalike.training.values import Evaluated, Event, Finished, Started, Step, TrainConfig
from talkalike.workspace.cards import CARD_FILE, Card, Catalog
from talkalike.workspace.files import replacing_folder, write_json
from talkalike.workspace.run_folder import RunFolder

_EVALUATIONS_AT_THE_END = 1.5  # the time of so many is left for the last one and for writing the model


@dataclass(slots=True)
class _Best:
    """The lowest held-out loss so far."""

    base: float = float("nan")  # of the base, where the training goes on from another model
    first: float = float("nan")
    loss: float = float("inf")
    step: int = 0
    since: int = 0  # evaluations without a new best
    evaluated: int = 0  # evaluations done
    at: int = -1  # the step of the latest


@dataclass(slots=True, kw_only=True)
class _Progress(Progress):
    """The progress of a supervised training. `look_seconds`: what one evaluation takes, with saving the best state."""

    look_seconds: float = 0.0
    best: _Best = field(default_factory=_Best)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of a training."""

    config: TrainConfig
    catalog: Catalog
    examples: ExampleSet
    train: Documents
    heldout: Documents
    evaluated_on: list[int]  # held-out documents
    dtype: torch.dtype


def train_supervised(
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
    with explain_out_of_memory("The training ran out of memory.", hint=hint):
        parts, training = _load(config, catalog, examples, run)
        going_on = resume and run.newest_checkpoint() is not None
        if config.start:
            if not going_on:
                _measure_base(parts, training)
            start_from(training.trainable, catalog.path(config.start))
        if resume:
            training.resume()
        progress, best = training.progress, training.progress.best
        training.describe("running")
        yield _started(parts, training)
        if best.evaluated == 0:
            yield from _evaluate(parts, training)
        training.count_minutes(config.loop.minutes, ending=_EVALUATIONS_AT_THE_END * progress.look_seconds)
        reason = "finished"
        for step in training_steps(
            training.trainable,
            parts.train,
            optimizer=training.optimizer,
            settings=config.loop,
            accelerator=training.accelerator,
            progress=progress,
        ):
            _record(training, step)
            yield step
            due = step.done * config.evaluations >= best.evaluated
            if due and progress.has_time(progress.look_seconds, config.loop.minutes):
                yield from _evaluate(parts, training)
                if config.patience and best.since >= config.patience:
                    reason = "early"
                    break
            if should_stop():
                reason = "stopped"
                training.checkpoint()  # before the last evaluation, which a resumed training does not know
                break
            training.checkpoint_in_time()
        if best.at < progress.step:
            yield from _evaluate(parts, training)
        yield _finish(parts, training, reason)


def _measure_base(parts: _Parts, training: TrainingRun[_Progress]) -> None:
    """The held-out loss without what was learned before; a soft prompt that was not trained yet would tell nothing."""
    if parts.evaluated_on and training.trainable.soft_prompt_PD is None:
        training.progress.best.base = mean_loss(
            training.trainable, parts.heldout, parts.evaluated_on, training.accelerator
        )


def _load(
    config: TrainConfig, catalog: Catalog, examples: ExampleSet, run: RunFolder
) -> tuple[_Parts, TrainingRun[_Progress]]:
    if config.quantize != "none":
        refuse_quantized(config.adapter.method, config.quantize)
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    train, heldout = examples.split("train"), examples.split("heldout")
    accelerator = make_accelerator(device, dtype, log_with=list(config.trackers) or None, project_dir=str(run.path))
    network = load_network(
        catalog.path(config.base),
        dtype=dtype,
        device=accelerator.device,
        quantize=config.quantize,
        spread=config.device == "auto",
    )
    refuse_offloaded(network, config.base)
    if network.config.is_encoder_decoder:
        raise UserError(
            f"'{config.base}' is an encoder-decoder model: it can answer, but doubles are trained on causal ones.",
            hint="Choose a causal base model.",
        )
    _check_lengths(config, network, max([0, *train.lengths.tolist(), *heldout.lengths.tolist()]))
    trainable = make_trainable(network, config.adapter, seed=config.loop.seed)
    if config.gradient_checkpointing:
        recompute_layers(network, config.base)
    parts = _Parts(
        config=config,
        catalog=catalog,
        examples=examples,
        train=train,
        heldout=heldout,
        evaluated_on=_evenly_spaced(heldout, config.evaluation_tokens),
        dtype=dtype,
    )
    return parts, TrainingRun(
        folder=run,
        config=config,
        about={"examples": examples.manifest.name, "examples_hash": examples.manifest.hash, "start": config.start},
        trainable=trainable,
        optimizer=make_optimizer(trainable, config.loop),
        accelerator=accelerator,
        progress=_Progress(),
    )


def _check_lengths(config: TrainConfig, network: PreTrainedModel, longest: int) -> None:
    """Raises UserError where an example is longer than what the base reads: it would fail, or learn nonsense."""
    longest_read = int(getattr(network.config, "max_position_embeddings", None) or 2**31)
    soft = config.adapter.prompt_length if config.adapter.method == "prompt" else 0
    if longest + soft > longest_read:
        raise UserError(
            f"The longest example has {longest:,} tokens, and '{config.base}' reads {longest_read - soft:,} at once.",
            hint=f"Prepare the examples again: talkalike prepare --max-tokens {longest_read - soft} --speaker …",
        )


def _started(parts: _Parts, training: TrainingRun[_Progress]) -> Started:
    config, accelerator = parts.config, training.accelerator
    if config.trackers:
        accelerator.init_trackers("talkalike", config={"model": config.name, "base": config.base})
    return Started(
        step=training.progress.step,
        steps_per_epoch=steps_per_epoch(parts.train, config.loop),
        trained_parameters=training.trainable.trained,
        dtype=str(parts.dtype).removeprefix("torch."),
        device=str(accelerator.device),
    )


def _record(training: TrainingRun[_Progress], step: Step) -> None:
    refuse_divergence(step.index, step.loss)
    training.record(
        step.index,
        epoch=round(step.epoch, 4),
        loss=step.loss,
        loss_tokens=step.loss_tokens,
        tokens=step.tokens,
        seconds=round(training.progress.seconds, 3),
        learning_rate=step.learning_rate,
        grad_norm=step.grad_norm,
    )
    if training.config.trackers:
        training.accelerator.log({"loss": step.loss, "learning_rate": step.learning_rate}, step=step.index)


def _evaluate(parts: _Parts, training: TrainingRun[_Progress]) -> Iterator[Evaluated]:
    """Measures the held-out loss; nothing where nothing is held out."""
    if not parts.evaluated_on:
        return
    start = time.monotonic()
    loss = mean_loss(training.trainable, parts.heldout, parts.evaluated_on, training.accelerator)
    progress, best = training.progress, training.progress.best
    if best.evaluated == 0:
        best.first = loss
    is_best = loss < best.loss
    best.evaluated += 1
    best.since = 0 if is_best else best.since + 1
    best.at = progress.step
    if is_best:
        best.loss, best.step = loss, progress.step
        training.keep_best(copies(training.trainable.parameters))
    progress.look_seconds = time.monotonic() - start
    training.record(progress.step, heldout_loss=loss, seconds=round(progress.seconds, 3))
    if parts.config.trackers:
        training.accelerator.log({"heldout_loss": loss}, step=progress.step)
    yield Evaluated(step=progress.step, heldout_loss=loss, is_best=is_best)


def _finish(parts: _Parts, training: TrainingRun[_Progress], reason: str) -> Finished:
    """Writes the model if it is better than before the first step. Raises UserError if it is not."""
    progress, best = training.progress, training.progress.best
    if parts.config.trackers:
        training.accelerator.end_training()
    learned = progress.step > 0 and (not parts.evaluated_on or best.step > 0)
    if not learned and reason != "stopped":
        training.end_in_vain()
        raise UserError(
            f"Nothing was learned in {progress.step} steps: the held-out loss never fell below the "
            f"{best.first:.3f} that it had before the first one. No model was made.",
            hint="Try a lower learning rate (--lr), more time, or more examples.",
        )
    card = _save_model(parts, training, reason) if learned else None
    training.finish(reason)
    return Finished(reason=reason, card=card, seconds=progress.seconds)


def _save_model(parts: _Parts, training: TrainingRun[_Progress], reason: str) -> Card:
    """Puts the best state into the network, writes the model and, last, its card."""
    config, catalog, manifest, trainable = parts.config, parts.catalog, parts.examples.manifest, training.trainable
    whole = config.adapter.method in {"full", "last-n"}
    current = copies(trainable.parameters)
    scores: dict[str, Any] = {"best_step": training.progress.step}
    if parts.evaluated_on:
        best = training.progress.best
        losses = {"heldout_loss_before": round(best.first, 4), "heldout_loss": round(best.loss, 4)}
        if math.isfinite(best.base):
            losses["heldout_loss_base"] = round(best.base, 4)
        scores = {**losses, "best_step": best.step}
    card = training.card(
        kind="full" if whole else "adapter",
        method=config.adapter.method,
        parents=(config.base, config.start) if config.start else (config.base,),
        speakers=manifest.speakers,
        examples=manifest.name,
        examples_hash=manifest.hash,
        seed=config.loop.seed,
        scores={**scores, "ended": reason},
        settings={"vocabulary": vocabulary_hash(load_tokenizer(catalog.path(config.base)))},
        fictional=manifest.fictional,
    )
    assign(trainable.parameters, training.best() or current)
    with replacing_folder(catalog.path(config.name)) as folder:  # leftovers of a killed process go with it
        save_trained(trainable, folder, base=catalog.address(config.base), dtype=parts.dtype)
        if whole:
            copy_tokenizer(catalog.path(config.base), folder)
        write_json(folder / CARD_FILE, dataclasses.asdict(card))
    assign(trainable.parameters, current)
    return card


def _evenly_spaced(documents: Documents, tokens: int) -> list[int]:
    """Indices of documents with loss, spread over the split, that hold about `tokens` together."""
    found = documents.measurable
    total = sum(int(documents.lengths[index]) for index in found)
    wanted = min(len(found), max(1, round(len(found) * tokens / max(1, total))))
    places = {round(place * (len(found) - 1) / max(1, wanted - 1)) for place in range(wanted)}
    return [found[place] for place in sorted(places)]
