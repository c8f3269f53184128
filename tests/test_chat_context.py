"""What the model sees: never over the budget, the newest always, no holes, nothing lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from talkalike.chat.context import STAY, Item, Seen, select
from talkalike.chat.conversation import BEFORE_RESET, Conversation
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn


def words(turns: tuple[Turn, ...]) -> list[int]:
    """Two tokens for the markers, one for each word and one for each started 4 characters of the name."""
    return [2 + -(-len(turn.speaker) // 4) + len(turn.text.split()) for turn in turns]


def items_of(*texts: str, barred: dict[int, str] | None = None) -> list[Item]:
    why = barred or {}
    return [
        Item(id=str(index), turn=Turn("anna" if index % 2 else "ben", text), barred=why.get(index, ""))
        for index, text in enumerate(texts)
    ]


def bytes_counter():
    """A real tokenizer: single bytes, markers as special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    renderer = Renderer(tokenizer)
    return lambda turns: [renderer.turn_cost(t.speaker, len(renderer.encode_text(t.text))) for t in turns]


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=12)


def check(items: list[Item], seen: Seen, count) -> None:
    """What must hold for every selection."""
    assert seen.tokens <= seen.budget
    assert sum(count(seen.turns)) == seen.tokens, "the tokens shown are those of the prompt"
    kept, left_out = [one.id for one in seen.kept], [one.id for one in seen.left_out]
    assert sorted(kept + left_out, key=int) == [item.id for item in items], "nothing lost, nothing doubled"
    assert kept == sorted(kept, key=int)
    assert left_out == sorted(left_out, key=int)
    allowed = [item for item in items if not item.barred]
    assert kept == [item.id for item in allowed][len(allowed) - len(kept) :], "the newest, without holes"
    assert bool(kept) == bool(allowed)
    assert all(one.why for one in seen.kept + seen.left_out), "everything has its reason"
    by_id = {item.id: item for item in items}
    for one in seen.kept[:-1] + seen.left_out[:-1]:
        assert one.turn == by_id[one.id].turn
    if kept:
        newest = by_id[kept[-1]].turn
        assert newest.text.endswith(seen.kept[-1].turn.text)
        assert newest.speaker == seen.kept[-1].turn.speaker


@given(texts, st.integers(12, 200), st.sets(st.integers(0, 11)), st.none() | st.integers(0, 11), st.booleans())
def test_budget_holds_for_any_conversation(said, budget, barred, start, real) -> None:
    count = bytes_counter() if real else words
    items = items_of(*said, barred=dict.fromkeys(barred, "side talk (!)"))
    start_id = None if start is None else str(start)
    check(items, select(items, budget=budget, count_tokens=count, start=start_id), count)


def test_everything_is_kept_where_it_fits_exactly() -> None:
    items = items_of("one two", "three", "four five six")  # 5 + 4 + 6 tokens
    seen = select(items, budget=15, count_tokens=words)
    assert [one.id for one in seen.kept] == ["0", "1", "2"]
    assert {one.why for one in seen.kept} == {"within the budget of 15 tokens"}
    assert seen.crowded_out == 0
    assert [one.id for one in select(items, budget=14, count_tokens=words).kept] == ["1", "2"]


def test_reasons_of_what_is_left_out() -> None:
    items = items_of(*["a b c d e f g"] * 12, barred={0: BEFORE_RESET, 10: "side talk (!)"})  # 10 tokens each
    seen = select(items, budget=60, count_tokens=words)
    assert [one.id for one in seen.kept] == ["7", "8", "9", "11"]  # 40 of 60: a fifth would be more than 3/4
    why = {one.id: one.why for one in seen.left_out}
    assert why["0"] == BEFORE_RESET
    assert why["10"] == "side talk (!)"
    assert why["1"] == "over the budget of 60 tokens"
    assert why["6"].startswith("let go early")
    assert seen.crowded_out == 6


def test_prompt_begins_at_the_same_place_until_it_overflows() -> None:
    conversation = [f"message number {index} has six words" for index in range(60)]
    starts = []
    start = None
    for length in range(1, 61):
        seen = select(items_of(*conversation[:length]), budget=100, count_tokens=words, start=start)
        start = seen.kept[0].id
        starts.append(start)
    moves = sum(one != other for one, other in pairwise(starts))
    assert 10 <= moves <= 20, "it moves once in a few messages, not with every message"


def test_remembered_beginning_is_given_up_when_the_budget_was_raised() -> None:
    items = items_of(*["a b c d e f g"] * 40)
    assert len(select(items, budget=100, count_tokens=words, start="32").kept) == 8  # 80 of 100: stays
    seen = select(items, budget=300, count_tokens=words, start="32")
    assert seen.tokens > STAY * 300


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=60, max_size=400), st.integers(20, 60))
def test_newest_message_longer_than_the_budget_keeps_its_end(text, budget) -> None:
    count = bytes_counter()
    items = items_of("before", text)
    seen = select(items, budget=budget, count_tokens=count)
    check(items, seen, count)
    assert len(seen.kept) == 1
    if seen.kept[0].turn.text != text:
        assert "its beginning cut to fit the budget" in seen.kept[0].why
        room = budget - count((Turn("anna", ""),))[0]
        assert len(seen.kept[0].turn.text.encode()) > room // 2 - 4, "no more than half is cut to begin at a word"


@pytest.mark.parametrize("budget", range(40, 62))
def test_cut_begins_at_a_word(budget) -> None:
    text = "abcdefghij " * 20
    seen = select([Item(id="0", turn=Turn("ben", text))], budget=budget, count_tokens=bytes_counter())
    assert seen.kept[0].turn.text.startswith("abcdefghij ")
    assert budget - 20 <= seen.tokens <= budget


def test_budget_without_room_for_a_header_is_an_error() -> None:
    with pytest.raises(UserError, match="no room for a single message"):
        select(items_of("hello"), budget=2, count_tokens=words)


def test_nothing_said_and_nothing_allowed() -> None:
    assert select([], budget=10, count_tokens=words) == Seen(kept=(), left_out=(), budget=10)
    seen = select(items_of("a", "b", barred={0: "x", 1: "y"}), budget=10, count_tokens=words)
    assert [one.why for one in seen.left_out] == ["x", "y"]


def test_conversation_bars_what_was_said_before_a_reset_and_side_talk() -> None:
    conversation = Conversation(id="c", double="anna")
    for speaker, text in [("ben", "old"), ("anna", "older answer")]:
        conversation.say(speaker, text)
    conversation.reset()
    conversation.say("ben", "!psst", message_id="discord-7")
    conversation.say("anna", "!mine is not side talk")
    conversation.say("ben", "!!!")
    assert [item.barred for item in conversation.items()] == [BEFORE_RESET, BEFORE_RESET, "side talk (!)", "", ""]
    assert [item.id for item in conversation.items()] == ["1", "2", "discord-7", "3", "4"]
    assert conversation.participants == ("ben", "anna")
    conversation.reset()
    assert {item.barred for item in conversation.items()} == {BEFORE_RESET}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("!no", True), ("! no", True), ("!", False), ("!?", False), ("!!!", False), ("hey!", False), ("", False)],
)
def test_side_talk_sign(text, expected) -> None:
    assert Conversation(id="c", double="a").is_side_talk(text) is expected
    assert not Conversation(id="c", double="a", side_talk="").is_side_talk(text)
