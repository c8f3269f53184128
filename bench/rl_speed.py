"""Reward gained per second of reinforcement learning: ours beside TRL's RLOOTrainer and palm-rlhf-pytorch's PPO.

The even-token toy: a small Llama with random weights (4 layers of 128, 512 tokens), 16 new tokens, 4 replies to each
of 8 prompts a step, all weights, no KL; the reward is the share of even tokens, 0.5 by chance. There are 64 prompts,
once of the 3 to 12 tokens that such toys have, and once of the 96 to 192 that a chat has before a reply. TRL and ours
start from the same weights, other ones with each seed, and take the same numbers: each learning rate with every batch
used for one update (TRL's default) and for several. What counts is the time until the policy itself is worth 0.85:
after every batch the clock stops while fresh replies to all prompts, drawn the same way for both, are scored. Told for
equal numbers, and for each library at whatever of these numbers is best for it; of TRL with what makes it faster here,
and as it comes. The processor's seconds stand beside those on the wall: with one thread they are the same on a quiet
machine, and less noisy on a busy one. The other library trains only its own network: a PaLM of the same width and
depth, and what counts is what its own replies are worth, over all steps.

    python bench/rl_speed.py [--seeds 3] [--palm-steps 10]
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from talkalike.alignment.learner import POLICY, Learner
from talkalike.alignment.prompts import ReplyPrompt
from talkalike.alignment.rl import Task, rl_steps
from talkalike.alignment.rl_report import RLProgress
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLSettings
from talkalike.alignment.rollouts import RolloutSampling, draw_numbers, sample_replies
from talkalike.alignment.values import ReplySample
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import LoadedModel
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator

VOCABULARY, STOP = 512, 511
PROMPTS, SAMPLES, LENGTH = 8, 4, 16
LENGTHS = {"short prompts": (3, 12), "prompts as long as a chat's": (96, 192)}
GOAL, STEPS = 0.85, 120  # batches at most
NO_CLIP = 1e6
FASTER_HERE = {"bf16": False, "gradient_checkpointing": False}  # than what TRL does unasked
WANTED = 3.0  # times TRL
_JUDGED = 2  # replies to each prompt after every batch


@dataclass(frozen=True, slots=True)
class Numbers:
    """What both libraries are given alike."""

    rate: float
    updates: int  # that each batch is used for
    clip: float = 0.2  # of the ratio: ours token by token, TRL's of whole replies; without effect on a first update

    def __str__(self) -> str:
        clip = "" if self.updates == 1 else ", no clip" if self.clip == NO_CLIP else f", clip {self.clip:g}"
        return f"rate {self.rate:g}, {self.updates} updates{clip}"


NUMBERS = [Numbers(rate, *rest) for rate in (2e-3, 8e-3) for rest in ((1,), (4,), (4, NO_CLIP))]


@dataclass(slots=True)
class Race:
    """Seconds of training until the goal, of the wall and of the processor, without those of the evaluations."""

    seed: int
    prompts: list[list[int]]
    rewards: list[float] = field(default_factory=list)  # before, and after every batch
    wall: float = 0.0
    processor: float = 0.0
    _started: tuple[float, float] = (0.0, 0.0)

    def start(self, model: Any) -> None:
        """Looks at what the untrained policy is worth, and starts the clocks."""
        self._look(model)
        self._started = time.perf_counter(), time.process_time()

    def over(self, model: Any) -> bool:
        """Called after every batch: whether the goal is reached, or the batches are used up."""
        self.wall += time.perf_counter() - self._started[0]
        self.processor += time.process_time() - self._started[1]
        self._look(model)
        self._started = time.perf_counter(), time.process_time()
        return self.rewards[-1] >= GOAL or len(self.rewards) > STEPS

    @property
    def gained(self) -> float:
        """What the policy is worth more than before."""
        return self.rewards[-1] - self.rewards[0]

    def _look(self, model: Any) -> None:
        numbers = draw_numbers(self.seed, len(self.rewards), range(64), group_size=_JUDGED, length=LENGTH)
        sampling = RolloutSampling(stop_id=STOP, max_tokens=LENGTH)
        learning = [parameter.requires_grad for parameter in model.parameters()]
        toy = Roles(toy_model(model))
        replies = sample_replies(toy, self.prompts, role=None, sampling=sampling, random_NT=numbers)
        for parameter, before in zip(model.parameters(), learning, strict=True):  # roles freeze what they stand on
            parameter.requires_grad_(before)
        self.rewards.append(statistics.fmean(even_share(reply.reply_ids.tolist()) for reply in replies))


def even_share(ids: Sequence[int]) -> float:
    """The reward."""
    return sum(token % 2 == 0 for token in ids) / max(1, len(ids))


class EvenReward:
    """The reward as ours takes it."""

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """One share for each sample."""
        return [even_share(sample.reply_ids) for sample in samples]


def network(seed: int) -> LlamaForCausalLM:
    """Random weights, for each seed the same."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            bos_token_id=0,
            eos_token_id=STOP,
            pad_token_id=0,
        )
    )


def prompts(kind: str) -> list[list[int]]:
    """64 prompts of mixed lengths, without the markers."""
    rng = random.Random(0)
    return [[rng.randrange(1, STOP) for _ in range(rng.randint(*LENGTHS[kind]))] for _ in range(64)]


def toy_model(model: Any) -> LoadedModel:
    """A network with a vocabulary that nobody asks."""
    vocabulary = Tokenizer(models.WordLevel({"0": 0}, unk_token="0"))
    return LoadedModel(name="toy", model=model, tokenizer=vocabulary, context_length=256)


