"""The reward model: what it is made of, what it learns, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from judged_replies import comparison, correction, flag, laughing, ratings, sentence, soft, written
from talkalike.alignment.feedback_loop import reply_rows
from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackSettings, FeedbackStarted, FeedbackStep
from talkalike.alignment.judged import Judgements, gather, read_judgements
from talkalike.alignment.judged_parts import encode_contexts, reply_ids
from talkalike.alignment.reward_model import RewardForm, RewardModel, expected_ratings, pair_losses, rating_losses
from talkalike.alignment.reward_objective import RewardObjective
from talkalike.alignment.reward_training import train_reward
from talkalike.alignment.reward_values import RewardConfig, RewardEvent, RewardFinished
from talkalike.alignment.values import ReplySample, checked_scores
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.packed import PACKED_ATTENTION
from talkalike.models.roles import Roles
from talkalike.store.judging.judgement_values import Choice, Kind, Scale
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder
from test_alignment_roles import disturb
from tiny_model import build_tiny_llama, build_tiny_t5

LOOP = FeedbackSettings(learning_rate=1e-2, epochs=3, batch=8)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


def config(**changes: Any) -> RewardConfig:
    fields: dict[str, Any] = {"name": "liking", "reference": "tiny", "loop": LOOP, "dtype": "float32", "device": "cpu"}
    fields |= {"adapter": AdapterSettings(rank=8), "head_rate": 1e-2}
    return RewardConfig(**{**fields, **changes})


def judgements(tmp_path: Path, *records: Any) -> Judgements:
    return read_judgements(written(tmp_path / "judgements.jsonl", records))


def trained(
    chosen: RewardConfig, catalog: Catalog, given: Judgements, run: Path, **options: Any
) -> tuple[list[RewardEvent], RewardFinished]:
    events = list(train_reward(chosen, catalog=catalog, judgements=given, run=RunFolder(run), **options))
    assert isinstance(events[-1], RewardFinished)
    return events, events[-1]


def a_model(
    catalog: Catalog, *, members: int = 1, scales: tuple[str, ...] = ("honest", "sounds_like_me")
) -> RewardModel:
    """One whose adapters and heads say something, if nothing sensible."""
    roles = Roles.open(catalog.path("tiny"), catalog=catalog, device="cpu", dtype="float32")
    weights = {scale: 1.0 + index for index, scale in enumerate(scales)}
    form = RewardForm(
        reference="tiny",
        scales=scales,
        weights=weights,
        pair_scale="sounds_like_me",
        members=members,
        max_tokens=256,
        adapter=AdapterSettings(rank=4),
    )
    model = RewardModel(roles, form)
    for member in range(members):
        disturb(model.parameters(member), seed=member)
    return model


def samples(renderer: Renderer) -> list[ReplySample]:
    """Replies to prompts of many lengths, some of which share a prompt."""
    made = []
    for number, (said, text) in enumerate(
        [("hello there", "haha no"), ("hello there", "see you at eight"), ("no", "ok"), ("what is the plan?" * 4, "?")]
    ):
        turns = (Turn("Bob", said), Turn("Cyril", "hm"))[: 1 + number % 2]
        ids = (*renderer.encode_text(text), renderer.stop_id)
        made.append(
            ReplySample(
                prompt_ids=tuple(renderer.prompt(turns, "Anna")),
                reply_ids=ids,
                text=text,
                prompt_turns=turns,
                speaker="Anna",
            )
        )
    return made


def test_losses_equal_numbers_worked_out_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1], [0.0625, 0.0625, 0.125, 0.25, 0.5]]))
    assert expected_ratings(logits).tolist() == pytest.approx([3.0, 0.0625 + 0.125 + 0.375 + 1.0 + 2.5])
    assert rating_losses(logits, torch.tensor([2, 5])).tolist() == pytest.approx([-math.log(0.2), -math.log(0.5)])
    losses = pair_losses(torch.tensor([4.0, 2.0]), torch.tensor([3.0, 2.5]), centring=0.01)
    by_hand = [math.log(1 + math.exp(-1.0)) + 0.01 * 1.0, math.log(1 + math.exp(0.5)) + 0.01 * 2.25]
    assert losses.tolist() == pytest.approx(by_hand)
    (soft_loss,) = pair_losses(torch.tensor([4.0]), torch.tensor([3.0]), centring=0.0, shares_P=torch.tensor([0.7]))
    assert float(soft_loss) == pytest.approx(0.7 * math.log(1 + math.exp(-1.0)) + 0.3 * math.log(1 + math.exp(1.0)))


def test_a_score_is_that_of_the_last_token_alone_or_in_any_company(catalog: Catalog) -> None:
    """Against transformers' own attention, one unpadded sequence at a time."""
    model = a_model(catalog, members=2)
    given = samples(model.renderer)
    together = model.scores(given)
    assert [score.value for score in model.scores(given[::-1])][::-1] == pytest.approx([s.value for s in together])
    assert model.scores(given, row_tokens=1)[2].value == pytest.approx(together[2].value, abs=1e-5)
    by_member = []
    for sample, score in zip(given, together, strict=True):
        values = []
        for member, name in enumerate(model.names):
            with torch.no_grad(), model.roles.use(name) as network:
                ids = torch.tensor([[*sample.prompt_ids, *sample.reply_ids]])
                state = network.base_model(ids).last_hidden_state[0, -1]
                state = state / state.pow(2).mean().sqrt()
                bins = model.heads[member](state).view(2, 5).softmax(dim=-1)
                honest, alike = (bins @ torch.arange(1.0, 6.0)).tolist()
            values.append((honest + 2 * alike) / 3)
        by_member.append(values)
        assert score.value == pytest.approx(sum(values) / 2, abs=1e-4)
        assert score.spread == pytest.approx(abs(values[0] - values[1]) / 2, abs=1e-4)
    assert model.scores(given) == together  # never a draw from the bins
    shares = [1 / (1 + math.exp(second - first)) for first, second in zip(by_member[0], by_member[1], strict=True)]
    (torn,) = model.disagreements([(given[0], given[1])])
    assert torn == pytest.approx(abs(shares[0] - shares[1]), abs=1e-4) and torn > 1e-4
    assert model.disagreements([(given[2], given[2]), (given[1], given[0])]) == pytest.approx([0.0, torn], abs=1e-6)
    assert model.disagreements([]) == []
    assert checked_scores(model, given) == [score.value for score in together]
    assert len({round(score.value, 4) for score in together}) == len(given)


