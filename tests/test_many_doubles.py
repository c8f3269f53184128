"""Many doubles on one base: each writes as it does alone, whoever writes beside it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from contextlib import aclosing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from doubles import CPU, NEVER, catalog_with_base, put_double
from families import build
from talkalike.engine.doubles import DoubleEngine, SharedBase
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Engine, EngineBusyError, Finish, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.models.adapter_config import ADAPTER_WEIGHTS
from talkalike.models.adapter_pool import AdapterPool, Stretch
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable, save_trained
from talkalike.models.load import load_for_inference, load_network
from talkalike.models.lora_pairs import LoraPairs
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.prefixes import SavedPrefixes
from tiny_model import build_tiny_t5

GREEDY = Sampling(temperature=0.0, max_tokens=12, max_messages=2)
SAID = (Turn("Anna", "hello there"), Turn("Bob", "fine"), Turn("Anna", "what is the plan for tonight?"))
MERGED: dict[tuple[Path, int], LocalEngine] = {}
SAME_SHAPE = ("anna", "bob", "cyril", "dora", "emil")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Five doubles of one shape, and one of another rank."""
    catalog = catalog_with_base(tmp_path_factory.mktemp("many") / "models")
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    for number, name in enumerate(SAME_SHAPE):
        put_double(catalog, name, seed=number, network=network)
    put_double(catalog, "wide", seed=9, rank=8, network=network)
    return catalog


def opened(
    catalog: Catalog,
    *,
    adapters_mb: float = 64,
    base: str = "tiny",
    slots: int = 32,
    saved: SavedPrefixes | None = None,
) -> SharedBase:
    loaded = load_for_inference(catalog.path(base), catalog=catalog, dtype="float32", device="cpu")
    return SharedBase(loaded, catalog, adapters_mb=adapters_mb, slots=slots, saved=saved)


def asked(conversation: str = "", turns: tuple[Turn, ...] = SAID) -> Prompt:
    return Prompt(turns=turns, speaker="Bob", conversation=conversation)


async def write(engine: Engine, prompt: Prompt, sampling: Sampling = GREEDY) -> list[Piece]:
    return [piece async for piece in engine.stream(prompt, sampling)]


def tokens(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.token_ids]


def logprobs(pieces: list[Piece]) -> list[float]:
    return [value for piece in pieces for value in piece.logprobs]


async def merged(catalog: Catalog, name: str, prompt: Prompt, sampling: Sampling = GREEDY) -> list[Piece]:
    """The reply of the double alone, merged into a base of its own."""
    folder = catalog.path(name)
    key = (folder.resolve(), max(file.stat().st_mtime_ns for file in folder.iterdir()))
    if key not in MERGED:
        loaded = load_for_inference(folder, catalog=catalog, dtype="float32", device="cpu")
        MERGED[key] = LocalEngine(loaded)
    return await write(MERGED[key], prompt, sampling)


async def test_doubles_beside_each_other_write_as_each_does_alone(catalog: Catalog) -> None:
    """Prompts of different lengths, two talks of one double, two ranks, and the base itself between them."""
    shared, lonely = opened(catalog), opened(catalog)
    who = [*SAME_SHAPE, "wide", "tiny", "anna"]
    prompts = [asked(turns=SAID[: 1 + place % 3]) for place in range(len(who))]
    samplings = [dataclasses.replace(GREEDY, temperature=0.8 * (place % 2), seed=place) for place in range(len(who))]
    together = await asyncio.gather(*map(write, map(shared.open, who), prompts, samplings))
    texts = set()
    for name, prompt, sampling, found in zip(who, prompts, samplings, together, strict=True):
        for alone in (
            await write(lonely.open(name), prompt, sampling),
            await merged(catalog, name, prompt, sampling),
        ):
            assert tokens(found) == tokens(alone) and tokens(found), name
            assert logprobs(found) == pytest.approx(logprobs(alone), abs=1e-4)
        texts.add(tuple(tokens(found)))
    assert len(texts) > 5, "the doubles write alike: this shows nothing"
    await shared.close()
    await lonely.close()


