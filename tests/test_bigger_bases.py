"""Bases larger than the memory: in few bits, spread over devices, with layers computed twice."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from families import build as build_family
from talkalike.cli.aligning_runs import shared_settings
from talkalike.cli.workspace import make_workspace, open_workspace
from talkalike.engine.exporting import ExportSource, to_gguf
from talkalike.engine.local import open_engine
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.errors import MissingExtraError, UserError
from talkalike.examples.render import Turn
from talkalike.models import placement, quantize
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable, make_trainable, recompute_layers, save_trained
from talkalike.models.load import load_for_inference, load_network
from talkalike.models.memory import stored_numbers
from talkalike.models.packed import Row, pack, target_logits, target_logprobs
from talkalike.models.roles import Roles
from talkalike.models.tokenizer import copy_tokenizer
from talkalike.training.loop import accumulate, make_accelerator
from talkalike.workspace.cards import Card, Catalog
from test_training import CPU, LOOP, config, events, some_examples, tiny_catalog
from tiny_model import build_tiny_llama

IDS = [np.arange(3, 60, dtype=np.int32), np.arange(40, 140, dtype=np.int32)]
MASKS = [np.arange(len(ids)) % 3 == 0 for ids in IDS]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = tiny_catalog(tmp_path)
    build_tiny_llama(catalog.path("tiny"), layers=4)
    return catalog


def trainable_on(catalog: Catalog, bits: str = "none", method: str = "lora", base: str = "tiny") -> Trainable:
    network = load_network(catalog.path(base), dtype=torch.float32, device=CPU, quantize=bits)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=4, prompt_length=5), seed=1)
    torch.manual_seed(2)
    for parameter in trainable.parameters.values():  # an update that changes something
        parameter.data += 0.05 * torch.randn_like(parameter)
    return trainable


def saved_on(catalog: Catalog, bits: str, method: str = "lora") -> Path:
    folder = catalog.path("anna")
    save_trained(trainable_on(catalog, bits, method), folder, base=str(catalog.path("tiny")), dtype=torch.float32)
    catalog.save_card(Card(name="anna", kind="adapter", created="2026-01-01T00:00:00+00:00", parents=("tiny",)))
    return folder


def logprobs_of(catalog: Catalog, model: str, **options: str) -> list[np.ndarray]:
    loaded = load_for_inference(catalog.path(model), catalog=catalog, dtype="float32", **{"device": "cpu", **options})
    return target_logprobs(loaded, IDS, MASKS)


# ------------------------------------------------------------------------------------------------------- in few bits
@pytest.mark.parametrize(("bits", "kept"), [("8bit", 0.45), ("4bit", 0.35)])
def test_a_base_in_few_bits_takes_less_and_says_almost_the_same(catalog: Catalog, bits: str, kept: float) -> None:
    pytest.importorskip("bitsandbytes")
    exact = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    coarse = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU, quantize=bits)
    blocks = [sum(p.nbytes for p in network.model.layers.parameters()) for network in (exact, coarse)]
    assert blocks[1] < kept * blocks[0]
    row = pack(IDS, MASKS, CPU)
    with torch.inference_mode():
        first, second = (target_logits(network, row).log_softmax(-1) for network in (exact, coarse))
    difference = (first - second).abs().mean()
    assert 0 < difference < {"8bit": 0.1, "4bit": 1.0}[bits] * first.std()


@pytest.mark.parametrize(("bits", "method"), [("8bit", "lora"), ("4bit", "lora"), ("4bit", "dora"), ("4bit", "prompt")])
def test_an_adapter_of_a_quantised_base_learns_there_and_is_served_beside_it(
    catalog: Catalog, bits: str, method: str
) -> None:
    pytest.importorskip("bitsandbytes")
    row = pack(IDS, MASKS, CPU)
    losses = [
        accumulate(trainable_on(catalog, kept, method), [row], make_accelerator(CPU, torch.float32))[0]
        for kept in ("none", bits)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]
    trained = trainable_on(catalog, bits, method)
    accumulate(trained, [row], make_accelerator(CPU, torch.float32))
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in trained.parameters.values())
    with torch.inference_mode():
        logits_LV = target_logits(trained.network.eval(), row, soft_prompt_PD=trained.soft_prompt_PD)
        expected = logits_LV.log_softmax(-1)[torch.arange(row.loss_tokens), row.ids_T[row.targets_L]]
    saved_on(catalog, bits, method)
    np.testing.assert_allclose(np.concatenate(logprobs_of(catalog, "anna", quantize=bits)), expected, atol=1e-5)


def test_a_training_on_a_quantised_base_makes_a_double(catalog: Catalog, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    examples = some_examples(tmp_path, catalog)
    settings = config(quantize="4bit", gradient_checkpointing=True)
    finished = events(settings, catalog, examples, tmp_path / "run")[-1]
    card = catalog.card("anna-1")
    assert finished.card.name == card.name
    assert card.settings["quantize"] == "4bit"
    assert card.scores["heldout_loss"] < 0.95 * card.scores["heldout_loss_before"]
    assert logprobs_of(catalog, "anna-1", quantize="4bit")


@pytest.mark.parametrize(("bits", "method"), [("4bit", "full"), ("8bit", "last-n"), ("8bit", "dora")])
def test_what_a_quantised_base_cannot_be_trained_by_is_said(
    catalog: Catalog, tmp_path: Path, bits: str, method: str
) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(UserError, match=f"The method '{method}'"):
        trainable_on(catalog, bits, method)
    settings = config(quantize=bits, adapter=AdapterSettings(method=method))
    with pytest.raises(UserError, match=f"The method '{method}'"):
        events(settings, catalog, some_examples(tmp_path, catalog), tmp_path / "run")


def test_a_base_that_is_quantised_on_the_disk_is_known_as_one(catalog: Catalog, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    coarse = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU, quantize="4bit")
    coarse.save_pretrained(catalog.path("coarse"))
    copy_tokenizer(catalog.path("tiny"), catalog.path("coarse"))
    catalog.save_card(Card(name="coarse", kind="base", created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="too coarse"):
        trainable_on(catalog, base="coarse", method="full")
    save_trained(
        trainable_on(catalog, base="coarse"),
        catalog.path("anna"),
        base=str(catalog.path("coarse")),
        dtype=torch.float32,
    )
    card = Card(name="anna", kind="adapter", created="2026-01-01T00:00:00+00:00", parents=("coarse",))
    catalog.save_card(card)
    assert all(np.isfinite(values).all() for values in logprobs_of(catalog, "anna"))
    with pytest.raises(UserError, match="is quantised"):
        Roles.open(catalog.path("anna"), catalog=catalog, device="cpu", dtype="float32")
    source = ExportSource(catalog=catalog, card=card, speaker="Anna", about={})
    with pytest.raises(UserError, match="too coarse to take it up"):
        to_gguf(source, tmp_path / "anna.gguf", quant="q8_0")


def test_what_cannot_be_quantised_here_is_said(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    file = catalog.path("tiny") / "config.json"
    about = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**about, "quantization_config": {"quant_method": "gptq"}}), encoding="utf-8")
    with pytest.raises(UserError, match="stored quantised"):
        logprobs_of(catalog, "tiny")
    file.write_text(json.dumps(about), encoding="utf-8")
    monkeypatch.setattr(quantize, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError) as missing:
        logprobs_of(catalog, "tiny", quantize="4bit")
    assert missing.value.hint == "Install it with: pip install 'talkalike[quantize]'"


def test_no_alignment_is_begun_where_the_base_is_to_be_quantised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_workspace(tmp_path)
    assert shared_settings(open_workspace(tmp_path), "lora", "adapter")["dtype"] == "auto"
    monkeypatch.setenv("TALKALIKE_MODEL_QUANTIZE", "4bit")
    with pytest.raises(UserError, match="A double on a quantised base cannot be aligned"):
        shared_settings(open_workspace(tmp_path), "lora", "adapter")


# ----------------------------------------------------------------------------------------------------- several devices
def leave_room(monkeypatch: pytest.MonkeyPatch, catalog: Catalog, share: float) -> None:
    """Makes it look as if so much of the tiny base fitted the memory."""
    room = int(share * 4 * stored_numbers(catalog.path("tiny")) / 0.9)
    monkeypatch.setattr(placement, "free_memory", lambda _device: {"cpu": room})


def test_a_base_larger_than_the_memory_is_spread_and_says_the_same(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved_on(catalog, "none")
    expected = [logprobs_of(catalog, model) for model in ("tiny", "anna")]
    assert not np.allclose(np.concatenate(expected[0]), np.concatenate(expected[1]))
    leave_room(monkeypatch, catalog, 0.6)
    with caplog.at_level(logging.WARNING, "talkalike"):
        found = [logprobs_of(catalog, model, device="auto") for model in ("tiny", "anna")]
    assert "tiny does not fit cpu alone. Its parts are spread:" in caplog.text
    assert "on the disk, which is many times slower." in caplog.text
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(np.concatenate(one), np.concatenate(other), atol=1e-4)
    network = load_for_inference(catalog.path("tiny"), catalog=catalog, dtype="float32", device="auto").model
    assert set(network.hf_device_map.values()) == {"cpu", "disk"}


def test_a_spread_base_writes_as_a_whole_one_does(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def reply() -> str:
        engine = open_engine(catalog, "tiny", dtype="float32", device="auto")
        prompt = Prompt(turns=(Turn(speaker="Bob", text="hello there"),), speaker="Anna", conversation="one")

        async def write() -> str:
            pieces = [piece.text async for piece in engine.stream(prompt, Sampling(temperature=0, max_tokens=12))]
            await engine.close()
            return "".join(pieces)

        return asyncio.run(write())

    whole = reply()
    leave_room(monkeypatch, catalog, 0.6)
    assert reply() == whole


def test_a_base_that_fits_is_not_spread_and_one_that_does_not_is_not_trained(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_room(monkeypatch, catalog, 1.01)
    network = load_for_inference(catalog.path("tiny"), catalog=catalog, dtype="float32", device="auto").model
    assert not placement.is_spread(network)
    leave_room(monkeypatch, catalog, 0.1)
    with pytest.raises(UserError, match="Not even the first part"):
        load_for_inference(catalog.path("tiny"), catalog=catalog, dtype="float32", device="auto")
    leave_room(monkeypatch, catalog, 0.6)
    with pytest.raises(UserError, match="can talk here, slowly, but not be trained"):
        events(config(device="auto"), catalog, some_examples(tmp_path, catalog), tmp_path / "run")
    with pytest.raises(UserError, match="does not fit one device here"):
        Roles.open(catalog.path("tiny"), catalog=catalog, dtype="float32")


# ---------------------------------------------------------------------------------------------- layers computed twice
def bytes_remembered(trainable: Trainable, row: Row) -> int:
    """What a forward pass leaves in memory for the backward pass."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        return kept.setdefault(tensor.data_ptr(), tensor)

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        target_logits(trainable.network, row, soft_prompt_PD=trainable.soft_prompt_PD)
    return sum(tensor.nbytes for tensor in kept.values())


