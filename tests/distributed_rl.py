"""Run by torchrun from `test_alignment_rl`: the same runs over several processes; the first writes their steps."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from alignment_toys import OBJECTIVES, judged_steps, learner, settings, task, train_steps
from talkalike.alignment.rl_settings import RewardShaping

CHOSEN = settings(
    algorithm="ppo",
    steps=4,
    prompts=6,
    max_kl=1e9,
    shaping=RewardShaping(kl=0.1, kl_target=3.0, kl_horizon=100),
    update={"epochs": 2, "minibatches": 2},
)

if __name__ == "__main__":
    who = learner(CHOSEN, method="lora", rank=4)
    steps = train_steps(who, task())
    if who.accelerator.is_main_process:
        Path(sys.argv[1]).write_text(json.dumps([dataclasses.asdict(step) for step in steps]))
    folder = Path(sys.argv[1]).parent
    judged = {kind: judged_steps(kind, folder / str(who.accelerator.process_index)) for kind in OBJECTIVES}
    if who.accelerator.is_main_process:
        (folder / "judged.json").write_text(json.dumps(judged))
    who.accelerator.end_training()
