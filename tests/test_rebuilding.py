"""What was kept as JSON comes back as it was, or an error names the file and the field."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.preference_values import PreferenceConfig
from talkalike.alignment.reward_model import RewardForm
from talkalike.alignment.reward_values import RewardConfig
from talkalike.alignment.rl_settings import PolicyUpdate, RLConfig, RLSettings
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.training.values import LoopSettings, TrainConfig
from talkalike.workspace.rebuilding import read_as
from talkalike.workspace.run_folder import RunFolder

FEEDBACK = FeedbackSettings(learning_rate=1e-4, epochs=2)
CONFIGS = [
    TrainConfig(name="a", base="b", loop=LoopSettings(learning_rate=1e-3, minutes=None), trackers=("wandb",)),
    PreferenceConfig(name="a", double="b", loop=FEEDBACK, weights=(1.0, 1.5), policy=AdapterSettings(rank=4)),
    RewardConfig(name="a", reference="b", loop=FEEDBACK, weights={"helpful": 2.0}),
    RLConfig(name="a", double="b", reward="sentiment", settings=RLSettings(minutes=3.0, algorithm="ppo")),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_settings_of_a_run_come_back_as_they_were(config: object, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.describe({"settings": dataclasses.asdict(config)})  # type: ignore[call-overload]
    assert run.settings_as(type(config)) == config


def test_a_run_of_an_earlier_version_comes_back_with_its_settings(tmp_path: Path) -> None:
    wanted = RLSettings(group_size=7, algorithm="ppo", update=PolicyUpdate(gae_lambda=0.9))
    config = RLConfig(name="a", double="b", reward="sentiment", settings=wanted)
    kept = dataclasses.asdict(config)
    kept["settings"]["samples"] = kept["settings"].pop("group_size")
    kept["settings"]["update"]["decay"] = kept["settings"]["update"].pop("gae_lambda")
    run = RunFolder(tmp_path / "run")
    run.describe({"settings": kept})
    assert run.settings_as(RLConfig) == config


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    kept = dataclasses.asdict(CONFIGS[0])
    for field, changes in {
        "loop.seed": {"loop": {**kept["loop"], "seed": "many"}},
        "loop.colour": {"loop": {**kept["loop"], "colour": "red"}},
        "base": {"base": None},
    }.items():
        run.describe({"settings": {**kept, **changes}})
        with pytest.raises(UserError, match=rf"run\.json is damaged or from another version: {field}: ") as caught:
            run.settings_as(TrainConfig)
        assert caught.value.hint
    run.describe({"settings": {name: value for name, value in kept.items() if name != "name"}})
    with pytest.raises(UserError, match="another version: name: Field required"):
        run.settings_as(TrainConfig)
    run.describe({})
    with pytest.raises(UserError, match="another version: TrainConfig: "):
        run.settings_as(TrainConfig)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "reward.json"
    form = RewardForm(reference="tiny", scales=("helpful",), weights={"helpful": 1.0}, pair_scale="helpful")
    file.write_text(json.dumps(dataclasses.asdict(form)))
    assert read_as(RewardForm, file, hint="Train it again.") == form
    for text in ("{", "[" * 10_000):
        file.write_text(text)
        with pytest.raises(UserError, match=r"reward\.json cannot be read"):
            read_as(RewardForm, file, hint="Train it again.")
    file.unlink()
    with pytest.raises(UserError, match=r"reward\.json cannot be read"):
        read_as(RewardForm, file, hint="Train it again.")
