"""The lifts on models that learned chats whose answer is known: what follows from the context, and from the name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from talkalike.evaluation.bits import BitsReport, BitsSettings, compare_bits, with_wrong_context, with_wrong_speaker
from talkalike.evaluation.intervals import Estimate
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama

Answer = Callable[[random.Random, str, str], str]  # to a question, by a speaker
ASKED = ("plan", "cinema", "eight", "fine")
ANSWERS = {"plan": "see you", "cinema": "great", "eight": "no idea", "fine": "thanks"}
SPEAKERS = ("Lena", "Ruben")


def by_question_and_name(_rng: random.Random, question: str, speaker: str) -> str:
    return ANSWERS[question] + (" :)" if speaker == "Lena" else "!")


def by_chance(rng: random.Random, _question: str, _speaker: str) -> str:
    return ANSWERS[rng.choice(ASKED)] + rng.choice([" :)", "!"])


def session(answer: Answer, rng: random.Random, *, exchanges: int = 3) -> list[Turn]:
    turns: list[Turn] = []
    for _ in range(exchanges):
        question, speaker = rng.choice(ASKED), rng.choice(SPEAKERS)
        turns += [Turn("Mia", question), Turn(speaker, answer(rng, question, speaker))]
    return turns


def replies_of(sessions: list[list[Turn]], conversation: str = "irc:a") -> list[ReferenceReply]:
    return [
        ReferenceReply(
            conversation=conversation,
            context=tuple(turns[:index]),
            speaker=turns[index].speaker,
            messages=(turns[index].text,),
            sent_ms=0,
        )
        for turns in sessions
        for index in range(1, len(turns), 2)
    ]


def learn(loaded: LoadedModel, answer: Answer) -> None:
    """Every parameter is trained on the two speakers' answers, until what follows from what is known."""
    renderer, rng = Renderer(loaded.tokenizer), random.Random(1)
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = torch.zeros(())
        for _ in range(2):
            turns = [turn for _ in range(3) for turn in session(answer, rng)]
            rendered = renderer.conversation(turns, [turn.speaker in SPEAKERS for turn in turns])
            ids = torch.tensor(rendered.ids_T, dtype=torch.long)
            targets = torch.where(torch.tensor(rendered.mask_T), ids, -100)[1:]
            loss = loss + functional.cross_entropy(loaded.model(ids[None, :-1]).logits[0], targets, ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def lifts(folder: Path, answer: Answer) -> BitsReport:
    """Of Lena, by a model that learned such chats beside one that learned nothing."""
    catalog = Catalog(folder)
    double, base = (
        load_for_inference(build_tiny_llama(folder / name), catalog=catalog, dtype="float32", device="cpu")
        for name in ("double", "base")
    )
    learn(double, answer)
    rng = random.Random(2)
    heldout = replies_of([session(answer, rng) for _ in range(25)])
    lena = [reply for reply in heldout if reply.speaker == "Lena"]
    return compare_bits(double, base, lena, heldout, BitsSettings(learned=SPEAKERS, bootstrap=500))


def above_zero(found: Estimate) -> bool:
    return found.low is not None and found.low > 0


def around_zero(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and found.low <= 0 <= found.high


def test_a_model_that_listens_and_knows_who_is_who_has_both_lifts(tmp_path: Path) -> None:
    report = lifts(tmp_path, by_question_and_name)
    assert report.double.bits_per_character.value == pytest.approx(0, abs=0.2)
    assert above_zero(report.double.context_lift) and above_zero(report.double.speaker_lift)
    assert not above_zero(report.base.context_lift) and not above_zero(report.base.speaker_lift)


def test_where_nothing_follows_from_context_or_name_there_is_no_lift(tmp_path: Path) -> None:
    report = lifts(tmp_path, by_chance)
    assert abs(report.double.context_lift.value or 0) < 0.05 and abs(report.double.speaker_lift.value or 0) < 0.05
    assert around_zero(report.double.context_lift)


words = st.sampled_from(["ok", "haha", "what?", "see you"])
turns = st.builds(Turn, st.sampled_from(["Mia", *SPEAKERS]), words)


@st.composite
def chats(draw: st.DrawFn) -> list[list[Turn]]:
    """Sessions of one chat that begin differently, as no two moments are the same."""
    drawn = draw(st.lists(st.lists(turns, min_size=1, max_size=9), min_size=1, max_size=5))
    return [[Turn("Mia", f"good morning {day}"), *session] for day, session in enumerate(drawn)]


@given(here=chats(), there=chats(), seed=st.integers(0, 9))
def test_a_wrong_context_is_of_another_session_and_of_as_many_turns(
    here: list[list[Turn]], there: list[list[Turn]], seed: int
) -> None:
    """Not later in the same session, where the reply itself stands for the model to copy; not earlier either."""
    sessions = {"irc:a": here, "irc:b": [[Turn(turn.speaker, f"{turn.text}!") for turn in one] for one in there]}
    heldout = [reply for name, chat in sessions.items() for reply in replies_of(chat, name)]
    own, wrong = with_wrong_context(heldout, heldout, seed)
    for reply, mine, foreign in zip(heldout, own, wrong, strict=True):
        others = [
            other.context
            for other in heldout
            if (other.conversation, other.speaker) == (reply.conversation, reply.speaker)
            and other.context[0] != reply.context[0]
        ]
        if mine is None or foreign is None:
            assert mine is foreign and not others
            continue
        assert (mine.messages, foreign.messages) == (reply.messages, reply.messages)
        assert len(mine.context) == len(foreign.context) == min(len(reply.context), max(map(len, others)))
        assert mine.context == reply.context[-len(mine.context) :]
        assert foreign.context in {other[-len(foreign.context) :] for other in others}


def test_another_learned_name_is_taken_before_one_of_the_context() -> None:
    def asked_by(name: str) -> ReferenceReply:
        return ReferenceReply(
            conversation="c", context=(Turn(name, "plan"),), speaker="Lena", messages=("ok",), sent_ms=0
        )

    def names(asker: str, learned: tuple[str, ...]) -> list[str | None]:
        return [reply and reply.speaker for reply in with_wrong_speaker([asked_by(asker)], learned, 0)]

    assert names("Mia", ("Lena", "Ruben")) == names("Lena", ("Ruben", "Lena")) == ["Ruben"]
    assert names("Mia", ("Lena",)) == ["Mia"]
    assert names("Lena", ("Lena",)) == [None]