def test_only_the_last_tokens_of_judged_replies_have_a_gradient(catalog: Catalog, tmp_path: Path) -> None:
    model = a_model(catalog)
    given = judgements(tmp_path, *laughing(3), *ratings(2, lambda laughs: 4, first=10, scale=Scale.HONEST))
    contexts, _ = encode_contexts(gather(given).contexts, model.renderer, max_tokens=256)
    objective = RewardObjective(model, contexts, centring=0.01, row_tokens=4096)
    (row,) = reply_rows(contexts, range(5), row_tokens=4096, device=model.roles.device, after_last=True)
    kept: list[torch.Tensor] = []
    norm: Any = model.roles.network.model.norm
    handle = norm.register_forward_hook(lambda _m, _i, output: (output.retain_grad(), kept.append(output))[1])
    tally = objective.accumulate(0, range(5), range(5))
    handle.remove()
    assert (tally.judgements, tally.pairs) == (5, 3)
    (states,) = kept
    assert states.grad is not None
    moved = set(states.grad.flatten(0, -2).abs().sum(dim=-1).nonzero().flatten().tolist())
    last = {int(row.row.before_L[place]) for place in row.last_N}
    assert moved == last
    assert all(int(row.row.ids_T[place]) == model.renderer.stop_id for place in last)
    assert all(p.grad is None for p in model.roles.network.parameters())


