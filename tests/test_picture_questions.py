"""What every face shares of a question about a picture: its time, what it costs, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripted_eyes import AnsweringEye, NamingEye, TalkingEye, make_picture
from talkalike.chat.looking import Onlooker
from talkalike.chat.seeing.changing import TaskChange
from talkalike.chat.seeing.values import Shot
from talkalike.engine.eyes import Grade, Looked
from talkalike.engine.protocol import ContextTooLongError
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.replying.picture_questions import AskedAbout, EyeFailedError, ask_about, require_eye
from talkalike.replying.writing import today
from talkalike.store import usage
from talkalike.store.seeing import tasks, words
from talkalike.store.seeing.tasks import EVERYBODY, TaskPlace
from talkalike.store.seeing.usable import begin_task, change_task
from talkalike.store.store import Store, open_store

ASKED = make_picture("asked")
EXAMPLE = make_picture("example")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite3") as opened:
        yield opened


def add_task(store: Store) -> None:
    given = TaskChange(add=(Shot(picture=EXAMPLE.ref, output="red"),))
    store.call(begin_task, EVERYBODY, "mugs", given, {EXAMPLE.hash: EXAMPLE}, by=3)


class SlowEye(AnsweringEye):
    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        await asyncio.sleep(30)
        raise AssertionError


async def test_an_answer_takes_limited_time_and_an_unanswered_question_costs_nothing(store: Store) -> None:
    asked = AskedAbout(place=EVERYBODY, pictures=(ASKED,), task="read", by=3)
    with pytest.raises(EyeFailedError, match="no answer within 0 seconds"):
        await ask_about(store, asked, eye=SlowEye(lambda picture, ask: ""), seconds=0.05)
    assert store.call(usage.read_used, 3, None, today()).replies_user == 0


async def test_pictures_and_words_are_paid_for_where_they_were_asked(store: Store) -> None:
    add_task(store)
    asked = AskedAbout(place=TaskPlace(server_id=7), pictures=(ASKED,), task="mugs", by=3)
    await ask_about(store, asked, eye=TalkingEye(lambda turns: "red"))
    used = store.call(usage.read_used, 3, 7, today())
    assert (used.replies_user, used.tokens_user) == (1, 2 * 64)  # the example's picture and that of the question


async def test_what_was_seen_is_kept_of_pictures_that_are_kept(store: Store) -> None:
    add_task(store)
    eye = NamingEye({EXAMPLE.hash: "a red mug"})
    engine = ScriptedEngine((("red",),), name="ada-2")
    asked = AskedAbout(place=EVERYBODY, pictures=(ASKED,), task="mugs", by=3)
    for _ in range(2):
        await ask_about(store, asked, eye=eye, engine=engine)
    assert [hash_ for hash_, _ in eye.looked] == [ASKED.hash, EXAMPLE.hash, ASKED.hash]
    kept = store.call(words.all_words_of, [ASKED.hash, EXAMPLE.hash], eye=eye.name, grade=Grade.GLANCE)
    assert {hash_: looked.words for hash_, looked in kept.items()} == {EXAMPLE.hash: "a red mug"}


async def test_errors_that_are_for_everybody_are_told_as_they_are(store: Store) -> None:
    def too_long(picture: Picture, ask: str) -> str:
        raise ContextTooLongError("The prompt is too long.")

    asked = AskedAbout(place=EVERYBODY, pictures=(ASKED,), task="read")
    with pytest.raises(ContextTooLongError):
        await ask_about(store, asked, eye=AnsweringEye(too_long))
    with pytest.raises(UserError, match="There is no task 'mogs' here"):
        await ask_about(store, AskedAbout(place=EVERYBODY, pictures=(ASKED,), task="mogs"), eye=NamingEye({}))
    for none in (None, Onlooker(None)):
        with pytest.raises(UserError, match="no eye here"):
            require_eye(none)


def test_two_changes_at_once_are_both_in_the_newest_version(store: Store) -> None:
    add_task(store)
    for name in ("one", "other"):
        picture = make_picture(name)
        change = TaskChange(add=(Shot(picture=picture.ref, output=name),))
        store.call(change_task, EVERYBODY, "mugs", change, {picture.hash: picture}, by=4)
    stored = store.call(tasks.find, EVERYBODY, "mugs")
    assert [shot.output for shot in stored.spec.shots] == ["red", "one", "other"]
    back = store.call(change_task, EVERYBODY, "mugs@1", TaskChange(stop=("\n",)), {}, by=4)
    assert (back.number, len(back.spec.shots), back.spec.stop) == (4, 1, ("\n",))  # on the version that was named