async def test_replies_of_different_doubles_share_their_passes(catalog: Catalog) -> None:
    shared = opened(catalog)
    engines = [shared.open(name) for name in SAME_SHAPE]
    one = dataclasses.replace(GREEDY, max_messages=1)
    alone = [await write(engine, asked(), one) for engine in engines]
    read: list[int] = []
    network = shared._base._loaded.model
    network.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _m, given: read.append(len(given[0])))
    together = await asyncio.gather(*(write(engine, asked(), one) for engine in engines))
    assert [tokens(pieces) for pieces in together] == [tokens(pieces) for pieces in alone]
    assert max(read) >= 5 and len(read) < 2 * max(len(tokens(pieces)) + 1 for pieces in alone)
    await shared.close()


async def test_what_one_double_read_is_not_taken_for_another(catalog: Catalog) -> None:
    """A conversation's memory is each double's own: its keys and values are."""
    shared = opened(catalog)
    read: list[int] = []
    network = shared._base._loaded.model
    network.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _m, given: read.append(len(given[0])))
    whole = {}
    for name in ("anna", "bob", "tiny"):
        read.clear()
        pieces = await write(shared.open(name), asked("talk"))
        assert tokens(pieces) == tokens(await merged(catalog, name, asked()))
        whole[name] = read[0]
    assert len(set(whole.values())) == 1 and whole["anna"] > 10
    for name in ("bob", "anna", "tiny"):
        read.clear()
        again = await write(shared.open(name), asked("talk"))
        assert read[0] == 1, "its own memory serves it again"
        assert tokens(again) == tokens(await merged(catalog, name, asked()))
    await shared.close()


async def test_after_a_restart_each_double_goes_on_from_its_own_memory(catalog: Catalog, tmp_path: Path) -> None:
    saved, talk = SavedPrefixes(tmp_path / "prefixes", 64 * 2**20), asked("talk", SAID * 5)
    names, read = ("anna", "bob", "tiny"), {}
    for start in ("first", "second"):
        shared, lengths = opened(catalog, saved=saved), []
        network = shared._base._loaded.model
        probe = network.model.layers[0].self_attn.q_proj.register_forward_pre_hook
        probe(lambda _m, given, into=lengths: into.append(len(given[0])))
        for name in names:
            lengths.clear()
            pieces = await write(shared.open(name), talk)
            assert tokens(pieces) == tokens(await merged(catalog, name, asked(turns=SAID * 5)))
            read[start, name] = lengths[0]
        await shared.close()
    assert len(list(saved.root.glob("*/*/*.safetensors"))) == 3
    for name in names:
        assert read["first", name] > 64 and read["second", name] == 1, "only its end is read again"


async def test_a_reply_that_is_broken_off_disturbs_no_other_and_frees_its_adapter(catalog: Catalog) -> None:
    shared = opened(catalog)
    others = [asyncio.create_task(write(shared.open(name), asked("talk"))) for name in ("bob", "cyril", "dora")]
    async with aclosing(shared.open("anna").stream(asked("talk"), GREEDY)) as reply:
        await anext(reply)
        assert any(key.startswith("anna:") for key in shared._pool._held)
    for name, pieces in zip(("bob", "cyril", "dora"), await asyncio.gather(*others), strict=True):
        assert tokens(pieces) == tokens(await merged(catalog, name, asked()))
    assert tokens(await write(shared.open("anna"), asked("talk"))) == tokens(await merged(catalog, "anna", asked()))
    while shared._pool._held:
        await asyncio.sleep(0.01)
    running = shared.open("anna").stream(asked(), GREEDY)
    await anext(running)
    await shared.close()
    assert [piece.finish async for piece in running] == [Finish.CANCELLED]
    with pytest.raises(TalkalikeError, match="closed"):
        shared.open("anna")


def spoil(folder: Path, how: str) -> None:
    file = folder / ADAPTER_WEIGHTS
    if how == "cut off":
        file.write_bytes(file.read_bytes()[:-2000])
        return
    tensors = load_file(file)
    if how == "without sizes":
        tensors = {name: torch.tensor(1.0) for name in tensors}
    else:
        next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, file)


