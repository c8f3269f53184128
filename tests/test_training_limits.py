"""What a training may not do: take more minutes than it was given, make a model of nothing, measure by nothing."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import load_for_inference
from talkalike.models.packed import target_logprobs
from talkalike.training import loop
from talkalike.training.loop import Progress, make_accelerator, mean_loss
from talkalike.training.sft import train_supervised
from talkalike.training.values import Evaluated, Finished, Started
from talkalike.workspace.cards import Catalog
from talkalike.workspace.run_folder import RunFolder
from test_examples import ANNA, BOB, Chats, prepared
from test_training import CPU, LOOP, config, events, run_loop, some_examples, steps_of, tiny_catalog, trainable_tiny


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return tiny_catalog(tmp_path)


@pytest.fixture
def examples(tmp_path: Path, catalog: Catalog) -> ExampleSet:
    return some_examples(tmp_path, catalog)


class Clock:
    """Time that passes only by being asked for."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def perf_counter(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(("loading", "ending"), [(0.0, 0.0), (30.0, 20.0)])
def test_minutes_bound_all_of_the_training(
    loading: float, ending: float, catalog: Catalog, examples: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of five seconds, five seconds for what is done between two, and what comes before and after them."""
    monkeypatch.setattr(loop, "time", Clock(5.0))
    progress = Progress(seconds=loading, loading=loading, ending=ending)
    steps = run_loop(trainable_tiny(catalog), examples, dataclasses.replace(LOOP, epochs=10_000, minutes=4.0), progress)
    assert len(steps) == (240 - loading - ending) // 10
    assert 230 <= progress.seconds + ending <= 240
    assert [step.done for step in steps] == sorted(step.done for step in steps) and 0.9 < steps[-1].done <= 1.0
    assert steps[-1].learning_rate < 0.2 * LOOP.learning_rate < steps[len(steps) // 4].learning_rate


def test_minutes_that_are_over_before_a_step_make_no_model(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "runs" / "1")
    run.began -= 61.0  # loading took long
    settings = config(loop=dataclasses.replace(LOOP, minutes=1.0))
    happened = []
    with pytest.raises(UserError, match=r"1 minutes are over before the first step: .* took \d+ seconds") as caught:
        for event in train_supervised(settings, catalog=catalog, examples=examples, run=run):
            happened.append(event)
    assert caught.value.exit_code == 2
    assert [type(event) for event in happened] == [Started, Evaluated]
    assert not catalog.exists("anna-1")


def test_what_learned_nothing_is_no_model(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    nothing = config(loop=dataclasses.replace(LOOP, learning_rate=1e-30, epochs=1))
    with pytest.raises(UserError, match=r"Nothing was learned in .* steps: the held-out loss never fell below"):
        events(nothing, catalog, examples, tmp_path / "runs" / "1")
    stopped = events(nothing, catalog, examples, tmp_path / "runs" / "2", should_stop=lambda: True)[-1]
    assert isinstance(stopped, Finished)
    assert (stopped.reason, stopped.card) == ("stopped", None)
    assert RunFolder(tmp_path / "runs" / "2").description()["state"] == "stopped"
    assert not catalog.exists("anna-1")


def test_without_anything_held_out_the_last_state_is_kept(catalog: Catalog, tmp_path: Path) -> None:
    renderer = Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))
    same = "this is always exactly the same long message of mine"
    said = [
        (who, 24.0 * day + place, text)
        for day in range(3)
        for place, (who, text) in enumerate(((BOB, "q"), (ANNA, same)))
    ]
    examples = prepared(Chats({"one": said}), tmp_path / "examples" / "anna", renderer)
    assert (examples.manifest.train.learned, examples.manifest.heldout.learned) == (3, 0)
    happened = events(config(patience=1), catalog, examples, tmp_path / "runs" / "1")
    assert not any(isinstance(event, Evaluated) for event in happened)
    done = happened[-1]
    assert isinstance(done, Finished) and done.card is not None
    assert "heldout_loss" not in done.card.scores
    assert done.card.scores["best_step"] == steps_of(happened)[-1].index > 1
    loaded = load_for_inference(catalog.path("anna-1"), catalog=catalog, dtype="float32", device="cpu")
    documents = examples.split("train")
    logprobs = target_logprobs(loaded, [documents.ids(0)], [documents.mask(0)])
    assert -float(logprobs[0].mean()) < steps_of(happened)[0].loss - 0.1
    assert math.isnan(
        mean_loss(trainable_tiny(catalog), examples.split("heldout"), [], make_accelerator(CPU, torch.float32))
    )


def test_evaluation_uses_documents_with_something_to_predict(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    """Where training texts say most of what is held out, few held-out documents are left to measure."""
    heldout = examples.split("heldout")
    masks = [heldout.mask(index).copy() * (index == len(heldout) - 1) for index in range(len(heldout))]
    np.save(examples.folder / "heldout.mask.npy", np.concatenate(masks))
    assert len(heldout) > 2 and examples.split("heldout").measurable == [len(heldout) - 1]
    happened = events(config(evaluation_tokens=1), catalog, examples, tmp_path / "runs" / "1")
    assert all(event.heldout_loss > 1 for event in happened if isinstance(event, Evaluated))


def test_examples_longer_than_the_base_reads_are_refused(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    file = catalog.path("tiny") / "config.json"
    longest = max(examples.split("train").lengths.tolist())
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_position_embeddings": longest - 1}))
    with pytest.raises(UserError, match=f"has {longest} tokens, and 'tiny' reads {longest - 1} at once"):
        events(config(), catalog, examples, tmp_path / "runs" / "1")
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_position_embeddings": longest + 4}))
    with pytest.raises(UserError, match="reads"):  # five more for the soft prompt
        events(
            config(adapter=AdapterSettings(method="prompt", prompt_length=5)),
            catalog,
            examples,
            tmp_path / "runs" / "2",
        )
