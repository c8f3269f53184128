"""A recipe: pictures with their texts become a connector, or gated layers, that let a text model see.

`train_eye` is a generator, as the other recipes are. The model itself stays as it is; each picture goes once through
the frozen encoder, whose grids are kept in memory for the whole training.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.eyes.adapter import SeeingAdapter, Shape, make_adapter, trained_tensors
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.files import KIND, EyeAbout, save_adapter
from talkalike.models.eyes.gated import GatedShape
from talkalike.models.eyes.grid import CELLS, CHANNELS, GRID_VERSION, picture_grids
from talkalike.models.eyes.lite0 import load_lite0
from talkalike.models.load import load_network
from talkalike.models.placement import refuse_offloaded
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.models.tokenizer import load_tokenizer, vocabulary_hash
from talkalike.pictures.picture import Picture
from talkalike.training.checkpoints import assign, copies
from talkalike.training.eye_values import EyeConfig
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
from talkalike.training.seen_documents import Chunk, ChunkTokens, SeenDocuments, chunk_documents, end_token
from talkalike.training.values import Evaluated, Event, Finished, Started, Step
from talkalike.workspace.cards import CARD_FILE, Card, Catalog
from talkalike.workspace.files import replacing_folder, write_json
from talkalike.workspace.run_folder import RunFolder

_HELD_OUT_AT_MOST = 200  # pairs that one evaluation reads


@dataclass(frozen=True, slots=True, kw_only=True)
class EyePairs:
    """What an eye learns from, and what it is measured on; `pictures` by hash. `digest`: over all of it.

    `encoder`: the small eye's folder, which looks at them.
    """

    train: tuple[Chunk, ...]
    heldout: tuple[Chunk, ...]
    pictures: Mapping[str, Picture]
    digest: str
    encoder: Path


@dataclass(slots=True, kw_only=True)
class _EyeProgress(Progress):
    """The progress, and the lowest held-out loss so far with its step."""

    first: float = math.nan
    best: float = math.inf
    best_step: int = 0
    since: int = 0  # evaluations without a new best
    evaluated: int = 0
    at: int = -1  # the step of the latest evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class _EyeParts:
    config: EyeConfig
    catalog: Catalog
    pairs: EyePairs
    train: SeenDocuments
    heldout: SeenDocuments | None
    adapter: SeeingAdapter
    about: EyeAbout
    dtype: torch.dtype


def train_eye(
    config: EyeConfig,
    *,
    catalog: Catalog,
    pairs: EyePairs,
    run: RunFolder,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains and yields events; raises UserError when memory runs out."""
    hint = f"Lower row_tokens in [train] (now {config.loop.row_tokens}), or choose a smaller base."
    with explain_out_of_memory("The training of the eye ran out of memory.", hint=hint):
        parts, training = _load(config, catalog, pairs, run)
        if resume:
            training.resume()
        progress = training.progress
        training.describe("running")
        yield Started(
            step=progress.step,
            steps_per_epoch=steps_per_epoch(parts.train, config.loop),
            trained_parameters=training.trainable.trained,
            dtype=str(parts.dtype).removeprefix("torch."),
            device=str(training.accelerator.device),
        )
        began = time.monotonic()
        if progress.evaluated == 0:
            yield from _evaluate(parts, training)
        training.count_minutes(config.loop.minutes, ending=1.5 * (time.monotonic() - began))
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
            if step.done * config.evaluations >= progress.evaluated:
                yield from _evaluate(parts, training)
                if config.patience and progress.since >= config.patience:
                    reason = "early"
                    break
            if should_stop():
                reason = "stopped"
                training.checkpoint()
                break
            training.checkpoint_in_time()
        if progress.at < progress.step:
            yield from _evaluate(parts, training)
        yield _finish(parts, training, reason)


