"""A model, or an adapter alone, as a GGUF file for llama.cpp, Ollama, LM Studio and the like.

Families: Llama (Mistral and SmolLM2 among them), Qwen 2 and Qwen 3. The file format is documented at
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Llama's rotary positions turn pairs of neighbours there, and
halves here: the rows of queries and keys are put in that order, those of an adapter too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from torch import Tensor
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from talkalike.errors import UserError
from talkalike.models.gguf_tokenizer import write_tokenizer
from talkalike.models.load import LoadedModel
from talkalike.models.lora_pairs import LoraPairs

_BLOCK = 32  # numbers that share a scale in the quantised formats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """How the weights of the blocks and of the embedding are written; norms and biases stay in float32."""

    blocks: GGMLQuantizationType
    embedding: GGMLQuantizationType
    file: LlamaFileType


_TYPE = GGMLQuantizationType
FORMATS = {
    "f32": _Format(blocks=_TYPE.F32, embedding=_TYPE.F32, file=LlamaFileType.ALL_F32),
    "bf16": _Format(blocks=_TYPE.BF16, embedding=_TYPE.BF16, file=LlamaFileType.MOSTLY_BF16),
    "q8_0": _Format(blocks=_TYPE.Q8_0, embedding=_TYPE.Q8_0, file=LlamaFileType.MOSTLY_Q8_0),
    "q4_1": _Format(blocks=_TYPE.Q4_1, embedding=_TYPE.Q8_0, file=LlamaFileType.MOSTLY_Q4_1),
}
_FAMILIES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}


def write_model(
    loaded: LoadedModel, file: Path, *, quant: str, template: str, stop_id: int, about: Mapping[str, str]
) -> None:
    """Writes the whole model (no soft prompt) with its vocabulary and chat template. `about`: further facts, by key.

    Raises UserError for a family or a vocabulary that cannot be written.
    """
    network: Any = loaded.model
    shape = _Shape.of(network.config)
    chosen = FORMATS[quant]
    writer = GGUFWriter(file, shape.family, use_temp_file=True)
    writer.add_name(loaded.name)
    _write_facts(writer, about)
    shape.write(writer, network.config)
    writer.add_file_type(chosen.file)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    vocabulary = network.get_input_embeddings().weight.shape[0]
    write_tokenizer(writer, loaded.tokenizer, size=vocabulary, stop_id=stop_id)
    writer.add_chat_template(template)
    for name, tensor in _tensors(network, shape):
        numbers = np.ascontiguousarray(tensor.float().cpu().numpy())
        wanted = chosen.embedding if name.startswith(("token_embd", "output.")) else chosen.blocks
        if numbers.ndim == 1:
            wanted = _TYPE.F32
        elif numbers.shape[-1] % _BLOCK and wanted is not _TYPE.F32:
            wanted = _TYPE.BF16
        writer.add_tensor(name, gguf.quants.quantize(numbers, wanted), raw_dtype=wanted)
    _finish(writer)


def write_adapter(pairs: LoraPairs, base: Path, file: Path, *, about: Mapping[str, str]) -> None:
    """Writes a low-rank update alone, to be loaded on a GGUF of its base (`llama-server --lora`).

    `base`: the base's folder. Raises UserError for a family that cannot be written.
    """
    shape = _Shape.of(AutoConfig.from_pretrained(base, local_files_only=True))
    rank = next(iter(pairs.down.values())).shape[0]
    writer = GGUFWriter(file, shape.family)
    writer.add_type("adapter")
    writer.add_name(base.name)
    _write_facts(writer, about)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", pairs.factor * pairs.scale * rank)
    for layer in pairs.down:
        name = shape.name_of(f"{layer}.weight")
        up = shape.reorder(layer, pairs.up[layer].float())
        for part, tensor in (("lora_a", pairs.down[layer].float()), ("lora_b", up)):
            writer.add_tensor(f"{name}.{part}", np.ascontiguousarray(tensor.cpu().numpy()))
    _finish(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The family and the sizes that decide names and orders."""

    family: str
    heads: int
    groups: int
    names: gguf.TensorNameMap

    @classmethod
    def of(cls, config: Any) -> _Shape:
        """The shape of a network. UserError for one that cannot be written."""
        family = _FAMILIES.get(config.model_type)
        if family is None or getattr(config, "sliding_window", None):
            window = " with a sliding window" if family else ""
            raise UserError(
                f"A {config.model_type}{window} cannot be exported to GGUF.",
                hint="Llama, Mistral without a window, SmolLM2, Qwen 2 and Qwen 3 can. Or export it with --to hf.",
            )
        arch = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[family]
        return cls(
            family=family,
            heads=config.num_attention_heads,
            groups=config.num_key_value_heads,
            names=gguf.get_tensor_name_map(arch, config.num_hidden_layers),
        )

    def write(self, writer: GGUFWriter, config: Any) -> None:
        """The sizes, by the keys that llama.cpp wants."""
        rope: Mapping[str, Any] = config.rope_parameters
        width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.groups)
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_dimension_count(width)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(rope["rope_theta"])
        if rope.get("rope_type", "default") not in {"default", "llama3"}:
            raise UserError(
                f"Rotary positions of the kind '{rope['rope_type']}' cannot be exported to GGUF.",
                hint="Export it with --to hf instead, and convert that with llama.cpp's own program.",
            )

    def name_of(self, name: str) -> str:
        """What a weight is called there."""
        found = self.names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise UserError(f"The weight '{name}' has no place in a GGUF file of this family.")
        return str(found)

    def reorder(self, name: str, tensor: Tensor) -> Tensor:
        """Llama's rows of queries and keys in llama.cpp's order; everything else as it is."""
        heads = self.heads if ".q_proj" in name else self.groups if ".k_proj" in name else 0
        if self.family != "llama" or not heads:
            return tensor
        halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
        return halves.transpose(1, 2).reshape(tensor.shape)


def _tensors(network: Any, shape: _Shape) -> Iterator[tuple[str, Tensor]]:
    """Every weight by its name there. A head that is the embedding is left out, as llama.cpp expects it."""
    tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
    for name, tensor in network.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            yield shape.name_of(name), shape.reorder(name, tensor)
    factors = _rotation_factors(network.config)
    if factors is not None:
        yield "rope_freqs.weight", factors


def _rotation_factors(config: Any) -> Tensor | None:
    """By how much each rotation is slower than usual, where the positions are scaled as in Llama 3.1."""
    rope: Mapping[str, Any] = config.rope_parameters
    if rope.get("rope_type", "default") == "default":
        return None
    scaled, _ = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, torch.device("cpu"))
    width = 2 * len(scaled)
    usual = rope["rope_theta"] ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    return usual / scaled


def _write_facts(writer: GGUFWriter, about: Mapping[str, str]) -> None:
    for key, value in about.items():
        writer.add_string(key, value)


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
