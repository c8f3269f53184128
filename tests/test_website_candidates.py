"""The page of a candidate of `align loop`: how its blind comparison came out, what it cost, what is expected of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from runs_workspace import FakeRunCommands, add_card, fill
from talkalike.website.services import SiteServices
from website_judging import MODELS, make_batch, vote

pytest_plugins = ("website_site",)


@pytest.fixture
def workspace(services: SiteServices) -> FakeRunCommands:
    fill(services.root)
    services.run_commands = commands = FakeRunCommands(services.root)
    return commands


def test_a_candidate_that_did_not_win_is_used_only_when_asked_again(
    person: Callable[..., Any], services: SiteServices, workspace: FakeRunCommands
) -> None:
    call, (candidate, _) = services.store.call, MODELS
    add_card(workspace.root, candidate, parents=("tiny",), settings={"round": {"batch": call(make_batch, 8)}})
    owner, model = person("owner"), f"/runs/model/{candidate}/"
    assert "Nobody has judged it yet (8 pairs)." in owner.get(model).content.decode()
    asked = owner.post(f"{model}promote/").content.decode()
    assert workspace.chosen is None and "has not been judged yet" in asked and 'href="/judge/1/"' in asked

    call(vote, 1, "base", 6)
    shown = " ".join(re.sub(r"<[^>]+>", " ", owner.get(model).content.decode()).split())
    assert "Better 0 Worse 6 Neither 0 Win rate 0 % Judged 6 times" in shown
    assert "0.0 % to 39.0 %). The chance that it is really better is 1 %; it is worse." in shown
    asked = owner.post(f"{model}promote/").content.decode()
    assert workspace.chosen is None and "did not win its blind comparison" in asked and "worse 6 times" in asked
    told = owner.post(f"{model}promote/", {"anyway": "yes"}, follow=True).content.decode()
    assert workspace.chosen == candidate and "now the model in use. Judged 6 times" in told

    workspace.chosen = None
    add_card(workspace.root, candidate, parents=("tiny",), settings={"round": {"batch": call(make_batch, 8, seed=9)}})
    call(vote, 2, candidate, 5)
    told = owner.post(f"{model}promote/", follow=True).content.decode()
    assert workspace.chosen == candidate and "better 5 times, worse 0 times (95 % interval" in told


def test_a_candidate_s_page_tells_what_it_cost_and_what_is_expected_of_it(
    person: Callable[..., Any], services: SiteServices, workspace: FakeRunCommands
) -> None:
    batch, name = services.store.call(make_batch, 8), MODELS[0]
    expected = {"expected_wins": 0.814, "expected_wins_low": 0.7, "expected_wins_high": 0.93}
    checks = {"likeness_before": 0.9, "likeness": 0.85, "copied_before": 0.0, "copied": 0.02, **expected}
    scores = {
        "strength": 0.4,
        "heldout_loss_before": 2.5,
        "heldout_loss": 2.6,
        "copied_before": 0.5,
        "copied": 0.5,
        "checks": checks,
    }
    add_card(workspace.root, name, parents=("tiny",), scores=scores, settings={"round": {"batch": batch}})
    page = person("owner").get(f"/runs/model/{name}/").content.decode()
    shown = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Of what it learned, 40 % is kept. By the reward model" in shown
    assert "people will prefer it in 81 % of the pairs (70 to 93 %; a tie counts as half)" in shown
    assert "share of reply bundles taken for the owner&#x27;s 0.900 0.850" in shown
    assert "held-out loss on real replies 2.500 2.600" in shown
    assert "replies that repeat the training chats 0.000 0.020" in shown, "the later measurement, on more replies"
