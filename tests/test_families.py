"""Every family of causal models that is tried: training and replies are what transformers' own pass computes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from command_line import sample_workspace, succeed, talkalike
from families import OURS, OWN, build
from talkalike.engine.cache import PrefixCache
from talkalike.engine.local import LocalEngine
from talkalike.engine.passes import Pass, Passes
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models import reordered
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.models.load import LoadedModel, load_for_inference, load_network
from talkalike.models.own_attention import has_own_attention
from talkalike.models.packed import pack, target_logits
from talkalike.models.roles import Roles
from talkalike.workspace.cards import Card, Catalog
from tiny_model import build_tiny_t5

CPU = torch.device("cpu")
FAMILIES = sorted(OURS | OWN)
CLOSE = {"atol": 5e-5, "rtol": 1e-4}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "models")


def put(family: str, catalog: Catalog, **changes: Any) -> LoadedModel:
    build(family, catalog.path("tiny"), **changes)
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    return load_for_inference(catalog.path("tiny"), catalog=catalog, dtype="float32", device="cpu")


def plain(catalog: Catalog, ids: Any) -> torch.Tensor:
    """The logits of transformers' own model for one conversation alone, by the plainest way of attending."""
    network = AutoModelForCausalLM.from_pretrained(catalog.path("tiny"), attn_implementation="eager").eval()
    with torch.no_grad():
        return network(torch.tensor([list(ids)])).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_training_and_replies_are_what_the_family_computes(
    family: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = put(family, catalog)
    assert has_own_attention(loaded.model) == (family in OWN)
    rng = np.random.default_rng(0)
    vocabulary = loaded.tokenizer.get_vocab_size()
    documents = [rng.integers(3, vocabulary, size=size).astype(np.int32) for size in (40, 7, 60)]
    wanted = [plain(catalog, document.tolist()) for document in documents]
    assert min(float(logits.std()) for logits in wanted) > 0.5, "differences would not show"

    masks = [rng.random(len(document)) < 0.5 for document in documents]
    row = pack(documents, masks, CPU)
    with torch.no_grad():
        found = target_logits(loaded.model, row)
    learned = [logits[np.flatnonzero(mask[1:])] for logits, mask in zip(wanted, masks, strict=True)]
    torch.testing.assert_close(found, torch.cat(learned), **CLOSE)

    # Two conversations at once, each in parts; one takes tokens back and goes on with others.
    passes, one, two = Passes(loaded), PrefixCache(loaded.model), PrefixCache(loaded.model)
    long, short = documents[2].tolist(), documents[0].tolist()
    with torch.inference_mode():
        passes.run([Pass(cache=one, ids=long[:30]), Pass(cache=two, ids=short[:5])])
        passes.run([Pass(cache=one, ids=short[:9])])
        one.crop(30)
        after_long, after_short = passes.run(
            [Pass(cache=one, ids=long[30:50], rows=20), Pass(cache=two, ids=short[5:6])]
        )
        (last,) = passes.run([Pass(cache=one, ids=long[50:51])])
    torch.testing.assert_close(after_long, wanted[2][30:50], **CLOSE)
    torch.testing.assert_close(after_short, wanted[0][5:6], **CLOSE)
    torch.testing.assert_close(last, wanted[2][50:51], **CLOSE)
    assert one.length == 51 and one.nbytes > 0

    # With the weights in the order of the CPU's kernels, as they are served.
    with monkeypatch.context() as faster:
        faster.setattr(reordered, "is_faster", lambda _dtype: torch.backends.mkldnn.is_available())
        reordered.reorder_weights(loaded.model)
    with torch.inference_mode():
        two.crop(3)
        (again,) = passes.run([Pass(cache=two, ids=short[3:6], rows=3)])
    torch.testing.assert_close(again, wanted[0][3:6], **CLOSE)
    assert any(isinstance(each, reordered.ReorderedLinear) for each in loaded.model.modules())

    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    trainable = make_trainable(network, AdapterSettings(rank=4), seed=0)
    optimizer = torch.optim.AdamW(trainable.parameters.values(), lr=0.02)
    losses = []
    for _ in range(8):
        loss = F.cross_entropy(target_logits(trainable.network, row), row.ids_T[row.targets_L])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses


@pytest.mark.parametrize("family", ["bloom", "gemma2", "openai-gpt"])
def test_a_greedy_reply_is_the_likeliest_one(family: str, catalog: Catalog) -> None:
    loaded = put(family, catalog)
    turns = (Turn("Anna", "hello there, how are you?"), Turn("Bob", "fine"), Turn("Anna", "see you at eight"))

    async def reply(conversation: str) -> list[int]:
        asked = Prompt(turns=turns, speaker="Bob", conversation=conversation)
        sampling = Sampling(temperature=0.0, max_tokens=12, max_messages=1)
        return [token async for piece in engine.stream(asked, sampling) for token in piece.token_ids]

    async def replies() -> list[list[int]]:
        return await asyncio.gather(reply("one"), reply("two"))

    engine = LocalEngine(loaded)
    try:
        first, second = asyncio.run(replies())
    finally:
        asyncio.run(engine.close())
    assert first == second and first
    renderer = Renderer(loaded.tokenizer)
    ids = renderer.prompt(turns, "Bob")
    for token in first:
        likeliest = plain(catalog, ids)[-1].topk(4).indices.tolist()  # markers are banned inside a text
        assert token in likeliest
        ids = [*ids, token]


def say(text: str, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Says something to a model of the workspace, as from a script."""
    command = [sys.executable, "-m", "talkalike.cli.main", "chat", "-w", str(root), *options]
    return subprocess.run(command, input=f"{text}\n", capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("family", ["bloom", "gemma2", "gpt2", "openai-gpt", "opt"])
def test_from_a_folder_to_a_reply(family: str, tmp_path: Path) -> None:
    """The commands a person types; examples are no longer than such a base reads. GPT-2's tokens mark no turns."""
    reads = {"openai-gpt": {"n_positions": 128}, "opt": {"max_position_embeddings": 128}}.get(family, {})
    folder = build(family, tmp_path / "other", markers=family != "gpt2", **reads)
    root = sample_workspace(tmp_path / "workspace")
    succeed("models", "fetch", folder, "-w", root)
    prepared = succeed(
        "prepare", "-s", "Juno Marwick", "--name", "juno", "--base", "other", "--no-estimate", "-w", root
    )
    assert ("Examples have at most 128 tokens" in prepared.err) == bool(reads)
    succeed("train", "--name", "double", "--epochs", "0.2", "--lr", 0.003, "-w", root, "--json")
    told = say("hello there", root, "--model", "double", "--max-tokens", "8")
    assert told.returncode == 0 and "Juno Marwick" in told.stdout, told.stderr
    refused = talkalike("align", "rl", "--model", "double", "--reward", "sentiment", "--steps", 1, "-w", root)
    assert (refused.code == 2 and "attends in a way of its own" in refused.err) == (family in OWN)


def test_t5_answers(tmp_path: Path) -> None:
    root = sample_workspace(tmp_path / "workspace")
    succeed("models", "fetch", build_tiny_t5(tmp_path / "tiny-t5"), "-w", root)
    told = say("hello there", root, "--model", "tiny-t5", "--as", "Anyone", "--max-tokens", "8")
    assert told.returncode == 0 and "Anyone" in told.stdout, told.stderr


def test_what_keeps_one_state_is_refused_in_a_sentence(catalog: Catalog) -> None:
    loaded = put("llama", catalog)
    loaded.model._is_stateful = True
    with pytest.raises(UserError, match="one state instead of keys and values"):
        PrefixCache(loaded.model)


def test_aligning_a_family_that_cannot_be_aligned_is_refused(catalog: Catalog) -> None:
    put("falcon", catalog)
    with pytest.raises(UserError, match="'tiny' is a FalconForCausalLM, which attends in a way of its own"):
        Roles.open(catalog.path("tiny"), catalog=catalog, device="cpu", dtype="float32")