def test_soft_labels_are_learned_as_they_are(catalog: Catalog, tmp_path: Path) -> None:
    """The loss is least where the model is exactly as sure as the judge."""
    model = a_model(catalog)
    records = [soft(1, "haha", "ok", 0.9), *laughing(1, first=2), soft(3, "so", "no", 0.4)]
    given = read_judgements(written(tmp_path / "j.jsonl", records), kinds=(Kind.HUMAN, Kind.AI))
    contexts, _ = encode_contexts(gather(given).contexts, model.renderer, max_tokens=256)
    shares = [0.9, 1.0, 0.6]
    expected = 0.0
    for context, share in zip(contexts, shares, strict=True):
        ((better, worse),) = context.pairs
        said = [score.by_scale["sounds_like_me"] for score in model.scores(context.samples)]
        right = 1 / (1 + math.exp(said[worse] - said[better]))
        expected -= share * math.log(right) + (1 - share) * math.log(1 - right)
    tally = RewardObjective(model, contexts, centring=0.0, row_tokens=4096).measure()
    assert (tally.loss, tally.pairs) == (pytest.approx(expected, abs=1e-5), 3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_planted_preference_is_learned_and_found_again_on_disk(method: str, catalog: Catalog, tmp_path: Path) -> None:
    given = judgements(tmp_path, *laughing(130), *ratings(40, lambda laughs: 5 if laughs else 2, first=500))
    adapter = AdapterSettings(method=method, rank=8)
    rate = {"lora": 1e-2, "full": 3e-3}[method]
    chosen = config(adapter=adapter, loop=dataclasses.replace(LOOP, learning_rate=rate))
    events, finished = trained(chosen, catalog, given, tmp_path / "run")
    started = events[0]
    assert isinstance(started, FeedbackStarted)
    assert started.heldout_pairs + started.pairs == 130
    assert "one person" in " ".join(started.remarks)
    assert "anna-lora" in " ".join(started.remarks)  # that model is not in the catalog
    report = finished.report
    assert report.accuracy.share is not None
    assert report.accuracy.share > 0.8
    assert report.likes[0].feature == "laughter"
    assert report.likes[0].correlation > 0.5
    assert report.rating_error is not None and report.rating_error_of_mean is not None
    assert report.rating_error < report.rating_error_of_mean
    card = catalog.card("liking")
    assert (card.kind, card.parents, card.method) == ("reward", ("tiny",), method)
    assert card.settings["learned_from"]["judgements"] == given.digest
    assert {file.suffix for file in catalog.path("liking").rglob("*") if file.is_file()} <= {
        ".json",
        ".safetensors",
        ".md",
    }
    model = RewardModel.load(catalog, "liking", device="cpu", dtype="float32")
    plain = Roles.open(catalog.path("tiny"), catalog=catalog, device="cpu", dtype="float32")
    assert model.roles.checksum() == plain.checksum()
    text = {laughs: "see you haha" if laughs else "see you there" for laughs in (True, False)}
    replies = [
        ReplySample(
            prompt_ids=(), reply_ids=(), text=text[laughs], prompt_turns=(Turn("Bob", "7 plan"),), speaker="Anna"
        )
        for laughs in (True, False)
    ]
    assert model.score(replies)[0] > model.score(replies)[1] + 1
    shared = RewardModel.load(catalog, "liking", roles=plain)
    assert shared.roles is plain
    assert shared.score(replies) == model.score(replies)


def test_members_differ_where_they_are_unsure_and_the_same_seed_gives_the_same(
    catalog: Catalog, tmp_path: Path
) -> None:
    given = judgements(tmp_path, *laughing(40, wrong=0.2))
    loop = dataclasses.replace(LOOP, epochs=1)
    _, first = trained(config(members=2, loop=loop), catalog, given, tmp_path / "run")
    _, second = trained(config(members=2, loop=loop, name="again"), catalog, given, tmp_path / "run-2")
    assert first.report == second.report
    assert first.report.spread > 1e-3
    one = RewardModel.load(catalog, "liking", device="cpu", dtype="float32")
    other = RewardModel.load(catalog, "again", roles=one.roles, prefix="again")
    given_samples = samples(one.renderer)
    assert one.scores(given_samples) == other.scores(given_samples)
    assert min(score.spread for score in one.scores(given_samples)) > 0


def test_a_resumed_training_does_what_an_uninterrupted_one_does(catalog: Catalog, tmp_path: Path) -> None:
    given = judgements(tmp_path, *laughing(40))
    loop = dataclasses.replace(LOOP, epochs=2)
    whole, _ = trained(config(loop=loop, members=2), catalog, given, tmp_path / "whole")
    stops = iter([False, False, False, True])
    part, stopped = trained(
        config(loop=loop, members=2, name="parts"), catalog, given, tmp_path / "run", should_stop=lambda: next(stops)
    )
    assert stopped.reason == "stopped"
    assert not catalog.exists("parts")
    rest, _ = trained(config(loop=loop, members=2, name="parts"), catalog, given, tmp_path / "run", resume=True)

    def numbers(events: list[RewardEvent]) -> list[Any]:
        return [
            (event.index, event.loss) if isinstance(event, FeedbackStep) else (event.step, event.heldout_loss)
            for event in events
            if isinstance(event, FeedbackStep | FeedbackEvaluated)
        ]

    assert numbers(part) + numbers(rest) == numbers(whole)
    model = RewardModel.load(catalog, "liking", device="cpu", dtype="float32")
    again = RewardModel.load(catalog, "parts", roles=model.roles, prefix="parts")
    assert model.scores(samples(model.renderer)) == again.scores(samples(model.renderer))
    metrics = [line["step"] for line in RunFolder(tmp_path / "run").metrics() if "loss" in line]
    assert metrics == list(range(1, 1 + len(metrics)))
    with pytest.raises(UserError, match="not those"):
        trained(config(name="third"), catalog, judgements(tmp_path, *laughing(9)), tmp_path / "run", resume=True)


def test_a_sample_of_another_vocabulary_is_read_by_its_text(catalog: Catalog) -> None:
    model = a_model(catalog)
    for sample in samples(model.renderer):
        foreign = dataclasses.replace(sample, prompt_ids=(9, 8, 7), reply_ids=(6, 5))
        assert model.score([foreign]) == pytest.approx(model.score([sample]), abs=1e-5)
    turns = (Turn("Bob", "hello there"),)
    header = tuple(model.renderer.prompt((), "Anna"))
    for messages in (["haha no"], ["haha", "no"]):
        ids = tuple(reply_ids(messages, "Anna", model.renderer))
        text = ReplySample(prompt_ids=(), reply_ids=(), text="\n".join(messages), prompt_turns=turns, speaker="Anna")
        prompt = tuple(model.renderer.prompt(turns, "Anna"))
        whole = dataclasses.replace(text, prompt_ids=prompt, reply_ids=ids)
        assert model.score([text]) == pytest.approx(model.score([whole]), abs=1e-5)
        alone = dataclasses.replace(whole, prompt_turns=(), prompt_ids=header)  # nothing was said before
        for bare in (dataclasses.replace(text, prompt_turns=()), dataclasses.replace(alone, reply_ids=())):
            assert model.score([bare]) == pytest.approx(model.score([alone]), abs=1e-5)
    long = dataclasses.replace(samples(model.renderer)[0], text="so " * 900, prompt_ids=(1,))
    assert math.isfinite(model.score([long])[0])


def refused(match: str, act: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=match) as caught:
        act()
    assert caught.value.hint


def test_what_cannot_be_learned_from_is_a_sentence_and_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    run = tmp_path / "run"
    refused("no file", lambda: read_judgements(tmp_path / "none.jsonl"))
    refused("no judgements", lambda: judgements(tmp_path))
    ties = [comparison(n, "a b", "c d", Choice.TIE) for n in range(3)] + [comparison(5, "a", "b", Choice.SKIP)]
    refused("3 ties, 1 skipped", lambda: trained(config(), catalog, judgements(tmp_path, *ties), run))
    torn = [
        comparison(n, "a", "b", choice, judge=j) for n in (1, 2) for j, choice in (("x", Choice.A), ("y", Choice.B))
    ]
    refused("2 two replies of which", lambda: trained(config(), catalog, judgements(tmp_path, *torn), run))
    refused("says which", lambda: trained(config(), catalog, judgements(tmp_path, flag(1, "hello")), run))
    some = judgements(tmp_path, *laughing(12))
    refused("no model called 'gone'", lambda: trained(config(reference="gone"), catalog, some, run))
    refused("already", lambda: trained(config(name="tiny"), catalog, some, run))
    refused("scales", lambda: trained(config(weights={"helpful": 1.0}), catalog, some, run))
    build_tiny_t5(catalog.path("t5"))
    catalog.save_card(Card(name="t5", kind="base", created="2026-01-01"))
    refused("encoder-decoder", lambda: trained(config(reference="t5"), catalog, some, run))
    assert sorted(card.name for card in catalog.cards()) == ["t5", "tiny"]
    assert not run.exists()


def test_a_reward_model_that_does_not_fit_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    loop = dataclasses.replace(LOOP, epochs=0.5)
    _, finished = trained(
        config(loop=loop, heldout=0.0), catalog, judgements(tmp_path, *laughing(12)), tmp_path / "run"
    )
    assert finished.report.accuracy.share is None
    refused("no reward model", lambda: RewardModel.load(catalog, "tiny"))
    build_tiny_llama(catalog.path("tiny"), width=32)
    refused("another 'tiny'", lambda: RewardModel.load(catalog, "liking", device="cpu", dtype="float32"))
    build_tiny_llama(catalog.path("tiny"))
    (catalog.path("liking") / "heads.safetensors").write_bytes(b"cut")
    refused("cannot be read", lambda: RewardModel.load(catalog, "liking", device="cpu", dtype="float32"))
    (catalog.path("tiny") / "card.json").unlink()
    refused("is gone", lambda: RewardModel.load(catalog, "liking", device="cpu", dtype="float32"))


def test_corrections_are_learned_as_pairs(catalog: Catalog, tmp_path: Path) -> None:
    rng = random.Random(1)
    records = [correction(n, said := sentence(rng), f"{said}\nhaha") for n in range(20)]
    events, _ = trained(
        config(loop=dataclasses.replace(LOOP, epochs=1)), catalog, judgements(tmp_path, *records), tmp_path / "r"
    )
    assert isinstance(events[0], FeedbackStarted)
    assert events[0].pairs + events[0].heldout_pairs == 20


def test_packed_attention_is_not_left_switched_on(catalog: Catalog) -> None:
    model = a_model(catalog)
    before = model.roles.network.config._attn_implementation
    model.score(samples(model.renderer))
    assert model.roles.network.config._attn_implementation == before != PACKED_ATTENTION
