"""Preference losses: their numbers, what they move, and what they leave alone."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from judged_replies import comparison, correction, flag, laughing, ratings, sentence, written
from talkalike.alignment.feedback_loop import reply_rows
from talkalike.alignment.feedback_values import (
    FeedbackEvaluated,
    FeedbackFinished,
    FeedbackSettings,
    FeedbackStarted,
    FeedbackStep,
)
from talkalike.alignment.judged import JudgedContext, Judgements, gather, read_judgements
from talkalike.alignment.judged_parts import EncodedContext, encode_contexts
from talkalike.alignment.preference import dpo_losses, ipo_losses, kto_losses, mismatch_kl, simpo_losses
from talkalike.alignment.preference_objective import (
    POLICY,
    LossSettings,
    PreferenceObjective,
    ReferenceLogprobs,
    reply_logprobs,
    with_opinions,
)
from talkalike.alignment.preference_training import PreferenceSources, train_on_preferences
from talkalike.alignment.preference_values import PreferenceConfig, PreferenceEvent
from talkalike.errors import UserError
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import load_for_inference
from talkalike.models.roles import Roles
from talkalike.store.judging.judgement_values import Choice
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder
from test_alignment_roles import disturb, double
from tiny_model import build_tiny_llama

LOOP = FeedbackSettings(learning_rate=3e-3, epochs=2, batch=8)
NUMBERS = st.lists(st.tuples(*[st.floats(-60, 0) for _ in range(4)]), min_size=1, max_size=6)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    double(catalog)
    return catalog


def config(**changes: Any) -> PreferenceConfig:
    fields: dict[str, Any] = {"name": "anna-dpo", "double": "anna-lora", "loop": LOOP, "dtype": "float32"}
    fields |= {"device": "cpu", "policy": AdapterSettings(rank=4)}
    return PreferenceConfig(**{**fields, **changes})


def judgements(tmp_path: Path, *records: Any) -> Judgements:
    return read_judgements(written(tmp_path / "judgements.jsonl", records))


def aligned(
    chosen: PreferenceConfig, catalog: Catalog, given_: Judgements, run: Path, **options: Any
) -> tuple[list[PreferenceEvent], FeedbackFinished]:
    examples = options.pop("examples", None)
    sources = PreferenceSources(catalog=catalog, judgements=given_, cache=run.parent / "cache", examples=examples)
    events = list(train_on_preferences(chosen, sources, run=RunFolder(run), **options))
    assert isinstance(events[-1], FeedbackFinished)
    return events, events[-1]


def roles_of(catalog: Catalog) -> Roles:
    return Roles.open(catalog.path("anna-lora"), catalog=catalog, device="cpu", dtype="float32")


def contexts_of(roles: Roles, given_: Judgements) -> list[EncodedContext]:
    made, _ = encode_contexts(gather(given_).contexts, Renderer(roles.loaded.tokenizer), max_tokens=256)
    return made


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value)) if value > -500 else value


@given(NUMBERS, st.floats(0.01, 2))
def test_losses_equal_their_definitions_number_by_number(rows: list[tuple[float, ...]], beta: float) -> None:
    table = torch.tensor(rows, dtype=torch.float64)
    better, worse = table[:, 0] - table[:, 2], table[:, 1] - table[:, 3]
    lengths = torch.arange(1, len(rows) + 1).double(), torch.arange(2, len(rows) + 2).double()
    dpo = dpo_losses(better, worse, beta=beta)
    ipo = ipo_losses(better, worse, better_lengths_P=lengths[0], worse_lengths_P=lengths[1], beta=beta)
    simpo = simpo_losses(table[:, 0], table[:, 1], beta=beta, gamma=0.5)
    good = torch.tensor([index % 2 == 0 for index in range(len(rows))])
    kto = kto_losses(better, good, torch.tensor(0.3, dtype=torch.float64), beta=beta, weights=(1.0, 1.5))
    for index, (a, b, reference_a, reference_b) in enumerate(rows):
        ratio_a, ratio_b = a - reference_a, b - reference_b
        assert float(dpo[index]) == pytest.approx(-log_sigmoid(beta * (ratio_a - ratio_b)), abs=1e-9)
        per_token = ratio_a / (index + 1) - ratio_b / (index + 2)
        assert float(ipo[index]) == pytest.approx((per_token - 1 / (2 * beta)) ** 2, rel=1e-9)
        assert float(simpo[index]) == pytest.approx(-log_sigmoid(beta * (a - b) - 0.5), abs=1e-9)
        side, weight = (1, 1.0) if index % 2 == 0 else (-1, 1.5)
        expected = weight * (1 - math.exp(log_sigmoid(beta * side * (ratio_a - 0.3))))
        assert float(kto[index]) == pytest.approx(expected, abs=1e-6)


def test_losses_at_numbers_worked_out_by_hand() -> None:
    two, zero = torch.tensor([2.0]), torch.tensor([0.0])
    assert dpo_losses(two, zero, beta=0.5).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert dpo_losses(zero, zero, beta=0.5).item() == pytest.approx(math.log(2))
    lengths = {"better_lengths_P": torch.tensor([2.0]), "worse_lengths_P": torch.tensor([4.0])}
    assert ipo_losses(two, -two, beta=0.5, **lengths).item() == pytest.approx((1 + 0.5 - 1) ** 2)
    assert simpo_losses(two, zero, beta=2.0, gamma=4.0).item() == pytest.approx(math.log(2))
    bad = kto_losses(two, torch.tensor([False]), torch.tensor(2.0), beta=0.1, weights=(1.0, 3.0))
    assert bad.item() == pytest.approx(1.5)
    assert mismatch_kl(torch.tensor([1.0, 2.0])).item() == 1.5
    assert mismatch_kl(torch.tensor([-1.0, -2.0])).item() == 0.0
    assert not mismatch_kl(torch.tensor([1.0], requires_grad=True)).requires_grad


def test_log_probabilities_are_those_of_replies_alone(catalog: Catalog, tmp_path: Path) -> None:
    """Against one unpadded sequence at a time in transformers' own attention; the prompt never counts."""
    roles = roles_of(catalog)
    roles.add(POLICY, AdapterSettings(rank=4))
    disturb(roles.parameters(POLICY))
    contexts = contexts_of(roles, judgements(tmp_path, *laughing(5)))
    for role in (None, POLICY):
        for row_tokens in (1, 60, 4096):
            for row in reply_rows(contexts, range(5), row_tokens=row_tokens, device=roles.device):
                with torch.no_grad():
                    found = reply_logprobs(roles, role, row)
                samples = [sample for index in row.contexts for sample in contexts[index].samples]
                assert len(row.row.targets_L) == sum(len(sample.reply_ids) for sample in samples)
                for sample, value in zip(samples, found, strict=True):
                    ids = torch.tensor([[*sample.prompt_ids, *sample.reply_ids]])
                    with torch.no_grad(), roles.use(role) as network:
                        logprobs = network(ids).logits[0].log_softmax(dim=-1)
                    start = len(sample.prompt_ids)
                    expected = sum(float(logprobs[t - 1, ids[0, t]]) for t in range(start, ids.shape[1]))
                    assert float(value) == pytest.approx(expected, abs=1e-3)