@pytest.mark.parametrize("how", ["cut off", "not a number"])
async def test_a_damaged_adapter_fails_its_own_reply_alone(how: str, catalog: Catalog, tmp_path: Path) -> None:
    own = Catalog(tmp_path / "models")
    own.root.mkdir()
    for name in ("tiny", "anna", "bob"):
        own.path(name).symlink_to(catalog.path(name))
    put_double(own, "broken", seed=3)
    shared = opened(own)
    engines = [shared.open(name) for name in ("anna", "broken", "bob")]  # whole when it is opened
    spoil(own.path("broken"), how)
    first, failed, last = await asyncio.gather(*(write(each, asked()) for each in engines), return_exceptions=True)
    assert isinstance(failed, UserError) and "'broken'" in str(failed) and "damaged" in str(failed), failed
    for name, found in (("anna", first), ("bob", last)):
        assert not isinstance(found, BaseException)
        assert tokens(found) == tokens(await merged(catalog, name, asked()))
    if how == "cut off":
        with pytest.raises(UserError, match=r"'broken'.*damaged"):
            shared.open("broken")
    await shared.close()


def test_an_adapter_whose_matrices_have_no_sizes_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    own = Catalog(tmp_path / "models")
    own.root.mkdir()
    own.path("tiny").symlink_to(catalog.path("tiny"))
    put_double(own, "broken", seed=3)
    spoil(own.path("broken"), "without sizes")
    with pytest.raises(UserError, match="do not fit"):
        opened(own).open("broken")


async def test_the_adapter_used_longest_ago_makes_room(catalog: Catalog) -> None:
    whole = opened(catalog)
    await write(whole.open("anna"), asked())
    one = whole.adapter_bytes
    await whole.close()
    shared = opened(catalog, adapters_mb=2.5 * one / 2**20)
    for name in (*SAME_SHAPE, "anna", "emil", "anna"):
        assert tokens(await write(shared.open(name), asked("talk"))) == tokens(await merged(catalog, name, asked()))
        assert shared.adapter_bytes <= 2 * one
    assert [key.split(":")[0] for key in shared._pool._shapes] == ["emil", "anna"]

    running = [shared.open(name).stream(asked(), GREEDY) for name in ("bob", "cyril")]
    for reply in running:
        await anext(reply)
    with pytest.raises(EngineBusyError, match="'dora' has to wait"):
        await write(shared.open("dora"), asked())
    assert len(shared._pool) == 2
    await running[0].aclose()
    assert tokens(await write(shared.open("dora"), asked())) == tokens(await merged(catalog, "dora", asked()))
    await running[1].aclose()
    with pytest.raises(UserError, match="more than all doubles may"):
        opened(catalog, adapters_mb=0.5 * one / 2**20).open("anna")
    await shared.close()


async def test_a_double_that_is_trained_again_is_another_one(catalog: Catalog, tmp_path: Path) -> None:
    own = Catalog(tmp_path / "models")
    own.root.mkdir()
    own.path("tiny").symlink_to(catalog.path("tiny"))
    put_double(own, "anna", seed=11)
    shared = opened(own)
    first = shared.open("anna")
    assert isinstance(first, DoubleEngine) and shared.open("anna") is first
    before = tokens(await write(first, asked("talk")))
    put_double(own, "anna", seed=12, rank=6)
    with pytest.raises(UserError, match="replaced"):  # where nobody has it in memory any more
        opening = opened(own)
        stale = dataclasses.replace(opening.open("anna").double, shape=first.double.shape)
        await write(DoubleEngine(opening._base, stale), asked())
    after = tokens(await write(shared.open("anna"), asked("talk")))
    assert after == tokens(await merged(own, "anna", asked())) != before
    await shared.close()


@pytest.mark.parametrize("family", ["gpt2", "bloom", "openai-gpt", "gemma2"])
async def test_other_families(family: str, tmp_path: Path) -> None:
    """Layers that lie the other way round, and models that attend in a way of their own."""
    catalog = Catalog(tmp_path / "models")
    build(family, catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created=NEVER))
    for seed, name in enumerate(("anna", "bob", "cyril")):
        put_double(catalog, name, seed=seed)
    shared = opened(catalog)
    who = ("anna", "bob", "cyril", "tiny", "anna")
    short = dataclasses.replace(GREEDY, max_tokens=5, max_messages=1)
    together = await asyncio.gather(*(write(shared.open(name), asked(turns=SAID[:1]), short) for name in who))
    for name, found in zip(who, together, strict=True):
        assert tokens(found) == tokens(await merged(catalog, name, asked(turns=SAID[:1]), short)), name
    await shared.close()


