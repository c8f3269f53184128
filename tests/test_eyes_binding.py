"""A tiny real model learns in seconds to take the names of colours from the examples before the question."""

from __future__ import annotations

import statistics

import pytest

import binding


@pytest.fixture(scope="module")
def learned():
    """The model after its training, and pictures of colours on shapes that it never saw together."""
    model, losses = binding.new_model(), []
    for loss in binding.learn(model, binding.training_gallery(), steps=binding.STEPS):
        losses.append(loss)
    assert statistics.fmean(losses[-10:]) < 0.33
    return model, binding.unseen_gallery()


def test_two_examples_bind_names_that_were_made_up_for_them(learned):
    assert binding.accuracy(*learned, shots=2, count=400) >= 0.95
    assert binding.accuracy(*learned, shots=8) >= 0.95
    assert binding.accuracy(*learned, shots=1) == pytest.approx(0.5 + 0.5 / 3, abs=0.15), "one name was never said"
    assert binding.accuracy(*learned, shots=0) == pytest.approx(0.25, abs=0.12)


@pytest.mark.parametrize("arm", ["shuffled", "blank shots", "blank query"])
def test_without_their_pictures_or_names_the_examples_bind_nothing(learned, arm):
    for shots in (2, 8):
        assert binding.accuracy(*learned, shots=shots, arm=arm) <= 0.65
