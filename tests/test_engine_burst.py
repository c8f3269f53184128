"""Bursts, with a hand-made model whose logits are known.

The model keeps the tokens it read in the keys of its cache and reads its whole history back from there, so a cache
that was cropped wrongly shows at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Finish, Piece, Prompt, Sampling
from talkalike.engine.reading import read_prompt
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel
from tiny_model import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
RENDERER = Renderer(TOKENIZER)
VOCABULARY = TOKENIZER.get_vocab_size() + 7  # padded, as many models are
START, END = TOKENIZER.token_to_id("<|im_start|>"), TOKENIZER.token_to_id("<|im_end|>")
GREEDY = Sampling(temperature=0.0)
TURNS = (Turn("Anna", "ahoj"), Turn("Bob", "hi"), Turn("Annabel", "yo"))

Rule = Callable[[str], dict[str, float]]  # the conversation so far -> probabilities of what comes next


class RuleModel(torch.nn.Module):
    """A causal language model that follows a rule."""

    device = torch.device("cpu")

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.calls: list[int] = []  # tokens read in each pass
        self.config = SimpleNamespace(
            vocab_size=VOCABULARY, num_hidden_layers=1, layer_types=None, _attn_implementation="sdpa"
        )
        self.config.get_text_config = lambda decoder: self.config

    def set_attn_implementation(self, name: str) -> None:
        self.config._attn_implementation = name

    def forward(self, input_ids, position_ids, logits_to_keep, use_cache, shared):
        """The attention's part is to remember: here the tokens themselves are the keys."""
        self.calls.append(input_ids.shape[1])
        histories: list[list[int]] = []
        stretches = input_ids[:, None, :, None].float().split(list(shared.lengths), dim=2)
        for cache, keys in zip(shared.caches, stretches, strict=True):
            history = cache.append(0, keys, keys)[0][0, 0, :, 0].int().tolist()
            histories += [history[:end] for end in range(len(history) - keys.shape[2] + 1, len(history) + 1)]
        assert position_ids[0].tolist() == [len(history) - 1 for history in histories]
        return SimpleNamespace(logits=torch.stack([self.row(histories[place]) for place in logits_to_keep])[None])

    def row(self, history: list[int]) -> torch.Tensor:
        wanted = self.rule(TOKENIZER.decode(history, skip_special_tokens=False))
        row = torch.full((VOCABULARY,), -30.0)
        for text, probability in wanted.items():
            token = TOKENIZER.token_to_id(text) if text.startswith("<|") else RENDERER.encode_text(text)[0]
            row[token] = torch.tensor(probability).log()
        return row


def one_letter_messages(go_on: float, *, letters: str = "abcdefgh", first_name: float = 1.0) -> Rule:
    """Messages of one letter; the speaker goes on with the given probability (split over header start and name)."""

    def rule(text: str) -> dict[str, float]:
        said = text.count("Bob\n") - 2
        if text.endswith("Bob\n"):
            return {letters[said]: 1.0} if letters[said] != "-" else {"<|im_end|>": 1.0}
        if text.endswith("<|im_start|>"):
            return {"B": first_name, "A": 1 - first_name + 1e-6}
        if text.endswith("<|im_end|>\n"):
            return {"<|im_start|>": go_on, "<|endoftext|>": 1 - go_on + 1e-6}
        for name in ("<|im_start|>B", "<|im_start|>Bo"):
            if text.endswith(name):
                return {"Bob"[len(name) - len("<|im_start|>") :][0]: 1.0}
        if text.endswith(("<|im_start|>Bob", "<|im_end|>")):
            return {"\n": 1.0}
        return {"<|im_end|>": 1.0}

    return rule


def reply(
    rule: Rule, sampling: Sampling, *, turns=TURNS, model: RuleModel | None = None, raw: str | None = None
) -> list[Piece]:
    network = model or RuleModel(rule)
    loaded = LoadedModel(name="rule", model=network, tokenizer=TOKENIZER, context_length=400)

    asked = Prompt(turns=turns, speaker="Bob") if raw is None else Prompt(raw=raw)

    async def run() -> list[Piece]:
        engine = LocalEngine(loaded)
        pieces = [piece async for piece in engine.stream(asked, sampling)]
        await engine.close()
        return pieces

    return asyncio.run(run())


def messages(pieces: list[Piece]) -> list[str]:
    texts: dict[int, str] = {}
    for piece in pieces:
        texts[piece.message] = texts.get(piece.message, "") + piece.text
    assert list(texts) == list(range(len(texts)))
    return list(texts.values())


def test_greedy_goes_on_above_one_half_and_stops_below():
    assert messages(reply(one_letter_messages(0.6), GREEDY)) == list("abcdefgh")
    pieces = reply(one_letter_messages(0.4), GREEDY)
    assert messages(pieces) == ["a"]
    assert pieces[-1].finish is Finish.STOP


def test_the_probability_is_the_product_up_to_the_deciding_token():
    """Each of the two choices is likely, both together are not."""
    assert messages(reply(one_letter_messages(0.7, first_name=0.65), GREEDY)) == ["a"]
    assert len(messages(reply(one_letter_messages(0.8, first_name=0.7), GREEDY))) == 8


