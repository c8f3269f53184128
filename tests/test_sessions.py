"""Sessions: nothing lost, cut at silences, and never longer than the model can read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chats.sessions import DEFAULT_GAP_MS, HOUR_MS, MINUTE_MS, GapEffect, gap_effect, split_sessions
from talkalike.chats.values import Conversation, Message, Platform, Speaker

ANNA, BOB = Speaker(id="messenger:anna", name="Anna"), Speaker(id="messenger:bob", name="Bob")
CHAT = Conversation(
    id="messenger:anna-bob", platform=Platform.MESSENGER, title="Bob", is_group=False, participants=(ANNA, BOB)
)


def talk(*silences_ms: int, texts: list[str] | None = None) -> list[Message]:
    """Messages with these silences before them, the first one's counted from 1970; both speak in turns."""
    messages, now = [], 0
    for index, silence in enumerate(silences_ms):
        now += silence
        text = texts[index] if texts else "x"
        messages.append(Message(id=str(index), author=(ANNA, BOB)[index % 2], sent_ms=now, text=text))
    return messages


def sizes(messages: list[Message], *, gap_ms: int = HOUR_MS, max_weight: int = 10**6) -> list[int]:
    sessions = split_sessions(CHAT, messages, gap_ms=gap_ms, weight=lambda m: len(m.text), max_weight=max_weight)
    return [len(session.messages) for session in sessions]


def test_a_silence_as_long_as_the_gap_ends_a_session_and_a_shorter_one_does_not() -> None:
    assert sizes(talk(0, 1, HOUR_MS - 1, HOUR_MS, 5, HOUR_MS + 1)) == [3, 2, 1]
    assert sizes([]) == []


def test_sessions_know_their_conversation_and_start() -> None:
    sessions = list(split_sessions(CHAT, talk(7, HOUR_MS), gap_ms=HOUR_MS, weight=lambda m: 1, max_weight=5))
    assert [session.messages[0].sent_ms for session in sessions] == [7, 7 + HOUR_MS]
    assert all(session.conversation is CHAT for session in sessions)


def test_an_overlong_session_is_split_at_its_longest_silence() -> None:
    assert sizes(talk(0, 1, 1, 9, 1, 1, 1, 1), max_weight=7) == [3, 5]


def test_a_silence_that_leaves_hardly_anything_on_one_side_does_not_count() -> None:
    messages = talk(0, 99, *[1] * 7, 5, *[1] * 10)  # 20 messages, the longest silence after the first one
    assert sizes(messages, max_weight=16) == [9, 11]


def test_logs_without_seconds_come_apart_in_the_middle() -> None:
    assert sizes(talk(*[0] * 16), max_weight=8) == [8, 8]
    assert sizes(talk(*[0] * 40), max_weight=10) == [10, 10, 10, 10]


def test_of_equal_silences_the_nearest_to_the_middle_is_taken() -> None:
    silences = [0] * 16
    silences[4] = silences[9] = silences[13] = MINUTE_MS
    assert sizes(talk(*silences), max_weight=15) == [9, 7]


def test_the_middle_is_one_of_weight_not_of_messages() -> None:
    texts = ["x" * 10, "x" * 10, *["x"] * 20]
    assert sizes(talk(*[0] * 22, texts=texts), max_weight=30) == [2, 20]


def test_a_message_heavier_than_the_limit_stays_alone_and_is_kept() -> None:
    assert sizes(talk(0, 1, 1, texts=["x", "x" * 50, "x"]), max_weight=8) == [1, 1, 1]
    assert sizes(talk(0, 1, 5, texts=["x", "x" * 500, "x"]), max_weight=80) == [1, 1, 1]
    assert sizes(talk(0, texts=["x" * 50]), max_weight=8) == [1]


def test_a_conversation_without_any_end_is_no_problem() -> None:
    """Silences that shrink all the time used to mean as many levels as messages."""
    count = 20_000
    messages = talk(*range(count, 0, -1))
    sessions = sizes(messages, max_weight=64, gap_ms=10 * count)
    assert sum(sessions) == count
    assert max(sessions) <= 64


def test_a_gap_or_limit_of_nothing_is_refused() -> None:
    for gap_ms, max_weight in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="above 0"):
            sizes(talk(0, 1), gap_ms=gap_ms, max_weight=max_weight)


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 1, 30, 60, 100, 500]), st.integers(0, 30)), max_size=60),
    st.integers(1, 600),
    st.integers(1, 100),
)
def test_sessions_are_the_conversation_within_the_limits(
    drawn: list[tuple[int, int]], gap_ms: int, max_weight: int
) -> None:
    messages = talk(*(silence for silence, _ in drawn), texts=["x" * length for _, length in drawn])
    found = list(
        split_sessions(CHAT, iter(messages), gap_ms=gap_ms, weight=lambda m: len(m.text), max_weight=max_weight)
    )
    assert [message for session in found for message in session.messages] == messages
    weights = [sum(len(message.text) for message in session.messages) for session in found]
    for session, weight in zip(found, weights, strict=True):
        assert weight <= max_weight or len(session.messages) == 1
        times = [message.sent_ms for message in session.messages]
        assert all(after - before < gap_ms for before, after in pairwise(times))
    starts_after_silence = [True] + [
        after.messages[0].sent_ms - before.messages[-1].sent_ms >= gap_ms for before, after in pairwise(found)
    ]
    # A cut without silence happens only inside a stretch that is too heavy as a whole.
    stretches: list[list[int]] = []
    for weight, fresh in zip(weights, starts_after_silence, strict=False):
        if fresh:
            stretches.append([])
        stretches[-1].append(weight)
    assert all(len(parts) == 1 or sum(parts) > max_weight for parts in stretches)


def test_the_effect_of_the_gap_is_told_for_all_conversations_together() -> None:
    first, second = ([m.sent_ms for m in said] for said in (talk(0, 5, 5, 60, 5), talk(0, 60)))
    effects = gap_effect(iter([iter(first), iter(second), iter([])]), [100, 60, 1])
    assert effects == [
        GapEffect(gap_ms=100, sessions=2, median_messages=3.5, single_share=0.0),
        GapEffect(gap_ms=60, sessions=4, median_messages=1.5, single_share=0.5),
        GapEffect(gap_ms=1, sessions=7, median_messages=1, single_share=1.0),
    ]
    assert gap_effect([], [60]) == [GapEffect(gap_ms=60, sessions=0, median_messages=0, single_share=0.0)]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 120))
def test_the_effect_counts_the_sessions_that_splitting_makes(silences: list[int], gap_ms: int) -> None:
    messages = talk(*silences)
    assert gap_effect([[m.sent_ms for m in messages]], [gap_ms])[0].sessions == len(sizes(messages, gap_ms=gap_ms))


def test_every_platform_has_a_default_gap_and_channels_a_shorter_one() -> None:
    assert set(DEFAULT_GAP_MS) == set(Platform)
    assert DEFAULT_GAP_MS[Platform.IRC] < DEFAULT_GAP_MS[Platform.MESSENGER]
