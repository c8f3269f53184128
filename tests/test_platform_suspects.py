"""Nothing that may be the platform's is passed over where columns are looked at instead of messages."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from talkalike.chats.columns import SCHEMA, batches
from talkalike.chats.importers.messenger_sentences import platform_sentence
from talkalike.chats.platform_suspects import suspects
from talkalike.chats.values import Message, MessageKind, Reaction, Speaker

ANNA, BEN = Speaker(id="messenger:Anna", name="Anna"), Speaker(id="messenger:Ben", name="Ben")
TEXTS = ["ahoj", "Anna volá", "to víš", "haha 😂", "❤️", "", "Vokado.", "benzín"]
moments = st.builds(
    Message,
    id=st.uuids().map(str),
    author=st.sampled_from([ANNA, BEN]),
    sent_ms=st.integers(1, 400_000),
    text=st.sampled_from(TEXTS),
    kind=st.sampled_from([MessageKind.TEXT] * 4 + [MessageKind.CALL, MessageKind.SYSTEM, MessageKind.MEDIA]),
    unsent=st.sampled_from([False, False, False, True]),
    reactions=st.sampled_from([(), (), (), (Reaction(actor="Ben", emoji="😂"),)]),
)


def picked(
    messages: list[Message], names: list[str], *wordings: list[str], piece: int = 1000
) -> dict[str, tuple[bool, tuple[str, ...]]]:
    one = pa.Table.from_batches(batches(messages, origin="messenger"), SCHEMA)
    pieces = one.to_batches(max_chunksize=piece)
    found = suspects(pieces, names=names, wordings=wordings)
    return {each.message.id: (each.beside_call, tuple(m.id for m in each.messages_before)) for each in found}


def beside_call(messages: list[Message], at: int) -> bool:
    beside = [messages[near] for near in (at - 1, at + 1) if 0 <= near < len(messages)]
    return any(m.kind is MessageKind.CALL and abs(m.sent_ms - messages[at].sent_ms) <= 60_000 for m in beside)


@settings(max_examples=150, deadline=None)
@given(said=st.lists(moments, max_size=60), piece=st.integers(1, 40))
def test_columns_tell_what_a_slow_reading_tells(said: list[Message], piece: int) -> None:
    found = picked(said, ["Anna", "Ben"], piece=piece)
    expected = {}
    for at, message in enumerate(said):
        told = message.kind in (MessageKind.SYSTEM, MessageKind.CALL)
        words = message.kind is MessageKind.TEXT and not message.unsent
        reacted = [m.id for m in said[max(0, at - 20) : at] if m.reactions]
        emoji = bool(reacted) and any(sign in message.text for sign in "😂❤")
        named = any(name in message.text for name in ("Anna", "Ben"))
        if message.text and (told or (words and (named or emoji or beside_call(said, at)))):
            expected[message.id] = (words and beside_call(said, at), tuple(reacted) if emoji else ())
    assert found == expected


WORDS = ["Zareagoval", "İstanbul", "Ελλάς", "СМЕХ", "straße", "x_y", "हिन्दी", "返信", "5", "…ok", "a"]


@settings(max_examples=150, deadline=None)
@given(
    first=st.lists(st.sampled_from(WORDS), max_size=3),
    second=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    between=st.sampled_from(["😂", "Anna Nová", "", " "]),
    blank=st.sampled_from([" ", "  ", "\u00a0", "\n"]),
    end=st.sampled_from(["", ".", " !", "… "]),
)
def test_a_wording_is_met_again_in_any_case_and_with_other_blanks(
    first: list[str], second: list[str], between: str, blank: str, end: str
) -> None:
    wording = [" ".join(first).lower() + " ", " " + " ".join(second).lower()]
    for changed in (str, str.upper, str.lower):
        text = changed(blank.join([*first, between, *second])) + end
        message = Message(id="it", author=ANNA, sent_ms=1, text=text)
        if text.lower().split() == (" ".join([*first, changed(between), *second]) + end).lower().split():
            assert "it" in picked([message], [], ["other", "words"], wording)


def test_other_words_are_no_suspects_of_a_wording() -> None:
    said = [Message(id=text, author=ANNA, sent_ms=1, text=text) for text in ("tak ne", "tak moc ne", "ne tak", "tak")]
    assert list(picked(said, [], ["tak ", " ne"])) == ["tak ne", "tak moc ne"]


@settings(max_examples=300, deadline=None)
@given(
    blanks=st.lists(st.sampled_from(["", " ", "  ", "\t", "\u00a0"]), min_size=4, max_size=4),
    sentence=st.sampled_from(["Anna sent a photo", "You called Anna", "Al reagoval", "A réagi ❤ à votre message"]),
)
def test_blanks_at_the_beginning_hide_no_sentence(blanks: list[str], sentence: str) -> None:
    first, second, third, rest = f"{sentence}   ".split(" ", 3)
    text = f"{blanks[0]}{first}{blanks[1]} {second}{blanks[2]} {third}{blanks[3]} {rest}"
    assert platform_sentence(text, "Anna", ("Al",)) is platform_sentence(sentence, "Anna", ("Al",))


def test_a_reaction_counts_for_the_twenty_messages_after_it() -> None:
    said = [Message(id=str(at), author=BEN, sent_ms=at + 1, text="no 😂" if at > 18 else "no") for at in range(24)]
    said[1] = Message(id="1", author=ANNA, sent_ms=2, text="no", reactions=(Reaction(actor="Ben", emoji="😂"),))
    for piece in (1, 7, 24):
        assert picked(said, [], piece=piece) == {str(at): (False, ("1",)) for at in (19, 20, 21)}
