"""Models that see with their own weights: drawn captions, names bound in context, a real base, and cached examples.

    python bench/seeing.py MODELS_FOLDER SMALL_EYE [--only captions,binding,base,shots,transfer] [--minutes 5]
        [--doubles NAME ...] [--keep FOLDER]

MODELS_FOLDER holds the default base, as `talkalike models fetch` puts it there, and SMALL_EYE is the small eye's folder
(`eyes/small` of a workspace). Prints one JSON document; times are the processor's, of one thread. `base` trains a
connector before the default base and measures it also with that base in 8 bits; `transfer` hangs the same connector
before doubles on it (--doubles, in MODELS_FOLDER) without training it again. `shots` asks about a picture with eight
examples, which are cached, and as the seed of this project did it: transformers' own loop, all pictures encoded anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import binding
from drawn_pictures import HELD_OUT, SEEN, as_picture, draw, some_drawings
from talkalike.engine.own_eye import OwnEye
from talkalike.engine.protocol import Sampling
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.eyes.adapter import SeeingAdapter, make_adapter, trained_tensors
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.files import EyeAbout, save_adapter
from talkalike.models.eyes.grid import CELLS, CHANNELS, GRID_VERSION, SIDE, grids, picture_grids
from talkalike.models.eyes.lite0 import Lite0, load_lite0
from talkalike.models.eyes.rows import seen_target_logits
from talkalike.models.eyes.seen import IMAGE, see_row
from talkalike.models.int8 import held_bytes, keep_in_int8
from talkalike.models.load import LoadedModel, load_for_inference, load_network
from talkalike.models.tokenizer import load_tokenizer, vocabulary_hash
from talkalike.training.loop import Progress, make_accelerator, make_optimizer, training_steps
from talkalike.training.seen_documents import Chunk, ChunkTokens, SeenDocuments, chunk_documents, end_token
from talkalike.training.values import LoopSettings
from talkalike.workspace.cards import EMBEDDED_NAME, Catalog

CPU = torch.device("cpu")
PROMPT = "Output:"
TRAINED, TESTED = 6000, 200
WIDTH = 128
DROPPED = 0.2  # of a grid's numbers, for the model from scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Drawn pictures as grids, and their captions."""

    captions: list[str]
    grids_NMC: Tensor


