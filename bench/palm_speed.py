"""PaLM beside palm-rlhf-pytorch's: the same weights, so the same network, writing and learning.

Sizes of its README (20,000 words, width 512, 12 layers, 8 heads: 55 million weights). Writing: tokens per second for
one reply up to a total length of 64, 128 and 192, and for 4 samples to one prompt of 64. Learning: one step of AdamW on
4 documents of 256 tokens. Ours runs in float32, as theirs does, and at this project's own precision for the machine;
arms take turns, `--rounds` times. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkalike.models.packed import pack, target_logits
from talkalike.models.palm import PalmConfig, PalmForCausalLM
from talkalike.models.precision import choose_dtype
from talkalike.models.reordered import reorder_weights
from talkalike.training.losses import negative_log_likelihood

SIZES = {"num_tokens": 20_000, "dim": 512, "depth": 12, "heads": 8, "dim_head": 64}
LENGTHS = (64, 128, 192)
PROMPT = 32
DOCUMENTS, DOCUMENT = 4, 256
CPU = torch.device("cpu")


def theirs() -> Any:
    """Their network with random weights."""
    warnings.simplefilter("ignore")
    from palm_rlhf_pytorch import PaLM

    torch.manual_seed(0)
    return PaLM(**SIZES)


def ours(their_weights: dict[str, Tensor], dtype: torch.dtype) -> PalmForCausalLM:
    """Our network with their weights: the same equations, their rotary decay included."""
    network = PalmForCausalLM(PalmConfig(**SIZES, xpos_scale_base=512))
    names = {"token_emb.weight": "model.embed_tokens.weight", "norm.gamma": "model.norm.weight"}
    for layer in range(SIZES["depth"]):
        at, to = f"layers.{layer}.fn.", f"model.layers.{layer}."
        names[at + "norm.gamma"] = to + "norm.weight"
        names[at + "fused_attn_ff_proj.weight"] = to + "in_proj.weight"
        names[at + "attn_out.weight"] = to + "attention_out.weight"
        names[at + "ff_out.2.weight"] = to + "feed_forward_out.weight"
    with torch.no_grad():
        for source, target in names.items():
            offset = 1.0 if source.endswith("gamma") else 0.0  # they keep a norm's scale less one
            network.get_parameter(target).copy_(their_weights[source] + offset)
    return network.to(dtype).eval()


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def writers(their: Any, networks: dict[str, PalmForCausalLM]) -> dict[str, dict[str, Callable[[], object]]]:
    """For each task, what each arm does for it."""
    prompt_T = torch.randint(0, SIZES["num_tokens"], (PROMPT,))
    long_T = torch.randint(0, SIZES["num_tokens"], (64,))
    tasks: dict[str, dict[str, Callable[[], object]]] = {}
    for length in LENGTHS:
        tasks[str(length)] = {"palm-rlhf-pytorch": lambda length=length: their.generate(length, prompt=prompt_T[None])}
        for name, network in networks.items():
            tasks[str(length)][name] = lambda network=network, length=length: network.sample(
                prompt_T, max_new_tokens=length - PROMPT
            )
    tasks["4 samples"] = {"palm-rlhf-pytorch": lambda: their.generate(96, prompt=long_T[None].repeat(4, 1))}
    for name, network in networks.items():
        tasks["4 samples"][name] = lambda network=network: network.sample(long_T, num_samples=4, max_new_tokens=32)
    return tasks


def learners(their: Any, weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """One step of each arm; ours as in every training here: packed rows, our loss."""
    ids = [
        np.random.default_rng(i).integers(0, SIZES["num_tokens"], DOCUMENT).astype(np.int32) for i in range(DOCUMENTS)
    ]
    batch_BT = torch.from_numpy(np.stack(ids).astype(np.int64))
    row = pack(ids, [np.ones(DOCUMENT, dtype=np.bool_) for _ in ids], CPU)
    their_optimizer = torch.optim.AdamW(their.parameters(), lr=1e-4, fused=True)

    def their_step() -> None:
        their.train()
        loss = their(batch_BT, return_loss=True)
        loss.backward()
        their_optimizer.step()
        their_optimizer.zero_grad()

    def our_arm(compute: torch.dtype) -> Callable[[], None]:
        network = ours(weights, torch.float32).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

        def step() -> None:
            with torch.autocast("cpu", compute, enabled=compute is not torch.float32):
                loss = negative_log_likelihood(target_logits(network, row), row.ids_T[row.targets_L]) / row.loss_tokens
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    arms: dict[str, Callable[[], object]] = {"palm-rlhf-pytorch": their_step, "float32": our_arm(torch.float32)}
    if dtype is not torch.float32:
        arms[_name(dtype)] = our_arm(dtype)
    return arms


def medians(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each arm, which take turns; a first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds + 1):
        for name, run in arms.items():
            taken[name].append(seconds(run))
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    their = theirs().eval()
    weights = {name: value.clone() for name, value in their.state_dict().items()}
    own = choose_dtype("auto", CPU)
    networks = {_name(dtype): ours(weights, dtype) for dtype in dict.fromkeys([torch.float32, own])}
    ids_BT = torch.randint(0, SIZES["num_tokens"], (2, 100))
    with torch.inference_mode():
        difference = (networks["float32"](ids_BT).logits - their(ids_BT)).abs().max().item()
    for network in networks.values():
        reorder_weights(network)  # as in every model that only writes; the training arms have networks of their own
    written = {"4 samples": 4 * 32, **{str(length): length - PROMPT for length in LENGTHS}}
    speed: dict[str, dict[str, float]] = {}
    for task, arms in writers(their, networks).items():
        speed[task] = {name: round(written[task] / each, 1) for name, each in medians(arms, rounds).items()}
    steps = medians(learners(their, weights, own), rounds)
    result = {
        "largest_difference_of_logits": difference,
        "tokens_per_second": speed,
        "times_faster_writing": {task: _times(arms) for task, arms in speed.items()},
        "training_step_seconds": {name: round(each, 3) for name, each in steps.items()},
        "times_faster_training": _times({name: 1 / each for name, each in steps.items()}),
        "own_precision": _name(own),
        "wanted": {"writing at 192": 6, "training": 1.5},
    }
    print(json.dumps(result))


def _times(speeds: dict[str, float]) -> dict[str, float]:
    base = speeds["palm-rlhf-pytorch"]
    return {name: round(speed / base, 2) for name, speed in speeds.items() if name != "palm-rlhf-pytorch"}


if __name__ == "__main__":
    main()
