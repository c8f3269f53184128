"""A double as files for other programs: they say what ours says, and are given the text that ours is given."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import xllamacpp
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from command_line import succeed, talkalike
from families import TOKENIZER, build
from talkalike.examples.chat_template import SOMEBODY, chat_template
from talkalike.examples.render import CHATML, FORMS, Form, Renderer, Turn
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable, save_trained
from talkalike.models.load import load_for_inference, load_network
from talkalike.workspace.cards import Card, Catalog
from tiny_model import byte_level_tokenizer

CPU = torch.device("cpu")
EXPORTABLE = ("llama", "mistral", "qwen2", "qwen3")
CHANGES: dict[str, dict[str, Any]] = {"mistral": {"sliding_window": None}}
SPEAKER = "Juno 'J' Marwick"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    succeed("init", tmp_path / "ws")
    return tmp_path / "ws"


def put_double(root: Path, family: str = "llama", method: str = "lora", **changes: Any) -> Catalog:
    """A base `tiny` and a double `anna` on it whose adapter changes a good deal."""
    catalog = Catalog(root / "models")
    build(family, catalog.path("tiny"), **{**CHANGES.get(family, {}), **changes})
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=4, prompt_length=4), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in trainable.parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    save_trained(trainable, catalog.path("anna"), base="tiny", dtype=torch.float32)
    about = {"kind": "adapter", "created": "2026-01-02T00:00:00+00:00", "parents": ("tiny",), "method": method}
    catalog.save_card(Card(name="anna", speakers=(SPEAKER,), **about))
    return catalog


@contextmanager
def llama_cpp(file: Path, *, lora: Path | None = None) -> Iterator[xllamacpp.Server]:
    """llama.cpp with this file in memory."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = 512
    parameters.n_parallel = 1
    parameters.warmup = False
    parameters.cpuparams.n_threads = 1
    if lora is not None:
        adapter = xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)
        parameters.lora_adapters = [adapter]
    yield xllamacpp.Server(parameters)


def next_token(server: xllamacpp.Server, ids: list[int], count: int) -> dict[int, float]:
    """The log-probabilities of the likeliest next tokens."""
    for seed in range(100):  # where the end of the reply is drawn, nothing is told
        asked = {"prompt": ids, "max_tokens": 1, "n_probs": count, "temperature": 1.0, "seed": seed}
        told = server.handle_completions({**asked, "cache_prompt": False})["choices"][0]["logprobs"]
        if told is not None:
            return {one["id"]: one["logprob"] for one in told["content"][0]["top_logprobs"]}
    raise AssertionError("it never says anything")


def divergence(ours_V: torch.Tensor, theirs: dict[int, float]) -> float:
    """KL(ours || theirs) in nats, over the tokens they name and the rest together."""
    logprobs_V = ours_V.log_softmax(dim=-1)
    named = torch.tensor(list(theirs))
    first = logprobs_V[named]
    second = torch.tensor(list(theirs.values()))
    kl = float((first.exp() * (first - second)).sum())
    rest = [max(1e-9, 1 - float(part.exp().sum())) for part in (first, second)]
    return kl + rest[0] * math.log(rest[0] / rest[1]) if len(theirs) < len(logprobs_V) else kl


def ours(catalog: Catalog, name: str, ids: list[int]) -> torch.Tensor:
    network = load_for_inference(catalog.path(name), catalog=catalog, dtype="float32", device="cpu").model
    with torch.no_grad():
        return network(torch.tensor([ids])).logits[0, -1]


def prompts(count: int = 4) -> list[list[int]]:
    drawn = random.Random(3)
    return [
        [drawn.randrange(3, TOKENIZER.get_vocab_size()) for _ in range(drawn.randrange(5, 40))] for _ in range(count)
    ]


@pytest.mark.parametrize("family", EXPORTABLE)
def test_llama_cpp_says_what_ours_says(family: str, root: Path) -> None:
    catalog = put_double(root, family)
    size = TOKENIZER.get_vocab_size()
    limits = {"f32": 1e-4, "bf16": 0.01, "q8_0": 0.02}  # of logits that are far apart: the widths are 64 and random
    for quant, most in limits.items():
        done = succeed("export", "anna", "--quant", quant, "-w", root, "--json").json
        assert done["path"].endswith(f"exports/anna-{quant}.gguf") and done["size_bytes"] > 10_000
        with llama_cpp(Path(done["path"])) as server:
            found = [divergence(ours(catalog, "anna", ids), next_token(server, ids, size)) for ids in prompts()]
        assert max(found) < most, (quant, found)
    base = [divergence(ours(catalog, "tiny", ids), next_token(server, ids, size)) for ids in prompts()]
    assert min(base) > 0.1, "the adapter makes a difference"


def test_an_adapter_alone_on_its_base(root: Path) -> None:
    catalog = put_double(root, "llama")
    base = succeed("export", "tiny", "--quant", "f32", "-w", root, "--json").json["path"]
    adapter = succeed("export", "anna", "--to", "gguf-adapter", "-w", root, "--json").json
    assert adapter["hint"].startswith("It goes on a GGUF file of 'tiny'")
    with llama_cpp(Path(base), lora=Path(adapter["path"])) as server:
        size = TOKENIZER.get_vocab_size()
        found = [divergence(ours(catalog, "anna", ids), next_token(server, ids, size)) for ids in prompts()]
    assert max(found) < 1e-3, found