@pytest.mark.parametrize("go_on", [0.25, 0.5])
def test_draws_follow_the_probability(go_on):
    sampling = [Sampling(temperature=1.0, top_p=1, seed=seed, max_messages=2) for seed in range(150)]
    rule = one_letter_messages(go_on)
    share = sum(len(messages(reply(rule, each))) == 2 for each in sampling) / len(sampling)
    assert share == pytest.approx(go_on, abs=0.1)


def test_limits():
    pieces = reply(one_letter_messages(1.0), Sampling(temperature=0.0, max_messages=3))
    assert messages(pieces) == ["a", "b", "c"]
    assert (pieces[-1].finish, pieces[-1].message) == (Finish.STOP, 2)
    pieces = reply(one_letter_messages(1.0), Sampling(temperature=0.0, max_tokens=3))  # a, end, b
    assert messages(pieces) == ["a", "b"]
    assert (pieces[-1].finish, pieces[-1].message) == (Finish.LENGTH, 1)


def test_empty_messages_are_not_messages_and_silence_is_legal():
    assert messages(reply(one_letter_messages(1.0, letters="a-b-c---"), GREEDY)) == ["a", "b", "c"]
    silence = reply(one_letter_messages(0.0, letters="-a"), GREEDY)
    assert silence == [Piece(text="", message=0, finish=Finish.STOP, prompt_tokens=silence[0].prompt_tokens)]
    late = reply(one_letter_messages(1.0, letters="--x-----"), GREEDY)
    assert [(piece.text, piece.message) for piece in late] == [("x", 0), ("", 0)]


def test_markers_are_never_said():
    def rude(text: str) -> dict[str, float]:
        return {"<|im_start|>": 0.5, "<|endoftext|>": 0.4, "x": 0.1} if not text.endswith("x") else {"<|im_end|>": 1.0}

    for sampling in (GREEDY, Sampling(temperature=1.5, top_p=1, seed=3)):
        pieces = reply(rude, Sampling(**{**as_dict(sampling), "max_messages": 1}))
        assert messages(pieces) == ["x"]
        assert pieces[0].logprobs == pytest.approx([float(torch.tensor(0.1).log())], abs=1e-3)  # the model's own


def test_the_rejected_header_is_taken_back_and_the_reply_stays_cached():
    model = RuleModel(one_letter_messages(0.4))
    loaded = LoadedModel(name="rule", model=model, tokenizer=TOKENIZER, context_length=400)

    async def run() -> list[int]:
        engine = LocalEngine(loaded)
        prompt = Prompt(turns=TURNS, speaker="Bob", conversation="c")
        assert messages([piece async for piece in engine.stream(prompt, GREEDY)]) == ["a"]
        model.calls.clear()
        longer = Prompt(turns=(*TURNS, Turn("Bob", "a"), Turn("Anna", "ok")), speaker="Bob", conversation="c")
        assert messages([piece async for piece in engine.stream(longer, GREEDY)]) == ["b"]
        await engine.close()
        return model.calls

    new = RENDERER.turn_cost("Anna", 1) + len(RENDERER.header("Bob"))
    assert asyncio.run(run())[0] == new


def test_the_repetition_penalty_sees_texts_and_not_names():
    def rule(text: str) -> dict[str, float]:
        return {"o": 0.6, "B": 0.4} if text.endswith("Bob\n") else {"<|im_end|>": 1.0}

    turns = (Turn("Anna", "o"), Turn("Bob", "q"))
    assert messages(reply(rule, GREEDY, turns=turns)) == ["o"]
    assert messages(reply(rule, Sampling(temperature=0.0, repetition_penalty=3.0), turns=turns)) == ["B"]


def test_names_that_begin_alike_are_told_apart_where_they_differ():
    def deciding(speaker: str, others: list[str]) -> int:
        return read_prompt(RENDERER, [Turn(name, "x") for name in others], speaker, ()).deciding

    header = RENDERER.header("Anna")
    assert deciding("Anna", ["Bob"]) == 2
    assert deciding("Anna", ["Bob", "Annabel"]) == len(header)
    assert deciding("Anna", []) == len(header) > 2
    assert deciding("Anna", ["Anna", "Anna "]) == len(header)


def as_dict(sampling: Sampling) -> dict[str, object]:
    return {name: getattr(sampling, name) for name in Sampling.__slots__}


def test_a_text_goes_on_until_the_text_or_the_turn_ends():
    for marker in ("<|endoftext|>", "<|im_end|>"):
        follows = {"ab": "c", "abc": "d", "abcd": marker}
        read: list[str] = []

        def rule(text: str, follows=follows, read=read) -> dict[str, float]:
            read.append(text)
            return {follows.get(text.removeprefix("<|im_start|>"), "?"): 0.9, "!": 0.1}

        pieces = reply(rule, GREEDY, raw="<|im_start|>ab")
        assert "".join(piece.text for piece in pieces) == "cd"
        assert pieces[-1].finish is Finish.STOP
        assert read[0] == "<|im_start|>ab", "the prompt is taken as it is: a marker in it is a marker"
        assert (pieces[0].prompt_tokens, read[-1]) == (3, "<|im_start|>abcd")
