"""Reactions from the archive to the chat: turns of their own kind, which nobody can forge and the double can learn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkalike.chat.conversation import InMemoryConversation
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction, Speaker
from talkalike.chats.values import Conversation as Chat
from talkalike.engine.burst import banned_in_text
from talkalike.evaluation.intervals import Arms
from talkalike.evaluation.reacting import reaction_rate
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_messages, load_replies
from talkalike.examples.prepare import PrepareSettings, Target, prepare
from talkalike.examples.reactions import (
    LONGEST,
    SIGN,
    emoji_of,
    has_sign,
    is_emoji,
    people_by_name,
    plain,
    reaction_turn,
    readable,
    words_of,
)
from talkalike.examples.render import Renderer, Turn
from tiny_model import byte_level_tokenizer, unigram_tokenizer

HOUR = 3_600_000
ANNA, BOB, CYRIL = (Speaker(id=f"messenger:{name}", name=name) for name in ("Anna", "Bob", "Cyril"))
EMOJI = ["👍", "❤", "❤️", "😂", "👍🏽", "👩‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇨🇿", "‼️", "ℹ️", "㊗️", "↔️", "🫩"]
NO_EMOJI = ["", "a", "é", "👍 👎", "👍\n", SIGN, f"👍{SIGN}", ":)", "ok 👍", "\ud800", "👍" * (LONGEST + 1)]
RENDERER = Renderer(byte_level_tokenizer())
# What people may send: anything, and often the sign itself in every place.
human = st.lists(st.one_of(st.text(max_size=6), st.sampled_from([SIGN, "👍", "❤️", "<|im_end|>", " "]))).map("".join)
emojis = st.sampled_from(EMOJI)


# ------------------------------------------------------------------------------------------------ the sign itself


@pytest.mark.parametrize("emoji", EMOJI)
def test_a_reaction_comes_back_from_its_text_and_its_tokens(emoji: str) -> None:
    turn = reaction_turn("Anna", emoji)
    assert turn.speaker == "Anna"
    assert emoji_of(RENDERER.decode_text(RENDERER.encode_text(turn.text))) == emoji
    assert readable(turn.text) == f"reacted {emoji}"
    assert all(is_emoji(emoji[:length]) for length in range(1, len(emoji))), "a stream can be held back until its end"


@pytest.mark.parametrize("text", NO_EMOJI)
def test_what_is_no_emoji_is_no_reaction(text: str) -> None:
    assert emoji_of(SIGN + text) is None
    with pytest.raises(ValueError, match="no emoji"):
        reaction_turn("Anna", text)


@given(human)
@example(f"{SIGN}👍")
@example(f"{SIGN}{SIGN}👍")
def test_no_text_of_a_person_is_a_reaction(text: str) -> None:
    assert SIGN not in plain(text)
    assert emoji_of(plain(text)) is None
    assert plain(text) == "".join(char for char in text if char != SIGN)
    conversation = InMemoryConversation(id="c", double="anna")
    conversation.say("ben", text)
    assert emoji_of(conversation.turns[0].text) is None


@given(st.lists(st.one_of(human.map(plain), emojis.map(lambda emoji: SIGN + emoji))))
def test_words_and_reactions_of_a_burst_come_apart(burst: list[str]) -> None:
    assert words_of(burst) == tuple(text for text in burst if SIGN not in text)


@given(st.lists(st.tuples(st.sampled_from(["Anna", "Bob"]), st.one_of(human.map(plain), emojis)), min_size=1))
def test_a_prompt_with_reactions_is_a_strict_prefix_of_the_training_rendering(said: list[tuple[str, str]]) -> None:
    turns = [reaction_turn(who, text) if is_emoji(text) else Turn(who, text) for who, text in said]
    whole = RENDERER.conversation(turns, [True] * len(turns))
    for cut, turn in enumerate(turns):
        prompt = RENDERER.prompt(turns[:cut], turn.speaker)
        assert whole.ids_T[: len(prompt)].tolist() == prompt
        assert len(prompt) < len(whole.ids_T)
    texts = [RENDERER.decode_text(whole.ids_T[start:stop].tolist()) for start, stop in whole.text_spans]
    assert [emoji_of(text) for text in texts] == [emoji_of(turn.text) for turn in turns]


def test_the_sign_is_one_token_that_the_model_may_write_and_not_every_vocabulary_has_it() -> None:
    (token,) = RENDERER.encode_text(SIGN)
    assert token not in banned_in_text(RENDERER, RENDERER.tokenizer.get_vocab_size()).tolist()
    assert has_sign(RENDERER)
    assert not has_sign(Renderer(unigram_tokenizer()))


# ------------------------------------------------------------------------------------------------ examples


class Chats:
    """One conversation in memory, as the archive would give it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def conversations(self) -> Sequence[Chat]:
        participants = (ANNA, BOB)
        return [Chat(id="c", platform=Platform.MESSENGER, title="c", is_group=True, participants=participants)]

    def messages(self, conversation_id: str) -> Iterable[Message]:
        return self._messages