def ours(race: Race, numbers: Numbers) -> None:
    """Our RLOO on all weights."""
    settings = RLSettings(
        steps=STEPS,
        prompts=PROMPTS,
        group_size=SAMPLES,
        max_tokens=LENGTH,
        seed=race.seed,
        max_kl=0.0,
        min_distinct=0.0,
        shaping=RewardShaping(kl=0.0, missing_end=0.0, normalise=False),
        update=PolicyUpdate(
            learning_rate=numbers.rate,
            schedule="constant",
            minibatches=numbers.updates,
            clip_low=numbers.clip,
            clip_high=numbers.clip,
        ),
    )
    accelerator = make_accelerator(torch.device("cpu"), torch.float32)
    roles = Roles(toy_model(network(race.seed).eval()))
    learner = Learner(roles, settings, accelerator, policy=AdapterSettings(method="full"))
    task = Task(
        prompts=[ReplyPrompt(ids=tuple(ids)) for ids in race.prompts], reward=EvenReward(), decode=str, stop_id=STOP
    )
    with roles.use(POLICY) as model:
        race.start(model)
        for _ in rl_steps(learner, task, RLProgress()):
            if race.over(model):
                return


def trl(race: Race, numbers: Numbers, **options: Any) -> None:
    """TRL's RLOOTrainer with the same numbers; `options` go to its configuration."""
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from transformers import TrainerCallback
    from transformers.utils import logging as transformers_logging
    from trl import RLOOConfig, RLOOTrainer

    transformers_logging.set_verbosity_error()
    vocabulary = Tokenizer(models.WordLevel({str(token): token for token in range(VOCABULARY)}, unk_token="0"))
    vocabulary.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, pad_token="0", eos_token=str(STOP))
    model = network(race.seed)

    def reward(completion_ids: list[list[int]], **_rest: Any) -> list[float]:
        return [even_share(ids) for ids in completion_ids]

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            race.start(model)

        def on_step_end(self, _args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            if state.global_step % numbers.updates == 0:
                control.should_training_stop = race.over(model)

    with tempfile.TemporaryDirectory() as folder:
        config = RLOOConfig(
            output_dir=folder,
            use_cpu=True,
            per_device_train_batch_size=PROMPTS * SAMPLES // numbers.updates,
            steps_per_generation=numbers.updates,
            epsilon=numbers.clip,
            num_generations=SAMPLES,
            max_completion_length=LENGTH,
            learning_rate=numbers.rate,
            lr_scheduler_type="constant",
            beta=0.0,
            max_steps=STEPS * numbers.updates,
            seed=race.seed,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **options,
        )
        trainer = RLOOTrainer(
            model=model,
            reward_funcs=[reward],
            args=config,
            train_dataset=Dataset.from_list([{"prompt": " ".join(map(str, ids))} for ids in race.prompts]),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()


def palm(steps: int) -> float:
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
        # of one length: mixed ones it misaligns
        prompt_token_ids=torch.tensor([(ids * 4)[:8] for ids in prompts("short prompts")]),
        actor_lr=1e-3,
        critic_lr=1e-3,
        minibatch_size=replies,
        epochs=1,
    )
    start = time.perf_counter()
    trainer.train(
        num_episodes=steps, max_timesteps=replies, update_timesteps=replies, max_seq_len=8 + LENGTH, eos_token=STOP
    )
    seconds = time.perf_counter() - start
    averages = [statistics.fmean(rewards[i : i + replies]) for i in range(0, len(rewards) - replies + 1, replies)]
    return (averages[-1] - averages[0]) / seconds


def races(kind: str, seeds: int) -> dict[tuple[str, Numbers], list[Race]]:
    """All races over one kind of prompts."""
    racers = {"ours": ours, "trl": functools.partial(trl, **FASTER_HERE), "trl_defaults": trl}
    run: dict[tuple[str, Numbers], list[Race]] = {}
    for seed, numbers, name in itertools.product(range(seeds), NUMBERS, racers):
        race = Race(seed, prompts(kind))
        racers[name](race, numbers)
        run.setdefault((name, numbers), []).append(race)
        line = f"reward {race.rewards[0]:.2f} + {race.gained:.2f} in {len(race.rewards) - 1} batches"
        line += f", {race.wall:.1f} s, {race.processor:.1f} s of the processor"
        print(f"{kind}, seed {seed}, {name}, {numbers}: {line}", file=sys.stderr, flush=True)
    return run


def compare(run: dict[tuple[str, Numbers], list[Race]], clock: str) -> dict[str, Any]:
    """Medians over the seeds of the reward gained per second by one clock, beside TRL's."""
    speeds = {key: statistics.median(race.gained / getattr(race, clock) for race in each) for key, each in run.items()}
    best = {name: max(NUMBERS, key=lambda numbers: speeds[name, numbers]) for name, _ in speeds}
    result: dict[str, Any] = {
        "gained_per_second": {f"{name}, {numbers}": round(speed, 4) for (name, numbers), speed in speeds.items()},
        "best": {name: str(numbers) for name, numbers in best.items()},
    }
    for other in ("trl", "trl_defaults"):
        result[f"times_{other}"] = {
            "each_at_its_best": round(speeds["ours", best["ours"]] / speeds[other, best[other]], 2),
            **{str(one): round(speeds["ours", one] / speeds[other, one], 2) for one in NUMBERS},
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--palm-steps", type=int, default=10, help="its steps, which take longest; 0 leaves it out")
    asked = parser.parse_args()
    result: dict[str, Any] = {"goal": GOAL, "wanted": WANTED}
    for kind in LENGTHS:
        run = races(kind, asked.seeds)
        result[kind] = {clock: compare(run, clock) for clock in ("wall", "processor")}
    if asked.palm_steps:
        result["palm_rlhf_pytorch_gained_per_second"] = palm(asked.palm_steps)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
