"""Who speaks, who the owner may be, and whom a typed name means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from talkalike.chats.people import PersonRow, find_person, people, suggest_owner
from talkalike.chats.values import Conversation, Message, MessageKind, Platform, Speaker
from talkalike.errors import UserError


def person(name: str, platform: str = "messenger", slug: str = "") -> Speaker:
    return Speaker(id=f"{platform}:{slug or name.casefold()}", name=name)


ANNA, BOB, CYRIL, DANA = map(person, ("Anna Nová", "Bob", "Cyril", "Dana"))


def chat(name: str, *participants: Speaker, platform: Platform = Platform.MESSENGER) -> Conversation:
    return Conversation(
        id=f"{platform}:{name}",
        platform=platform,
        title=name,
        is_group=len(participants) > 2,
        participants=participants,
    )


def said(author: Speaker, text: str, at: int, kind: MessageKind = MessageKind.TEXT) -> Message:
    return Message(id=f"{author.id}{at}", author=author, sent_ms=at, text=text, kind=kind)


def archive() -> Iterator[tuple[Conversation, Iterator[Message]]]:
    yield (
        chat("one", ANNA, BOB, DANA),
        iter(
            [
                said(ANNA, "hello  there you", 10),
                said(BOB, "hi", 20),
                said(ANNA, "waves", 30, MessageKind.ACTION),
                said(BOB, "", 40, MessageKind.MEDIA),
                replace(said(BOB, "taken back", 50), unsent=True),
                said(DANA, "", 60, MessageKind.STICKER),
                said(DANA, "Dana named the group", 61, MessageKind.SYSTEM),
                replace(said(person("helper"), "beep", 62), is_bot=True),
            ]
        ),
    )
    yield (
        chat("two", ANNA, BOB),
        iter([said(ANNA, "again", 5), said(BOB, "yo", 25), said(CYRIL, "I left this group since", 90)]),
    )


def test_words_are_counted_and_nothing_else_is() -> None:
    rows = people(archive())
    assert rows == [
        PersonRow(person=ANNA, conversations=2, messages=3, words=5, first_ms=5, last_ms=30, share=3 / 6),
        PersonRow(person=BOB, conversations=2, messages=2, words=2, first_ms=20, last_ms=25, share=2 / 6),
        PersonRow(person=CYRIL, conversations=1, messages=1, words=5, first_ms=90, last_ms=90, share=1 / 6),
        PersonRow(person=DANA, conversations=1, messages=0, words=0, first_ms=None, last_ms=None, share=0.0),
    ]
    assert people([]) == []


def test_the_owner_is_in_all_conversations_and_nobody_else_is() -> None:
    guess = suggest_owner([chat("one", ANNA, BOB), chat("two", CYRIL, ANNA), chat("all", ANNA, BOB, CYRIL)])
    assert guess.person == ANNA
    assert "3 of 3" in guess.reason


def test_an_owner_may_be_missing_in_a_few() -> None:
    chats = [chat(str(index), ANNA, person(f"friend {index}")) for index in range(19)]
    assert suggest_owner([*chats, chat("left", BOB, CYRIL)]).person == ANNA


@pytest.mark.parametrize(
    ("chats", "why"),
    [
        ([], "no conversation"),
        ([chat("one", ANNA, BOB)], "only one conversation"),
        ([chat("one", ANNA, BOB), chat("two", BOB, ANNA)], "Anna Nová, Bob"),
        ([chat("one", ANNA, BOB), chat("two", CYRIL, DANA)], "nearly all of the 2"),
        ([chat("one"), chat("two")], "nearly all of the 2"),
    ],
)
def test_without_a_clear_owner_the_reason_is_told(chats: list[Conversation], why: str) -> None:
    guess = suggest_owner(chats)
    assert guess.person is None
    assert why in guess.reason


def test_the_platform_with_most_conversations_decides() -> None:
    anna_on_irc = person("anna", "irc")
    chats = [chat("one", ANNA, BOB), chat("two", ANNA, CYRIL), chat("#x", anna_on_irc, BOB, platform=Platform.IRC)]
    assert suggest_owner(chats).person == ANNA


def rows(*wanted: tuple[Speaker, int]) -> list[PersonRow]:
    return [
        PersonRow(person=who, conversations=1, messages=count, words=count, first_ms=1, last_ms=2, share=0.1)
        for who, count in wanted
    ]


JAN, JANA, MARTIN = person("Jan"), person("Jana Malá"), person("Martin")
SOME = rows((JAN, 3), (JANA, 20), (MARTIN, 500), (DANA, 0))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("messenger:jan", JAN),
        ("Jan", JAN),  # though Jana Malá begins with it, too
        ("jan", JAN),
        (" JANA MALÁ ", JANA),
        ("Jana", JANA),
        ("malá", JANA),
        ("mart", MARTIN),
    ],
)
def test_names_are_understood(typed: str, meant: Speaker) -> None:
    assert find_person(SOME, typed) == meant


def test_the_start_of_a_name_wins_over_its_middle() -> None:
    assert find_person([*SOME, *rows((person("Dagmar"), 9))], "mar") == MARTIN


def test_an_exact_name_wins_over_one_in_other_case() -> None:
    upper = person("MARTIN", slug="other")
    assert find_person([*SOME, *rows((upper, 9))], "MARTIN") == upper
    with pytest.raises(UserError, match="2 people") as error:
        find_person([*SOME, *rows((upper, 9))], "martin")
    assert "Martin (500 messages), MARTIN (9 messages)" in error.value.hint


def test_several_fitting_people_are_listed_most_talkative_first() -> None:
    with pytest.raises(UserError, match="'a' fits 4 people") as error:
        find_person(SOME, "a")
    assert error.value.hint.index("Martin") < error.value.hint.index("Jana") < error.value.hint.index("Jan (")


def test_at_most_eight_are_listed() -> None:
    many = rows(*((person(f"friend {index}"), index + 1) for index in range(12)))
    with pytest.raises(UserError) as error:
        find_person(many, "friend")
    assert error.value.hint.count("messages)") == 8
    assert "friend 11 (" in error.value.hint
    assert "and 4 more" in error.value.hint


def test_two_people_of_one_name_are_told_apart_by_id() -> None:
    twins = rows((person("Petr", slug="petr-1"), 5), (person("Petr", slug="petr-2"), 50))
    with pytest.raises(UserError, match="2 people are called 'Petr'") as error:
        find_person(twins, "Petr")
    assert "id" in error.value.hint
    assert error.value.hint.index("messenger:petr-2 (50") < error.value.hint.index("messenger:petr-1 (5")
    assert find_person(twins, "messenger:petr-1") == twins[0].person


def test_a_typo_is_answered_with_what_was_meant() -> None:
    with pytest.raises(UserError, match="Nobody is called 'Matrin'") as error:
        find_person(SOME, "Matrin")
    assert "Did you mean: Martin (500 messages)" in error.value.hint
    assert "Jana" not in error.value.hint


@pytest.mark.parametrize("typed", ["Xénia", "", "   "])
def test_a_stranger_is_answered_with_those_who_write_most(typed: str) -> None:
    with pytest.raises(UserError) as error:
        find_person(SOME, typed)
    assert "Martin (500 messages), Jana Malá (20 messages), Jan (3 messages)" in error.value.hint
    assert "Dana" not in error.value.hint


def test_nobody_at_all() -> None:
    with pytest.raises(UserError, match="no messages are imported"):
        find_person([], "Jan")


def test_somebody_who_never_wrote_cannot_be_learned() -> None:
    with pytest.raises(UserError, match="Dana takes part but never wrote") as error:
        find_person(SOME, "Dana")
    assert "Martin" in error.value.hint
    assert error.value.exit_code == 2