def sent(author: Speaker, hours: float, text: str, *reactions: tuple[str, str], **fields: object) -> Message:
    stored = tuple(Reaction(actor=actor, emoji=emoji) for actor, emoji in reactions)
    return Message(
        id=f"{author.name}-{hours}",
        author=author,
        sent_ms=round(hours * HOUR),
        text=text,
        reactions=stored,
        **fields,  # type: ignore[arg-type]
    )


PHOTO = {
    "kind": MessageKind.MEDIA,
    "attachments": (Attachment(kind=AttachmentKind.PHOTO, uri="photos/1.jpg"),),
}
TALK = [
    sent(BOB, 0.0, "is anybody there", ("Cyril", "😂"), ("Anna", "👍")),
    sent(BOB, 0.1, f"{SIGN}👍"),
    sent(BOB, 0.15, SIGN),
    sent(ANNA, 0.2, "yes", ("Bob", "❤")),
    sent(BOB, 0.3, "good", ("Anna", "👍"), ("Anna", "ok then"), ("Bob", "❤")),
    sent(BOB, 0.4, "", ("Anna", "👍"), ("Bob", "👍"), **PHOTO),
    *(sent(BOB, 24.0 * day, f"day {day}", ("Anna", "👍")) for day in range(1, 7)),
    *(sent(BOB, 24.0 * day, "question", ("Bob", "😂")) for day in range(7, 9)),
    *(sent(ANNA, 24.0 * day + 0.1, f"answer {day}") for day in range(7, 9)),
]
TALK.sort(key=lambda message: message.sent_ms)


def prepared(folder: Path, renderer: Renderer = RENDERER, **settings: object) -> ExampleSet:
    prepare(
        Chats(TALK),
        [ANNA],
        renderer=renderer,
        settings=PrepareSettings(**settings),  # type: ignore[arg-type]
        target=Target(folder=folder, base="tiny"),
    )
    return ExampleSet(folder)


def test_a_reaction_is_a_turn_after_its_message_and_only_the_chosen_one_s_are_learned(tmp_path: Path) -> None:
    examples = prepared(tmp_path / "anna")
    document = next(examples.documents("train"))
    shown = [(turn.speaker, readable(turn.text)) for turn in document.turns]
    assert [(*turn, learn) for turn, learn in zip(shown, document.learn, strict=True)] == [
        ("Bob", "is anybody there", False),
        ("Cyril", "reacted 😂", False),
        ("Anna", "reacted 👍", True),
        ("Bob", "👍", False),  # typed with the sign before it: words
        ("Anna", "yes", True),
        ("Bob", "reacted ❤", False),
        ("Bob", "good", False),
        ("Anna", "reacted 👍", True),
    ]
    ids, mask = examples.split("train").ids(0), examples.split("train").mask(0)
    learned = RENDERER.decode_text(ids[mask].tolist())
    assert learned.count(SIGN) == 2 and "😂" not in learned and "❤" not in learned


def test_reactions_have_numbers_of_their_own(tmp_path: Path) -> None:
    examples = prepared(tmp_path / "anna")
    manifest = examples.manifest
    # Six reactions alone in a row of days are no copies in a row, and no messages.
    assert (manifest.train.learned, manifest.train.learned_reactions, manifest.train.reactions) == (2, 8, 11)
    assert manifest.heldout.learned == 1
    assert manifest.train.messages == len(load_messages(examples, "train"))
    assert manifest.dropped == {"no words: photo": 1, "empty text": 1}
    assert manifest.left_out["reactions to messages without words"] == 2
    assert manifest.left_out["reactions without an emoji"] == 1
    assert manifest.left_out["reactions too far from any reply"] == 1
    replies = load_replies(examples, "train")
    assert [reply.words for reply in replies if reply.words] == [("yes",), ("answer 7",)]
    assert sum(not reply.words for reply in replies) == 8


@pytest.mark.parametrize(
    ("renderer", "settings", "why"),
    [
        (RENDERER, {"reactions": False}, "switched off"),
        (Renderer(unigram_tokenizer()), {}, "the base model's vocabulary has no sign for reactions"),
    ],
)
def test_examples_without_reactions(tmp_path: Path, renderer: Renderer, settings: dict, why: str) -> None:
    examples = prepared(tmp_path / "anna", renderer, **settings)
    texts = [turn.text for document in examples.documents("train") for turn in document.turns]
    assert "yes" in texts and not any(SIGN in text for text in texts)
    assert examples.manifest.train.reactions == examples.manifest.train.learned_reactions == 0
    assert examples.manifest.left_out[f"reactions ({why})"] == sum(len(message.reactions) for message in TALK)


def test_a_name_that_two_people_bear_says_nobody() -> None:
    other = Speaker(id="messenger:Anna#2", name="Anna")
    assert people_by_name([ANNA, BOB, ANNA]) == {"Anna": ANNA, "Bob": BOB}
    assert people_by_name([ANNA, other, ANNA])["Anna"] is None


def test_rates_count_replies_that_have_a_reaction() -> None:
    real = [[f"{SIGN}👍"], ["a", f"{SIGN}❤"], ["b"], ["👍"]]
    rates = Arms(real=real, double=[["x"]] * 4, base=[[]] * 4).map(reaction_rate)
    assert (rates.real.value, rates.real.n) == (0.5, 4)
    assert rates.double.value == rates.base.value == 0.0