def test_reference_log_probabilities_come_from_disk_the_second_time(catalog: Catalog, tmp_path: Path) -> None:
    roles = roles_of(catalog)
    contexts = contexts_of(roles, judgements(tmp_path, *laughing(6)))
    first = ReferenceLogprobs(roles, tmp_path / "cache")
    sums = first.of(contexts[:4], row_tokens=512)
    file = first.file
    written_at = file.stat().st_mtime_ns
    calls: list[int] = []
    roles.network.lm_head.register_forward_pre_hook(lambda *_: calls.append(1))
    again = ReferenceLogprobs(roles, tmp_path / "cache")
    assert again.of(contexts[:4], row_tokens=512) == sums
    assert (calls, file.stat().st_mtime_ns) == ([], written_at)
    assert len(again.of(contexts, row_tokens=512)) == 6
    assert calls
    file.write_bytes(file.read_bytes()[:40])  # a crash
    assert ReferenceLogprobs(roles, tmp_path / "cache").known == {}
    with torch.no_grad():
        next(iter(roles.network.parameters())).add_(1e-3)
    assert ReferenceLogprobs(roles, tmp_path / "cache").file != file


def test_before_the_first_update_nothing_is_preferred(catalog: Catalog, tmp_path: Path) -> None:
    roles = roles_of(catalog)
    roles.add(POLICY, AdapterSettings(rank=4))
    contexts = contexts_of(roles, judgements(tmp_path, *laughing(5)))
    reference = ReferenceLogprobs(roles, tmp_path / "cache")
    settings = LossSettings(loss="dpo", beta=0.1, gamma=0.0, weights=(1.0, 1.0), row_tokens=512)
    tally = PreferenceObjective(roles, contexts, settings, reference).measure(batch=2)
    assert tally.mean_loss == pytest.approx(math.log(2), abs=1e-4)
    assert abs(tally.margin) < 1e-3


