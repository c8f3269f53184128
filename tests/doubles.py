"""A catalog with a tiny base and doubles on it, whose adapters of random numbers change a good deal."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel

from talkalike.models.load import load_network
from talkalike.models.role_lora import adapted_layers, new_pairs, write_pairs
from talkalike.workspace.cards import Card, Catalog
from tiny_model import build_tiny_llama

CPU = torch.device("cpu")
NEVER = "2026-01-01T00:00:00+00:00"


def catalog_with_base(folder: Path) -> Catalog:
    """The catalog in this folder, with the base `tiny`."""
    catalog = Catalog(folder)
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created=NEVER))
    return catalog


def put_double(
    catalog: Catalog, name: str, *, seed: int, rank: int = 4, base: str = "tiny", network: PreTrainedModel | None = None
) -> None:
    """A LoRA double of "Bob" on the base."""
    layers = adapted_layers(network or load_network(catalog.path(base), dtype=torch.float32, device=CPU))
    pairs = new_pairs(layers, rank=rank, seed=seed, device=CPU)
    generator = torch.Generator().manual_seed(seed)
    for up in pairs.up.values():
        up.data.normal_(std=0.3, generator=generator)
    write_pairs(pairs, catalog.path(name), base=base, layers=layers)
    catalog.save_card(
        Card(name=name, kind="adapter", created=NEVER, method="lora", parents=(base,), speakers=("Bob", name))
    )
