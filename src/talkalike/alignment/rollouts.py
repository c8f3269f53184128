"""Replies drawn from a role: k to each prompt, all together, the prompt read once.

Every draw takes one random number that depends on the seed, the step, the prompt and the place alone, so the same
replies come out however they are batched or spread over processes. The distribution is the model's own at the given
temperature: no top-k, no top-p, nothing forbidden, because the update divides by exactly these probabilities.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkalike.alignment.prompts import ReplyPrompt
from talkalike.alignment.shared_prefix import SHARED_PREFIX_ATTENTION, SharedPrefix
from talkalike.alignment.values import ReplySample
from talkalike.models.forward import logits
from talkalike.models.roles import Roles

_TOKENS_AT_ONCE = 32_768  # positions of prompts and replies together in memory
_BELOW_ONE = 1 - 2**-20


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSampling:
    """How the replies of a rollout are sampled."""

    stop_id: int  # the marker that closes the turn
    temperature: float = 1.0  # N+ (arXiv:2403.17031) takes 0.7; TRL 1.0
    max_tokens: int = 48  # the closing marker included; TL;DR settings take 53, IMDB 40

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.max_tokens < 1:
            raise ValueError("temperature and max_tokens must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One drawn reply. `logprobs[t]` is log p(reply_ids[t]) at the sampling temperature, in nats."""

    prompt_ids: NDArray[np.int32]
    reply_ids: NDArray[np.int32]  # the closing marker included where it was drawn
    logprobs: NDArray[np.float32]
    ended: bool  # the closing marker was drawn before max_tokens was reached


def draw_numbers(seed: int, step: int, prompts: Sequence[int], *, group_size: int, length: int) -> NDArray[np.float32]:
    """Random numbers in [0, 1), shape (prompts * group_size, length); the same for a prompt whatever the others are."""
    rows = [
        np.random.default_rng((seed, step, index)).random((group_size, length), dtype=np.float32) for index in prompts
    ]
    return np.concatenate(rows)


def sample_replies(
    roles: Roles,
    prompts: Sequence[Sequence[int]],
    *,
    role: str | None,
    sampling: RolloutSampling,
    random_NT: NDArray[np.float32],
    going_on: Sequence[Sequence[int]] | None = None,
) -> list[Rollout]:
    """Samples `len(random_NT) / len(prompts)` replies to each prompt, prompt by prompt, with `draw_numbers`.

    `going_on`: for each prompt the tokens by which its speaker goes on after the closing marker. Replies are whole
    bursts then: as long as the model writes exactly these tokens next, which belong to the reply, another message
    follows. None: a reply is one message.
    """
    group_size = len(random_NT) // max(1, len(prompts))
    if group_size * len(prompts) != len(random_NT) or random_NT.shape[1] < sampling.max_tokens:
        raise ValueError("random numbers must be (prompts * group_size, at least max_tokens)")
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    drawn: dict[int, list[Rollout]] = {}
    with torch.inference_mode(), roles.use(role) as network:
        for group in _groups(order, prompts, group_size * sampling.max_tokens):
            numbers = np.concatenate([random_NT[i * group_size : (i + 1) * group_size] for i in group])
            headers = None if going_on is None else [going_on[i] for i in group]
            with _precision(roles):
                replies = _sample_group(
                    network, [prompts[i] for i in group], sampling, torch.from_numpy(numbers), headers
                )
            for place, index in enumerate(group):
                drawn[index] = replies[place * group_size : (place + 1) * group_size]
    return [rollout for index in range(len(prompts)) for rollout in drawn[index]]


def reply_samples(
    prompts: Sequence[ReplyPrompt],
    rollouts: Sequence[Rollout],
    decode: Callable[[Sequence[int]], str],
    *,
    stop_id: int,
) -> list[ReplySample]:
    """The replies that `sample_replies` drew to these prompts, as a reward reads them; one line for each message."""
    each = len(rollouts) // max(1, len(prompts))
    return [
        ReplySample(
            prompt_ids=prompt.ids,
            reply_ids=tuple(rollout.reply_ids.tolist()),
            text="\n".join(map(decode, split_messages(rollout.reply_ids.tolist(), stop_id, prompt.going_on))),
            prompt_turns=prompt.turns,
            speaker=prompt.speaker,
        )
        for prompt, rollout in zip((p for p in prompts for _ in range(each)), rollouts, strict=True)
    ]


