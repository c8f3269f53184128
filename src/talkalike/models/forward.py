"""Llama's forward pass without the layers of calls around it: the same weights and modules, fewer operations a token.

On a small network the wrapping costs a good part of the time where one token of each reply is drawn at a time. Linear
layers are called as the modules they are, so low-rank updates that hang on them act as always; norms, rotations and the
sums between are plain operations. Hooks on blocks, attention and the norms within them are not called. Every other
architecture takes transformers' own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, LlamaForCausalLM, PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.placement import is_spread


class LayersBeside(Protocol):
    """Layers of our own beside an untouched network, for one pass: all they know of it, this object holds."""

    def before(self, layer: int, states_TD: Tensor) -> Tensor:
        """The states (T, width) as they enter the network's layer of this number."""
        ...


@contextmanager
def attention(model: nn.Module, name: str) -> Iterator[None]:
    """Within it, a model attends in another registered way; its own attention is restored afterwards."""
    config = cast(Any, model).config
    before = config._attn_implementation
    cast(Any, model).set_attn_implementation(name)
    try:
        yield
    finally:
        cast(Any, model).set_attn_implementation(before)


def states(network: PreTrainedModel, ids_T: Tensor, positions_T: Tensor, *, attends: str, **options: Any) -> Tensor:
    """The last layer's states (T, width) of one row, after the final norm: the input of heads of our own.

    `attends` names the registered way of attending, to which `options` go.
    """
    if _is_plain_llama(network):
        return _llama_states(network, ids_T, positions_T, attends, options)
    inputs = {"input_ids": ids_T[None], "position_ids": positions_T[None]}
    with attention(network, attends):
        output = cast(Any, network).base_model(**inputs, use_cache=False, **options)
    return cast(Tensor, output.last_hidden_state[0]).to(ids_T.device)


def logits(  # the options are the attention's
    network: PreTrainedModel,
    given: Tensor,
    positions_T: Tensor,
    kept_L: Tensor,
    *,
    attends: str,
    beside: LayersBeside | None = None,
    **options: Any,
) -> Tensor:
    """Logits (L, vocabulary) after the places `kept_L` (indices) of one row; the rest as for `states`.

    `given`: token ids (T,), or embeddings (T, width) where a soft prompt or a picture stands among them. Raises
    UserError for layers `beside` a network that is no plain Llama.
    """
    if _is_plain_llama(network):
        states_LD = _llama_states(network, given, positions_T, attends, options, _Wanted(kept_L, beside))
        return cast(Tensor, network.lm_head(states_LD))
    if beside is not None:
        raise UserError(
            f"Gated layers stand beside the layers of a Llama on one device, and this is a {type(network).__name__}.",
            hint="Train with --method connector.",
        )
    kind = "inputs_embeds" if given.is_floating_point() else "input_ids"
    inputs = {kind: given[None], "position_ids": positions_T[None], "logits_to_keep": kept_L}
    with attention(network, attends):
        output = cast(Any, network)(**inputs, use_cache=False, **options)
    return cast(Tensor, output.logits[0])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which tokens' states are wanted, where not all are, and what stands beside the layers."""

    kept_L: Tensor
    beside: LayersBeside | None


def _is_plain_llama(network: PreTrainedModel) -> bool:
    """Whether its modules can be called here one by one: those of a spread network are moved by hooks on the blocks."""
    return type(network) is LlamaForCausalLM and not is_spread(network)


def _llama_states(
    network: PreTrainedModel,
    given: Tensor,
    positions_T: Tensor,
    attends: str,
    options: dict[str, Any],
    wanted: _Wanted | None = None,
) -> Tensor:
    """States (T, width) after the final norm, or (L, width) of the tokens kept."""
    kept_L, beside = (wanted.kept_L, wanted.beside) if wanted is not None else (None, None)
    body: Any = network.model
    states_TD = given if given.is_floating_point() else body.embed_tokens(given)
    cos_1TD, sin_1TD = body.rotary_emb(states_TD, position_ids=positions_T[None])
    cos_T1D, half = cos_1TD[0, :, None], cos_1TD.shape[-1] // 2
    # the first half of the rotated vector takes the other half's negative: the sign is put on the sine, once
    sin_T1D = torch.cat([-sin_1TD[0, :, None, :half], sin_1TD[0, :, None, half:]], dim=-1)
    block = partial(_llama_block, turns=(cos_T1D, sin_T1D), attends=attends, options=options)
    recompute = body.gradient_checkpointing and network.training and torch.is_grad_enabled()
    for number, layer in enumerate(body.layers):
        if beside is not None:
            states_TD = beside.before(number, states_TD)
        kept = kept_L if layer is body.layers[-1] else None
        if recompute:
            states_TD = cast(Tensor, checkpoint(block, layer, states_TD, kept, use_reentrant=False))
        else:
            states_TD = block(layer, states_TD, kept)
    return cast(Tensor, body.norm(states_TD))


def _llama_block(
    layer: Any,
    states_TD: Tensor,
    kept_L: Tensor | None,
    *,
    turns: tuple[Tensor, Tensor],
    attends: str,
    options: dict[str, Any],
) -> Tensor:
    """One layer; of its states (T, width) those of the tokens kept, (L, width), where they are named."""
    attention, (cos_T1D, sin_T1D) = layer.self_attn, turns
    half = cos_T1D.shape[-1] // 2
    normed_TD = _norm(layer.input_layernorm, states_TD)
    shape = (len(states_TD), -1, attention.head_dim)
    query_THD, key_THD = attention.q_proj(normed_TD).view(shape), attention.k_proj(normed_TD).view(shape)
    value_THD = attention.v_proj(normed_TD).view(shape)
    both_THD = torch.cat([query_THD, key_THD], dim=1)
    both_THD = torch.addcmul(both_THD * cos_T1D, both_THD.roll(half, dims=-1), sin_T1D)
    query_HTD, key_HTD = both_THD.transpose(0, 1).split([query_THD.shape[1], key_THD.shape[1]])
    attended_1THD, _ = AttentionInterface()[attends](
        attention,
        query_HTD[None],
        key_HTD[None],
        value_THD.transpose(0, 1)[None],
        None,
        scaling=attention.scaling,
        dropout=attention.attention_dropout if attention.training else 0.0,
        **options,
    )
    attended_TD = attended_1THD.reshape(len(states_TD), -1)
    if kept_L is not None:
        attended_TD, states_TD = attended_TD[kept_L], states_TD[kept_L]
    states_TD = states_TD + attention.o_proj(attended_TD)
    return cast(Tensor, states_TD + layer.mlp(_norm(layer.post_attention_layernorm, states_TD)))


def _norm(module: nn.Module, states_TD: Tensor) -> Tensor:
    """One operation for the norm, where weights and states have one format (copied blocks stay in float32)."""
    weight_D: Any = module.weight
    if weight_D.dtype is not states_TD.dtype:
        return cast(Tensor, module(states_TD))
    return F.rms_norm(states_TD, weight_D.shape, weight_D, cast(Any, module).variance_epsilon)
