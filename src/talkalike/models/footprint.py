"""How much memory a training of a base takes, reckoned from its sizes before anything is loaded. Imports no torch.

What is summed: the program, the weights, what is trained (its value, gradient and Adam's two averages in float32), what
each layer keeps of each token for the backward pass, and the logits. What a layer keeps was counted in real trainings
(docs/lab-notebook.md has the measured peaks beside these numbers); they stay within a fifth of each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkalike.models.memory import stored_numbers

_MIB = 2**20
FIRST_STEP = 80 * _MIB  # by which the program grows on a CPU with its first step: kernels made for this processor
_PROGRAM = {"cpu": 380 * _MIB + FIRST_STEP, "cuda": 600 * _MIB}  # the libraries; a GPU's own context (not measured)
_PER_TRAINED = 16  # bytes of a trained number: its value, its gradient, Adam's averages
_PER_TRAINED_SAVING = 20  # when the best state is put back and written: no gradients, two copies more
_QUANTIZED = {"8bit": 1.0, "4bit": 0.52}  # of a number of the blocks; NF4 with its scales quantised, too
_SLACK = 1.12  # blocks of memory that are free and too small to be used again
_QUERIES = 256  # of one block of attention (`models.attention`)
_PLAIN = frozenset(
    {"gpt2", "gpt_bigcode", "gpt_neox", "opt", "phi", "starcoder2", "bloom", "falcon", "codegen", "gptj"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseShape:
    """The sizes of a base. `inner`: of a feed-forward layer; `groups`: heads of keys; `gated`: as in Llama."""

    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    head_width: int
    vocabulary: int
    tied: bool = True  # one matrix for embeddings and head
    gated: bool = True
    stored: int = 0  # numbers in its files; 0 where they are not here

    @property
    def linear(self) -> int:
        """Numbers in the linear layers of one block."""
        attending = self.heads * self.head_width
        inner = (3 if self.gated else 2) * self.inner
        return self.width * (2 * attending + 2 * self.groups * self.head_width + inner)

    @property
    def numbers(self) -> int:
        """Numbers of the whole base."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.stored or embeddings + self.layers * (self.linear + 2 * self.width) + self.width

    @property
    def outputs(self) -> int:
        """How many numbers the linear layers of one block give for each token."""
        attending = self.heads * self.head_width
        return attending + 2 * self.groups * self.head_width + 2 * self.width + (2 if self.gated else 1) * self.inner

    @property
    def inputs(self) -> int:
        """How many numbers they take."""
        attending = self.heads * self.head_width
        return 3 * self.width + attending + (2 if self.gated else 1) * self.width + self.inner

    @property
    def work(self) -> int:
        """Multiplications of a forward pass for one token, a fourth of which are learned: what its time grows with."""
        return self.layers * self.linear + self.vocabulary * self.width // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How a base is trained, as far as its memory depends on it. `document`: tokens of the longest example."""

    method: str = "lora"
    rank: int = 16
    last_layers: int = 4
    prompt_length: int = 32
    row: int = 2048  # tokens at once
    document: int = 1024
    learned: float = 0.25  # share of the tokens that have loss
    half: bool = True  # computed in 16 bits
    quantize: str = "none"
    recompute: bool = False  # layers computed twice
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes that a training takes at its peak."""

    program: int
    weights: int
    trained: int
    kept: int  # of each token for the backward pass, with the logits
    saving: int  # in place of the two before, while the model is written

    @property
    def total(self) -> int:
        return self.program + self.weights + max(self.trained + self.kept, self.saving)


def read_shape(folder: Path) -> BaseShape | None:
    """The sizes of the base in a folder; None where its configuration does not tell them."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config") or config
        heads = _first(config, "num_attention_heads", "n_head", "n_heads", "num_heads")
        width = _first(config, "hidden_size", "n_embd", "d_model")
        inner = _first(config, "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", otherwise=4 * width)
        if "num_experts_per_tok" in config:
            inner = int(config.get("moe_intermediate_size") or inner) * int(config["num_experts_per_tok"])
        return BaseShape(
            layers=_first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            width=width,
            inner=inner,
            heads=heads,
            groups=_first(config, "num_key_value_heads", otherwise=heads),
            head_width=_first(config, "head_dim", otherwise=width // heads),
            vocabulary=_first(config, "vocab_size"),
            tied=bool(config.get("tie_word_embeddings", True)),
            gated=config.get("model_type") not in _PLAIN,
            stored=stored_numbers(folder),
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ZeroDivisionError):
        return None


def weight_bytes(shape: BaseShape, item: int, quantize: str) -> int:
    """The bytes of the base's weights, with `item` bytes for each number that is not quantised, as embeddings are."""
    blocks = shape.layers * shape.linear if quantize in _QUANTIZED else 0
    return round((shape.numbers - blocks) * item + blocks * _QUANTIZED.get(quantize, 0))


def estimate(shape: BaseShape, plan: TrainingPlan) -> Footprint:
    """The memory that this training takes on its device."""
    item = 2 if plan.half else 4
    trained = trained_numbers(shape, plan)
    own = trained if plan.method in {"full", "last-n"} else 0  # of the base's own numbers, which become float32
    weights = weight_bytes(shape, item, plan.quantize) - own * item
    layers = min(plan.last_layers, shape.layers) if plan.method == "last-n" else shape.layers
    row = max(plan.row, plan.document)  # a longer example has a row to itself
    tokens = row + (plan.prompt_length * (row // plan.document) if plan.method == "prompt" else 0)
    layer = tokens * kept_by_a_layer(shape, plan)
    # Of each layer its input stays, with as much in pieces freed between (measured); one is there whole, twice.
    kept = 2 * layer + layers * tokens * shape.width * 8 if plan.recompute else layers * layer
    logits = 2 * plan.learned * row * shape.vocabulary * item  # with their gradients
    return Footprint(
        program=_PROGRAM.get(plan.device, _PROGRAM["cuda"]),
        weights=weights,
        trained=trained * (_PER_TRAINED + (item if plan.half else 0)),
        kept=round(_SLACK * kept + logits),
        saving=_PER_TRAINED_SAVING * trained if plan.device == "cpu" else 0,
    )


def trained_numbers(shape: BaseShape, plan: TrainingPlan) -> int:
    """How many numbers a method trains."""
    if plan.method == "full":
        return shape.numbers
    if plan.method == "last-n":
        return min(plan.last_layers, shape.layers) * shape.linear
    if plan.method == "prompt":
        return plan.prompt_length * shape.width
    magnitudes = shape.outputs if plan.method == "dora" else 0
    return shape.layers * (plan.rank * (shape.inputs + shape.outputs) + magnitudes)


def kept_by_a_layer(shape: BaseShape, plan: TrainingPlan) -> int:
    """Bytes that one layer keeps of one token until the backward pass."""
    item = 2 if plan.half else 4
    attending = shape.heads * shape.head_width
    blocks = plan.half and plan.device == "cpu"  # attention as plain products: their weights are kept, too
    count = item * (4 if shape.gated else 3) * shape.inner
    count += 3 * item * attending if blocks else 5 * item * attending
    if blocks:
        count += shape.heads * (plan.document + min(plan.document, _QUERIES))
    if plan.method == "prompt":
        return count + 2 * item * shape.width
    streams = 4 if plan.method in {"full", "last-n"} or not plan.half else 2
    count += 4 * streams * shape.width
    if plan.half:  # autocast rounds the input of each layer
        count += item * (shape.inputs - shape.inner)
    if plan.method in {"lora", "dora"}:
        count += item * ((7 if shape.gated else 6) * plan.rank + (3 if plan.method == "dora" else 1) * shape.outputs)
    return count


def _first(config: dict[str, Any], *names: str, otherwise: int | None = None) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    if otherwise is None:
        raise KeyError(names[0])
    return otherwise
