"""The shape of a PaLM network, with transformers' names for it and those of its papers."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig


class PalmConfig(PreTrainedConfig):
    """Sizes of a PaLM (Chowdhery et al. 2022, arXiv:2204.02311, section 2).

    The papers' names work too: num_tokens, dim, depth, heads, dim_head. ValueError for sizes that fit no network.
    """

    model_type = "talkalike_palm"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "num_tokens": "vocab_size",
        "dim": "hidden_size",
        "depth": "num_hidden_layers",
        "heads": "num_attention_heads",
        "dim_head": "head_dim",
    }

    vocab_size: int = 20000
    hidden_size: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    num_key_value_heads: int = 1  # multi-query attention (Shazeer 2019, arXiv:1911.02150): one for all heads
    head_dim: int = 64
    ff_mult: int = 4  # width of the feed-forward part, in hidden sizes
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    xpos_scale_base: int | None = None  # decay of attention with distance (Sun et al. 2022, arXiv:2212.10554); off
    qk_norm: bool = False  # RMS norm of queries and keys: steadier training at high learning rates
    attention_dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02  # of the embeddings, which are the output's weights too
    tie_word_embeddings: bool = True
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim", "ff_mult")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}, but rotary positions turn pairs: it must be even.")
        if self.num_key_value_heads != 1:
            raise ValueError("A PaLM has one key and value head for all its query heads.")

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward part."""
        return self.ff_mult * self.hidden_size
