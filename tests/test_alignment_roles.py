"""One base, several roles: what must hold whoever is active."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable, save_trained
from talkalike.models.load import LoadedModel, load_for_inference, load_network
from talkalike.models.roles import Roles
from talkalike.workspace.cards import Card, Catalog
from tiny_model import build_tiny_llama, build_tiny_t5, byte_level_tokenizer

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 9, 300, 17, 44, 121, 8]])
LORA = AdapterSettings(rank=4)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


def double(catalog: Catalog, method: str = "lora", base: str = "tiny") -> Path:
    """A double on the base whose adapter changes a good deal."""
    network = load_network(catalog.path(base), dtype=torch.float32, device=CPU)
    trainable = make_trainable(network, AdapterSettings(method=method, rank=3, prompt_length=4), seed=1)
    disturb(dict(trainable.parameters), seed=2)
    folder = catalog.path(f"anna-{method}")
    save_trained(trainable, folder, base=base, dtype=torch.float32)
    shutil.copy(catalog.path(base) / "tokenizer.json", folder)
    kind = "adapter" if method in {"lora", "dora", "prompt"} else "full"
    catalog.save_card(Card(name=folder.name, kind=kind, created="2026-01-02T00:00:00+00:00", parents=(base,)))
    return folder


def disturb(parameters: dict[str, torch.nn.Parameter], seed: int = 3, size: float = 0.1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += size * torch.randn(parameter.shape, generator=generator)


def opened(folder: Path, catalog: Catalog, dtype: str = "float32") -> Roles:
    return Roles.open(folder, catalog=catalog, device="cpu", dtype=dtype)


def logits(roles: Roles, name: str | None) -> torch.Tensor:
    with roles.use(name) as network, torch.no_grad():
        return network(IDS).logits


@pytest.mark.parametrize("method", ["lora", "last-n", "full"])
def test_training_one_role_leaves_the_reference_and_the_others_as_they_are(method: str, catalog: Catalog) -> None:
    folder = double(catalog)
    plain = load_for_inference(folder, catalog=catalog, dtype="float32", device="cpu").model
    roles = opened(folder, catalog)
    roles.add("critic", LORA, seed=1)
    roles.add("policy", AdapterSettings(method=method, rank=4, last_layers=1))
    roles.add("other", AdapterSettings(method="last-n", last_layers=1))
    checksum = roles.checksum()
    with torch.no_grad():
        assert torch.equal(logits(roles, None), plain(IDS).logits)  # the double, bit for bit
    for name in ("policy", "critic", "other"):
        torch.testing.assert_close(logits(roles, name), logits(roles, None), atol=1e-5, rtol=1e-4)
    unused = {n: p.detach().clone() for role in ("critic", "other") for n, p in roles.parameters(role).items()}
    flags = {name: [p.requires_grad for p in roles.parameters(name).values()] for name in roles.names}
    optimizer = torch.optim.AdamW(roles.parameters("policy").values(), lr=0.05)
    for _ in range(2):
        with roles.use("policy") as network:
            network(IDS, labels=IDS).loss.backward()
        assert all(p.grad is None for role in ("critic", "other") for p in roles.parameters(role).values())
        assert all(p.grad is None for p in roles.network.parameters())
        optimizer.step()
    assert flags == {name: [p.requires_grad for p in roles.parameters(name).values()] for name in roles.names}
    assert all(all(values) for values in flags.values())
    assert not any(p.requires_grad for p in roles.network.parameters())
    assert not torch.allclose(logits(roles, "policy"), logits(roles, None), atol=1e-3)
    assert roles.checksum() == checksum
    with torch.no_grad():
        assert torch.equal(logits(roles, None), plain(IDS).logits)
    after = {n: p for role in ("critic", "other") for n, p in roles.parameters(role).items()}
    assert all(torch.equal(after[name], before) for name, before in unused.items())


def test_a_role_can_be_added_in_part_and_is_saved_so(catalog: Catalog, tmp_path: Path) -> None:
    roles = opened(double(catalog), catalog)
    roles.add("policy", LORA)
    disturb(roles.parameters("policy"))
    whole, none = logits(roles, "policy"), logits(roles, None)
    roles.scale("policy", 0.0)
    torch.testing.assert_close(logits(roles, "policy"), none, atol=1e-6, rtol=1e-6)
    roles.scale("policy", 0.3)
    part = logits(roles, "policy")
    roles.save("policy", tmp_path / "alone", base="anna-lora", alone=True)
    folder = catalog.path("part")
    assert roles.save("policy", folder, base="tiny") == "adapter"
    catalog.save_card(Card(name="part", kind="adapter", created="2026-01-03T00:00:00+00:00", parents=("tiny",)))
    roles.scale("policy", 1.0)
    assert torch.equal(logits(roles, "policy"), whole)
    with torch.no_grad():
        for name, parameter in roles.parameters("policy").items():
            parameter *= 0.3 if name.endswith("lora_B") else 1.0
    by_hand = logits(roles, "policy")
    assert not torch.allclose(part, whole, atol=1e-3) and not torch.allclose(part, none, atol=1e-3)
    torch.testing.assert_close(part, by_hand, atol=1e-5, rtol=1e-4)
    roles.load("again", tmp_path / "alone")
    torch.testing.assert_close(logits(roles, "again"), by_hand, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        saved = load_for_inference(folder, catalog=catalog, dtype="float32", device="cpu").model(IDS).logits
    torch.testing.assert_close(saved, by_hand, atol=1e-4, rtol=1e-4)
    roles.add("copy", AdapterSettings(method="full"))
    with pytest.raises(ValueError, match="'copy' is no LoRA"):
        roles.scale("copy", 0.5)


def test_roles_nest_and_come_back_after_an_error(catalog: Catalog) -> None:
    roles = opened(catalog.path("tiny"), catalog)
    for seed, name in enumerate(("one", "two")):
        roles.add(name, LORA, seed=seed)
        disturb(roles.parameters(name), seed=seed)
    roles.add("blocks", AdapterSettings(method="last-n", last_layers=1))
    disturb(roles.parameters("blocks"))
    alone = {name: logits(roles, name) for name in (None, "one", "two", "blocks")}
    with roles.use("one") as network:
        assert torch.equal(logits(roles, "blocks"), alone["blocks"])
        with pytest.raises(RuntimeError, match="broken"), roles.use("two"):
            raise RuntimeError("broken")
        with torch.no_grad():
            assert torch.equal(network(IDS).logits, alone["one"])
    assert torch.equal(logits(roles, None), alone[None])
    assert not torch.allclose(alone["one"], alone["two"], atol=1e-3)


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_a_policy_loads_like_any_double(method: str, catalog: Catalog) -> None:
    """On a LoRA double the two updates are joined by rank; on another it is saved as something that loads."""
    roles = opened(double(catalog, method), catalog)
    roles.add("policy", LORA)
    disturb(roles.parameters("policy"))
    base = {"lora": "tiny", "dora": "tiny", "full": "anna-full"}[method]
    kind = roles.save("policy", catalog.path("anna-rl"), base=base)
    assert kind == {"lora": "adapter", "dora": "full", "full": "adapter"}[method]
    catalog.save_card(Card(name="anna-rl", kind=kind, created="2026-01-03T00:00:00+00:00", parents=(base,)))
    loaded = load_for_inference(catalog.path("anna-rl"), catalog=catalog, dtype="float32", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(IDS).logits, logits(roles, "policy"), atol=2e-4, rtol=1e-4)
    if method == "lora":  # and the library itself reads it
        plain = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", FutureWarning)
            theirs = PeftModel.from_pretrained(plain, str(catalog.path("anna-rl"))).eval()
            torch.testing.assert_close(theirs(IDS).logits, logits(roles, "policy"), atol=2e-4, rtol=1e-4)


def test_an_aligned_double_can_be_aligned_again(catalog: Catalog) -> None:
    source = double(catalog)
    for round_ in range(2):
        roles = opened(source, catalog)
        roles.add("policy", LORA, seed=round_)
        disturb(roles.parameters("policy"), seed=round_)
        source = catalog.path(f"anna-rl-{round_}")
        roles.save("policy", source, base="tiny")
        catalog.save_card(Card(name=source.name, kind="adapter", created="2026-01-03", parents=("tiny", "anna-lora")))
    loaded = load_for_inference(source, catalog=catalog, dtype="float32", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(IDS).logits, logits(roles, "policy"), atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["last-n", "full"])
def test_copied_weights_are_saved_as_a_whole_model(method: str, catalog: Catalog) -> None:
    roles = opened(double(catalog), catalog)
    roles.add("policy", AdapterSettings(method=method, last_layers=1))
    disturb(roles.parameters("policy"), size=0.02)
    assert roles.save("policy", catalog.path("anna-rl"), base="tiny") == "full"
    loaded = load_for_inference(catalog.path("anna-rl"), catalog=catalog, dtype="float32", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(IDS).logits, logits(roles, "policy"), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(loaded.model(IDS).logits, logits(roles, None), atol=1e-2)


def test_a_role_saved_alone_comes_back_onto_the_same_reference(catalog: Catalog) -> None:
    folder = double(catalog)
    roles = opened(folder, catalog)
    roles.add("reward", LORA)
    disturb(roles.parameters("reward"))
    roles.save("reward", catalog.path("liking"), base=folder.name, alone=True)
    again = opened(folder, catalog)
    again.load("reward", catalog.path("liking"))
    assert torch.equal(logits(again, "reward"), logits(roles, "reward"))
    roles.remove("reward")
    assert roles.names == ()


def test_conv1d_layers_are_adapted_and_saved_too(catalog: Catalog) -> None:
    tokenizer = byte_level_tokenizer()
    settings = GPT2Config(vocab_size=tokenizer.get_vocab_size(), n_embd=32, n_layer=2, n_head=4, n_positions=64)
    GPT2LMHeadModel(settings).save_pretrained(catalog.path("gpt"))
    tokenizer.save(str(catalog.path("gpt") / "tokenizer.json"))
    catalog.save_card(Card(name="gpt", kind="base", created="2026-01-01"))
    roles = opened(catalog.path("gpt"), catalog)
    roles.add("policy", LORA)
    disturb(roles.parameters("policy"))
    assert roles.save("policy", catalog.path("gpt-rl"), base="gpt") == "adapter"
    catalog.save_card(Card(name="gpt-rl", kind="adapter", created="2026-01-02", parents=("gpt",)))
    loaded = load_for_inference(catalog.path("gpt-rl"), catalog=catalog, dtype="float32", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(IDS).logits, logits(roles, "policy"), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(loaded.model(IDS).logits, logits(roles, None), atol=1e-2)


def test_four_roles_take_a_fraction_of_four_copies() -> None:
    """The embedded base's shape, without its weights."""
    shape = LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        network = LlamaForCausalLM(shape)
    roles = Roles(LoadedModel(name="shape", model=network, tokenizer=Tokenizer(models.BPE()), context_length=2048))
    for name in ("policy", "reward", "critic"):
        roles.add(name, AdapterSettings(rank=16))
    copies = 4 * roles.nbytes[""]
    assert copies == pytest.approx(2152e6, rel=0.01)
    assert sum(roles.nbytes.values()) / copies <= 0.3


def test_models_that_roles_cannot_stand_on_are_refused(catalog: Catalog) -> None:
    build_tiny_t5(catalog.path("t5"))
    with pytest.raises(UserError, match="encoder-decoder"):
        opened(catalog.path("t5"), catalog)
    with pytest.raises(UserError, match="soft prompt"):
        opened(double(catalog, "prompt"), catalog)
    roles = opened(catalog.path("tiny"), catalog)
    with pytest.raises(UserError, match="cannot be a role"):
        roles.add("policy", AdapterSettings(method="prompt"))
    roles.add("policy", LORA)
    with pytest.raises(ValueError, match="already"):
        roles.add("policy", LORA)
    with pytest.raises(ValueError, match="no role"), roles.use("critic"):
        pass
