"""Pairs per second: our reward model beside TRL's RewardTrainer, our DPO beside its DPOTrainer.

The same Llama (8 layers, width 384, 49,152 words), the same pairs: a context of 40 to 300 random tokens and two replies
of 5 to 40. LoRA of rank 16 on both sides, 8 pairs an update, one epoch, bfloat16 arithmetic. TRL runs at its defaults
and at what is best here (no gradient checkpointing; for DPO with the reference's log-probabilities computed before,
which neither side's "trained" rate counts). Every arm runs `--rounds` times, in turn, in this process. Medians.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from talkalike.alignment.feedback_loop import Objective, feedback_steps, make_optimizer
from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.judged_parts import EncodedContext
from talkalike.alignment.preference_objective import POLICY, LossSettings, PreferenceObjective, ReferenceLogprobs
from talkalike.alignment.reward_model import RewardForm, RewardModel
from talkalike.alignment.reward_objective import RewardObjective
from talkalike.alignment.values import ReplySample
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import LoadedModel
from talkalike.models.roles import Roles
from talkalike.training.loop import Progress, make_accelerator

VOCABULARY, BATCH, RANK = 49_152, 8, 16
THEIRS = 16  # pairs of TRL's DPO, which takes seconds for each on a CPU
LOOP = FeedbackSettings(learning_rate=1e-4, batch=BATCH, row_tokens=2048)
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
}
Pair = tuple[list[int], list[int], list[int]]


def pairs(count: int, seed: int = 0) -> list[Pair]:
    """(context, better, worse) in tokens."""
    rng = np.random.default_rng(seed)

    def ids(low: int, high: int) -> list[int]:
        return rng.integers(100, VOCABULARY, size=rng.integers(low, high)).tolist()

    return [(ids(40, 301), ids(5, 41), ids(5, 41)) for _ in range(count)]


def encode(given: list[Pair]) -> list[EncodedContext]:
    """The pairs as judged contexts."""
    return [
        EncodedContext(
            samples=tuple(ReplySample(prompt_ids=tuple(prompt), reply_ids=tuple(ids), text="") for ids in replies),
            pairs=((0, 1),),
            ratings=(),
            bad=(),
        )
        for prompt, *replies in given
    ]


def vocabulary() -> Tokenizer:
    """One word for each id."""
    made = Tokenizer(models.WordLevel({str(token): token for token in range(VOCABULARY)}, unk_token="0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    return made


def our_roles() -> Roles:
    """The network with its frozen weights in bfloat16; roles are float32."""
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(**SHAPE)).to(torch.bfloat16).eval()
    return Roles(LoadedModel(name="bench", model=network, tokenizer=vocabulary(), context_length=2048))


def our_epoch(objective: Objective, parameters: list[torch.nn.Parameter]) -> float:
    """Seconds of one epoch."""
    optimizer = make_optimizer([(parameters, LOOP.learning_rate)])
    progress, accelerator = Progress(), make_accelerator(parameters[0].device, torch.bfloat16)
    for _ in feedback_steps(
        objective, [parameters], optimizer=optimizer, settings=LOOP, accelerator=accelerator, progress=progress
    ):
        pass
    return progress.seconds


def our_reward(given: list[Pair]) -> float:
    """Pairs per second."""
    form = RewardForm(
        reference="bench",
        scales=("sounds_like_me",),
        weights={"sounds_like_me": 1.0},
        pair_scale="sounds_like_me",
        adapter=AdapterSettings(rank=RANK),
    )
    model = RewardModel(our_roles(), form)
    objective = RewardObjective(model, encode(given), centring=0.01, row_tokens=LOOP.row_tokens)
    return len(given) / our_epoch(objective, list(model.parameters(0).values()))


def our_dpo(given: list[Pair], *, with_reference: bool) -> float:
    """Pairs per second, with or without the time for the reference's log-probabilities."""
    roles = our_roles()
    roles.add(POLICY, AdapterSettings(rank=RANK))
    settings = LossSettings(loss="dpo", beta=0.1, gamma=0.0, weights=(1.0, 1.0), row_tokens=LOOP.row_tokens)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        objective = PreferenceObjective(roles, encode(given), settings, ReferenceLogprobs(roles, Path(folder)))
        before = time.perf_counter() - start if with_reference else 0.0
        return len(given) / (before + our_epoch(objective, list(roles.parameters(POLICY).values())))


def theirs(given: list[Pair], kind: str, **options: Any) -> float:
    """Pairs per second of TRL's training loop."""
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from transformers.utils import logging as transformers_logging
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    transformers_logging.set_verbosity_error()
    clock = {"start": 0.0, "end": 0.0}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            clock["start"] = time.perf_counter()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            clock["end"] = time.perf_counter()

    torch.manual_seed(0)
    reward = kind == "reward"
    shape = LlamaConfig(**SHAPE, num_labels=1) if reward else LlamaConfig(**SHAPE)
    network = LlamaForSequenceClassification(shape) if reward else LlamaForCausalLM(shape)
    lora = LoraConfig(
        task_type="SEQ_CLS" if reward else "CAUSAL_LM",
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        modules_to_save=["score"] if reward else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        config = (RewardConfig if reward else DPOConfig)(
            output_dir=folder,
            use_cpu=True,
            bf16=True,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **options,
        )
        trainer = (RewardTrainer if reward else DPOTrainer)(
            model=network,
            args=config,
            train_dataset=Dataset.from_list([row(pair, whole=reward) for pair in given]),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=vocabulary(), pad_token="0", eos_token="1"),
            peft_config=lora,
            callbacks=[Clock()],
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its own summary
            trainer.train()
    return len(given) / (clock["end"] - clock["start"])


def row(pair: Pair, *, whole: bool) -> dict[str, Any]:
    """A pair in TRL's columns: tokens for the reward trainer, words for the other."""
    prompt, better, worse = pair
    if whole:
        return {"chosen_ids": prompt + better, "rejected_ids": prompt + worse}
    words = [" ".join(map(str, ids)) for ids in pair]
    return {"prompt": words[0], "chosen": f" {words[1]}", "rejected": f" {words[2]}"}


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=64)
    options = parser.parse_args()
    given = pairs(options.pairs)
    best = {"gradient_checkpointing": False}
    arms: dict[str, Callable[[], float]] = {
        "reward_talkalike": lambda: our_reward(given),
        "reward_trl_defaults": lambda: theirs(given, "reward"),
        "reward_trl_best": lambda: theirs(given, "reward", **best),
        "dpo_talkalike": lambda: our_dpo(given, with_reference=True),
        "dpo_talkalike_trained": lambda: our_dpo(given, with_reference=False),
        "dpo_trl_defaults": lambda: theirs(given[:THEIRS], "dpo"),
        "dpo_trl_best_trained": lambda: theirs(given[:THEIRS], "dpo", precompute_ref_log_probs=True, **best),
    }
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, run in arms.items():
            speeds[name].append(run())
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    against = {
        "reward_trl_defaults": "reward_talkalike",
        "reward_trl_best": "reward_talkalike",
        "dpo_trl_defaults": "dpo_talkalike",
        "dpo_trl_best_trained": "dpo_talkalike_trained",
    }
    result = {
        "pairs_per_second": {name: round(value, 2) for name, value in medians.items()},
        "range": {name: [round(min(v), 2), round(max(v), 2)] for name, v in speeds.items()},
        "times_faster_than": {name: round(medians[own] / medians[name], 2) for name, own in against.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
