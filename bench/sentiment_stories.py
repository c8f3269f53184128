"""Sentiment as a reward on a tiny story model: how much the reward rises, and what that costs.

A small Llama is first taught to tell stories that a grammar made (a teller, asked by a listener; glad, sad and plain
ones alike), so that RL has something to change. Then `align rl --reward sentiment` trains it, and the reward (VADER),
the KL, distinct-2 and the bits per character of held-out stories are reported together, over the training: a word list
is easily fooled, and the last two show it.

    python bench/sentiment_stories.py [--steps 60] [--kl 0.05]

The published setting (GPT-2 on IMDB, a classifier as the reward) is the same recipe with other parts, where a hub can
be reached: --base lvwerra/gpt2-imdb --texts reviews.txt --reward classifier:lvwerra/distilbert-imdb (a review a line).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TELLER, LISTENER = "Teller", "Listener"
WHO = ("fox", "girl", "miller", "crow", "king", "gardener", "sailor", "goat")
WHERE = ("in the old forest", "by the sea", "in a small town", "behind the hill", "at the mill", "under the bridge")
DID = ("found a lamp", "lost a shoe", "met a stranger", "baked some bread", "heard a song", "opened a door")
MOODS = {
    "glad": ("laughed and was happy", "made a good friend", "loved it", "was proud and glad", "had a wonderful day"),
    "plain": ("went home", "sat on a stone", "waited until noon", "walked on", "looked at the clock"),
    "sad": ("cried and was afraid", "felt lonely", "hated it", "was angry and hurt", "had a terrible day"),
}
DAY, FIRST = 24 * 3_600_000, 1_600_000_000_000  # a story a day: each is a conversation of its own


def story(rng: random.Random) -> tuple[str, str]:
    """(what is asked for, the story): two or three things happen, each in a mood of its own."""
    who, where = rng.choice(WHO), rng.choice(WHERE)
    sentences = [f"a {who} {where} {rng.choice(DID)}"]
    for _ in range(rng.choice((1, 2))):
        sentences.append(f"the {who} {rng.choice(MOODS[rng.choice(list(MOODS))])}")
    return f"tell me about the {who}", ". ".join(sentences) + "."


def export(folder: Path, stories: Sequence[tuple[str, str]]) -> Path:
    """The stories as a Messenger export: a listener asks, the teller tells."""
    messages = []
    for number, (asked, text) in enumerate(stories):
        at = FIRST + number * DAY
        messages.append({"sender_name": LISTENER, "timestamp_ms": at, "content": asked, "type": "Generic"})
        messages.append({"sender_name": TELLER, "timestamp_ms": at + 60_000, "content": text, "type": "Generic"})
    chat = folder / "messages" / "inbox" / "stories_1"
    chat.mkdir(parents=True)
    people = [{"name": LISTENER}, {"name": TELLER}]
    whole = {"participants": people, "messages": messages[::-1], "title": LISTENER, "thread_path": "inbox/stories_1"}
    (chat / "message_1.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder


def small_llama(catalog: Catalog, texts: Sequence[str]) -> str:
    """A Llama of half a million random numbers with a vocabulary of its own, as a base in the catalog."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=MARKERS, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    folder = catalog.path("stories")
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=MARKERS[1], eos_token=MARKERS[2], pad_token=MARKERS[0]
    ).save_pretrained(folder)
    catalog.save_card(Card(name="stories", kind="base", created="2026-01-01T00:00:00+00:00"))
    return "stories"


def command(root: Path, *arguments: object) -> dict[str, Any]:
    """Runs one of our commands and returns its JSON."""
    line = [sys.executable, "-m", "talkalike.cli.main", *map(str, arguments), "-w", str(root), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the whole recipe in an empty folder and measures it."""
    command(root, "init")
    rng = random.Random(0)
    if options.texts is None:
        stories = [story(rng) for _ in range(options.stories)]
    else:  # the listener begins a text, the teller goes on
        cut = [line.split() for line in options.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        stories = [(" ".join(words[:8]), " ".join(words[8:])) for words in cut if len(words) > 8]
    catalog = Catalog(root / "models")
    base = options.base or small_llama(catalog, [text for pair in stories for text in pair])
    settings = root / "talkalike.toml"
    settings.write_text(settings.read_text().replace('base = "smollm2-135m-instruct"', f'base = "{base}"'))
    command(root, "import", export(root / "export", stories))
    command(root, "prepare", "-s", TELLER, "--no-estimate", "--name", "stories")
    start = time.perf_counter()
    how = ("--method", "full", "--lr", 3e-3, "--epochs", options.epochs) if options.base is None else ()
    command(root, "train", "--name", "teller", *how)
    pretrained = time.perf_counter() - start
    practice = ("--steps", options.steps, "--kl-coef", options.kl, "--lr", options.lr, "--max-kl", 0)
    done = command(root, "align", "rl", "--reward", options.reward, "--model", "teller", *practice)
    keys = ("step", "reward", "kl_k1", "distinct_2", "bits_per_character", "length", "entropy")
    lines = RunFolder(Path(done["run"])).metrics()
    curve = [{key: round(line[key], 3) for key in keys if key in line} for line in lines if "heldout_loss" in line]
    samples = [json.loads(line) for line in (Path(done["run"]) / "samples.jsonl").read_text().splitlines()]
    return {
        "pretraining_seconds": round(pretrained, 1),
        "rl_seconds": round(done["seconds"], 1),
        "ended": done["ended"],
        "before_and_after": done["scores"],
        "curve": curve,
        "first_and_last_samples": [[one["text"] for one in part["samples"][:2]] for part in (samples[0], samples[-1])],
    }


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--texts", type=Path, help="texts of your own, one a line, instead of made stories")
    parser.add_argument("--base", help="a base of your own, instead of a small new one")
    parser.add_argument("--reward", default="sentiment")
    parser.add_argument("--epochs", type=float, default=8.0, help="of the pretraining")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kl", type=float, default=0.05)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(Path(scratch), options)))


if __name__ == "__main__":
    main()
