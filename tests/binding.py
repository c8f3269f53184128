"""In-context binding: made-up names for colours that only the examples before the question tell."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from drawn_pictures import COLOURS, HELD_OUT, SEEN, Drawing, draw, some_drawings
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.eyes.adapter import make_adapter, trained_tensors
from talkalike.models.eyes.gated import GatedShape
from talkalike.models.eyes.rows import seen_target_logits
from talkalike.models.eyes.seen import IMAGE
from talkalike.training.loop import Progress, make_accelerator, make_optimizer, training_steps
from talkalike.training.seen_documents import ChunkTokens, SeenDocuments
from talkalike.training.values import LoopSettings

END, OUTPUT, FIRST_NAME, NAMES = 0, 1, 2, 4
SHOTS = 8
STEPS = 130
CELLS = 8  # each of which sees every eighth pixel
BINS = 4  # steps of each of red, green and blue
WIDTH, SIDE = 64, 32
BLANK = "blank"
PLACES = ChunkTokens(tokenizer=Tokenizer(models.BPE()), image=1, end=END)
ARMS = ("true", "shuffled", "blank shots", "blank query")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Drawn pictures by colour, and what a frozen encoder sees of each: the shares of its colours."""

    by_colour: dict[str, tuple[str, ...]]
    grids: dict[str, Tensor]


def gallery(pairs: Sequence[tuple[str, str]], *, count: int, seed: int) -> Gallery:
    drawings = some_drawings(count, pairs=pairs, seed=seed)
    grids = {f"{seed}-{n}": _shares(drawing, seed * 10_000 + n) for n, drawing in enumerate(drawings)}
    by_colour = {
        colour: tuple(f"{seed}-{n}" for n, one in enumerate(drawings) if one.colour == colour) for colour in COLOURS
    }
    grids[BLANK] = torch.zeros(CELLS, BINS**3)
    grids[BLANK][:, -1] = 1.0  # white all over
    return Gallery(by_colour={colour: found for colour, found in by_colour.items() if found}, grids=grids)


def episodes(drawn: Gallery, count: int, *, shots: int, arm: str = "true", seed: int) -> SeenDocuments:
    """Two names stand for two colours; as many examples of each as can be, then the question."""
    rng = random.Random(seed)
    ids, pictures = [], []
    for _ in range(count):
        colours = rng.sample(list(drawn.by_colour), 2)
        names = [FIRST_NAME + name for name in rng.sample(range(NAMES), 2)]
        sides = [number % 2 for number in range(shots)]
        rng.shuffle(sides)
        labels = list(sides)
        if arm == "shuffled":
            rng.shuffle(labels)
        question = rng.randrange(2)
        shown = [rng.choice(drawn.by_colour[colours[side]]) for side in (*sides, question)]
        if arm == "blank shots":
            shown[:-1] = [BLANK] * shots
        elif arm == "blank query":
            shown[-1] = BLANK
        written = [names[label] for label in (*labels, question)]
        ids.append(np.array([token for name in written for token in (IMAGE, OUTPUT, name, END)], dtype=np.int32))
        pictures.append(shown)
    return SeenDocuments(ids, pictures, grids=drawn.grids, places=PLACES)


def new_model(seed: int = 0) -> Trainable:
    """A model from scratch with open gates. Keys start equal to queries, so that like attends to like, and values and
    outputs as they are, so that what is attended to can be said at once: else it stands at chance for minutes."""
    torch.manual_seed(seed)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=FIRST_NAME + NAMES,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.08,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        )
    )
    network.model.embed_tokens.weight.data.normal_(std=0.5)
    for layer in network.model.layers:
        layer.self_attn.q_proj.weight.data.mul_(1.7)
        layer.self_attn.k_proj.weight.data.copy_(layer.self_attn.q_proj.weight.data)
        torch.nn.init.eye_(layer.self_attn.v_proj.weight)
        torch.nn.init.eye_(layer.self_attn.o_proj.weight)
    shape = GatedShape(
        cells=CELLS, channels=BINS**3, width=WIDTH, layers=2, every=1, latents=1, depth=1, heads=4, gate=0.9
    )
    eye = make_adapter(shape, network)
    parameters = {**{f"network.{name}": p for name, p in network.named_parameters()}, **trained_tensors(eye)}
    return Trainable(network=network, parameters=parameters, settings=AdapterSettings(method="gated"), eye=eye)


def learn(model: Trainable, drawn: Gallery, *, steps: int, rate: float = 1e-3, seed: int = 0) -> Iterator[float]:
    """Trains, yielding each step's loss."""
    tokens = 4 * (SHOTS + 1) * 48
    documents = episodes(drawn, 48 * steps, shots=SHOTS, seed=seed)
    model.eye.scaling.fit(torch.stack(list(drawn.grids.values())))
    settings = LoopSettings(learning_rate=rate, epochs=1, batch_tokens=tokens, row_tokens=tokens, seed=seed)
    yield from (
        step.loss
        for step in training_steps(
            model,
            documents,
            optimizer=make_optimizer(model, settings),
            settings=settings,
            accelerator=make_accelerator(torch.device("cpu"), torch.float32),
            progress=Progress(),
        )
    )


@torch.inference_mode()
def accuracy(model: Trainable, drawn: Gallery, *, shots: int, arm: str = "true", count: int = 200) -> float:
    """The share of questions whose name is the likeliest of all tokens."""
    model.network.eval()
    documents = episodes(drawn, count, shots=shots, arm=arm, seed=99)
    row = documents.row(range(count), torch.device("cpu"))
    found = seen_target_logits(model.network, model.eye, row).argmax(dim=-1).reshape(count, -1)
    wanted = row.ids_T[row.targets_L].reshape(count, -1)
    return float((found == wanted)[:, -2].float().mean())  # the last target is the end after the name


def training_gallery() -> Gallery:
    return gallery(SEEN, count=400, seed=1)


def unseen_gallery() -> Gallery:
    """Colours on shapes that were never trained together."""
    return gallery(HELD_OUT, count=200, seed=2)


def _shares(drawing: Drawing, seed: int) -> Tensor:
    steps = draw(drawing, side=SIDE, seed=seed).astype(np.int64) * BINS // 256
    bins = ((steps[..., 0] * BINS + steps[..., 1]) * BINS + steps[..., 2]).ravel()
    cells = [np.bincount(bins[cell::CELLS], minlength=BINS**3) / (len(bins) // CELLS) for cell in range(CELLS)]
    return torch.from_numpy(np.sqrt(np.stack(cells))).float()
