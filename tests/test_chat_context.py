"""What the model sees: never over the budget, the newest always, no holes, nothing lost."""

from __future__ import annotations

from collections.abc import Container
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from talkalike.chat.context import PINNED, SHORT, STAY, ContextItem, Seen, select
from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.history import BEFORE_RESET
from talkalike.errors import UserError
from talkalike.examples.fitting import MARK
from talkalike.examples.render import Renderer, Turn


def words(turns: tuple[Turn, ...]) -> list[int]:
    """Two tokens for the markers, one for each word and one for each started 4 characters of the name."""
    return [2 + -(-len(turn.speaker) // 4) + len(turn.text.split()) for turn in turns]


def items_of(*texts: str, barred: dict[int, str] | None = None, pinned: Container[int] = ()) -> list[ContextItem]:
    why = barred or {}
    return [
        ContextItem(
            id=str(index),
            turn=Turn("anna" if index % 2 else "ben", text),
            barred=why.get(index, ""),
            pinned=index in pinned,
        )
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


def check(items: list[ContextItem], seen: Seen, count) -> None:
    """What must hold for every selection."""
    assert seen.tokens <= seen.budget
    assert sum(count(seen.turns)) == seen.tokens, "the tokens shown are those of the prompt"
    kept, left_out = [one.id for one in seen.kept], [one.id for one in seen.left_out]
    assert sorted(kept + left_out, key=int) == [item.id for item in items], "nothing lost, nothing doubled"
    assert kept == sorted(kept, key=int)
    assert left_out == sorted(left_out, key=int)
    allowed = [item for item in items if not item.barred]
    aged = [item.id for item in allowed[:-1] if not item.pinned] + [item.id for item in allowed[-1:]]
    recent = [one.id for one in seen.kept if not one.pinned]
    assert recent == aged[len(aged) - len(recent) :], "the newest, without holes"
    assert seen.start == (recent[0] if recent else None)
    pins = [one for one in seen.kept if one.pinned]
    assert sum(one.tokens for one in pins) <= PINNED * seen.budget
    assert all(one.why == "pinned" for one in pins)
    assert bool(kept) == bool(allowed)
    assert all(one.why for one in seen.kept + seen.left_out), "everything has its reason"
    by_id = {item.id: item for item in items}
    for one in seen.left_out:
        assert one.turn == by_id[one.id].turn
    for one in seen.kept:
        turn, longest = by_id[one.id].turn, max(SHORT, seen.budget // 2)
        assert one.turn.speaker == turn.speaker
        if one.turn != turn:
            assert count((turn,))[0] > min(longest, seen.budget - sum(pin.tokens for pin in pins))
            head, _, tail = one.turn.text.partition(MARK)
            assert turn.text.startswith(head) and turn.text.endswith(tail), "only the middle is left out"
            assert one.why.endswith("characters)") and one.tokens <= longest


some = st.sets(st.integers(0, 11))


@given(texts, st.integers(24, 200), st.tuples(some, some), st.none() | st.integers(0, 11), st.booleans())
def test_budget_holds_for_any_conversation(said, budget, marks, start, real) -> None:
    barred, pinned = marks
    count = bytes_counter() if real else words
    items = items_of(*said, barred=dict.fromkeys(barred, "side talk (!)"), pinned=pinned)
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
    assert why["6"].startswith("left out early")
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


def test_pinned_messages_stay_whatever_their_age() -> None:
    items = items_of(*["a b c d e f g"] * 12, barred={2: "dropped"}, pinned={1, 2, 4})  # 10 tokens each
    seen = select(items, budget=80, count_tokens=words)
    assert [(one.id, one.pinned) for one in seen.kept if one.pinned] == [("1", True), ("4", True)]
    assert [one.id for one in seen.kept] == ["1", "4", "8", "9", "10", "11"], "40 of the other 60"
    assert seen.start == "8"


def test_pinned_messages_leave_half_of_the_budget_to_the_conversation() -> None:
    items = items_of(*["a b c d e f g"] * 12, pinned=range(8))
    seen = select(items, budget=60, count_tokens=words)
    assert [one.id for one in seen.kept] == ["0", "1", "2", "10", "11"], "the oldest pins first"
    why = {one.id: one.why for one in seen.left_out}
    assert why["3"] == "pinned, but all pinned turns may cost 30 tokens together"
    assert why["9"].startswith("left out early")
    long = items_of("a b c", "word " * 100, pinned={0})
    assert [one.id for one in select(long, budget=60, count_tokens=words).kept] == ["0", "1"]


def test_the_newest_message_is_answered_even_where_it_is_pinned() -> None:
    seen = select(items_of("a", "word " * 100, pinned={0, 1}), budget=20, count_tokens=words)
    assert [(one.id, one.pinned) for one in seen.kept] == [("0", True), ("1", False)]
    assert "its middle left out" in seen.kept[1].why


def test_prompt_begins_at_the_same_place_behind_a_pin_too() -> None:
    starts, start = [], None
    for length in range(2, 61):
        items = items_of(*[f"message number {index} has six words" for index in range(length)], pinned={0})
        start = select(items, budget=110, count_tokens=words, start=start).start
        starts.append(start)
    moves = sum(one != other for one, other in pairwise(starts))
    assert 10 <= moves <= 20


def test_remembered_beginning_is_given_up_when_the_budget_was_raised() -> None:
    items = items_of(*["a b c d e f g"] * 40)
    assert len(select(items, budget=100, count_tokens=words, start="32").kept) == 8  # 80 of 100: stays
    seen = select(items, budget=300, count_tokens=words, start="32")
    assert seen.tokens > STAY * 300


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=60, max_size=400), st.integers(24, 200))
def test_a_message_longer_than_half_of_the_budget_keeps_its_ends(text, budget) -> None:
    count = bytes_counter()
    items = items_of("before", text, "and after?")
    for seen in (
        select(items, budget=budget, count_tokens=count),
        select(items[:2], budget=budget, count_tokens=count),
    ):
        check(items[: len(seen.kept) + len(seen.left_out)], seen, count)
    (long,) = [one for one in seen.kept if one.id == "1"]
    if long.turn.text != text:
        gone = len(text) - len(long.turn.text)
        assert long.why == (
            f"within the budget of {budget} tokens, its middle left out ({gone:,} of {len(text):,} characters)"
        )


def test_a_long_question_does_not_take_all_that_was_said_before() -> None:
    count = bytes_counter()
    items = items_of("who has seen the cat?", "well, " * 300 + "so what do you think?", "no idea", "and you?")
    seen = select(items, budget=400, count_tokens=count)
    check(items, seen, count)
    assert [one.id for one in seen.kept] == ["0", "1", "2", "3"]
    assert seen.kept[1].turn.text.startswith("well, well, ")
    assert seen.kept[1].turn.text.endswith(" so what do you think?")
    later = select([*items, *items_of(*["x"] * 4, "y")[4:]], budget=400, count_tokens=count, start=seen.start)
    assert later.kept[1] == seen.kept[1], "what was read already stays as it was"


@pytest.mark.parametrize("budget", range(50, 70))
def test_cuts_are_between_words(budget) -> None:
    text = "abcdefghij " * 20
    seen = select([ContextItem(id="0", turn=Turn("ben", text))], budget=budget, count_tokens=bytes_counter())
    assert set(seen.kept[0].turn.text.split()) == {"abcdefghij", "[…]"}
    assert min(budget, SHORT) - 24 <= seen.tokens <= min(budget, SHORT)


def test_budget_without_room_for_a_header_is_an_error() -> None:
    with pytest.raises(UserError, match="too small for a single message"):
        select(items_of("hello"), budget=2, count_tokens=words)


def test_nothing_said_and_nothing_allowed() -> None:
    assert select([], budget=10, count_tokens=words) == Seen(kept=(), left_out=(), budget=10)
    seen = select(items_of("a", "b", barred={0: "x", 1: "y"}), budget=10, count_tokens=words)
    assert [one.why for one in seen.left_out] == ["x", "y"]


def test_conversation_bars_what_was_said_before_a_reset_and_side_talk() -> None:
    conversation = InMemoryConversation(id="c", double="anna")
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
    assert InMemoryConversation(id="c", double="a").is_side_talk(text) is expected
    assert not InMemoryConversation(id="c", double="a", side_talk="").is_side_talk(text)