def test_where_the_file_comes_from_stands_in_it(root: Path) -> None:
    put_double(root)
    done = succeed("export", "anna", "--quant", "q4_1", "-w", root, "--json").json
    assert Path(done["path"]).stat().st_mode & 0o077 == 0
    assert "talkalike export tiny --quant q4_1" in done["hint"] and "--to gguf-adapter" in done["hint"]
    reader = gguf.GGUFReader(done["path"])

    def text(key: str) -> str:
        return str(reader.fields[key].contents())

    assert (text("general.name"), text("talkalike.model"), text("talkalike.speaker")) == ("anna", "anna", SPEAKER)
    assert len(text("talkalike.card_sha256")) == 64 and text("talkalike.exported").startswith("20")
    assert text("tokenizer.chat_template") == chat_template(CHATML, SPEAKER)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["token_embd.weight"] == "Q8_0" and kinds["blk.0.attn_q.weight"] == "Q4_1"
    assert kinds["blk.0.attn_norm.weight"] == "F32" and kinds["rope_freqs.weight"] == "F32"


def test_vllm_gets_the_adapter_and_transformers_all_of_it(root: Path) -> None:
    catalog = put_double(root)
    done = succeed("export", "anna", "--to", "vllm", "-w", root, "--json").json
    folder = Path(done["path"])
    assert {"adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert "--max-lora-rank 8" in done["hint"] and f"--lora-modules anna={folder}" in done["hint"]
    whole = Path(succeed("export", "anna", "--to", "hf", "-w", root, "--json").json["path"])
    network = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    ids = prompts(1)[0]
    with torch.no_grad():
        logits_V = network(torch.tensor([ids])).logits[0, -1]
    torch.testing.assert_close(logits_V, ours(catalog, "anna", ids), atol=0.3, rtol=0.05)  # it is saved as it is served
    assert network.generation_config.eos_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(whole)
    said = [{"role": "user", "name": "Bob", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    rendered = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=True)
    turns = [Turn("Bob", "hello"), Turn(SPEAKER, "hi")]
    found = rendered["input_ids"] if isinstance(rendered, dict) or hasattr(rendered, "keys") else rendered
    assert list(found) == Renderer(byte_level_tokenizer()).prompt(turns, SPEAKER)
    assert json.loads((whole / "talkalike.json").read_text())["talkalike.speaker"] == SPEAKER


def vocabulary(form: Form) -> Tokenizer:
    return byte_level_tokenizer(markers=["<|endoftext|>", *form.markers])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_template_gives_the_tokens_of_our_renderer(form: Form) -> None:
    """1,000 random chats: through the template and the vocabulary as other servers take them, and by our renderer."""
    drawn = random.Random(7)
    tokenizer = vocabulary(form)
    renderer = Renderer(tokenizer, form)
    plain = vocabulary(form)  # splits at markers, as other servers do
    names = ["Anna", "Bob B.", SPEAKER, "Čeněk", "x_X", SOMEBODY]
    words = ["hello", "jak", "se", "máš?", "😂", "1234", "it's", "\n", "...", "OK", "don't", "a-b", "{{ x }}", "'"]
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
        chat_template(form, SPEAKER)
    )
    for _ in range(1000):
        turns = []
        for _ in range(drawn.randrange(1, 6)):
            text = " ".join(drawn.choice(words) for _ in range(drawn.randrange(1, 8))).strip() or "ok"
            turns.append(Turn(drawn.choice(names), text))
        messages = [message(turn, drawn) for turn in turns]
        text = template.render(messages=messages, add_generation_prompt=True)
        assert plain.encode(text, add_special_tokens=False).ids == renderer.prompt(turns, SPEAKER), text


def message(turn: Turn, drawn: random.Random) -> dict[str, str]:
    """The turn as OpenAI's protocol has it; whose name the template knows need not be named."""
    role = "assistant" if turn.speaker == SPEAKER else "user"
    known = turn.speaker in (SPEAKER, SOMEBODY)
    named = {} if known and drawn.random() < 0.5 else {"name": turn.speaker}
    return {"role": role, "content": turn.text, **named}


@pytest.mark.parametrize(
    ("family", "method", "options", "words"),
    [
        ("llama", "prompt", ("--to", "gguf"), "is a soft prompt, which other servers cannot be given"),
        ("llama", "prompt", ("--to", "vllm"), "is a soft prompt"),
        ("llama", "dora", ("--to", "gguf-adapter"), "is no plain LoRA"),
        ("gpt2", "lora", ("--to", "gguf"), "A gpt2 cannot be exported to GGUF"),
        ("gemma3_text", "lora", ("--to", "gguf"), "cannot be exported to GGUF"),
        ("llama", "lora", ("--to", "gguf", "-o", "models"), "is there already"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    family: str, method: str, options: tuple[str, ...], words: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_double(root, family, method)
    monkeypatch.chdir(root)
    before = sorted(root.rglob("*"))
    refused = talkalike("export", "anna", *options, "-w", root)
    assert (refused.code, words in refused.err) == (2, True), refused.err
    assert [path for path in sorted(root.rglob("*")) if path not in before and path.name != "exports"] == []


def test_a_dora_is_merged(root: Path) -> None:
    catalog = put_double(root, "qwen2", "dora")
    done = succeed("export", "anna", "--quant", "f32", "-w", root, "--json").json
    with llama_cpp(Path(done["path"])) as server, warnings.catch_warnings():
        size = TOKENIZER.get_vocab_size()
        found = [divergence(ours(catalog, "anna", ids), next_token(server, ids, size)) for ids in prompts(2)]
    assert max(found) < 1e-3
    told = succeed("export", "anna", "--to", "vllm", "-w", root, "--json").json
    assert "it was merged with its base" in told["hint"]
