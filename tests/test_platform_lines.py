"""Lines of the platform in a language nobody listed are found by what they stand beside, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from talkalike.chats.columns import batches
from talkalike.chats.platform_lines import KNOWN, find_platform_lines
from talkalike.chats.values import Conversation, Message, MessageKind, Platform, Reaction, Speaker

ME = "Anna Nová"
FRIENDS = ("Ben Říha", "Cilka Šťastná", "Dan Malý", "Eva Krátká")


@dataclass
class Chats:
    """Chats in memory: of each friend, what was said in order by (name, text) or as a message."""

    said: dict[str, list[Message]] = field(default_factory=dict)

    def add(self, friend: str, *lines: tuple[str, str] | Message) -> None:
        messages = self.said.setdefault(friend, [])
        for line in lines:
            at = 1000 * len(messages)
            if isinstance(line, Message):
                messages.append(line)
            else:
                messages.append(Message(id=f"{friend} {at}", author=person(line[0]), sent_ms=at, text=line[1]))

    def conversations(self) -> list[Conversation]:
        return [
            Conversation(
                id=f"messenger:{friend}",
                platform=Platform.MESSENGER,
                title=friend,
                is_group=False,
                participants=(person(ME), person(friend)),
            )
            for friend in self.said
        ]

    def messages(self, conversation_id: str) -> list[Message]:
        return self.said[conversation_id.removeprefix("messenger:")]

    def batches(self, conversation_id: str) -> Iterator[pa.RecordBatch]:
        return batches(self.messages(conversation_id), origin="messenger")


def person(name: str) -> Speaker:
    return Speaker(id=f"messenger:{name}", name=name)


def reacted_to(author: str, text: str, actor: str, emoji: str, at: int) -> Message:
    reactions = (Reaction(actor=actor, emoji=emoji),)
    return Message(id=f"{author}{text}{at}", author=person(author), sent_ms=at, text=text, reactions=reactions)


def call(author: str, at: int) -> Message:
    return Message(id=f"call {at}", author=person(author), sent_ms=at, kind=MessageKind.CALL, text="Vokado.")


def found(chats: Chats) -> dict[str, str]:
    return {line.sentence: line.why for line in find_platform_lines(chats).lines if line.why != KNOWN}


def learned(chats: Chats, *, learn: bool = False) -> list[str]:
    sifted = find_platform_lines(chats).sift(chats, learn=learn)
    return [
        message.text
        for chat in sifted.conversations()
        for message in sifted.messages(chat.id)
        if message.kind is MessageKind.TEXT
    ]


def test_a_line_that_tells_of_its_authors_reaction_just_before():
    chats = Chats()
    ben = FRIENDS[0]
    for number, emoji in enumerate(["❤", "😂", "👍"]):
        at = 3000 * number
        chats.add(ben, reacted_to(ME, f"vtip {number}", ben, emoji, at), (ben, f"Blorpis {emoji} zu tia gaspo "))
        chats.add(ben, (ben, "haha 😂"), (ben, "ok"))
    chats.add(ben, (ben, "Blorpis 🔥 zu tia gaspo"))  # to a message that the export lacks
    assert found(chats) == {"blorpis {emoji} zu tia gaspo": "tells of a reaction just before"}
    assert learned(chats) == [t for n in range(3) for t in (f"vtip {n}", "haha 😂", "ok")]
    assert "Blorpis 🔥 zu tia gaspo" in learned(chats, learn=True)


def test_what_people_write_with_the_emoji_they_reacted_with_is_theirs():
    chats = Chats()
    for friend in FRIENDS:
        for number in range(4):
            chats.add(friend, reacted_to(ME, f"vtip {number}", friend, "😂", number), (friend, "haha 😂 jo"))
            chats.add(friend, reacted_to(ME, f"vtip {number}", friend, "❤", number), (friend, "❤❤"))
            chats.add(friend, (friend, "i ❤ you too"), (ME, "i ❤ you too"), (ME, "haha 😂 jo"), (ME, "haha 🔥 jo"))
    assert found(chats) == {}


def test_a_line_beside_calls_and_nowhere_else():
    chats = Chats()
    for friend in FRIENDS[:2]:
        first = friend.split()[0]
        for number in range(3):
            at = 10_000_000 * (number + 1)
            line = Message(id=f"l{at}", author=person(friend), sent_ms=at + 5, text=f"{first} aliris la vokadon.")
            end = Message(id=f"e{at}", author=person(friend), sent_ms=at + 7, text="Finis nun la vokado.")
            own = Message(id=f"o{at}", author=person(ME), sent_ms=at - 9, text="volám")
            ask = Message(id=f"a{at}", author=person(ME), sent_ms=at - 8, text="zavolej mi prosím")
            chats.add(friend, own, ask, call(friend, at), line, call(friend, at + 6), end)
            chats.add(friend, (ME, "zavolej mi prosím"), (friend, "ok"), (ME, "ok"))
    assert set(found(chats).values()) == {"stands beside calls only"}
    assert set(found(chats)) == {"{sender} aliris la vokadon", "finis nun la vokado"}
    assert set(learned(chats)) == {"volám", "zavolej mi prosím", "ok"}


def test_a_sentence_that_names_its_own_author_in_many_chats():
    chats = Chats()
    for friend in FRIENDS:
        first = friend.split()[0]
        chats.add(friend, (friend, f"{first} forlasis la grupon tute."), (ME, f"Ahoj {first}, jak se máš?"))
        chats.add(friend, (friend, f"tady {first}"), (friend, "ok"), (friend, "haha"), (ME, f"dobrou noc {first}"))
        chats.add(friend, (ME, "Anna je můj nick"))
    assert found(chats) == {"{sender} forlasis la grupon tute": "names its author in many chats"}
    assert learned(chats).count("ok") == learned(chats).count("haha") == len(FRIENDS)


def test_what_is_said_most_often_is_not_the_platforms_for_that():
    chats = Chats()
    for friend in FRIENDS:
        for text in ("ok", "haha", "jj", "uvidíme se zítra", "No jasně!"):
            for number in range(50):
                chats.add(friend, (ME, text), (friend, text), (friend, f"{text} {number}"))
    assert found(chats) == {}


def test_samples_and_counts_are_told_and_known_sentences_can_be_learned_after_all():
    chats = Chats()
    known = Message(id="k", author=person(ME), sent_ms=1, kind=MessageKind.SYSTEM, text="Anna left the group.")
    typed = Message(id="t", author=person(ME), sent_ms=2, kind=MessageKind.SYSTEM, text="told by the export's field")
    chats.add(FRIENDS[0], known, typed, call(ME, 3), (ME, "ok"))
    lines = find_platform_lines(chats)
    assert {(line.sample, line.count) for line in lines.lines} >= {("Anna left the group.", 1)}
    assert learned(chats) == ["ok"]
    assert learned(chats, learn=True) == ["Anna left the group.", "ok"]