def save_method(catalog: Catalog, name: str, method: str) -> None:
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=4, last_layers=1, prompt_length=4), seed=1)
    save_trained(trainable, catalog.path(name), base="tiny", dtype=torch.float32)
    kind = "full" if method in ("full", "last-n") else "adapter"
    catalog.save_card(Card(name=name, kind=kind, created=NEVER, method=method, parents=("tiny",)))


async def test_what_cannot_stay_unmerged_is_refused_with_the_reason(catalog: Catalog, tmp_path: Path) -> None:
    own = catalog_with_base(tmp_path / "models")
    for method in ("dora", "prompt", "last-n"):
        save_method(own, f"by-{method}", method)
    put_double(own, "anna", seed=1)
    own.save_card(dataclasses.replace(own.card("anna"), parents=("another",)))
    put_double(own, "head", seed=2)
    tensors = load_file(own.path("head") / ADAPTER_WEIGHTS)
    vocabulary = {"base_model.model.lm_head.lora_A.weight": torch.ones(4, 64)}
    save_file(tensors | vocabulary, own.path("head") / ADAPTER_WEIGHTS)
    put_double(own, "narrow", seed=3)
    save_file(
        {key: tensor[:, :-1].contiguous() for key, tensor in tensors.items()}, own.path("narrow") / ADAPTER_WEIGHTS
    )
    put_double(own, "gone", seed=4)
    (own.path("gone") / ADAPTER_WEIGHTS).unlink()
    shared = opened(own)
    for name, why in {
        "by-dora": "DoRA",
        "by-prompt": "soft prompt",
        "by-last-n": "whole model",
        "anna": "trained on 'another', not on 'tiny'",
        "head": "changes 'lm_head",
        "narrow": "do not fit the layers of this base",
        "gone": "damaged or cut off",
        "nobody": "no model called 'nobody'",
    }.items():
        with pytest.raises(UserError, match=why):
            shared.open(name)
    t5 = load_for_inference(build_tiny_t5(tmp_path / "t5"), catalog=own, dtype="float32", device="cpu")
    with pytest.raises(UserError, match="encoder-decoder"):
        SharedBase(t5, own, adapters_mb=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_row_gets_the_update_of_its_own_adapter(dtype: torch.dtype, catalog: Catalog) -> None:
    """Adapters come, go and change places at random; each row equals the sum over its own matrices."""
    draw, generator = random.Random(0), torch.Generator().manual_seed(0)
    network = load_network(catalog.path("tiny"), dtype=dtype, device=CPU)
    pool = AdapterPool(network, max_bytes=0)
    layer = "model.layers.1.mlp.down_proj"
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 0.05, "atol": 1.0}
    known = {}
    for number in range(14):
        ranks = dict.fromkeys(pool.layers, 2 + 2 * (number % 2))
        down = {name: torch.randn(rank, pool.layers[name].inputs, generator=generator) for name, rank in ranks.items()}
        up = {name: torch.randn(pool.layers[name].outputs, rank, generator=generator) for name, rank in ranks.items()}
        known[f"double {number}"] = LoraPairs(down, up, 2.0, factor=0.5)
    assert not pool.put("double 0", known["double 0"])
    pool.max_bytes = (
        10 * sum(pair.nbytes for pair in known["double 1"].named_tensors().values()) // (4 // dtype.itemsize)
    )
    for _ in range(60):
        present = draw.sample(sorted(known), draw.randint(1, 9))
        for name in present:
            assert pool.put(name, known[name])
            pool.hold(name)
        assert pool.nbytes <= pool.max_bytes
        lengths = {name: draw.choice([1, 1, 1, 1, 3]) for name in present}
        stretches = [Stretch(adapter=name, length=length, kept=1) for name, length in lengths.items()]
        stretches.append(Stretch(adapter="", length=2, kept=1))
        for rows in ([each.length for each in stretches], [1] * len(stretches)):
            inputs = torch.randn(sum(rows), 128, generator=generator).to(dtype)
            output = torch.zeros(sum(rows), 64, dtype=dtype)
            with pool.use(stretches):
                pool.add(layer, inputs, output)
            for each, given, found in zip(stretches, inputs.split(rows), output.split(rows), strict=True):
                update = known[each.adapter].update(layer) if each.adapter else torch.zeros(64, 128)
                wanted = given.float() @ update.to(given.device).T
                torch.testing.assert_close(found.float(), wanted, **close)
        for name in present:
            pool.release(name)
