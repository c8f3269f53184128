"""From messages to example sets: what is kept, how it is split, what is on disk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chats.values import Conversation, Message, Platform, Speaker
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_messages, load_replies
from talkalike.examples.prepare import PrepareSettings, Target, prepare, render_document
from talkalike.examples.render import Renderer
from talkalike.examples.windows import heldout_start, worthwhile
from tiny_model import byte_level_tokenizer

HOUR = 3_600_000
ANNA, BOB, CYRIL = (Speaker(id=f"messenger:{name}", name=name) for name in ("Anna", "Bob", "Cyril"))
OTHER_ANNA = Speaker(id="messenger:Anna#2", name="Anna")


class Chats:
    """Conversations in memory, as the archive would give them."""

    def __init__(self, said: dict[str, list[tuple[Speaker, float, str]]]) -> None:
        self._said = said

    def conversations(self) -> Sequence[Conversation]:
        return [
            Conversation(id=name, platform=Platform.MESSENGER, title=name, is_group=True, participants=(ANNA, BOB))
            for name in self._said
        ]

    def messages(self, conversation_id: str) -> Iterable[Message]:
        return [
            Message(id=f"{conversation_id}-{index}", author=who, sent_ms=int(hours * HOUR), text=text)
            for index, (who, hours, text) in enumerate(self._said[conversation_id])
        ]


def sentence(day: int, place: int) -> str:
    """Eight words that hardly any other sentence has."""
    letters = "bdfgklmnprst"
    numbers = random.Random(f"{day} {place}").sample(range(12**3), 8)
    return " ".join(f"{letters[n % 12]}a{letters[n // 12 % 12]}o{letters[n // 144]}" for n in numbers)


def evenings(
    count: int, speakers: tuple[Speaker, ...] = (BOB, ANNA), *, start: int = 0
) -> list[tuple[Speaker, float, str]]:
    """`count` sessions a day apart in which each says something of their own."""
    return [
        (who, 24 * (start + day) + 0.01 * place, sentence(start + day, place))
        for day in range(count)
        for place, who in enumerate(speakers)
    ]


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(byte_level_tokenizer())


def prepared(
    chats: Chats, folder: Path, renderer: Renderer, chosen: Sequence[Speaker] = (ANNA,), **settings: object
) -> ExampleSet:
    prepare(
        chats,
        chosen,
        renderer=renderer,
        settings=PrepareSettings(**settings),  # type: ignore[arg-type]
        target=Target(folder=folder, base="tiny"),
    )
    return ExampleSet(folder)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=40), st.integers(0, 60))
def test_every_learned_turn_is_kept_with_its_context(turns: list[tuple[bool, int]], budget: int) -> None:
    learn, costs = [turn[0] for turn in turns], [turn[1] for turn in turns]
    ranges = worthwhile(learn, costs, budget)
    kept = {index for start, stop in ranges for index in range(start, stop)}
    assert ranges == sorted(ranges)
    assert all(first[1] < second[0] for first, second in pairwise(ranges))
    for index in range(len(turns)):
        following = next((later for later in range(index, len(turns)) if learn[later]), None)
        near = following is not None and sum(costs[index + 1 : following]) < budget
        assert (index in kept) == (learn[index] or (near and budget > 0))


@given(st.lists(st.integers(1, 9), max_size=30), st.floats(0.01, 0.5))
def test_the_newest_sessions_are_held_out(learned: list[int], share: float) -> None:
    start = heldout_start(learned, share)
    held = len(learned) - start
    if len(learned) < 2:
        assert held == 0
    else:
        assert 1 <= held <= len(learned) // 2
        assert sum(learned[start + 1 :]) < share * sum(learned)  # no more than needed


def test_the_split_is_by_time_within_each_conversation(tmp_path: Path, renderer: Renderer) -> None:
    chats = Chats({"one": evenings(20), "two": evenings(10, start=300), "without": evenings(5, (BOB, CYRIL))})
    examples = prepared(chats, tmp_path / "anna", renderer)
    for name, held in (("one", 2), ("two", 1)):
        last_trained = max(m.sent_ms for m in load_messages(examples, "train") if m.conversation == name)
        replies = [reply for reply in load_replies(examples) if reply.conversation == name]
        assert len(replies) == held
        assert all(reply.sent_ms > last_trained for reply in replies)
    manifest = examples.manifest
    assert (manifest.train.learned, manifest.heldout.learned) == (27, 3)
    assert manifest.sources == {"one": 40, "two": 20}
    assert manifest.left_out["conversations without a chosen speaker"] == 1


def test_shards_are_the_renderings_and_the_manifest_knows_them(tmp_path: Path, renderer: Renderer) -> None:
    examples = prepared(Chats({"one": evenings(12), "two": evenings(8)}), tmp_path / "anna", renderer)
    for split in ("train", "heldout"):
        shard, documents = examples.split(split), list(examples.documents(split))
        assert len(shard) == len(documents) >= 2
        for index, document in enumerate(documents):
            rendered = render_document(renderer, document)
            assert shard.ids(index).tolist() == rendered.ids_T.tolist()
            assert shard.mask(index).tolist() == rendered.mask_T.tolist()
    examples.verify()
    again = prepared(Chats({"one": evenings(12), "two": evenings(8)}), tmp_path / "again", renderer)
    assert again.manifest.hash == examples.manifest.hash
    ids = tmp_path / "anna" / "train.ids.npy"
    ids.write_bytes(ids.read_bytes()[:-1] + b"\x07")
    with pytest.raises(UserError, match="changed on disk"):
        examples.verify()


def test_a_text_is_turned_into_tokens_once(tmp_path: Path) -> None:
    encoded: list[str] = []

    class Listing(Renderer):
        def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
            encoded.extend(texts)
            return super().encode_texts(texts)

    said = evenings(12)
    prepared(Chats({"one": said}), tmp_path / "anna", Listing(byte_level_tokenizer()))
    assert {text: encoded.count(text) for _, _, text in said} == {text: 1 for _, _, text in said}


def test_long_sessions_come_apart_at_silences_and_nothing_is_lost(tmp_path: Path, renderer: Renderer) -> None:
    said = [
        ((ANNA, BOB)[i % 2], 0.001 * i + (0.5 if i >= 33 else 0), f"word{i} and some more words {i}") for i in range(60)
    ]
    examples = prepared(Chats({"one": said + evenings(3, start=9)}), tmp_path / "anna", renderer, max_tokens=600)
    documents = [document for document in examples.documents("train") if document.sent_ms[0] < 24 * HOUR]
    texts = [turn.text for document in documents for turn in document.turns]
    assert texts == [text for _, _, text in said[: len(texts)]]
    assert len(texts) == 59  # all but Bob's last word, which no reply of Anna's follows
    assert len(documents) > 1
    assert any(document.turns[0].text.startswith("word33 ") for document in documents)
    assert all(len(render_document(renderer, document).ids_T) <= 610 for document in documents)
    assert [document.next_speaker is None for document in documents] == [document.ended for document in documents]


def test_two_people_of_one_name_stay_apart(tmp_path: Path, renderer: Renderer) -> None:
    chats = Chats({"one": evenings(10, (OTHER_ANNA, ANNA, BOB))})
    examples = prepared(chats, tmp_path / "anna", renderer)
    said = load_messages(examples, "train")
    assert {message.speaker for message in said if message.chosen} == {"Anna"}
    assert {message.speaker for message in said if not message.chosen} >= {"Anna (2)"}
    assert examples.manifest.train.learned == sum(message.chosen for message in said)


def test_several_speakers_are_learned_at_once(tmp_path: Path, renderer: Renderer) -> None:
    examples = prepared(Chats({"one": evenings(10, (BOB, ANNA, CYRIL))}), tmp_path / "two", renderer, (ANNA, CYRIL))
    assert examples.manifest.speakers == ("Anna", "Cyril")
    assert {reply.speaker for reply in load_replies(examples)} == {"Anna", "Cyril"}


def test_what_training_texts_repeat_is_not_scored(tmp_path: Path, renderer: Renderer) -> None:
    said = evenings(10)
    repeated = said[1][2] + "!"
    said += [
        (BOB, 24 * 20, "and now?"),
        (ANNA, 24 * 20 + 0.01, repeated),
        (BOB, 24 * 20 + 0.02, "hm"),
        (ANNA, 24 * 20.01, "short one"),
    ]
    examples = prepared(Chats({"one": said}), tmp_path / "anna", renderer)
    scored = [text for reply in load_replies(examples) for text in reply.messages]
    assert "short one" in scored
    assert repeated not in scored
    assert examples.manifest.left_out["held-out messages that repeat training ones"] >= 1


def test_bursts_are_one_reply_of_several_messages(tmp_path: Path, renderer: Renderer) -> None:
    said = evenings(10)
    said += [
        (BOB, 480, "who is there?"),
        (ANNA, 480.01, "me"),
        (ANNA, 480.02, "and the cat"),
        (BOB, 480.03, "hi"),
        (ANNA, 480.04, "yo"),
    ]
    replies = load_replies(prepared(Chats({"one": said}), tmp_path / "anna", renderer))
    assert [reply.messages for reply in replies[-2:]] == [("me", "and the cat"), ("yo",)]
    assert [turn.text for turn in replies[-1].context] == ["who is there?", "me", "and the cat", "hi"]
    assert replies[-1].others_in_context == ("Bob",)


def test_too_little_to_learn_from_is_said_plainly(tmp_path: Path, renderer: Renderer) -> None:
    with pytest.raises(UserError, match="Anna said too little"):
        prepared(Chats({"one": evenings(1)}), tmp_path / "anna", renderer)
    assert not list(tmp_path.iterdir())


def test_one_session_in_each_of_two_conversations_still_holds_one_out(tmp_path: Path, renderer: Renderer) -> None:
    examples = prepared(Chats({"one": evenings(1), "two": evenings(1, start=5)}), tmp_path / "anna", renderer)
    assert (examples.manifest.train.documents, examples.manifest.heldout.documents) == (1, 1)


def test_damaged_sets_are_refused(tmp_path: Path, renderer: Renderer) -> None:
    with pytest.raises(UserError, match="no examples"):
        ExampleSet(tmp_path)
    folder = tmp_path / "anna"
    prepared(Chats({"one": evenings(4)}), folder, renderer)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "surprise": 1}))
    with pytest.raises(UserError, match="damaged"):
        ExampleSet(folder)
    examples = prepared(Chats({"one": evenings(4)}), tmp_path / "cut", renderer)
    texts = tmp_path / "cut" / "train.jsonl"
    texts.write_bytes(texts.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train\.jsonl is damaged"):
        list(examples.documents("train"))
