"""What a training takes in memory: reckoned, measured, told before its first step; and which base is recommended."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from command_line import sample_workspace, succeed
from families import build as build_family
from talkalike.cli import advising, fitting
from talkalike.cli.workspace import open_workspace
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.models.footprint import FIRST_STEP, TrainingPlan, estimate, read_shape, trained_numbers
from talkalike.models.known_bases import KNOWN, WAYS, largest_that_fits, saving_ways
from talkalike.models.load import load_network
from tiny_model import build_tiny_llama

ROOT = Path(__file__).resolve().parents[1]
PLANS = ["lora,bfloat16,512,512", "lora,bfloat16,1536,512", "full,bfloat16,512,512", "full,bfloat16,1536,512"]
PLANS += ["last-n,bfloat16,1536,512", "lora,bfloat16,1536,512,recompute"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_the_estimate_is_within_a_fifth_of_what_trainings_take(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    with torch.random.fork_rng():
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "base")
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "memory_child.py"), str(tmp_path / "base"), *PLANS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["plan"] for each in found] == PLANS
    wrong = [each for each in found if not 0.8 < (each["estimated"] + FIRST_STEP) / each["measured"] < 1.2]
    assert not wrong, found


@pytest.mark.parametrize("family", ["llama", "qwen3", "smollm3"])
@pytest.mark.parametrize("method", ["lora", "dora", "full", "last-n", "prompt"])
def test_what_is_trained_is_counted_before_it_is_loaded(tmp_path: Path, family: str, method: str) -> None:
    folder = build_family(family, tmp_path / "base") if family != "llama" else build_tiny_llama(tmp_path / "base")
    network = load_network(folder, dtype=torch.float32, device=torch.device("cpu"))
    trained = make_trainable(network, AdapterSettings(method=method, last_layers=1), seed=0).trained
    shape = read_shape(folder)
    assert shape is not None
    assert shape.numbers == sum(parameter.numel() for parameter in network.parameters()) or method != "full"
    assert trained_numbers(shape, TrainingPlan(method=method, last_layers=1)) == pytest.approx(trained, rel=0.02)


def test_the_sizes_of_known_bases_are_those_that_they_are_named_after() -> None:
    billions = {known.name: known.shape.numbers / 1e9 for known in KNOWN}
    for name, numbers in billions.items():
        unit = {"M": 1e-3, "B": 1.0}[name[-1]]
        assert numbers == pytest.approx(float(re.findall(r"[\d.]+(?=[MB]$)", name)[0]) * unit, rel=0.06)
    assert list(billions.values()) == sorted(billions.values())


def test_each_way_to_save_memory_saves_some() -> None:
    for known in KNOWN:
        totals = [estimate(known.shape, way).total for way in saving_ways(TrainingPlan(device="cuda"))]
        assert totals == sorted(totals, reverse=True)
        assert len(set(totals)) == 3


def test_the_table_of_the_documents_is_what_is_reckoned() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    sizes = (8, 12, 16, 24)
    for words, plan in WAYS.items():
        row = " | ".join(largest_that_fits(size, plan) for size in sizes)
        assert f"| {words} | {row} |" in text


# ------------------------------------------------------------------------------------------------------ what people see
@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_workspace(tmp_path_factory.mktemp("sample"))


def machine(free: float) -> fitting.Machine:
    return fitting.Machine(device="cpu", half=True, free_bytes=int(free))


def test_doctor_and_prepare_tell_what_a_training_takes(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {check["name"]: check for check in succeed("doctor", "-w", sample, "--json").json["checks"]}
    assert re.match(
        r"about \d.* \(lora on tiny, 2,048 tokens at once, cpu\); .* are free\.", told["training memory"]["found"]
    )
    arguments = ["prepare", "-s", "Juno Marwick", "--name", "juno", "-w", sample]
    memory = succeed(*arguments, "--json").json["memory"]
    assert memory["fits"] and memory["measured_tokens"] == 1024
    assert memory["measured_estimate"] == pytest.approx(memory["measured_bytes"], rel=0.2)
    monkeypatch.setattr(fitting, "this_machine", lambda _workspace: machine(100e6))
    shown = " ".join(succeed(*arguments).out.split())
    assert re.search(r"Training takes about \d.* 100 MB are free\. Measured here with 1,024 tokens at once", shown)
    assert "That does not fit this machine. Choose a smaller base: `talkalike advise base`" in shown
    told = {check["name"]: check for check in succeed("doctor", "-w", sample, "--json").json["checks"]}
    assert told["training memory"]["state"] == "warning"
    assert "advise base" in told["training memory"]["todo"]


def test_what_would_fit_is_the_least_change(sample: Path) -> None:
    shape, plan = KNOWN[0].shape, TrainingPlan()

    def told(gigabytes: float, method: str = "lora") -> str:
        return fitting.what_would_fit(shape, dataclasses.replace(plan, method=method), machine(gigabytes * 1e9))

    assert told(3.0) == "Set row_tokens = 1024 in [train]."
    assert told(1.2) == "Set gradient_checkpointing = true in [train] and row_tokens = 1024 in [train]."
    assert told(1.1).startswith('Set quantize = "4bit" in [model] and gradient_checkpointing = true in [train]')
    assert told(0.5) == "Choose a smaller base: `talkalike advise base` names those that fit."
    assert told(0.5, "full").endswith("Or train with --method lora.")


def test_the_largest_base_is_recommended_that_fits_and_is_trained_in_time(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = KNOWN[0].shape.work
    monkeypatch.setattr(advising, "_speed_here", lambda *_: (1000.0, work, "a test"))

    def names(free: float, *options: object) -> tuple[str, dict[str, str]]:
        monkeypatch.setattr(advising, "this_machine", lambda _workspace: machine(free))
        found = succeed("advise", "base", *options, "-w", sample, "--json").json
        return found["recommended"] and found["recommended"]["name"], {
            each["name"]: each["why_not"] for each in found["candidates"]
        }

    chosen, why = names(64e9, "--messages", 1000, "--hours", 1000)
    assert (chosen, set(why.values())) == ("Qwen3-14B", {""})
    chosen, why = names(9e9, "--messages", 1000, "--hours", 1000)
    assert chosen == "Qwen3-4B" and why["Qwen3-8B"] == "more than the free memory"
    chosen, why = names(64e9, "--messages", 100_000, "--hours", 4)
    assert chosen == "SmolLM2-135M" and why["Qwen3-8B"] == "longer than 4 h"
    assert names(64e9, "--messages", 1_000_000, "--hours", 0.1)[0] is None
    shown = succeed("advise", "base", "--messages", 1000, "--hours", 1000, "-w", sample).out
    assert 'base = "Qwen/Qwen3-14B"' in shown


def test_the_speed_is_measured_where_no_base_was(sample: Path) -> None:
    workspace = open_workspace(sample)
    speed, work, measured_on = advising._speed_here(workspace, machine(1e9))
    assert (work, measured_on) == (KNOWN[0].shape.work, "products of matrices")
    assert 1 < speed < 1e7


def test_init_names_the_advice(tmp_path: Path) -> None:
    assert "talkalike advise base" in succeed("init", tmp_path / "new").out
