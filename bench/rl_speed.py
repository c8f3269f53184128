"""Reward gained per second of reinforcement learning: ours beside TRL's RLOOTrainer and palm-rlhf-pytorch's PPO.

The even-token toy: a small Llama with random weights (4 layers of 128, 512 tokens), 64 prompts of 3 to 12 tokens, 16
new tokens, 4 replies to each of 8 prompts a step, all weights, learning rate 1e-3, no KL; the reward is the share of
even tokens, 0.5 by chance. TRL and ours see the same prompts and start from the same weights, each twice: every batch
used for one update (TRL's default) and for 8 (a minibatch for each prompt); ours with 8 is compared with both. The
other library trains only its own network: a PaLM of the same width and depth, which learns from as many replies. What
counts is the reward gained over the seconds inside the loop, until the mean of five steps reaches 0.85 or they end.

    python bench/rl_speed.py [--steps 80] [--rounds 3]
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from talkalike.alignment.learner import Learner
from talkalike.alignment.prompts import Prompt
from talkalike.alignment.rl import Task, rl_steps
from talkalike.alignment.rl_report import RLProgress
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLSettings
from talkalike.alignment.values import Sample
from talkalike.models.adapters import AdapterSettings
from talkalike.models.load import LoadedModel
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator

VOCABULARY, STOP = 512, 511
PROMPTS, SAMPLES, LENGTH, RATE = 8, 4, 16, 1e-3
GOAL = 0.85
WANTED = 3.0  # times TRL
_MEAN = 5


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean reward of the replies of each step, and the seconds of all steps."""

    rewards: list[float]
    seconds: float

    @property
    def gained(self) -> float:
        """The mean of the last five steps less the first."""
        return statistics.fmean(self.rewards[-_MEAN:]) - self.rewards[0]

    @property
    def gained_per_second(self) -> float:
        """Until the goal, or over all steps where it is not reached."""
        for stop in range(_MEAN, len(self.rewards) + 1):
            mean = statistics.fmean(self.rewards[stop - _MEAN : stop])
            if mean >= GOAL or stop == len(self.rewards):
                return (mean - self.rewards[0]) / (self.seconds * stop / len(self.rewards))
        return self.gained / self.seconds


def even_share(ids: Sequence[int]) -> float:
    """The reward."""
    return sum(token % 2 == 0 for token in ids) / max(1, len(ids))


class EvenReward:
    """The reward as ours takes it."""

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """One share for each sample."""
        return [even_share(sample.reply_ids) for sample in samples]