def eye_shape(method: str, network: PreTrainedModel, *, tokens: int) -> Shape:
    """The sizes of a new adapter for this network, on the small eye's grids."""
    width = int(network.config.hidden_size)
    if method == "connector":
        return ConnectorShape(cells=CELLS, channels=CHANNELS, width=width, tokens=tokens)
    layers = int(network.config.num_hidden_layers)
    return GatedShape(
        cells=CELLS, channels=CHANNELS, width=width, layers=layers, every=max(1, layers // 8), latents=tokens
    )


def _load(
    config: EyeConfig, catalog: Catalog, pairs: EyePairs, run: RunFolder
) -> tuple[_EyeParts, TrainingRun[_EyeProgress]]:
    if not pairs.train:
        raise UserError("There are no pictures with texts to learn from.", hint="Add some, two for a start.")
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    accelerator = make_accelerator(device, dtype)
    folder = catalog.path(config.base)
    network = load_network(folder, dtype=dtype, device=accelerator.device).requires_grad_(False)
    refuse_offloaded(network, config.base)
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(config.loop.seed)
    adapter = make_adapter(eye_shape(config.method, network, tokens=config.tokens), network)
    hashes = sorted(pairs.pictures)
    looked_at = picture_grids(load_lite0(pairs.encoder), [pairs.pictures[hash_] for hash_ in hashes])
    grids = dict(zip(hashes, looked_at, strict=True))
    adapter.scaling.fit(torch.stack([grids[chunk.picture] for chunk in pairs.train]))
    adapter.to(accelerator.device)
    places = ChunkTokens(tokenizer=tokenizer, image=adapter.places, end=end_token(tokenizer, config.base))
    about = EyeAbout(
        connector=adapter.shape if isinstance(adapter.shape, ConnectorShape) else None,
        gated=adapter.shape if isinstance(adapter.shape, GatedShape) else None,
        encoder=GRID_VERSION,
        base=config.base,
        vocabulary=vocabulary_hash(tokenizer),
        end=places.end,
        prompt=config.prompt,
    )
    trainable = Trainable(
        network=network,
        parameters=trained_tensors(adapter),
        settings=AdapterSettings(method=config.method),
        eye=adapter,
    )
    parts = _EyeParts(
        config=config,
        catalog=catalog,
        pairs=pairs,
        train=chunk_documents(pairs.train, grids, places),
        heldout=_held_out(pairs.heldout, grids, places),
        adapter=adapter,
        about=about,
        dtype=dtype,
    )
    return parts, TrainingRun(
        folder=run,
        config=config,
        about={"kind": KIND, "pairs": pairs.digest},
        trainable=trainable,
        optimizer=make_optimizer(trainable, config.loop),
        accelerator=accelerator,
        progress=_EyeProgress(),
    )


def _held_out(chunks: Sequence[Chunk], grids: Mapping[str, Tensor], places: ChunkTokens) -> SeenDocuments | None:
    return chunk_documents(chunks[:_HELD_OUT_AT_MOST], grids, places) if chunks else None


def _record(training: TrainingRun[_EyeProgress], step: Step) -> None:
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


def _evaluate(parts: _EyeParts, training: TrainingRun[_EyeProgress]) -> Iterator[Evaluated]:
    """Measures the held-out loss and keeps the best state; nothing where nothing is held out."""
    if parts.heldout is None:
        return
    progress = training.progress
    loss = mean_loss(training.trainable, parts.heldout, range(len(parts.heldout)), training.accelerator)
    if progress.evaluated == 0:
        progress.first = loss
    is_best = loss < progress.best
    progress.evaluated += 1
    progress.at = progress.step
    progress.since = 0 if is_best else progress.since + 1
    if is_best:
        progress.best, progress.best_step = loss, progress.step
        training.keep_best(copies(training.trainable.parameters))
    training.record(progress.step, heldout_loss=loss, seconds=round(progress.seconds, 3))
    yield Evaluated(step=progress.step, heldout_loss=loss, is_best=is_best)


def _finish(parts: _EyeParts, training: TrainingRun[_EyeProgress], reason: str) -> Finished:
    """Writes the eye where it is better than before the first step. Raises UserError where it is not."""
    progress = training.progress
    learned = progress.step > 0 and (parts.heldout is None or progress.best_step > 0)
    if not learned and reason != "stopped":
        training.end_in_vain()
        raise UserError(
            f"Nothing was learned in {progress.step} steps: the held-out loss never fell below the "
            f"{progress.first:.3f} that it had before the first one. No eye was made.",
            hint="Try a lower learning rate (--lr), more time, or more pictures.",
        )
    card = _save(parts, training, reason) if learned else None
    training.finish(reason)
    return Finished(reason=reason, card=card, seconds=progress.seconds)


def _save(parts: _EyeParts, training: TrainingRun[_EyeProgress], reason: str) -> Card:
    progress, trainable, config = training.progress, training.trainable, parts.config
    scores: dict[str, object] = {"best_step": progress.step}
    if parts.heldout is not None:
        scores = {
            "heldout_loss_before": round(progress.first, 4),
            "heldout_loss": round(progress.best, 4),
            "best_step": progress.best_step,
        }
    card = training.card(
        kind=KIND,
        method=config.method,
        parents=(config.base,),
        examples=config.pairs,
        examples_hash=parts.pairs.digest,
        seed=config.loop.seed,
        scores={**scores, "ended": reason},
        settings={"vocabulary": parts.about.vocabulary, "encoder": parts.about.encoder},
    )
    current = copies(trainable.parameters)
    assign(trainable.parameters, training.best() or current)
    with replacing_folder(parts.catalog.path(config.name)) as folder:
        save_adapter(parts.adapter, parts.about, folder)
        write_json(folder / CARD_FILE, dataclasses.asdict(card))
    assign(trainable.parameters, current)
    return card
