"""Several replies to one prompt, which is read once for all of them, and the best of them by a reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from talkalike.errors import UserError

# One finite number for each reply, given the prompt's token ids and each reply's; higher is better.
TokenReward = Callable[[list[int], list[list[int]]], Sequence[float]]


class SamplingMixin:
    """Sampling for a causal network of transformers'."""

    @torch.inference_mode()
    def sample(
        self,
        prompt: Tensor | Sequence[int],
        *,
        num_samples: int = 1,
        max_new_tokens: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:
        """Replies' token ids: draws from the model's own distribution at this temperature (0: the likeliest token).

        The prompt (T,) is read once; its memory is copied for the samples. A reply ends with config.eos_token_id,
        which stays on it, and is no longer computed then. UserError if prompt and replies do not fit the model.
        """
        network: Any = self
        prompt_ids = [int(token) for token in prompt]
        _check(network.config, len(prompt_ids), num_samples, max_new_tokens, temperature)
        ends = _end_ids(network.config)
        replies: list[list[int]] = [[] for _ in range(num_samples)]
        running = list(range(num_samples))
        was_training = network.training
        network.eval()
        try:
            cache = DynamicCache(config=network.config)
            read_1T = torch.tensor([prompt_ids], device=network.device)
            logits_1V = _last_logits(network, read_1T, cache)
            cache.batch_repeat_interleave(num_samples)
            logits_SV = logits_1V.expand(num_samples, -1)
            while True:
                tokens_S = _draw(logits_SV, temperature, generator)
                for index, token in zip(running, tokens_S.tolist(), strict=True):
                    replies[index].append(token)
                open_S = [len(replies[i]) < max_new_tokens and replies[i][-1] not in ends for i in running]
                if not any(open_S):
                    return replies
                if not all(open_S):
                    kept_S = torch.tensor(open_S, device=tokens_S.device).nonzero()[:, 0]
                    cache.batch_select_indices(kept_S)
                    tokens_S = tokens_S[kept_S]
                    running = [i for i, is_open in zip(running, open_S, strict=True) if is_open]
                logits_SV = _last_logits(network, tokens_S[:, None], cache)
        finally:
            network.train(was_training)

    def generate_best(
        self,
        prompt: Tensor | Sequence[int],
        *,
        num_samples: int,
        reward: TokenReward,
        max_new_tokens: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[int]:
        """The token ids of the best of `num_samples` replies by `reward`; the first of equals.

        Raises UserError where the reward is no finite number, or not one for each reply.
        """
        replies = self.sample(
            prompt,
            num_samples=num_samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=generator,
        )
        scores = [float(score) for score in reward([int(token) for token in prompt], replies)]
        if len(scores) != len(replies) or not all(math.isfinite(score) for score in scores):
            raise UserError(
                f"The reward gave {scores} for {len(replies)} replies.",
                hint="It has to return one finite number for each reply, in order.",
            )
        return replies[max(range(len(scores)), key=scores.__getitem__)]


def _check(config: Any, prompt: int, num_samples: int, max_new_tokens: int, temperature: float) -> None:
    if prompt < 1 or num_samples < 1 or max_new_tokens < 1 or not 0 <= temperature < math.inf:
        raise UserError(
            f"Cannot sample {num_samples} replies of {max_new_tokens} tokens after {prompt} at {temperature}.",
            hint="Give a prompt, one sample or more of one token or more, and a temperature of 0 or above.",
        )
    if prompt + max_new_tokens > config.max_position_embeddings:
        raise UserError(
            f"{prompt} tokens and {max_new_tokens} new ones pass the model's {config.max_position_embeddings}.",
            hint="Shorten the prompt or the replies.",
        )


def _end_ids(config: Any) -> set[int]:
    end = config.eos_token_id
    return set() if end is None else {end} if isinstance(end, int) else set(end)


def _last_logits(network: Any, ids_ST: Tensor, cache: DynamicCache) -> Tensor:
    logits_S1V = network(input_ids=ids_ST, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    return logits_S1V[:, -1].float()


def _draw(logits_SV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0.0:
        return logits_SV.argmax(dim=-1)
    # One random number a sample; torch.multinomial would draw one for each word of the vocabulary.
    reached_SV = (logits_SV / temperature).softmax(dim=-1).double().cumsum(dim=-1)
    drawn_S1 = torch.rand(len(logits_SV), 1, generator=generator, device=logits_SV.device, dtype=torch.float64)
    found_S1 = torch.searchsorted(reached_SV, drawn_S1 * reached_SV[:, -1:], right=True)
    return found_S1[:, 0].clamp(max=logits_SV.shape[-1] - 1)