def split_messages(reply_ids: Sequence[int], stop_id: int, going_on: Sequence[int]) -> list[list[int]]:
    """The tokens of each message of a reply, without the closing markers and the headers between them."""
    ids = list(reply_ids[:-1] if reply_ids and reply_ids[-1] == stop_id else reply_ids)
    between = [stop_id, *going_on]
    messages, start = [], 0
    for place in range(len(ids) - len(between) + 1):
        if place >= start and ids[place : place + len(between)] == between:
            messages.append(ids[start:place])
            start = place + len(between)
    return [*messages, ids[start:]]


def _precision(roles: Roles) -> AbstractContextManager[Any]:
    """Roles are float32 on a base that may not be: the products are then taken in the base's format."""
    if roles.dtype is torch.float32:
        return nullcontext()
    return torch.autocast(roles.device.type, dtype=roles.dtype)


def _groups(order: Sequence[int], prompts: Sequence[Sequence[int]], reply_tokens: int) -> Iterator[list[int]]:
    """Prompts of similar length that fit into memory together."""
    group: list[int] = []
    for index in order:
        if group and (len(group) + 1) * (len(prompts[index]) + reply_tokens) > _TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _sample_group(
    network: Any,
    prompts: Sequence[Sequence[int]],
    sampling: RolloutSampling,
    random_NT: Tensor,
    headers: Sequence[Sequence[int]] | None,
) -> list[Rollout]:
    device = network.device
    group_size = len(random_NT) // len(prompts)
    lengths = [len(prompt) for prompt in prompts]
    memory = SharedPrefix(lengths, group_size=group_size, max_tokens=sampling.max_tokens, device=device)
    lengths_N = torch.tensor(lengths, device=device).repeat_interleave(group_size)
    replies_NT = torch.zeros(len(random_NT), sampling.max_tokens, dtype=torch.int64, device=device)
    logprobs_NT = torch.zeros(replies_NT.shape, device=device)
    counts_N = torch.zeros(len(random_NT), dtype=torch.int64, device=device)
    bursts = None if headers is None else _Bursts(headers, group_size, sampling.stop_id, device)
    random_NT = random_NT.to(device).clamp(max=_BELOW_ONE)
    all_N = memory.running_N
    logits_NV = _read(network, prompts, memory).repeat_interleave(group_size, dim=0)
    for place in range(sampling.max_tokens):
        running_N = memory.running_N
        tokens_N, chosen_N = _draw(logits_NV, sampling.temperature, random_NT[running_N, place])
        replies_NT[running_N, place] = tokens_N
        logprobs_NT[running_N, place] = chosen_N
        counts_N[running_N] += 1
        going_N = tokens_N != sampling.stop_id if bursts is None else bursts.follow(running_N, tokens_N, place)
        if place + 1 == sampling.max_tokens or not going_N.any():
            break
        if not going_N.all():
            memory.set_running(running_N[going_N])
            tokens_N = tokens_N[going_N]
        memory.written = place + 1
        logits_NV = _logits(network, tokens_N, lengths_N[memory.running_N] + place, all_N[: len(tokens_N)], memory)
    if bursts is not None:
        counts_N = bursts.cut(counts_N)
    replies, logprobs, counts = replies_NT.cpu().numpy(), logprobs_NT.cpu().numpy(), counts_N.tolist()
    return [
        Rollout(
            prompt_ids=np.asarray(prompts[row // group_size], dtype=np.int32),
            reply_ids=replies[row, :count].astype(np.int32),
            logprobs=logprobs[row, :count].copy(),
            ended=bool(replies[row, count - 1] == sampling.stop_id),
        )
        for row, count in enumerate(counts)
    ]


class _Bursts:
    """Which rows are between two messages, and where the last one that is closed ends."""

    def __init__(self, headers: Sequence[Sequence[int]], group_size: int, stop_id: int, device: torch.device) -> None:
        self._stop_id = stop_id
        longest = max(1, *map(len, headers))
        padded = [[*header, *[-1] * (longest - len(header))] for header in headers]
        self._headers_NJ = torch.tensor(padded, device=device).repeat_interleave(group_size, dim=0)
        self._lengths_N = torch.tensor([len(header) for header in headers], device=device)
        self._lengths_N = self._lengths_N.repeat_interleave(group_size)
        self._inside_N = torch.zeros_like(self._lengths_N)  # 0: in a message; k: the header's k-th token is next
        self._closed_N = torch.zeros_like(self._lengths_N)  # tokens up to the last marker that closed a message

    def follow(self, running_N: Tensor, tokens_N: Tensor, place: int) -> Tensor:
        """Takes the tokens that were drawn for the running rows; which of these rows go on."""
        inside_N = self._inside_N[running_N]
        wanted_N = self._headers_NJ[running_N].gather(1, (inside_N - 1).clamp(min=0)[:, None])[:, 0]
        between_N = inside_N > 0
        closes_N = ~between_N & (tokens_N == self._stop_id)
        differs_N = between_N & (tokens_N != wanted_N)
        self._closed_N[running_N[closes_N]] = place + 1
        following_N = torch.where(closes_N, 1, torch.where(between_N, inside_N + 1, 0))
        following_N = torch.where(following_N > self._lengths_N[running_N], 0, following_N)
        self._inside_N[running_N] = torch.where(differs_N, inside_N, following_N)
        return ~differs_N & ~(closes_N & (self._lengths_N[running_N] == 0))

    def cut(self, counts_N: Tensor) -> Tensor:
        """The rows' lengths without what was drawn after the last message, where no other one was begun."""
        return torch.where(self._inside_N > 0, self._closed_N, counts_N)


def _read(network: Any, prompts: Sequence[Sequence[int]], memory: SharedPrefix) -> Tensor:
    """The logits (P, V) after each prompt."""
    device = network.device
    ids_T = torch.tensor(list(itertools.chain.from_iterable(prompts)), device=device)
    positions_T = torch.cat([torch.arange(length) for length in memory.lengths]).to(device)
    last_P = torch.tensor(memory.lengths, device=device).cumsum(0) - 1
    return _logits(network, ids_T, positions_T, last_P, memory)


def _logits(network: Any, ids_T: Tensor, positions_T: Tensor, kept_L: Tensor, memory: SharedPrefix) -> Tensor:
    return logits(network, ids_T, positions_T, kept_L, attends=SHARED_PREFIX_ATTENTION, memory=memory)


def _draw(logits_NV: Tensor, temperature: float, random_N: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (N,) drawn by inverting the distribution, and their log-probabilities, all in float32."""
    shares_NV = torch.softmax(logits_NV.float() / temperature, dim=-1)
    reached_NV = shares_NV.cumsum(dim=-1)
    wanted_N1 = (random_N * reached_NV[:, -1])[:, None]
    tokens_N1 = torch.searchsorted(reached_NV, wanted_N1, right=True).clamp_(max=logits_NV.shape[-1] - 1)
    return tokens_N1[:, 0], shares_NV.gather(1, tokens_N1)[:, 0].log()


class RolloutMemory:
    """Rollouts on disk, memory-mapped when read: four numpy files a step, nothing as wide as the vocabulary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Keeps a step's rollouts; replaces those of the same step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lengths = [(len(r.prompt_ids), len(r.reply_ids), int(r.ended)) for r in rollouts]
        none = np.zeros(0, dtype=np.int32)
        arrays: dict[str, NDArray[Any]] = {
            "prompts": np.concatenate([none, *(r.prompt_ids for r in rollouts)]),
            "replies": np.concatenate([none, *(r.reply_ids for r in rollouts)]),
            "logprobs": np.concatenate([none.astype(np.float32), *(r.logprobs for r in rollouts)]),
            "lengths": np.asarray(lengths, dtype=np.int64).reshape(-1, 3),
        }
        for part, array in arrays.items():
            np.save(self.folder / f"{step:08d}.{part}.npy", array, allow_pickle=False)

    def read(self, step: int) -> list[Rollout]:
        """A step's rollouts, in order; their arrays are read from disk when touched."""
        prompts, replies, logprobs, lengths = (
            np.load(self.folder / f"{step:08d}.{part}.npy", mmap_mode="r", allow_pickle=False)
            for part in ("prompts", "replies", "logprobs", "lengths")
        )
        ends = np.cumsum(lengths[:, :2], axis=0)
        return [
            Rollout(
                prompt_ids=prompts[ends[i, 0] - lengths[i, 0] : ends[i, 0]],
                reply_ids=replies[ends[i, 1] - lengths[i, 1] : ends[i, 1]],
                logprobs=logprobs[ends[i, 1] - lengths[i, 1] : ends[i, 1]],
                ended=bool(lengths[i, 2]),
            )
            for i in range(len(lengths))
        ]
