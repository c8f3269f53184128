"""Connector and gated layers: what a token sees, what has loss, and that nothing is kept between passes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alignment_toys import tiny_network
from talkalike.errors import UserError
from talkalike.models.eyes.adapter import SeeingAdapter, make_adapter
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.files import EyeAbout, check_width, load_adapter, save_adapter
from talkalike.models.eyes.gated import GatedShape
from talkalike.models.eyes.rows import pack_seen, seen_target_logits
from talkalike.models.eyes.seen import IMAGE, loss_mask, see_row
from talkalike.models.forward import logits
from talkalike.models.packed import PACKED_ATTENTION

CPU, END, PAD = torch.device("cpu"), 39, 0
CONNECTOR = ConnectorShape(cells=4, channels=6, width=32, tokens=4, inner=16)
GATED = GatedShape(cells=4, channels=6, width=32, layers=2, every=1, latents=3, depth=1, heads=4, gate=0.7)
NETWORK = tiny_network()


def grid(seed: int) -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))


def adapter_of(shape: ConnectorShape | GatedShape) -> SeeingAdapter:
    torch.manual_seed(3)
    return make_adapter(shape, NETWORK).eval()


def document(adapter: SeeingAdapter, *parts: int | None) -> np.ndarray:
    """Token ids; None stands for a picture."""
    ids = [token for part in parts for token in ([IMAGE] * adapter.places if part is None else [part])]
    return np.array(ids, dtype=np.int32)


@torch.inference_mode()
def targets(adapter: SeeingAdapter, documents: list[np.ndarray], pictures: list[list[Tensor]]) -> Tensor:
    masks = [loss_mask(ids, end=END, pad=PAD) for ids in documents]
    row = pack_seen(documents, masks, pictures, places=adapter.places, device=CPU)
    return seen_target_logits(NETWORK, adapter, row)


@pytest.mark.parametrize("shape", [CONNECTOR, GATED], ids=["connector", "gated"])
def test_two_replies_in_one_pass_about_different_pictures_are_what_each_is_alone(shape):
    adapter = adapter_of(shape)
    one, other = document(adapter, 5, None, 7, 8, END), document(adapter, None, 7, 8, 9, END)
    alone = [targets(adapter, [one], [[grid(1)]]), targets(adapter, [other], [[grid(2)]])]
    together = targets(adapter, [one, other], [[grid(1)], [grid(2)]])
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    exchanged = targets(adapter, [one, other], [[grid(2)], [grid(1)]])
    assert not torch.allclose(exchanged, together, atol=1e-3), "the pictures make a difference"
    assert torch.equal(targets(adapter, [one], [[grid(1)]]), alone[0]), "nothing is left of the pass between"


def test_a_token_looks_at_the_last_picture_alone_and_at_none_before_the_first():
    adapter = adapter_of(GATED)
    ids = torch.tensor([5, IMAGE, 7, 8, IMAGE, 9, END, 5, 6, IMAGE, 7])
    seen = see_row(ids, (7, 4), torch.zeros(3, 3, 32), places=1)
    assert seen.picture_T.tolist() == [-1, 0, 0, 0, 1, 1, 1, -1, -1, 2, 2]
    states = torch.randn(len(ids), 32)

    def moved(grids: list[int]) -> Tensor:
        media = adapter.media(torch.stack([grid(number) for number in grids]))
        beside = adapter.beside(see_row(ids, (7, 4), media, places=1))
        assert beside is not None
        return beside.before(0, states) - states

    with torch.inference_mode():
        first, second = moved([1, 2, 3]), moved([4, 2, 3])
    assert not first[[0, 7, 8]].any(), "before the first picture of a document nothing is added at all"
    changed = (first - second).abs().sum(dim=1) > 1e-4
    assert changed.nonzero()[:, 0].tolist() == [1, 2, 3], "the first picture reaches its own chunk alone"


def test_the_places_of_pictures_are_counted_by_document():
    seen = see_row(torch.tensor([5, -1, -1, 7, -1, -1, 8, 6, -1, -1, 9]), (7, 4), torch.zeros(3, 2, 4), places=2)
    assert seen.picture_T.tolist() == [-1, 0, 0, 0, 1, 1, 1, -1, 2, 2, 2]
    assert seen.place_T.tolist() == [-1, 0, 1, -1, 0, 1, -1, -1, 0, 1, -1]


def test_closed_gates_and_texts_without_pictures_leave_the_model_as_it_is():
    ids = torch.tensor([5, 6, 7, 8])
    kept, positions = torch.arange(4), torch.arange(4)
    plain = logits(NETWORK, ids, positions, kept, attends=PACKED_ATTENTION, document_lengths=(4,))
    for gate, with_picture in ((0.0, torch.tensor([IMAGE, 6, 7, 8])), (0.7, ids)):
        adapter = adapter_of(dataclasses.replace(GATED, gate=gate))
        media = adapter.media(grid(1)[None])
        seen = see_row(with_picture, (4,), media, places=1)
        given = adapter.embedded(NETWORK, with_picture, seen)
        beside = adapter.beside(seen)
        assert (beside is None) == (gate > 0)
        without = logits(NETWORK, given, positions, kept, attends=PACKED_ATTENTION, document_lengths=(4,))
        found = logits(NETWORK, given, positions, kept, attends=PACKED_ATTENTION, beside=beside, document_lengths=(4,))
        assert torch.equal(found, without)
        assert torch.equal(found, plain) == (gate > 0)


def test_loss_is_on_what_follows_a_picture_alone():
    ids = np.array([5, 6, IMAGE, IMAGE, 7, 8, END, 9, 9, IMAGE, IMAGE, 7, PAD, END, PAD], dtype=np.int32)
    expected = [False] * 4 + [True] * 3 + [False] * 4 + [True, False, True, False]
    assert loss_mask(ids, end=END, pad=PAD).tolist() == expected
    for nothing in ([5, 6], [5, IMAGE], [IMAGE, PAD], [5, END, 6, IMAGE]):
        with pytest.raises(UserError, match="no text after a picture"):
            loss_mask(np.array(nothing, dtype=np.int32), end=END, pad=PAD)


def test_a_picture_that_nothing_follows_takes_its_grid_along_when_it_is_left_out():
    adapter = adapter_of(CONNECTOR)
    one, other = document(adapter, None, 7, END, None), document(adapter, None, 8, END)
    found = targets(adapter, [one, other], [[grid(1), grid(9)], [grid(2)]])
    plain = targets(adapter, [document(adapter, None, 7, END), other], [[grid(1)], [grid(2)]])
    assert torch.equal(found, plain)


@pytest.mark.parametrize("shape", [CONNECTOR, GATED], ids=["connector", "gated"])
def test_an_adapter_is_the_same_after_it_was_on_disk_and_fits_no_other_model(shape, tmp_path: Path):
    adapter = adapter_of(shape)
    adapter.scaling.fit(torch.stack([grid(number) for number in range(9)]))
    about = EyeAbout(**{shape.kind: shape}, encoder="test-1", base="tiny", vocabulary="0", end=END, prompt="Output:")
    save_adapter(adapter, about, tmp_path)
    loaded, read = load_adapter(tmp_path)
    assert read == about
    ids = document(adapter, None, 7, 8, END)
    assert torch.equal(targets(loaded, [ids], [[grid(1)]]), targets(adapter, [ids], [[grid(1)]]))
    check_width(read, NETWORK, "tiny")
    with pytest.raises(UserError, match=r"does not fit 'wider'"):
        check_width(read, tiny_network(width=64), "wider")
    (tmp_path / "eye.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match="cannot be opened"):
        load_adapter(tmp_path)
