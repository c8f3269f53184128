"""What is not a person's words is dropped and counted; what stays is as it was sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chats.cleaning import Cleaned, CleaningRules, clean
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Reaction, Speaker

ANNA, BOB = Speaker(id="messenger:anna", name="Anna"), Speaker(id="messenger:bob", name="Bob")
NICK, OTHER = Speaker(id="irc:c3po", name="c3po"), Speaker(id="irc:yes", name="yes")
UBOTTU = Speaker(id="irc:ubottu", name="Ubottu")
RULES = CleaningRules()


def message(text: str = "", author: Speaker = ANNA, at: int = 0, **more: object) -> Message:
    return Message(id=f"{author.id}-{at}-{text}", author=author, sent_ms=at, text=text, **more)  # type: ignore[arg-type]  # fields by name


def attached(kind: AttachmentKind) -> tuple[Attachment, ...]:
    return (Attachment(kind=kind, uri="photos/1.jpg"),)


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (message("Anna named the group", kind=MessageKind.SYSTEM), "system line"),
        (message("I am a bot", is_bot=True), "bot"),
        (message("grub is a boot loader", UBOTTU), "bot"),
        (message("!grub"), "command"),
        (message("!11.10 | c3po"), "command"),
        (message("/join #ubuntu"), "command"),
        (message("ubottu: tell c3po about grub"), "command"),
        (message("oops", unsent=True), "unsent"),
        (message("", unsent=True, attachments=attached(AttachmentKind.PHOTO)), "unsent"),
        (message(kind=MessageKind.MEDIA, attachments=attached(AttachmentKind.PHOTO)), "no words: photo"),
        (message(kind=MessageKind.MEDIA, attachments=attached(AttachmentKind.AUDIO)), "no words: audio"),
        (message(kind=MessageKind.MEDIA), "no words: media"),
        (message(kind=MessageKind.STICKER, attachments=attached(AttachmentKind.STICKER)), "no words: sticker"),
        (message(kind=MessageKind.SHARE, attachments=attached(AttachmentKind.LINK)), "no words: share"),
        (message(kind=MessageKind.CALL), "no words: call"),
        (message(kind=MessageKind.POLL), "no words: poll"),
        (message(" \n"), "empty text"),
        (message("", attachments=attached(AttachmentKind.VIDEO)), "no words: video"),
    ],
)
def test_noise_is_dropped_by_reason(noise: Message, reason: str) -> None:
    cleaned = clean([message("hello"), noise, message("hi", BOB)], RULES)
    assert [kept.text for kept in cleaned.messages] == ["hello", "hi"]
    assert cleaned.dropped == {reason: 1}


@pytest.mark.parametrize(
    "text",
    ["!!!", "! nice", "!= is the operator", "/ hmm", "/usr/bin is full", "/me waves", "ubottu is a bot", ":)", "👍"],
)
def test_what_only_looks_like_noise_stays(text: str) -> None:
    original = message(text, attachments=attached(AttachmentKind.PHOTO), reactions=(Reaction(actor="Bob", emoji="😂"),))
    cleaned = clean([original], RULES)
    assert cleaned.messages[0] is original
    assert not cleaned.dropped


def test_actions_become_what_their_author_typed() -> None:
    cleaned = clean([message("waves", NICK, kind=MessageKind.ACTION)], RULES)
    assert cleaned.messages[0].text == "/me waves"
    assert clean(cleaned.messages, RULES).messages == cleaned.messages


def test_personal_data_is_redacted_and_counted_and_the_rest_of_the_message_stays() -> None:
    original = message("mail a@b.cz or +420777123456, a@b.cz", reply_to="x", source="inbox/1.json")
    untouched = message("hello", BOB)
    cleaned = clean([original, untouched], RULES)
    assert cleaned.messages[0].text == "mail [email] or [phone], [email]"
    assert cleaned.redacted == {"email": 2, "phone": 1}
    assert (cleaned.messages[0].id, cleaned.messages[0].reply_to) == (original.id, "x")
    assert cleaned.messages[1] is untouched
    assert clean([original], CleaningRules(redact=False)).messages == (original,)


def test_a_nick_alone_calls_somebody_on_irc_but_is_an_answer_elsewhere() -> None:
    words = ["c3po", "c3po:", "yes,", "yes", "r2d2:", "c3po: hi"]
    spoken = [message("first", NICK), message("first", OTHER)]
    cleaned = clean([*spoken, *(message(word, OTHER, at) for at, word in enumerate(words))], RULES)
    assert [kept.text for kept in cleaned.messages[2:]] == ["yes", "r2d2:", "c3po: hi"]
    assert cleaned.dropped == {"only a name": 3}
    assert not clean([message("hm", BOB), message("Bob", ANNA), message("Bob:", ANNA, 1)], RULES).dropped


def texts(cleaned: Cleaned) -> list[str]:
    return [kept.text for kept in cleaned.messages]


ADVERT = "selling two tickets for the concert on friday, write me"


def test_of_a_text_pasted_again_and_again_three_copies_stay() -> None:
    pasted = [message(ADVERT, at=hour * 3_600_000) for hour in range(6)]
    changed = message(ADVERT.replace("two", "2") + "!!", at=9 * 3_600_000)
    by_another = message(ADVERT, BOB, at=10 * 3_600_000)
    different = message("i have sold my tickets to somebody from work", at=11 * 3_600_000)
    cleaned = clean([*pasted, changed, by_another, different], RULES)
    assert texts(cleaned) == [ADVERT] * 4 + [different.text]
    assert cleaned.dropped == {"repeated many times": 4}
    assert clean(pasted, CleaningRules(max_copies=1)).dropped == {"repeated many times": 5}


def test_what_says_another_number_is_said_for_the_first_time() -> None:
    """A diary of runs, prices, scores: the words are the same, and what they say is not."""
    runs = [message(f"ran {10 + day} km by the river before work", at=day * 86_400_000) for day in range(20)]
    assert clean(runs, RULES).messages == tuple(runs)
    pasted = [message("ran 29 km by the river before work!", at=10**10 + day) for day in range(5)]
    assert clean([*runs, *pasted], RULES).dropped == {"repeated many times": 3}  # with the last run there are six


def test_a_short_text_is_a_flood_only_in_a_row_and_soon() -> None:
    minute = 60_000
    flood = [message("lol", at=at * 1000) for at in range(5)]
    assert len(clean(flood, RULES).messages) == 3
    slow = [message("ok", at=at * 20 * minute) for at in range(9)]
    mixed = [message(text, at=at) for at, text in enumerate(["ok", "ok", "ok", "so?", "ok", "ok"])]
    two = [message("ok", who, at) for at, who in enumerate([ANNA, BOB] * 3)]
    for fine in (slow, mixed, two):
        assert clean(fine, RULES).messages == tuple(fine)


def test_what_a_dropped_copy_interrupted_is_still_in_a_row() -> None:
    pasted = [message(ADVERT, at=hour * 3_600_000) for hour in range(3)]
    row = [message(text, at=10**8 + at) for at, text in enumerate(["ok", "ok", "ok", ADVERT, "ok"])]
    cleaned = clean([*pasted, *row], RULES)
    assert texts(cleaned) == [ADVERT] * 3 + ["ok"] * 3
    assert clean(cleaned.messages, RULES).messages == cleaned.messages


def test_rules_can_be_set() -> None:
    rules = CleaningRules(bots=frozenset({"bob"}), command_prefixes="?")
    cleaned = clean([message("!grub"), message("?help"), message("hello", BOB), message("Bob, help me")], rules)
    assert texts(cleaned) == ["!grub"]
    assert cleaned.dropped == {"command": 2, "bot": 1}
    nothing = CleaningRules(bots=frozenset(), command_prefixes="")
    assert len(clean([message("!grub"), message("hi", UBOTTU)], nothing).messages) == 2


@given(
    st.lists(
        st.builds(
            message,
            st.one_of(st.text(max_size=30), st.sampled_from(["!x", "ok", ADVERT, "a@b.cz", "c3po:"])),
            st.sampled_from([ANNA, BOB, NICK, UBOTTU]),
            st.integers(0, 10**6),
            kind=st.sampled_from(MessageKind),
            unsent=st.booleans(),
        ),
        max_size=20,
    )
)
def test_every_message_is_kept_or_counted_and_cleaning_twice_changes_nothing(given_messages: list[Message]) -> None:
    given_messages.sort(key=lambda message: message.sent_ms)
    cleaned = clean(given_messages, RULES)
    assert len(cleaned.messages) + cleaned.dropped.total() == len(given_messages)
    order = {id_: place for place, id_ in enumerate(message.id for message in given_messages)}
    places = [order[kept.id] for kept in cleaned.messages]
    assert places == sorted(places)
    again = clean(cleaned.messages, RULES)
    assert again.messages == cleaned.messages
    assert not again.redacted
