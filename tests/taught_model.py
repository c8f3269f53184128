"""A tiny model that learns by heart to write bursts, for engines whose replies must be the same."""

from __future__ import annotations

from pathlib import Path

import torch

from talkalike.engine.collecting import Collected
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.reactions import SIGN
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import load_for_inference, load_network
from talkalike.workspace.cards import Catalog

GREEDY = Sampling(temperature=0.0, max_tokens=40, max_messages=4)
CUT = Sampling(temperature=0.0, max_tokens=4)
ANNA, BOB = "Anna", "Bob"
WORDS = ("one", "two", "three", "four", "five")
LETTERS = ("a", "b", "🎉", SIGN + "❤")


def asked(text: str, *before: str) -> Prompt:
    """Bob has said this, and it is Anna's turn."""
    return Prompt(turns=tuple(Turn(BOB, said) for said in (*before, text)), speaker=ANNA, conversation="c")


def facts(reply: Collected) -> tuple[object, ...]:
    """What must be equal whoever computes it."""
    ids = [token for piece in reply.pieces for token in piece.token_ids]
    return reply.messages, reply.finish, ids, reply.pieces[0].prompt_tokens


def teach(folder: Path) -> None:
    """Trains the tiny model by heart on bursts: short messages and reactions, one to three in a row."""
    network = load_network(folder, dtype=torch.float32, device=torch.device("cpu"))
    renderer = Renderer(load_for_inference(folder, catalog=Catalog(folder.parent), dtype="float32").tokenizer)
    rows = []
    for index, text in enumerate(WORDS):
        burst = [f"{text} {letter}" if letter[0] != SIGN else letter for letter in LETTERS[: 1 + index % 3]]
        burst = [LETTERS[3]] if text == "four" else burst[::-1]
        turns = [Turn(BOB, text), *(Turn(ANNA, said) for said in burst), Turn(BOB, "next")]
        rows.append(renderer.conversation(turns, [turn.speaker == ANNA for turn in turns], ended=True).ids_T)
    labels = torch.full((len(rows), max(map(len, rows))), -100)
    for place, row in enumerate(rows):
        labels[place, : len(row)] = torch.tensor(row.astype("int64"))
    for step in range(60):  # by the signs of the gradients: torch's optimisers take seconds to import
        network.zero_grad()
        network(labels.clamp(min=0), labels=labels).loss.backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0.004 * (1 - step / 60) * weight.grad.sign()
    network.save_pretrained(folder)