def test_a_batch_in_pieces_has_the_gradient_of_the_whole(catalog: Catalog, tmp_path: Path) -> None:
    """KTO too, whose estimate of the distance belongs to the batch."""
    given_ = judgements(tmp_path, *laughing(6))
    contexts = [with_opinions(context) for context in gather(given_).contexts]
    for loss in ("dpo", "kto"):
        gradients = []
        for row_tokens in (1, 4096):
            roles = roles_of(catalog)
            roles.add(POLICY, AdapterSettings(rank=4))
            disturb(roles.parameters(POLICY))
            chosen = contexts if loss == "kto" else gather(given_).contexts
            made, _ = encode_contexts(chosen, Renderer(roles.loaded.tokenizer), max_tokens=256)
            settings = LossSettings(loss=loss, beta=0.5, gamma=0.0, weights=(1.0, 1.0), row_tokens=row_tokens)
            objective = PreferenceObjective(roles, made, settings, ReferenceLogprobs(roles, tmp_path / "cache"))
            assert objective.accumulate(0, range(6), range(6)).judgements == (12 if loss == "kto" else 6)
            gradients.append(
                torch.cat([p.grad.flatten() for p in roles.parameters(POLICY).values() if p.grad is not None])
            )
            assert all(p.grad is None for p in roles.network.parameters())
        torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-3)
        assert float(gradients[0].abs().max()) > 0


@pytest.mark.parametrize("loss", ["dpo", "ipo", "simpo"])
def test_a_soft_label_costs_what_is_expected_of_it(loss: str, catalog: Catalog, tmp_path: Path) -> None:
    """A preference of which a judge is 70 % sure is 0.7 of it and 0.3 of its opposite."""
    roles = roles_of(catalog)
    roles.add(POLICY, AdapterSettings(rank=4))
    disturb(roles.parameters(POLICY))
    certain = contexts_of(roles, judgements(tmp_path, *laughing(3)))
    opposite = [dataclasses.replace(c, pairs=tuple((b, a) for a, b in c.pairs)) for c in certain]
    unsure = [dataclasses.replace(c, soft=dict.fromkeys(c.pairs, 0.7)) for c in certain]
    settings = LossSettings(loss=loss, beta=0.5, gamma=1.0, weights=(1.0, 1.0), row_tokens=4096)
    reference = ReferenceLogprobs(roles, tmp_path / "cache")
    one, other, found = (
        PreferenceObjective(roles, contexts, settings, reference).measure(batch=3)
        for contexts in (certain, opposite, unsure)
    )
    assert abs(one.loss - other.loss) > 1e-3
    assert found.loss == pytest.approx(0.7 * one.loss + 0.3 * other.loss, rel=1e-5)
    assert (found.accuracy, found.margin) == (one.accuracy, one.margin)


@pytest.mark.parametrize("loss", ["dpo", "ipo", "simpo", "kto"])
def test_every_loss_moves_the_double_to_what_is_preferred(loss: str, catalog: Catalog, tmp_path: Path) -> None:
    given_ = judgements(tmp_path, *laughing(60))
    rate = 2e-2 if loss == "simpo" else 6e-3  # without a reference it has to overcome what the model liked before
    loop = dataclasses.replace(LOOP, learning_rate=rate)
    events, finished = aligned(config(loss=loss, loop=loop), catalog, given_, tmp_path / "run")
    evaluations = [event for event in events if isinstance(event, FeedbackEvaluated)]
    assert evaluations[-1].heldout_loss < evaluations[0].heldout_loss
    assert evaluations[-1].margin > evaluations[0].margin
    assert evaluations[-1].accuracy > 0.8
    card = catalog.card("anna-dpo")
    assert card.kind == "adapter"
    assert card.parents == ("tiny", "anna-lora")
    assert card.settings["judgements"]["judgements"] == given_.digest
    assert card.scores["accuracy"] == finished.card.scores["accuracy"] > 0.8
    folder = catalog.path("anna-dpo")
    after = load_for_inference(folder, catalog=catalog, dtype="float32", device="cpu")
    before = load_for_inference(catalog.path("anna-lora"), catalog=catalog, dtype="float32", device="cpu")
    haha = Renderer(after.tokenizer).encode_text(" haha")
    ids = torch.tensor([[*Renderer(after.tokenizer).prompt((), "Anna"), *haha[:-1]]])
    with torch.no_grad():
        new, old = (m.model(ids).logits[0, -1].log_softmax(-1)[haha[-1]] for m in (after, before))
    assert new > old


@pytest.mark.parametrize("method", ["lora", "last-n"])
def test_nobody_else_is_touched(method: str, catalog: Catalog, tmp_path: Path) -> None:
    roles = roles_of(catalog)
    roles.add(POLICY, AdapterSettings(method=method, rank=4, last_layers=1))
    roles.add("critic", AdapterSettings(rank=4), seed=5)
    checksum = roles.checksum()
    critic = {name: p.detach().clone() for name, p in roles.parameters("critic").items()}
    contexts = contexts_of(roles, judgements(tmp_path, *laughing(4)))
    settings = LossSettings(loss="dpo", beta=0.1, gamma=0.0, weights=(1.0, 1.0), row_tokens=512)
    objective = PreferenceObjective(roles, contexts, settings, ReferenceLogprobs(roles, tmp_path / "cache"))
    optimizer = torch.optim.AdamW(roles.parameters(POLICY).values(), lr=1e-2)
    before = objective.measure(batch=4).margin
    for _ in range(2):
        objective.accumulate(0, range(4), range(4))
        optimizer.step()
        optimizer.zero_grad()
    assert objective.measure(batch=4).margin > before
    assert roles.checksum() == checksum
    assert all(torch.equal(p, critic[name]) and p.grad is None for name, p in roles.parameters("critic").items())


