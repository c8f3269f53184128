"""PaLM in the rest of the project: saved and loaded, packed, chatting, every way of training, and its notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.models.forward import attention
from talkalike.models.load import LoadedModel, load_for_inference, load_network
from talkalike.models.packed import PACKED_ATTENTION, pack, target_logits, target_logprobs
from talkalike.models.palm import PalmConfig, PalmForCausalLM, new_palm
from talkalike.training.losses import negative_log_likelihood
from talkalike.training.sft import train_supervised
from talkalike.training.values import Finished, LoopSettings, TrainConfig
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder
from test_examples import ANNA, BOB, Chats, evenings, prepared
from test_palm import SIZES, tokens
from tiny_model import byte_level_tokenizer

CPU = torch.device("cpu")


@pytest.fixture
def tokenizer() -> Tokenizer:
    return byte_level_tokenizer()


@pytest.fixture
def catalog(tmp_path: Path, tokenizer: Tokenizer) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    config = PalmConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        head_dim=16,
        max_position_embeddings=1024,
        initializer_range=0.2,
        eos_token_id=2,
        pad_token_id=0,
    )
    new_palm(catalog.path("palm"), config, tokenizer)
    catalog.save_card(Card(name="palm", kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


@pytest.fixture
def loaded(catalog: Catalog) -> LoadedModel:
    return load_for_inference(catalog.path("palm"), catalog=catalog, dtype="float32", device="cpu")


@pytest.mark.parametrize("wrong", [{"dim_head": 7}, {"depth": 0}, {"num_key_value_heads": 2}, {"num_tokens": 0}])
def test_sizes_that_fit_no_network_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|has one"):
        PalmConfig(**{**SIZES, **wrong})


def test_a_new_palm_needs_room_for_its_words_and_a_free_folder(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="words"):
        new_palm(tmp_path / "small", PalmConfig(**SIZES), tokenizer)
    assert not (tmp_path / "small").exists()
    config = PalmConfig(**{**SIZES, "num_tokens": tokenizer.get_vocab_size()})
    new_palm(tmp_path / "one", config, tokenizer, seed=1)
    with pytest.raises(UserError, match="already"):
        new_palm(tmp_path / "one", config, tokenizer)


def test_a_saved_one_comes_back_as_it_was(tmp_path: Path, tokenizer: Tokenizer) -> None:
    config = PalmConfig(**{**SIZES, "num_tokens": 500, "qk_norm": True, "xpos_scale_base": 32, "rope_theta": 500.0})
    made = new_palm(tmp_path / "one", config, tokenizer, seed=3)
    again = load_network(tmp_path / "one", dtype=torch.float32, device=CPU)
    assert isinstance(again, PalmForCausalLM)
    assert not again.training
    assert (again.config.depth, again.config.dim_head, again.config.rope_theta) == (3, 8, 500.0)
    ids = tokens(1, 12)
    torch.testing.assert_close(again(ids).logits, made(ids).logits, atol=0.0, rtol=0.0)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert not torch.equal(made(ids).logits, new_palm(tmp_path / "two", config, tokenizer, seed=4)(ids).logits)


def test_packed_rows_equal_separate_documents_with_gradients(loaded: LoadedModel) -> None:
    rng = np.random.default_rng(0)
    ids = [rng.integers(3, 300, size=length).astype(np.int32) for length in (5, 17, 1, 30)]
    masks = [rng.random(len(document)) < 0.5 for document in ids]
    masks[1][-1] = masks[3][1] = True
    separate = []
    for ids_T, mask_T in zip(ids, masks, strict=True):
        tokens_T = torch.from_numpy(ids_T.astype(np.int64))
        logprobs = loaded.model(tokens_T[None]).logits[0].log_softmax(dim=-1)
        separate.append([logprobs[t - 1, tokens_T[t]] for t in range(1, len(ids_T)) if mask_T[t]])
    for ours, expected in zip(target_logprobs(loaded, ids, masks), separate, strict=True):
        np.testing.assert_allclose(ours, [value.item() for value in expected], atol=1e-5)
    (-torch.stack([value for document in separate for value in document]).sum()).backward()
    expected_gradients = {name: p.grad.clone() for name, p in loaded.model.named_parameters()}
    loaded.model.zero_grad()
    row = pack(ids, masks, CPU)
    with attention(loaded.model, PACKED_ATTENTION):
        logits_LV = target_logits(loaded.model, row)
    negative_log_likelihood(logits_LV, row.ids_T[row.targets_L]).backward()
    for name, parameter in loaded.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected_gradients[name], atol=1e-4, rtol=1e-3, msg=name)


TURNS = (Turn("Anna", "ahoj"), Turn("Bob", "hello there"), Turn("Anna", "how are you?"))


async def test_the_engine_talks_with_it_and_scores(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    engine = LocalEngine(loaded, chunk=8)
    prompt = Prompt(turns=TURNS, speaker="Bob", conversation="one")
    sampling = Sampling(temperature=0.0, max_tokens=12)
    first = [piece async for piece in engine.stream(prompt, sampling)]
    again = [piece async for piece in engine.stream(prompt, sampling)]  # from the kept memory
    written = [token for piece in first for token in piece.token_ids]
    assert written == [token for piece in again for token in piece.token_ids]
    scores = await engine.logprobs(prompt, "fine, thanks")
    await engine.close()
    renderer = Renderer(tokenizer)
    targets = [*renderer.encode_text("fine, thanks"), renderer.stop_id]
    prompt_ids = renderer.prompt(TURNS, "Bob")
    logprobs_TV = loaded.model(torch.tensor([[*prompt_ids, *targets]])).logits[0].log_softmax(dim=-1)
    rows = range(len(prompt_ids) - 1, len(prompt_ids) + len(targets) - 1)
    assert scores == pytest.approx(logprobs_TV[list(rows), targets].tolist(), abs=1e-4)


@pytest.mark.parametrize("method", ["lora", "dora", "last-n", "prompt", "full"])
def test_every_method_trains_it(method: str, catalog: Catalog) -> None:
    network = load_network(catalog.path("palm"), dtype=torch.float32, device=CPU)
    network.set_attn_implementation(PACKED_ATTENTION)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=4, last_layers=1, prompt_length=5), seed=0)
    if method == "lora":
        adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in trainable.parameters}
        assert adapted == {"in_proj", "attention_out", "feed_forward_out"}
    ids = [np.arange(3, 40, dtype=np.int32), np.arange(100, 120, dtype=np.int32)]
    row = pack(ids, [np.ones(len(document), dtype=np.bool_) for document in ids], CPU)
    optimizer = torch.optim.AdamW(trainable.parameters.values(), lr=0.01)
    losses = []
    for _ in range(6):
        logits = target_logits(trainable.network, row, soft_prompt_PD=trainable.soft_prompt_PD)
        loss = negative_log_likelihood(logits, row.ids_T[row.targets_L])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_double_is_trained_on_it_and_loaded_again(tmp_path: Path, catalog: Catalog, tokenizer: Tokenizer) -> None:
    chats = Chats({"one": evenings(14, (BOB, ANNA, ANNA))})
    examples = prepared(chats, tmp_path / "examples" / "anna", Renderer(tokenizer))
    config = TrainConfig(
        name="anna-1",
        base="palm",
        loop=LoopSettings(learning_rate=3e-3, epochs=1, batch_tokens=600, row_tokens=300),
        adapter=AdapterSettings(rank=4),
        dtype="float32",
        device="cpu",
    )
    *_, last = train_supervised(config, catalog=catalog, examples=examples, run=RunFolder(tmp_path / "run"))
    assert isinstance(last, Finished)
    scores = last.card.scores
    assert scores["heldout_loss"] < scores["heldout_loss_before"]
    double = load_for_inference(catalog.path("anna-1"), catalog=catalog, dtype="float32", device="cpu")
    heldout = examples.split("heldout")
    documents = range(len(heldout))
    logprobs = target_logprobs(double, [heldout.ids(i) for i in documents], [heldout.mask(i) for i in documents])
    loss = -sum(float(values.sum()) for values in logprobs) / sum(len(values) for values in logprobs)
    assert loss == pytest.approx(scores["heldout_loss"], abs=0.02)


def test_the_notebook_runs_and_shows_what_it_says() -> None:
    notebook = json.loads((Path(__file__).parents[1] / "docs" / "notebooks" / "palm.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"palm.ipynb, cell {index}", "exec"), names)
    assert sum(names["losses"][-10:]) / 10 < 1.0
    assert names["agreement"] > 0.8
    assert names["liked"]["after"] > names["liked"]["before"] + 1.0
    assert names["rating"](names["best"]) == 5
