"""A training that goes on from an earlier one, and one that is killed: nothing fails on what an earlier one left."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.training import sft
from talkalike.training.sft import train_supervised
from talkalike.training.values import Finished, Started, Step, TrainConfig
from talkalike.workspace.cards import Catalog
from talkalike.workspace.run_folder import RunFolder, failing_with, newest_unfinished
from test_training import LOOP, config, events, heldout_loss, some_examples, tiny_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return tiny_catalog(tmp_path)


@pytest.fixture
def examples(tmp_path: Path, catalog: Catalog) -> ExampleSet:
    return some_examples(tmp_path, catalog)


def killed(work: Callable[[], object]) -> None:
    """Runs it in a process of its own, which has to end by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it ended before it was killed"


def kill_myself(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(settings: TrainConfig, catalog: Catalog, examples: ExampleSet, run: RunFolder, moment: str) -> None:
    """Trains until the moment, and is killed there."""

    def work() -> None:
        if moment == "writing the model":
            sft.write_json = kill_myself  # type: ignore[assignment]  # the weights are there, the card is not
        for event in train_supervised(settings, catalog=catalog, examples=examples, run=run):
            at_start = moment == "start" and isinstance(event, Started)
            if at_start or (moment == "second step" and isinstance(event, Step) and event.index == 2):
                kill_myself()

    killed(work)


@pytest.mark.parametrize("method", ["lora", "last-n"])
def test_three_trainings_on_each_other_with_a_kill_in_each(method: str, catalog: Catalog, tmp_path: Path) -> None:
    loop = dataclasses.replace(LOOP, epochs=2, learning_rate=4e-3, batch_tokens=2400, row_tokens=2400)
    adapter = dataclasses.replace(config().adapter, method=method)
    plain = config(loop=loop, adapter=adapter, evaluations=1)
    for number, moment in enumerate(["second step", "start", "writing the model"], start=1):
        examples = some_examples(tmp_path / str(number), catalog, evenings_of_one=14 + 4 * number)
        name, start = f"anna-{number}", f"anna-{number - 1}" if number > 1 else ""
        often = 0.0 if moment == "second step" else 2.0  # a checkpoint after each step costs the disk's time
        settings = dataclasses.replace(plain, name=name, start=start, checkpoint_minutes=often)
        run = RunFolder(tmp_path / "runs" / name)
        kill_at(settings, catalog, examples, run, moment)
        assert not catalog.exists(name)
        assert newest_unfinished(tmp_path / "runs").name == name
        done = list(train_supervised(settings, catalog=catalog, examples=examples, run=run, resume=True))
        assert isinstance(done[-1], Finished) and done[-1].card is not None
        card = catalog.card(name)
        assert card.scores["heldout_loss"] == pytest.approx(heldout_loss(name, catalog, examples), abs=2e-3)
        if start:
            assert card.parents == ("tiny", start)
            before, base = card.scores["heldout_loss_before"], card.scores["heldout_loss_base"]
            assert before == pytest.approx(heldout_loss(start, catalog, examples), abs=2e-3)
            assert base == pytest.approx(heldout_loss("tiny", catalog, examples), abs=2e-3)
            assert card.scores["heldout_loss"] < before < base
    assert [card.name for card in catalog.cards()] == ["tiny", "anna-1", "anna-2", "anna-3"]


def test_a_model_that_does_not_fit_is_refused_as_a_start(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    events(config(loop=dataclasses.replace(LOOP, epochs=1)), catalog, examples, tmp_path / "runs" / "1")
    wider = config(name="anna-2", start="anna-1", adapter=AdapterSettings(rank=8))
    with pytest.raises(UserError, match="another rank"):
        events(wider, catalog, examples, tmp_path / "runs" / "2")
    with pytest.raises(UserError, match="is no adapter"):
        events(config(name="anna-2", start="tiny"), catalog, examples, tmp_path / "runs" / "2")


def test_a_training_that_ended_before_its_first_step_is_not_resumed(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    hasty = config(loop=dataclasses.replace(LOOP, minutes=1e-6))
    run = RunFolder(tmp_path / "runs" / "1")
    with failing_with(run), pytest.raises(UserError, match="before the first step"):
        list(train_supervised(hasty, catalog=catalog, examples=examples, run=run))
    assert run.description()["state"] == "failed"
    with pytest.raises(UserError, match="no unfinished training"):
        newest_unfinished(tmp_path / "runs")
