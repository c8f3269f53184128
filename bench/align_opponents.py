"""TRL's DPO and RLOO beside `align loop`: the same double, the same judgements, the same minutes, the same blind judge.

Needs what the loop's benchmark left (`align_loop.py --keep FOLDER`): a workspace with a double, its judgements and a
candidate. TRL trains LoRA of the same rank on the merged double for as many minutes as the loop's candidate took:
DPO on the judged pairs (their tokens are ours), RLOO on the loop's own prompts with the loop's own reward model. Their
candidates answer the same held-out prompts with the same seeds, and the scripted judge compares them with the double as
it was.

    python bench/align_opponents.py FOLDER --judge personal [--methods dpo rloo]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from align_loop import JUDGES, candidate_of, compare_blindly
from talkalike.alignment.judged import gather, read_judgements
from talkalike.alignment.judged_parts import encode_contexts
from talkalike.alignment.lineage import lineage
from talkalike.alignment.prompts import reply_prompts
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.values import ReplySample, checked_scores
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.examples.opening import examples_of
from talkalike.examples.render import Renderer
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Card

RANK = 16
TOKENS, REPLY_TOKENS, PROMPTS, GROUP_SIZE, KL = 192, 64, 8, 12, 0.2  # the loop's
JUDGED_TOKENS = 512
PARTS = 4  # of a batch of eight pairs in DPO, which take more than 16 GB at once
ACCUMULATION = 12  # RLOO's batch at once would take more than 17 GB
RATES = {"dpo": 5e-5, "rloo": 3e-4}  # ours; TRL's own default of 1e-6 moves a LoRA of this size by nothing
SHARED = {
    "use_cpu": True,
    "bf16": True,
    "gradient_checkpointing": False,
    "lr_scheduler_type": "constant",
    "report_to": [],
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}


def words(ids: Any) -> str:
    """Tokens as words of a vocabulary that has one for each: TRL wants texts, and these cannot be cut differently."""
    return " ".join(map(str, ids))


def tokenizer_of(loaded: LoadedModel, stop_id: int) -> Any:
    """A vocabulary with a word for each token's number."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    size = loaded.model.config.get_text_config().vocab_size
    made = Tokenizer(models.WordLevel({str(token): token for token in range(size)}, unk_token="0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="0", eos_token=str(stop_id))


def train(
    kind: str, loaded: LoadedModel, workspace: Workspace, present: Card, *, reward: str, minutes: float
) -> tuple[Any, int]:
    """Trains within the minutes. Returns the model with its update merged, and how many steps were done."""
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from transformers.utils import logging as transformers_logging
    from trl import DPOConfig, DPOTrainer, RLOOConfig, RLOOTrainer

    transformers_logging.set_verbosity_error()
    renderer = Renderer(loaded.tokenizer)
    began = 0.0

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            nonlocal began
            began = time.monotonic()

        def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
            control.should_training_stop = time.monotonic() - began > 60 * minutes

    lora = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    shared = {"model": loaded.model, "processing_class": tokenizer_of(loaded, renderer.stop_id), "peft_config": lora}
    with tempfile.TemporaryDirectory() as folder:
        options = {**SHARED, "output_dir": folder, "learning_rate": RATES[kind]}
        if kind == "dpo":
            config = DPOConfig(
                **options,
                per_device_train_batch_size=8 // PARTS,
                gradient_accumulation_steps=PARTS,
                num_train_epochs=100,
                beta=0.1,
            )
            rows = Dataset.from_list(judged_pairs(workspace, renderer))
            trainer = DPOTrainer(args=config, train_dataset=rows, callbacks=[Clock()], **shared)
        else:
            config = RLOOConfig(
                **options,
                per_device_train_batch_size=PROMPTS * GROUP_SIZE // ACCUMULATION,
                gradient_accumulation_steps=ACCUMULATION,
                num_generations=GROUP_SIZE,
                max_completion_length=REPLY_TOKENS,
                beta=KL,
                num_train_epochs=100,
            )
            asked = Asked(workspace, present, reward, renderer)
            rows = Dataset.from_list([{"prompt": text} for text in asked.prompts])
            trainer = RLOOTrainer(
                args=config, train_dataset=rows, callbacks=[Clock()], reward_funcs=[asked.score], **shared
            )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its own summary
            trainer.train()
    return trainer.model.merge_and_unload(), int(trainer.state.global_step)


def judged_pairs(workspace: Workspace, renderer: Renderer) -> list[dict[str, str]]:
    """What the loop learned from as TRL's columns: not what was judged blindly afterwards."""
    gathered = gather(read_judgements(max(workspace.runs.glob("loop-*/judgements.jsonl"))))
    encoded, _ = encode_contexts(gathered.contexts, renderer, max_tokens=JUDGED_TOKENS)
    return [
        {
            "prompt": words(context.samples[better].prompt_ids),
            "chosen": f" {words(context.samples[better].reply_ids)}",
            "rejected": f" {words(context.samples[worse].reply_ids)}",
        }
        for context in encoded
        for better, worse in context.pairs
    ]


class Asked:
    """The loop's prompts and its reward, as TRL asks for them: of mean 0 and deviation 1 on the first batch."""

    def __init__(self, workspace: Workspace, present: Card, reward: str, renderer: Renderer) -> None:
        examples = examples_of(workspace.examples, present)
        found = reply_prompts(examples, renderer, max_tokens=TOKENS)
        self.prompts = {words(prompt.ids): prompt for prompt in found}
        self._renderer = renderer
        self._reward = open_reward(reward, catalog=workspace.catalog())
        self._first: tuple[float, float] | None = None

    def score(self, prompts: list[str], completion_ids: list[list[int]], **_rest: Any) -> list[float]:
        """A number for each reply."""
        samples = []
        for text, ids in zip(prompts, completion_ids, strict=True):
            prompt = self.prompts[text]
            reply = self._renderer.tokenizer.decode([one for one in ids if one != self._renderer.stop_id])
            samples.append(
                ReplySample(
                    prompt_ids=prompt.ids,
                    reply_ids=tuple(ids),
                    text=reply,
                    prompt_turns=prompt.turns,
                    speaker=prompt.speaker,
                )
            )
        scores = checked_scores(self._reward, samples)
        if self._first is None:
            self._first = (statistics.fmean(scores), statistics.pstdev(scores) or 1.0)
        mean, deviation = self._first
        missing = [0.0 if self._renderer.stop_id in ids else 1.0 for ids in completion_ids]
        return [(score - mean) / deviation - less for score, less in zip(scores, missing, strict=True)]


def keep(network: Any, workspace: Workspace, present: Card, name: str) -> None:
    """Writes the trained model beside the others, so that it answers as they do."""
    catalog = workspace.catalog()
    folder = catalog.path(name)
    network.save_pretrained(str(folder))
    for pattern in ("tokenizer*", "special_tokens_map.json", "chat_template*"):
        for file in catalog.path(present.parents[0]).glob(pattern):
            (folder / file.name).write_bytes(file.read_bytes())
    card = dataclasses.replace(present, name=name, kind="full", parents=lineage(present, whole=True), settings={})
    catalog.save_card(card)


def main() -> None:
    """Prints a JSON document for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a workspace that align_loop.py --keep left")
    parser.add_argument("--judge", choices=JUDGES, required=True)
    parser.add_argument("--methods", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="of training; default: what the loop's candidate took"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    workspace = open_workspace(options.folder)
    candidate = candidate_of(workspace)
    present = workspace.catalog().card(candidate.settings["round"]["present"])
    minutes = options.minutes or candidate.scores["training_seconds"] / 60
    for kind in options.methods:
        folder = workspace.catalog().path(present.name)
        loaded = load_for_inference(folder, catalog=workspace.catalog(), dtype="float32", device="cpu")
        reward = candidate.settings["round"]["reward_model"]
        network, steps = train(kind, loaded, workspace, present, reward=reward, minutes=minutes)
        keep(network, workspace, present, f"trl-{kind}")
        judge = JUDGES[options.judge]
        blind = compare_blindly(
            workspace.root, f"trl-{kind}", present.name, judge, draws=options.draws, seed=options.seed
        )
        print(json.dumps({"method": f"TRL's {kind.upper()}", "steps": steps, "minutes": minutes, "blind": blind}))


if __name__ == "__main__":
    main()