def test_a_resumed_training_does_what_an_uninterrupted_one_does(catalog: Catalog, tmp_path: Path) -> None:
    given_ = judgements(tmp_path, *laughing(30))
    whole, _ = aligned(config(name="whole"), catalog, given_, tmp_path / "whole")
    stops = iter([False, False, True])
    part, stopped = aligned(config(), catalog, given_, tmp_path / "run", should_stop=lambda: next(stops))
    assert stopped.reason == "stopped"
    assert not catalog.exists("anna-dpo")
    rest, _ = aligned(config(), catalog, given_, tmp_path / "run", resume=True)

    def losses(events: list[PreferenceEvent]) -> list[float]:
        return [event.loss for event in events if isinstance(event, FeedbackStep)]

    assert losses(part) + losses(rest) == losses(whole)
    files = [catalog.path(name) / "adapter_model.safetensors" for name in ("whole", "anna-dpo")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_corrections_are_pairs_and_ties_are_counted(catalog: Catalog, tmp_path: Path) -> None:
    rng = random.Random(2)
    records = [correction(number, sentence(rng), sentence(rng) + "\nhaha") for number in range(12)]
    ties = [comparison(number, "a", "b", Choice.TIE) for number in range(20, 23)]
    events, _ = aligned(config(), catalog, judgements(tmp_path, *records, *ties), tmp_path / "run")
    started = events[0]
    assert isinstance(started, FeedbackStarted)
    assert (started.judgements + started.heldout, started.corrections) == (12, 12)
    assert started.left_out == {"ties": 3}


def test_kto_reads_single_ratings_flags_and_pairs() -> None:
    context = JudgedContext(
        turns=(("Bob", "hi"),),
        speaker="Anna",
        replies=(("good",), ("middling",), ("poor",), ("torn",), ("flagged",), ("beaten",)),
        pairs=((3, 5),),
        ratings=((0, "honest", 5), (0, "helpful", 4), (1, "honest", 3), (2, "honest", 1), (3, "honest", 2)),
        bad=(4,),
    )
    chosen = with_opinions(context)
    said = {chosen.replies[place][0]: value for place, _, value in chosen.ratings}
    assert said == {"good": 5, "poor": 1, "flagged": 1, "beaten": 1}
    for share, count in ((0.7, 0), (0.8, 2)):  # an AI judge has to be fairly sure
        unsure = JudgedContext(
            turns=(), speaker="Anna", replies=(("a",), ("b",)), pairs=((0, 1),), soft={(0, 1): share}
        )
        assert len(with_opinions(unsure).ratings) == count


def test_what_cannot_be_learned_from_is_a_sentence_and_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    run = tmp_path / "run"
    only_ratings = judgements(tmp_path, *ratings(5, lambda laughs: 5))
    for match, chosen, records in (
        ("says which reply", config(), only_ratings),
        ("2 ties", config(), judgements(tmp_path, *(comparison(n, "a", "b", Choice.TIE) for n in range(2)))),
        ("3 ties", config(loss="kto"), judgements(tmp_path, *(comparison(n, "a", "b", Choice.TIE) for n in range(3)))),
        ("already", config(name="tiny"), only_ratings),
        ("no model called", config(double="gone"), only_ratings),
    ):
        with pytest.raises(UserError, match=match) as caught:
            aligned(chosen, catalog, records, run)
        assert caught.value.hint
    with pytest.raises(UserError, match="Unknown loss"):
        config(loss="best")
    with pytest.raises(UserError, match="beta"):
        config(beta=-1.0)
    assert sorted(card.name for card in catalog.cards()) == ["anna-lora", "tiny"]
    assert not run.exists()
    few = judgements(tmp_path, *laughing(3), flag(1, "no"))
    events, finished = aligned(config(heldout=0.1), catalog, few, run)
    assert isinstance(events[0], FeedbackStarted)
    assert "hold some out" in " ".join(events[0].remarks)
    assert finished.card.scores["accuracy"] is None


def test_the_settings_say_what_is_used() -> None:
    assert config().chosen_beta == 0.1
    assert config(loss="simpo").chosen_beta == 2.0
    assert dataclasses.replace(config(), beta=0.3).chosen_beta == 0.3
