"""Messages that are too long, and chats that are hard to share out: nothing is lost or cut off without being told."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chat.context import ContextItem, select
from talkalike.chats.values import Speaker
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.fitting import MARK, newest_that_fit, shorten, split_turn
from talkalike.examples.heldout import load_messages, load_replies
from talkalike.examples.render import Renderer, Turn
from talkalike.examples.windows import heldout_cut
from test_examples import ANNA, BOB, CYRIL, Chats, evenings, prepared, sentence
from tiny_model import byte_level_tokenizer

RENDERER = Renderer(byte_level_tokenizer())
Said = list[tuple[Speaker, float, str]]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def cost(*turns: Turn) -> int:
    return sum(RENDERER.count_tokens(turns))


def story(number: int, words: int) -> str:
    return " ".join(f"{sentence(number, part)}." for part in range(words // 8))


# ------------------------------------------------------------------------------------------------------------- messages
@given(texts, st.integers(20, 120))
def test_a_shortened_message_keeps_its_ends_and_fits(text: str, limit: int) -> None:
    short = shorten(Turn("Bob", text), limit, RENDERER.count_tokens)
    assert cost(short) <= limit and short.speaker == "Bob"
    head, mark, tail = short.text.partition(MARK)
    assert text.startswith(head) and text.endswith(tail) and (mark or not short.text)


@given(texts, st.integers(20, 120))
def test_a_message_cut_apart_loses_nothing(text: str, limit: int) -> None:
    pieces = split_turn(Turn("Bob", text), limit, RENDERER.count_tokens)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece and cost(Turn("Bob", piece)) <= limit + 4 for piece in pieces)


def test_a_message_is_cut_where_it_pauses() -> None:
    text = "One here. Two there!\nThree is a line.\n\nFour, a paragraph, is longer. Five"
    whole = cost(Turn("Bob", text))
    cut = [split_turn(Turn("Bob", text), limit, RENDERER.count_tokens) for limit in (whole, whole - 1, whole // 2)]
    assert cut[0] == [text]
    assert cut[1] == ["One here. Two there!\nThree is a line.", "Four, a paragraph, is longer. Five"]
    assert cut[2][:2] == ["One here. Two there!", "Three is a line."]
    long_name = split_turn(Turn("Bob " * 40, text), 20, RENDERER.count_tokens)
    assert "".join("".join(long_name).split()) == "".join(text.split())


@given(st.lists(texts, max_size=8), st.integers(0, 200))
def test_the_newest_that_fit_are_the_newest(said: list[str], budget: int) -> None:
    turns = tuple(Turn(("Bob", "Anna")[index % 2], text) for index, text in enumerate(said))
    kept = newest_that_fit(turns, budget, RENDERER.count_tokens)
    assert cost(*kept) <= max(0, budget)
    if kept:
        assert kept[1:] == turns[len(turns) - len(kept) + 1 :]
        assert kept[0] == turns[-len(kept)] or (MARK in kept[0].text and cost(turns[-len(kept)]) > budget // 2)


# ------------------------------------------------------------------------------------------------------------- examples
def documents_fit(examples: ExampleSet, most: int) -> bool:
    return all(max(examples.split(split).lengths.tolist(), default=0) <= most for split in ("train", "heldout"))


def test_a_long_question_keeps_its_ends_and_its_answer(tmp_path: Path) -> None:
    said: Said = []
    for day in range(20):
        said.append((BOB, 24 * day, f"story {day}: {story(day, 400)} so what do you think?"))
        said.append((ANNA, 24 * day + 0.01, f"i think {sentence(day, 99)}"))
    examples = prepared(Chats({"one": said}), tmp_path / "anna", RENDERER, max_tokens=300)
    assert documents_fit(examples, 300)
    replies = [*load_replies(examples, "train"), *load_replies(examples)]
    assert len(replies) == 20
    for reply in replies:
        assert reply.context[-1].text.startswith("story ") and reply.context[-1].text.endswith(" what do you think?")
        assert MARK in reply.context[-1].text
    assert examples.manifest.shortened == {"messages by others, shortened in the middle": 20}
    # The double sees what it was trained to see, where it has as much room.
    question = Turn("Bob", said[0][2])
    seen = select([ContextItem(id="1", turn=question)], budget=280, count_tokens=RENDERER.count_tokens)
    assert seen.turns == (shorten(question, 140, RENDERER.count_tokens),)
    assert seen.turns[0].text[:20] == replies[0].context[-1].text[:20]


def test_a_long_message_of_one_s_own_is_learned_whole(tmp_path: Path) -> None:
    said: Said = [(BOB, 0.0, "tell me"), (ANNA, 0.01, story(1, 600)), (BOB, 0.02, "and then?"), (ANNA, 0.03, "nothing")]
    examples = prepared(Chats({"one": said + evenings(6, start=9)}), tmp_path / "anna", RENDERER, max_tokens=200)
    assert documents_fit(examples, 200)
    learned = [message.text for message in load_messages(examples, "train") if message.chosen]
    assert " ".join(learned).startswith(f"{story(1, 600)} nothing ")
    assert examples.manifest.shortened == {"long messages, split into several": 1}
    first = next(iter(examples.documents("train")))
    assert (first.turns[0].text, first.ended, first.next_speaker) == ("tell me", False, "Anna")


sizes = st.lists(
    st.tuples(st.sampled_from([ANNA, BOB, CYRIL]), st.integers(1, 60), st.integers(0, 90)), min_size=6, max_size=24
)


@given(sizes)
def test_documents_fit_and_answers_stand_with_what_they_answer(said: list[tuple[Speaker, int, int]]) -> None:
    minutes, chat = 0, list(evenings(3, start=30))
    session: Said = []
    for number, (who, words, pause) in enumerate(said):
        minutes += pause
        session.append((who, minutes / 600, story(number, 8 * words)))
    with tempfile.TemporaryDirectory() as folder:
        examples = prepared(Chats({"one": session + chat}), Path(folder) / "anna", RENDERER, max_tokens=400)
        assert documents_fit(examples, 400)
        documents = [*examples.documents("train"), *examples.documents("heldout")]
        answers = sum(after and not before for document in documents for before, after in pairwise(document.learn))
        asked = sum(after[0] is ANNA and before[0] is not ANNA for before, after in pairwise(session))
        assert answers == asked + 3


# ------------------------------------------------------------------------------------------------------------- held out
def one_session(count: int, *speakers: Speaker, start: int = 0) -> Said:
    return [(speakers[n % len(speakers)], 24 * start + n / 60, sentence(700 + start, n)) for n in range(count)]


@pytest.mark.parametrize("speakers", [(BOB, ANNA), (ANNA,)])
@pytest.mark.parametrize("count", [4, 60, 300])
def test_one_session_is_cut_by_time(speakers: tuple[Speaker, ...], count: int, tmp_path: Path) -> None:
    examples = prepared(Chats({"one": one_session(count, *speakers)}), tmp_path / "anna", RENDERER)
    learned = count // len(speakers)
    manifest = examples.manifest
    assert manifest.train.learned + manifest.heldout.learned == learned
    assert max(1, 0.1 * learned) <= manifest.heldout.learned <= max(1, 0.2 * learned, learned // 2 if count < 20 else 0)
    train, heldout = (load_messages(examples, split) for split in ("train", "heldout"))
    assert max(said.sent_ms for said in train) < min(said.sent_ms for said in heldout)
    assert not {said.text for said in train} & {said.text for said in heldout}
    last = list(examples.documents("train"))[-1]
    assert not last.ended and last.next_speaker == heldout[0].speaker, "silence did not follow: more was said"
    assert heldout[0].speaker == speakers[0].name, "what is held out begins with what is answered"


def test_a_diary_whose_lines_differ_in_their_numbers_is_learned_and_held_out(tmp_path: Path) -> None:
    """Alike but for a number, nothing of it is pasted again; and where all is alike, the newest of it is measured."""
    diary = [(ANNA, n / 60, f"line {n} of what happened to me that day") for n in range(300)]
    manifest = prepared(Chats({"one": diary}), tmp_path / "anna", RENDERER).manifest
    assert manifest.train.learned + manifest.heldout.learned == 300
    assert 30 <= manifest.heldout.learned <= 60
    run = "ran {} km by the river before work today"
    mixed = [*evenings(12), (BOB, 24 * 20.0, "and?"), (ANNA, 24 * 20.01, run.format(12))]
    mixed[2:2] = [(BOB, 12.0, "so?"), (ANNA, 12.01, run.format(9))]
    strict = prepared(Chats({"one": mixed}), tmp_path / "mixed", RENDERER).manifest
    assert strict.left_out["held-out messages that repeat training ones"] == 1
    assert strict.heldout.learned >= 1, "something else is measured"


def test_it_is_cut_at_its_longest_silence(tmp_path: Path) -> None:
    said = [(who, hours + (0.5 if hours * 60 >= 50 else 0), text) for who, hours, text in one_session(60, BOB, ANNA)]
    examples = prepared(Chats({"one": said}), tmp_path / "anna", RENDERER)
    assert min(message.sent_ms for message in load_messages(examples, "heldout")) == int((50 / 60 + 0.5) * 3_600_000)


def test_a_long_newest_session_leaves_the_older_half_to_learn_from(tmp_path: Path) -> None:
    chats = Chats({"one": [*one_session(4, BOB, ANNA), *one_session(200, BOB, ANNA, start=5)]})
    manifest = prepared(chats, tmp_path / "anna", RENDERER).manifest
    assert manifest.train.learned + manifest.heldout.learned == 102
    assert 11 <= manifest.heldout.learned <= 22


def test_what_is_held_out_is_not_only_what_was_said_before(tmp_path: Path) -> None:
    old = evenings(12)
    repeated = [
        (who, 24 * (20 + day) + hours, old[2 * day + place][2])
        for day in range(3)
        for place, (who, hours) in enumerate([(BOB, 0.0), (ANNA, 0.01)])
    ]
    examples = prepared(Chats({"one": old + repeated}), tmp_path / "anna", RENDERER)
    assert examples.manifest.heldout.learned >= 1 and examples.split("heldout").measurable
    assert examples.manifest.left_out["held-out messages that repeat training ones"] >= 1
    same = [
        (who, 24 * day + hours, text)
        for day in range(9)
        for who, hours, text in [(BOB, 0.0, "hm"), (ANNA, 0.01, old[1][2])]
    ]
    nothing = prepared(Chats({"one": same}), tmp_path / "same", RENDERER).manifest
    assert (nothing.heldout.learned, nothing.heldout.documents, nothing.heldout.sessions) == (0, 0, 0)
    assert nothing.train.learned == nothing.train.sessions >= 3, "everything is learned"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30), st.integers(0, 9), st.integers(1, 9))
def test_a_cut_holds_out_as_many_as_are_wanted(turns: list[tuple[bool, int]], wanted: int, most: int) -> None:
    learn = [learned for learned, _ in turns]
    times = [sum(pause for _, pause in turns[: index + 1]) for index in range(len(turns))]
    cut = heldout_cut(learn, times, wanted=wanted, most=most)
    places = [index for index in range(1, len(turns)) if max(1, wanted) <= sum(learn[index:]) <= most]
    assert (cut is None) == (not places)
    if cut is not None:
        assert cut in places and (not learn[cut] or all(learn[place] for place in places))
        pauses = [times[place] - times[place - 1] for place in places if learn[place] == learn[cut]]
        assert times[cut] - times[cut - 1] == max(pauses)
