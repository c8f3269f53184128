"""Pictures in a conversation: the line that stands for one, its cost, and that nobody can write one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.history import File, HistoryMessage, Marks, items, with_short_pictures
from talkalike.chat.permissions import Decision
from talkalike.chat.shared_pictures import MOST_TOKENS, SharedPicture, picture_line, without_unseen_picture
from talkalike.engine.eyes import Looked
from talkalike.examples.picture_words import NOT_RECOGNISED
from talkalike.examples.render import Renderer, Turn
from talkalike.website.judge.showing import context_of
from tiny_model import byte_level_tokenizer

MAY = Decision(allowed=True, rule="r", explanation="May be seen.")
TOKENS = ("<image>", "<|image_pad|>", "<img>", "[IMG]", "<fake_token_around_image>", "<|endofchunk|>", "<|im_start|>")
PIECES = (
    "[",
    "]",
    "picture",
    ": a cat]",
    "\n",
    " ",
    "<",
    ">",
    "image",
    "|",
    "[picture, not seen: ",
    "[Picture:",
    *TOKENS,
)
human = st.lists(st.one_of(st.text(max_size=4), st.sampled_from(PIECES)), max_size=8).map("".join)
OPENED = re.compile(r"\[\W*picture", re.IGNORECASE)
RENDERER = Renderer(byte_level_tokenizer())


def said(text: str, *files: File, **more: Any) -> HistoryMessage:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    given = {"author_id": 1, "author": "Anna", "seen": MAY, **more}
    return HistoryMessage(id=1, text=text, at=at, files=files, **given)


def turn_of(text: str, *files: File, **more: Any) -> Turn:
    return items([said(text, *files, **more)], marks=Marks(), double="Mia")[0].turn


def photo(picture: SharedPicture, name: str = "cat.png") -> File:
    return File(name=name, content_type="image/png", size=5, picture=picture)


def saw(words: str, *, sure: bool = True) -> SharedPicture:
    return SharedPicture(looked=Looked(words=words, sure=sure))


@given(text=human, name=human, quoted=human, forwarded=human, note=human, author=human, words=human, why=human)
@example(
    text="<image>", name="<image>", quoted="", forwarded="", note="", author="<image>", words="[picture: x]", why=""
)
@example(text="picture: a cat]", name="[", quoted="[", forwarded="[", note="", author="[", words="[", why="[")
def test_nobody_writes_a_pictures_line_or_a_models_token(
    text: str, name: str, quoted: str, forwarded: str, note: str, author: str, words: str, why: str
) -> None:
    files = (
        photo(saw(words), name),
        photo(SharedPicture(unseen=why), name),
        File(name=name, content_type="", size=1, text=text, note=note),
    )
    turn = turn_of(
        text, *files, quoted=quoted, reply_to=9, forwarded=(forwarded,), notes=(note,), author=author or "Anna"
    )
    assert len(OPENED.findall(turn.text)) == 2, "those that were sent, and no other"
    assert all(line.startswith("[picture") for line in turn.text.split("\n")[:2])
    assert not OPENED.search(turn.speaker)
    talk = InMemoryConversation(id="c", double="mia")
    talk.say(author or "anna", text)
    for seen in (turn, talk.turns[0]):
        for token in TOKENS:
            # markers of turns are none of pictures: the renderer never reads them as such
            assert token == "<|im_start|>" or token not in seen.text + seen.speaker, token
    assert not OPENED.search(talk.turns[0].text + talk.turns[0].speaker)


def test_the_line_says_what_was_seen_or_why_nothing_was() -> None:
    assert turn_of("look", photo(saw("a red mug"))).text == "[picture: a red mug]\nlook"
    assert turn_of("look", photo(saw("mostly grey", sure=False))).text == f"{NOT_RECOGNISED}\nlook"
    assert (
        turn_of("", photo(SharedPicture(unseen="it was\nbroken"))).text
        == "[picture, not seen: cat.png (it was broken)]"
    )
    aside = SharedPicture(aside=True)
    assert picture_line(aside, name="party") == "", "its name is in the text"
    assert turn_of("hi :party:", photo(aside)).text == "hi :party:"


def test_of_somebody_who_may_not_be_seen_no_picture_is_told() -> None:
    hidden = Decision(allowed=False, rule="r", explanation="Not shown: opted out.")
    assert turn_of("look", photo(saw("a red mug")), seen=hidden).text == ""


@pytest.mark.parametrize("words", ["word " * 300, "ž" * 500, "[picture: " * 80])
def test_a_pictures_line_costs_few_tokens_and_the_budget_counts_them(words: str) -> None:
    def count(turns: tuple[Turn, ...]) -> list[int]:
        return [len(RENDERER.prompt([turn], "Mia")) for turn in turns]

    (short,) = with_short_pictures([said("", photo(saw(words)))], count)
    item = items([short], marks=Marks(), double="Mia")[0]
    (cost,), (empty,) = count((item.turn,)), count((Turn("Anna", ""),))
    assert 20 < cost - empty <= MOST_TOKENS
    assert item.turn.text.startswith("[picture: ") and item.turn.text.endswith("]")


def test_a_judge_who_sees_the_picture_reads_only_what_the_double_read_of_it() -> None:
    assert without_unseen_picture("[picture, not seen: cat.png]\nlook") == "look"
    assert without_unseen_picture(NOT_RECOGNISED) == ""
    assert without_unseen_picture("[picture: a red mug]\nlook") == "[picture: a red mug]\nlook"
    sent: Any = {0: (photo(SharedPicture()), photo(SharedPicture(), "dog.png"))}
    text = "[picture, not seen: cat.png]\n[picture, not seen: dog.png]\nlook"
    assert context_of([("Anna", text)], "Mia", sent)["turns"][0].text == "look"
