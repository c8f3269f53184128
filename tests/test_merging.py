"""A double is loaded without a second copy of its base, and its weights are those of a merge in float32."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from families import build
from talkalike.models import load
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable, save_trained
from talkalike.models.load import load_for_inference, load_network
from talkalike.workspace.cards import Card, Catalog

CPU = torch.device("cpu")


def double(catalog: Catalog, family: str, method: str = "lora", **base: Any) -> Path:
    """A double on a base of this family."""
    build(family, catalog.path("tiny"), **base)
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=4), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in trainable.parameters.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    save_trained(trainable, catalog.path("anna"), base="tiny", dtype=torch.float32)
    catalog.save_card(Card(name="anna", kind="adapter", created="2026-01-02T00:00:00+00:00", parents=("tiny",)))
    return catalog.path("anna")


def merged_in_float32(catalog: Catalog, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """What PEFT makes of it, rounded once."""
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return PeftModel.from_pretrained(network, str(catalog.path("anna"))).merge_and_unload().to(dtype).state_dict()


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(found[name], wanted[name]), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "bloom"])
def test_weights_are_merged_one_by_one_and_rounded_once(
    family: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, asked = Catalog(tmp_path), []
    folder = double(catalog, family)

    def watched(*args: Any, **options: Any) -> Any:
        asked.append(options["dtype"])
        return load_network(*args, **options)

    wanted = merged_in_float32(catalog, getattr(torch, dtype))
    monkeypatch.setattr(load, "load_network", watched)
    loaded = load_for_inference(folder, catalog=catalog, dtype=dtype, device="cpu")
    assert asked == [getattr(torch, dtype)], "the base was never held in float32 beside what is served"
    same(loaded.model.state_dict(), wanted)
    assert not loaded.model.training


@pytest.mark.parametrize("how", ["dora", "other names"])
def test_what_cannot_be_merged_so_is_merged_in_float32(how: str, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    folder = double(catalog, "gpt2", "dora" if how == "dora" else "lora")
    if how == "other names":  # as GPT-2 lies on the hub
        file = catalog.path("tiny") / "model.safetensors"
        stored = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
        save_file(stored, file, metadata={"format": "pt"})
    loaded = load_for_inference(folder, catalog=catalog, dtype="bfloat16", device="cpu")
    same(loaded.model.state_dict(), merged_in_float32(catalog, torch.bfloat16))
