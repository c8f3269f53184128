"""PaLM: attention and feed-forward side by side, in transformers' interface, so that everything here works with it.

Each block reads the stream once, through one matrix for queries, the one key, the one value and the feed-forward part,
and adds both results to it: y = x + attention(norm(x)) + feed_forward(norm(x)). SwiGLU, rotary positions, no biases,
output tied to the embeddings (Chowdhery et al. 2022, arXiv:2204.02311; the parallel form: Wang and Komatsuzaki 2021).
Importing this module makes AutoModelForCausalLM know saved folders of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.output_capturing import capture_outputs

from talkalike.errors import UserError
from talkalike.models.palm_config import PalmConfig
from talkalike.models.palm_sampling import SamplingMixin

Turns = tuple[Tensor, Tensor]  # cosines and sines (B, T, 1, head width) that turn queries and keys to their positions


class _Matrix(nn.Linear):
    """Weights without bias, at first normal with a deviation that keeps the stream's size at any width and depth.

    The variance is one over the width that is read (as in the paper), and for what is added to the stream also one
    over the number of additions (Radford et al. 2019).
    """

    def __init__(self, inputs: int, outputs: int, *, additions: int = 1) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.deviation = (inputs * additions) ** -0.5


class PalmBlock(GradientCheckpointingLayer):
    """One layer. It is its own attention module for transformers' attention functions."""

    is_causal = True

    def __init__(self, config: PalmConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_key_value_groups = config.num_attention_heads
        self.scaling = config.head_dim**-0.5
        heads_width = config.num_attention_heads * config.head_dim
        # Queries and the key lie together: they are turned in one go.
        self._widths = (heads_width + config.head_dim, config.head_dim, *2 * [config.intermediate_size])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        additions = 2 * config.num_hidden_layers
        self.in_proj = _Matrix(config.hidden_size, sum(self._widths))
        self.attention_out = _Matrix(heads_width, config.hidden_size, additions=additions)
        self.feed_forward_out = _Matrix(config.intermediate_size, config.hidden_size, additions=additions)
        if config.qk_norm:
            self.query_norm = nn.RMSNorm(config.head_dim, eps=1e-6)
            self.key_norm = nn.RMSNorm(config.head_dim, eps=1e-6)

    def forward(
        self,
        hidden_BTD: Tensor,
        turns: Turns,
        decay: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> Tensor:
        """The stream (B, T, D) after this layer. `decay`: xPos's factors of queries (B, T, 1, head width)."""
        batch, length, _ = hidden_BTD.shape
        turned, value, up_BTF, gate_BTF = self.in_proj(self.norm(hidden_BTD)).split(self._widths, dim=-1)
        query_BHTK, key_B1TK = self._turn(turned.view(batch, length, -1, self.config.head_dim), turns, decay)
        value_B1TK = value[:, None]
        if past_key_values is not None:
            key_B1TK, value_B1TK = past_key_values.update(key_B1TK, value_B1TK, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, _attend_plainly)
        attended_BTHK, _ = attend(
            self,
            query_BHTK,
            key_B1TK,
            value_B1TK,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **options,
        )
        fed_BTD = self.feed_forward_out(F.silu(gate_BTF) * up_BTF)
        return hidden_BTD + self.attention_out(attended_BTHK.reshape(batch, length, -1)) + fed_BTD

    def _turn(self, heads_BTHK: Tensor, turns: Turns, decay: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries (B, heads, T, K) and the key (B, 1, T, K) at their positions."""
        if self.config.qk_norm:
            exact_BTHK = heads_BTHK.to(self.key_norm.weight.dtype)  # autocast leaves RMS norms to us
            query, key = exact_BTHK[:, :, :-1], exact_BTHK[:, :, -1:]
            heads_BTHK = torch.cat([self.query_norm(query), self.key_norm(key)], dim=2).to(heads_BTHK.dtype)
        cosines, sines = turns
        first, second = heads_BTHK.chunk(2, dim=-1)
        swapped = torch.cat((-second, first), dim=-1)
        turned = heads_BTHK * cosines.to(heads_BTHK.dtype) + swapped * sines.to(heads_BTHK.dtype)
        query, key = turned[:, :, :-1], turned[:, :, -1:]
        if decay is not None:
            query, key = query * decay.to(query.dtype), key / decay.to(key.dtype)
        return query.transpose(1, 2), key.transpose(1, 2)


class PalmPreTrainedModel(PreTrainedModel):
    """What transformers asks of an architecture."""

    config_class = PalmConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ("PalmBlock",)
    _skip_keys_device_placement = ("past_key_values",)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": PalmBlock}  # noqa: RUF012  # transformers' form

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Matrices of the blocks by their own deviation, the rest as transformers does it."""
        if isinstance(module, _Matrix):
            init.normal_(module.weight, std=module.deviation)
        else:
            super()._init_weights(module)


class PalmModel(PalmPreTrainedModel):
    """The network without its head."""

    def __init__(self, config: PalmConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(PalmBlock(config, index) for index in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.gradient_checkpointing = False
        self.post_init()

    @capture_outputs  # type: ignore[untyped-decorator]  # transformers ships no types
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states (B, T, D) of token ids (B, T) or of embeddings, after the last norm."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        hidden_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache):
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            start = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device) + start)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden_BTD,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        turns, decay = _positions(self.config, position_ids, hidden_BTD.dtype)
        for block in self.layers:
            hidden_BTD = block(
                hidden_BTD,
                turns,
                decay,
                attention_mask=mask,
                past_key_values=past_key_values,
                position_ids=position_ids,
                **options,
            )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_BTD), past_key_values=past_key_values)


class PalmForCausalLM(SamplingMixin, PalmPreTrainedModel, GenerationMixin):
    """The network with its head: logits of the next token. `generate` is transformers' own."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  # transformers' form

    def __init__(self, config: PalmConfig) -> None:
        super().__init__(config)
        self.model = PalmModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(  # signature: transformers
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **options: Any,
    ) -> Any:
        """Logits (B, kept positions, vocabulary); with `labels` (B, T; -100 is left out) the mean loss as well."""
        as_dict = options.pop("return_dict", self.config.return_dict)
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **options,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(output.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **options)
        result = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=output.past_key_values, hidden_states=output.hidden_states
        )
        return result if as_dict else result.to_tuple()


def new_palm(folder: Path, config: PalmConfig, tokenizer: Tokenizer, *, seed: int = 0) -> PalmForCausalLM:
    """Makes a network with random weights and saves it with its tokenizer as a base that everything here can use.

    Raises UserError if the tokenizer has more words than the network, or if the folder holds a model already.
    """
    words = tokenizer.get_vocab_size()
    if words > config.vocab_size:
        raise UserError(
            f"The tokenizer has {words:,} words, but the network only {config.vocab_size:,}.",
            hint=f"Make the network with vocab_size={words} or more.",
        )
    if (folder / "config.json").exists():
        raise UserError(f"{folder} holds a model already.", hint="Choose another name.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PalmForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    network.save_pretrained(folder)
    return network.eval()


def _positions(config: PalmConfig, position_ids: Tensor, dtype: torch.dtype) -> tuple[Turns, Tensor | None]:
    """Rotary angles (Su et al. 2021, arXiv:2104.09864) of positions (B, T), in float32 until the end; xPos's decay."""
    pairs = torch.arange(0, config.head_dim, 2, device=position_ids.device, dtype=torch.float32)
    places = position_ids[..., None, None].float()
    angles = places * config.rope_theta ** (-pairs / config.head_dim)
    angles = torch.cat((angles, angles), dim=-1)
    decay = None
    if config.xpos_scale_base is not None:
        decay = ((pairs / config.head_dim + 0.4) / 1.4) ** (places / config.xpos_scale_base)
        decay = torch.cat((decay, decay), dim=-1)
    return (angles.cos().to(dtype), angles.sin().to(dtype)), decay


def _attend_plainly(  # signature: transformers
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_options: Any,
) -> tuple[Tensor, Tensor]:
    """Attention in plain products ("eager"), which also tells its weights (B, heads, T, S)."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.dropout(scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype), dropout, module.training)
    return (weights @ value).transpose(1, 2), weights


AutoConfig.register(PalmConfig.model_type, PalmConfig, exist_ok=True)
AutoModel.register(PalmConfig, PalmModel, exist_ok=True)
AutoModelForCausalLM.register(PalmConfig, PalmForCausalLM, exist_ok=True)