def drawn(encoder: Lite0, pairs: Sequence[tuple[str, str]], *, count: int, seed: int) -> Drawn:
    drawings = some_drawings(count, pairs=pairs, seed=seed)
    found = []
    for start in range(0, count, 32):
        pictures = [
            draw(one, side=SIDE, seed=seed * 100_000 + start + n) for n, one in enumerate(drawings[start:][:32])
        ]
        found.append(grids(encoder, np.stack(pictures)))
    return Drawn(captions=[one.caption for one in drawings], grids_NMC=torch.cat(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A network with its adapter and vocabulary."""

    trainable: Trainable
    places: ChunkTokens

    @property
    def network(self) -> PreTrainedModel:
        return self.trainable.network

    @property
    def eye(self) -> SeeingAdapter:
        assert self.trainable.eye is not None
        return self.trainable.eye


def from_scratch(captions: Sequence[str]) -> Learner:
    """Two layers that know no language yet, and a connector."""
    words = ["<|endoftext|>", PROMPT, *sorted({word for caption in captions for word in caption.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            initializer_range=0.05,
            tie_word_embeddings=True,
        )
    )
    eye = make_adapter(ConnectorShape(cells=CELLS, channels=CHANNELS, width=WIDTH, inner=256), network)
    parameters = {**{f"network.{name}": p for name, p in network.named_parameters()}, **trained_tensors(eye)}
    trainable = Trainable(network=network, parameters=parameters, settings=AdapterSettings(), eye=eye)
    return Learner(trainable=trainable, places=ChunkTokens(tokenizer=tokenizer, image=eye.places, end=0))


def before_base(folder: Path) -> Learner:
    """The default base, frozen, and a connector."""
    network = load_network(folder, dtype=torch.float32, device=CPU).requires_grad_(False)
    torch.manual_seed(0)
    width = int(network.config.hidden_size)
    eye = make_adapter(ConnectorShape(cells=CELLS, channels=CHANNELS, width=width), network)
    tokenizer = load_tokenizer(folder)
    places = ChunkTokens(tokenizer=tokenizer, image=eye.places, end=end_token(tokenizer, folder.name))
    trainable = Trainable(network=network, parameters=trained_tensors(eye), settings=AdapterSettings(), eye=eye)
    return Learner(trainable=trainable, places=places)


def caption_documents(learner: Learner, seen: Drawn) -> SeenDocuments:
    by_name = {str(n): grid for n, grid in enumerate(seen.grids_NMC)}
    chunks = [Chunk(picture=str(n), prompt=PROMPT, text=f" {text}") for n, text in enumerate(seen.captions)]
    return chunk_documents(chunks, by_name, learner.places)


def learn(learner: Learner, seen: Drawn, *, minutes: float, batch: int, rate: float, dropped: float) -> Iterator[float]:
    """Trains by the loop for so much of one processor's time, yielding what is used of it."""
    documents = caption_documents(learner, seen)
    scaling = learner.eye.scaling
    scaling.fit(seen.grids_NMC[:2000])
    if dropped:
        scaling.register_forward_hook(
            lambda _module, _given, out: torch.nn.functional.dropout(out, dropped, learner.network.training)
        )
    tokens = batch * int(documents.lengths.mean())
    settings = LoopSettings(
        learning_rate=rate, epochs=1000, minutes=minutes, batch_tokens=tokens, row_tokens=tokens, weight_decay=0.1
    )
    progress, began = Progress(), time.process_time()
    for _ in training_steps(
        learner.trainable,
        documents,
        optimizer=make_optimizer(learner.trainable, settings),
        settings=settings,
        accelerator=make_accelerator(CPU, torch.float32),
        progress=progress,
    ):
        progress.seconds = time.process_time() - began  # the time of others on this machine does not count
        yield progress.seconds


@torch.inference_mode()
def right(learner: Learner, asked: Drawn, network: PreTrainedModel | None = None) -> float:
    """The share of captions that are right as a whole: each token the likeliest after the right ones before it, which
    is when the likeliest words are the caption."""
    network = network or learner.network
    network.eval()
    documents = caption_documents(learner, asked)
    hits = 0
    prompt = learner.places.image + len(learner.places.text(PROMPT))  # of each document, which is not asked for
    for index in range(len(documents)):
        row = documents.row([index], CPU)
        found = seen_target_logits(network, learner.eye, row).argmax(dim=-1)
        hits += bool((found == row.ids_T[row.targets_L])[row.targets_L >= prompt].all())
    return hits / len(documents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """What is trained on, and what is asked: colours on shapes that were trained together, and others."""

    train: Drawn
    seen: Drawn
    held: Drawn
    seconds: float  # of drawing and encoding all of it


def make_sets(encoder: Lite0) -> Sets:
    began = time.process_time()
    train = drawn(encoder, SEEN, count=TRAINED, seed=1)
    seen, held = (drawn(encoder, pairs, count=TESTED, seed=seed) for pairs, seed in ((SEEN, 2), (HELD_OUT, 3)))
    return Sets(train=train, seen=seen, held=held, seconds=time.process_time() - began)


def captions(sets: Sets, *, minutes: float) -> dict[str, Any]:
    learner = from_scratch(sets.train.captions)
    used = list(learn(learner, sets.train, minutes=minutes, batch=64, rate=2e-3, dropped=DROPPED))
    blank = Drawn(captions=sets.held.captions, grids_NMC=sets.train.grids_NMC[:1].expand(TESTED, -1, -1))
    return {
        "steps": len(used),
        "seconds": round(used[-1], 1),
        "drawing_and_encoding_seconds": round(sets.seconds, 1),
        "seen_pairs": right(learner, sets.seen),
        "held_out_pairs": right(learner, sets.held),
        "one_picture_for_all": right(learner, blank),
    }


def bound(steps: int = binding.STEPS) -> dict[str, Any]:
    began = time.process_time()
    model, seen, unseen = binding.new_model(), binding.training_gallery(), binding.unseen_gallery()
    for _ in binding.learn(model, seen, steps=steps):
        pass
    found = {
        arm: {shots: binding.accuracy(model, unseen, shots=shots, arm=arm, count=400) for shots in (0, 1, 2, 4, 8)}
        for arm in binding.ARMS
    }
    return {"seconds": round(time.process_time() - began, 1), **found}


def base(sets: Sets, learner: Learner, *, minutes: float, folder: Path) -> dict[str, Any]:
    used = list(learn(learner, sets.train, minutes=minutes, batch=8, rate=2e-3, dropped=0.0))
    small = load_network(folder, dtype=torch.float32, device=CPU)
    before = held_bytes(small)
    keep_in_int8(small)
    return {
        "steps": len(used),
        "seconds": round(used[-1], 1),
        "seen_pairs": right(learner, sets.seen),
        "held_out_pairs": right(learner, sets.held),
        "int8": {
            "memory": round(held_bytes(small) / before, 3),
            "seen_pairs": right(learner, sets.seen, small),
            "held_out_pairs": right(learner, sets.held, small),
        },
    }


def about_of(learner: Learner, folder: Path) -> EyeAbout:
    shape = learner.eye.shape
    assert isinstance(shape, ConnectorShape)
    return EyeAbout(
        connector=shape,
        encoder=GRID_VERSION,
        base=folder.name,
        vocabulary=vocabulary_hash(learner.places.tokenizer),
        end=learner.places.end,
        prompt=PROMPT,
    )


def shots(learner: Learner, loaded: LoadedModel, encoder: Lite0, *, about: EyeAbout) -> dict[str, Any]:
    """A question with eight examples, again and again with another picture; both answer with the likeliest words."""
    pictures = [as_picture(draw(one, seed=n)) for n, one in enumerate(some_drawings(14, pairs=SEEN, seed=9))]
    captions = [one.caption for one in some_drawings(14, pairs=SEEN, seed=9)]
    text = "".join(f"<image>{PROMPT} {caption}<|endofchunk|>" for caption in captions[:8]) + f"<image>{PROMPT}"
    asked = Sampling(temperature=0, repetition_penalty=1, max_tokens=10)
    eye = OwnEye(loaded, learner.eye, about, encoder=encoder)

    def ours(query: int) -> str:
        return asyncio.run(eye.go_on(text, (*pictures[:8], pictures[query]), asked)).words

    def theirs(query: int) -> str:
        network = loaded.model
        media = learner.eye.media(torch.stack(list(picture_grids(encoder, [*pictures[:8], pictures[query]]))))
        encode = learner.places.tokenizer.encode
        ids = []
        for caption in captions[:8]:
            ids += [IMAGE] * learner.places.image + encode(f"{PROMPT} {caption}", add_special_tokens=False).ids
            ids += [learner.places.end]
        ids += [IMAGE] * learner.places.image + encode(PROMPT, add_special_tokens=False).ids
        ids_T = torch.tensor(ids)
        given = learner.eye.embedded(network, ids_T, see_row(ids_T, (len(ids),), media, places=learner.places.image))
        mask = torch.ones(1, len(ids), dtype=torch.long)
        out = network.generate(
            inputs_embeds=given[None],
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=10,
            eos_token_id=learner.places.end,
            pad_token_id=learner.places.end,
        )
        return str(learner.places.tokenizer.decode([t for t in out[0].tolist() if t != learner.places.end])).strip()

    def timed(answer: Callable[[int], str], query: int) -> tuple[float, str]:
        began = time.process_time()
        words = answer(query)
        return time.process_time() - began, words

    with torch.inference_mode():
        timed(ours, 8), timed(theirs, 8)  # the examples are read once
        encoded, turns = eye.work.encoded, [(timed(ours, n), timed(theirs, n)) for n in range(9, 14)]
    new = eye.work.encoded - encoded
    second = timed(ours, 13)
    return {
        "cached_seconds": round(statistics.median(one[0] for one, _ in turns), 3),
        "anew_seconds": round(statistics.median(other[0] for _, other in turns), 3),
        "times_faster": round(statistics.median(other[0] / one[0] for one, other in turns), 1),
        "same_answers": sum(one[1] == other[1] for one, other in turns),
        "of": len(turns),
        "encoded_for_a_question": new / len(turns),
        "same_picture_again_seconds": round(second[0], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("eye", type=Path)
    parser.add_argument("--only", default="captions,binding,base,shots,transfer")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--doubles", nargs="*", default=[])
    parser.add_argument("--keep", type=Path, help="folder for the trained connector")
    options = parser.parse_args()
    wanted = options.only.split(",")
    torch.set_num_threads(1)
    encoder, folder = load_lite0(options.eye), options.models / EMBEDDED_NAME
    found: dict[str, Any] = {}
    if "binding" in wanted:
        found["binding"] = bound()
    if {"captions", "base", "shots", "transfer"} & set(wanted):
        sets = make_sets(encoder)
        if "captions" in wanted:
            found["captions"] = captions(sets, minutes=options.minutes)
    if {"base", "shots", "transfer"} & set(wanted):
        learner, catalog = before_base(folder), Catalog(options.models)
        found["base"] = base(sets, learner, minutes=options.minutes, folder=folder)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            save_adapter(learner.eye, about_of(learner, folder), options.keep)
        loaded = load_for_inference(folder, catalog=catalog, dtype="float32")
        if "shots" in wanted:
            found["shots"] = shots(learner, loaded, encoder, about=about_of(learner, folder))
        if "transfer" in wanted:
            for name in options.doubles:
                double = load_for_inference(options.models / name, catalog=catalog, dtype="float32").model
                found.setdefault("transfer", {})[name] = {
                    "seen_pairs": right(learner, sets.seen, double),
                    "held_out_pairs": right(learner, sets.held, double),
                }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
