"""Small worlds for reinforcement learning: a model of forty tokens, rewards that are plain arithmetic."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM

from talkalike.alignment.feedback_loop import Objective, feedback_steps, make_optimizer
from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.judged_parts import EncodedContext
from talkalike.alignment.learner import Learner
from talkalike.alignment.preference_objective import LossSettings, PreferenceObjective, ReferenceLogprobs
from talkalike.alignment.prompts import ReplyPrompt
from talkalike.alignment.reward_model import RewardForm, RewardModel
from talkalike.alignment.reward_objective import RewardObjective
from talkalike.alignment.rl import Task, rl_steps
from talkalike.alignment.rl_report import RLProgress
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLSettings
from talkalike.alignment.rl_values import RLStep
from talkalike.alignment.values import ReplySample
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import LoadedModel
from talkalike.models.roles import Roles
from talkalike.training.loop import Progress, make_accelerator

torch.set_num_threads(1)
CPU = torch.device("cpu")
VOCABULARY, STOP = 40, 39
PLAIN = RewardShaping(kl=0.0, missing_end=0.0, normalise=False)


@dataclass(frozen=True, slots=True)
class Scored:
    """A reward that is one function of a sample."""

    value: Callable[[ReplySample], float]

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        return [self.value(sample) for sample in samples]


def even_share(sample: ReplySample) -> float:
    return sum(token % 2 == 0 for token in sample.reply_ids) / len(sample.reply_ids)


def tiny_network(*, layers: int = 2, width: int = 32, seed: int = 0, spread: float = 0.1) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=spread,
        pad_token_id=0,
    )
    return LlamaForCausalLM(shape).eval()


def roles_on(network: Any) -> Roles:
    return Roles(LoadedModel(name="toy", model=network, tokenizer=Tokenizer(models.BPE()), context_length=128))


def mixed_prompts(count: int = 24, *, longest: int = 12) -> list[ReplyPrompt]:
    rng = random.Random(0)
    return [
        ReplyPrompt(ids=tuple(rng.randrange(STOP) for _ in range(1 + index % longest)), speaker="Anna")
        for index in range(count)
    ]


def settings(**changes: Any) -> RLSettings:
    update = {"learning_rate": 5e-3, "critic_learning_rate": 5e-3, "schedule": "constant"} | changes.pop("update", {})
    fields: dict[str, Any] = {
        "steps": 4,
        "prompts": 4,
        "group_size": 4,
        "max_tokens": 6,
        "shaping": PLAIN,
        "max_kl": 0.0,
        "min_distinct": 0.0,
    }
    return RLSettings(**{**fields, **changes}, update=PolicyUpdate(**update))


def learner(chosen: RLSettings, network: Any = None, **adapter: Any) -> Learner:
    policy = AdapterSettings(**({"method": "full"} | adapter))
    return Learner(roles_on(network or tiny_network()), chosen, make_accelerator(CPU, torch.float32), policy=policy)


OBJECTIVES = ("reward", "dpo", "kto")


def judged_steps(kind: str, cache: Path) -> list[dict[str, float]]:
    """Two epochs over seven judged contexts, in batches that two processes cannot share evenly."""
    roles, rng = roles_on(tiny_network()), random.Random(1)
    contexts = []
    for prompt in mixed_prompts(7):
        replies = [(*(rng.randrange(STOP) for _ in range(rng.randint(1, 6))), STOP) for _ in range(3)]
        samples = tuple(ReplySample(prompt_ids=prompt.ids, reply_ids=reply, text="") for reply in replies)
        ratings = ((0, "honest", 5), (2, "honest", 1))
        contexts.append(
            EncodedContext(samples=samples, pairs=((0, 1), (2, 1)), ratings=ratings, bad=(), soft={(2, 1): 0.7})
        )
    objective: Objective
    if kind == "reward":
        roles.loaded.tokenizer.add_special_tokens(["</s>"])
        form = RewardForm(
            reference="toy", scales=("honest",), weights={"honest": 1}, pair_scale="honest", members=2,
            adapter=AdapterSettings(rank=4),
        )  # fmt: skip
        model = RewardModel(roles, form)
        objective = RewardObjective(model, contexts, centring=0.01, row_tokens=32)
        members = [list(model.parameters(member).values()) for member in range(2)]
    else:
        roles.add("policy", AdapterSettings(rank=4))
        losses = LossSettings(loss=kind, beta=0.5, gamma=0.0, weights=(1.0, 1.0), row_tokens=32)
        objective = PreferenceObjective(roles, contexts, losses, ReferenceLogprobs(roles, cache))
        members = [list(roles.parameters("policy").values())]
    steps = feedback_steps(
        objective,
        members,
        optimizer=make_optimizer([([p for member in members for p in member], 1e-2)]),
        settings=FeedbackSettings(learning_rate=1e-2, batch=3, epochs=2),
        accelerator=make_accelerator(CPU, torch.float32),
        progress=Progress(),
    )
    return [dataclasses.asdict(step) for step in steps]


def task(value: Callable[[ReplySample], float] = even_share, prompts: Sequence[ReplyPrompt] | None = None) -> Task:
    return Task(
        prompts=prompts or mixed_prompts(),
        reward=Scored(value),
        decode=lambda ids: " ".join(map(str, ids)),
        stop_id=STOP,
    )


def train_steps(who: Learner, what: Task) -> list[RLStep]:
    return list(rl_steps(who, what, RLProgress()))