def network() -> LlamaForCausalLM:
    """Random weights, always the same."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            bos_token_id=0,
            eos_token_id=STOP,
            pad_token_id=0,
        )
    )


def prompts() -> list[list[int]]:
    """64 prompts of mixed lengths, without the markers."""
    rng = random.Random(0)
    return [[rng.randrange(1, STOP) for _ in range(rng.randint(3, 12))] for _ in range(64)]


def ours(steps: int, minibatches: int) -> Curve:
    """Our RLOO on all weights."""
    settings = RLSettings(
        steps=steps,
        prompts=PROMPTS,
        samples=SAMPLES,
        max_tokens=LENGTH,
        max_kl=0.0,
        min_distinct=0.0,
        shaping=RewardShaping(kl=0.0, missing_end=0.0, normalise=False),
        update=PolicyUpdate(learning_rate=RATE, schedule="constant", epochs=1, minibatches=minibatches),
    )
    vocabulary = Tokenizer(models.WordLevel({"0": 0}, unk_token="0"))
    loaded = LoadedModel(name="toy", model=network().eval(), tokenizer=vocabulary, context_length=128)
    accelerator = make_accelerator(torch.device("cpu"), torch.float32)
    learner = Learner(Roles(loaded), settings, accelerator, policy=AdapterSettings(method="full"))
    task = Task(prompts=[Prompt(ids=tuple(ids)) for ids in prompts()], reward=EvenReward(), decode=str, stop_id=STOP)
    start = time.perf_counter()
    rewards = [step.reward for step in rl_steps(learner, task, RLProgress())]
    return Curve(rewards, time.perf_counter() - start)


def trl(steps: int, minibatches: int) -> Curve:
    """TRL's RLOOTrainer with the same numbers; its gradient checkpointing off, which is faster here."""
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from transformers import TrainerCallback
    from transformers.utils import logging as transformers_logging
    from trl import RLOOConfig, RLOOTrainer

    transformers_logging.set_verbosity_error()
    vocabulary = Tokenizer(models.WordLevel({str(token): token for token in range(VOCABULARY)}, unk_token="0"))
    vocabulary.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, pad_token="0", eos_token=str(STOP))
    rewards: list[float] = []
    clock = {"start": 0.0, "end": 0.0}

    def reward(completion_ids: list[list[int]], **_rest: Any) -> list[float]:
        shares = [even_share(ids) for ids in completion_ids]
        rewards.append(statistics.fmean(shares))
        return shares

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            clock["start"] = time.perf_counter()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            clock["end"] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        config = RLOOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=PROMPTS * SAMPLES // minibatches,
            steps_per_generation=minibatches,
            num_generations=SAMPLES,
            max_completion_length=LENGTH,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            beta=0.0,
            max_steps=steps * minibatches,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = RLOOTrainer(
            model=copy.deepcopy(network()),
            reward_funcs=[reward],
            args=config,
            train_dataset=Dataset.from_list([{"prompt": " ".join(map(str, ids))} for ids in prompts()]),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
    return Curve(rewards, clock["end"] - clock["start"])


def palm(steps: int) -> Curve:
    """palm-rlhf-pytorch's PPO at its own settings but for sizes; it takes one prompt at a time, and no callback."""
    warnings.simplefilter("ignore")
    from palm_rlhf_pytorch import PaLM, RewardModel, RLHFTrainer

    torch.manual_seed(0)
    body = PaLM(num_tokens=VOCABULARY, dim=128, depth=4, heads=4, dim_head=32)
    rewards: list[float] = []

    class Even(RewardModel):  # type: ignore[misc]
        def forward(self, ids: Any, *_args: Any, prompt_mask: Any = None, **_options: Any) -> Any:
            reply = ids[~prompt_mask] if prompt_mask is not None else ids.flatten()
            rewards.append(even_share(reply.tolist()))
            return torch.tensor([rewards[-1]])

    replies = PROMPTS * SAMPLES
    trainer = RLHFTrainer(
        palm=body,
        reward_model=Even(body, num_binned_output=5),
        prompt_token_ids=torch.tensor([(ids * 4)[:8] for ids in prompts()]),  # of one length: mixed ones it misaligns
        actor_lr=RATE,
        critic_lr=RATE,
        minibatch_size=replies,
        epochs=1,
    )
    start = time.perf_counter()
    trainer.train(
        num_episodes=steps, max_timesteps=replies, update_timesteps=replies, max_seq_len=8 + LENGTH, eos_token=STOP
    )
    seconds = time.perf_counter() - start
    means = [statistics.fmean(rewards[i : i + replies]) for i in range(0, len(rewards) - replies + 1, replies)]
    return Curve(means, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--palm-steps", type=int, default=10, help="its steps, which take longest; 0 leaves it out")
    asked = parser.parse_args()
    few = max(_MEAN, 3 * asked.steps // 8)  # with 8 updates a batch
    arms: dict[str, Callable[[], Curve]] = {
        "ours, 1 update a batch": lambda: ours(asked.steps, 1),
        "trl, 1 update a batch": lambda: trl(asked.steps, 1),
        "ours, 8 updates a batch": lambda: ours(few, PROMPTS),
        "trl, 8 updates a batch": lambda: trl(few, PROMPTS),
    }
    if asked.palm_steps:
        arms["palm-rlhf-pytorch"] = lambda: palm(asked.palm_steps)
    curves: dict[str, list[Curve]] = {name: [] for name in arms}
    for round_ in range(asked.rounds):
        for name, arm in arms.items():
            curves[name].append(arm())
            curve = curves[name][-1]
            told = f"{curve.seconds:.1f} s, reward {curve.rewards[0]:.2f} + {curve.gained:.2f}"
            print(f"round {round_ + 1}, {name}: {told}", file=sys.stderr, flush=True)
    rates = {name: statistics.median(curve.gained_per_second for curve in each) for name, each in curves.items()}
    result = {
        "gained": {name: statistics.median(curve.gained for curve in each) for name, each in curves.items()},
        "seconds_per_step": {
            name: statistics.median(curve.seconds / len(curve.rewards) for curve in each)
            for name, each in curves.items()
        },
        "gained_per_second": rates,
        "times_trl": rates["ours, 8 updates a batch"] / rates["trl, 1 update a batch"],
        "times_trl_with_as_many_updates": rates["ours, 8 updates a batch"] / rates["trl, 8 updates a batch"],
        "wanted": WANTED,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