@pytest.mark.parametrize("method", ["lora", "full", "last-n", "prompt"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "bloom"])
def test_computing_layers_twice_changes_no_gradient(tmp_path: Path, method: str, family: str) -> None:
    folder = build_family(family, tmp_path / family) if family != "llama" else build_tiny_llama(tmp_path / family)
    row = pack(IDS, MASKS, CPU)
    results, remembered = [], []
    for twice in (False, True):
        network = load_network(folder, dtype=torch.float32, device=CPU)
        settings = AdapterSettings(method=method, rank=4, last_layers=1, prompt_length=5)
        trainable = make_trainable(network, settings, seed=1)
        if twice:
            recompute_layers(network, family)
        network.train()
        remembered.append(bytes_remembered(trainable, row))
        loss, _ = accumulate(trainable, [row], make_accelerator(CPU, torch.float32))
        results.append((loss, {name: parameter.grad for name, parameter in trainable.parameters.items()}))
    assert results[1][0] == results[0][0]
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, rtol=1e-5, atol=1e-7)
    if method in {"lora", "full"}:
        assert remembered[1] < 0.8 * remembered[0]


# ----------------------------------------------------------------------------------------------------- the wrong base
@pytest.mark.parametrize("method", ["lora", "dora", "prompt"])
def test_an_adapter_on_the_wrong_base_is_refused(catalog: Catalog, method: str) -> None:
    saved_on(catalog, "none", method)
    shutil.rmtree(catalog.path("tiny"))
    build_tiny_llama(catalog.path("tiny"), width=32)
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="does not fit the base"):
        logprobs_of(catalog, "anna")


def test_an_adapter_on_a_base_of_another_family_is_refused(catalog: Catalog) -> None:
    saved_on(catalog, "none")
    shutil.rmtree(catalog.path("tiny"))
    build_family("gpt2", catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="does not fit the base"):
        logprobs_of(catalog, "anna")


def test_an_adapter_whose_base_has_another_vocabulary_now_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    settings = config(loop=dataclasses.replace(LOOP, epochs=0.5))
    events(settings, catalog, some_examples(tmp_path, catalog), tmp_path / "run")
    assert logprobs_of(catalog, "anna-1")
    file = catalog.path("tiny") / "tokenizer.json"
    text = json.loads(file.read_text(encoding="utf-8"))
    first, second = list(text["model"]["vocab"])[-2:]
    vocabulary = text["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(UserError, match="trained in another vocabulary"):
        logprobs_of(catalog, "anna-1")
