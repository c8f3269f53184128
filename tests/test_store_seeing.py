"""Kept pictures, what eyes saw in them, and tasks by example, in both databases."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import transaction

from postgres_server import PostgresServer
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.engine.eyes import Grade, Looked
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.store import people
from talkalike.store.seeing import kept, tasks, words
from talkalike.store.seeing.tasks import EVERYBODY, TaskPlace
from talkalike.store.store import Store, open_store

pytest_plugins = ("store_databases",)

ANNA, BEN = 7_000_000_000_000_000_007, 8_000_000_000_000_000_008
ONE, TWO = TaskPlace(server_id=10), TaskPlace(server_id=11)
PRIVATE = TaskPlace(owner_id=ANNA)
RED, BLUE, GREEN = (
    Picture(data=name.encode() * 40, width=8, height=6, content_type="image/png") for name in ("red", "blue", "green")
)
MOVING = Picture(
    data=b"first",
    width=4,
    height=4,
    content_type="image/png",
    frames=(b"first", b"", b"the last"),
    frame_count=120,
    note="animated",
)


def spec(name: str, shots: Sequence[tuple[Picture | None, str]], **more: object) -> TaskSpec:
    made = tuple(Shot(picture=picture.ref if picture else None, output=output) for picture, output in shots)
    return replace(TaskSpec(name=name, shots=made), **more)


def bytes_of(*pictures: Picture) -> dict[str, Picture]:
    return {picture.hash: picture for picture in pictures}


def left_of(store: Store, *pictures: Picture) -> set[Picture]:
    """Which of these are kept."""
    return set(store.call(kept.pictures, [picture.hash for picture in pictures]).values())


def test_a_picture_is_kept_once_with_its_frames_until_nothing_needs_it(store: Store) -> None:
    assert store.call(kept.keep, MOVING) == store.call(kept.keep, MOVING) == MOVING.hash
    assert store.call(kept.picture, MOVING.hash) == MOVING
    store.call(kept.keep, RED)
    assert store.call(kept.forget_unused, [RED.hash]) == 1
    assert left_of(store, RED, MOVING) == {MOVING}
    assert store.call(kept.forget_unused) == 1
    assert store.call(kept.picture, MOVING.hash) is None


def test_what_was_seen_is_kept_by_eye_and_grade_and_goes_with_the_picture(store: Store) -> None:
    seen, closer = Looked(words="a red mug", sure=True), Looked(words='a mug; text: "HELLO"', sure=False)
    assert not store.call(words.keep_words, RED.hash, seen, eye="small 1", grade=Grade.GLANCE)
    store.call(kept.keep, RED)
    assert store.call(words.keep_words, RED.hash, closer, eye="small 1", grade=Grade.GLANCE)
    assert store.call(words.keep_words, RED.hash, seen, eye="small 1", grade=Grade.GLANCE)
    assert store.call(words.keep_words, RED.hash, closer, eye="small 1", grade=Grade.LOOK)
    assert store.call(words.words_of, RED.hash, eye="small 1", grade=Grade.GLANCE) == seen
    assert store.call(words.words_of, RED.hash, eye="small 1", grade=Grade.LOOK) == closer
    assert store.call(words.words_of, RED.hash, eye="small 2", grade=Grade.GLANCE) is None
    store.call(kept.forget_unused)
    assert store.call(words.words_of, RED.hash, eye="small 1", grade=Grade.GLANCE) is None


def test_versions_are_added_and_every_older_one_can_be_used(store: Store) -> None:
    first = spec("mugs", [(RED, "red"), (None, "none")], stop=("\n",), selection=Selection.NEWEST, max_shots=3)
    assert store.call(tasks.register, ONE, first, bytes_of(RED), by=ANNA) == 1
    second = replace(first, shots=(*first.shots, Shot(picture=BLUE.ref, output="blue")))
    assert store.call(tasks.revise, ONE, second, bytes_of(BLUE), by=BEN) == 2
    assert store.call(tasks.revise, ONE, first, {}, by=BEN) == 3  # its pictures are kept

    newest = store.call(tasks.find, ONE, "Mugs")
    assert newest is not None and (newest.spec, newest.number, newest.by) == (first, 3, BEN)
    older = store.call(tasks.find, ONE, "mugs@2")
    assert older is not None and (older.spec, older.number) == (second, 2)
    assert [one.number for one in store.call(tasks.versions_of, ONE, "mugs")] == [3, 2, 1]
    with pytest.raises(UserError, match=r"no version 4.*It has: 1, 2, 3"):
        store.call(tasks.find, ONE, "mugs@4")
    with pytest.raises(UserError, match="names no version"):
        store.call(tasks.find, ONE, "mugs@last")


def test_what_cannot_be_a_task_is_refused_in_words(store: Store) -> None:
    good = spec("mugs", [(RED, "red")])
    store.call(tasks.register, ONE, good, bytes_of(RED), by=ANNA)
    for wrong, problem in (
        (good, "There is a task 'mugs' already"),
        (spec("empty", []), "has no examples"),
        (spec("lost", [(BLUE, "blue")]), "1 of the pictures of the task 'lost' are not kept"),
        (spec("two words", [(RED, "red")]), "is no name for a task"),
        (spec("where", [(RED, "red")], template="Output:"), "does not say where the picture stands"),
        (spec("twice", [(RED, "red")], template="<image><image>"), "has 2 <image>, but each example has one picture"),
        (spec("mute", [(RED, " ")]), "Example 1 has no answer"),
        (spec("many", [(RED, "red")], max_shots=20), "0 to 8 examples"),
        (spec("long", [(RED, "red" * 1000)]), "has 3,000 characters"),
        (TaskSpec(name="text", shots=(Shot(picture=RED.ref, text="hm", output="red"),)), "has no place for it"),
    ):
        with pytest.raises(UserError, match=problem):
            store.call(tasks.register, ONE, wrong, {}, by=ANNA)
    with pytest.raises(UserError, match="no task 'caps' here"):
        store.call(tasks.revise, ONE, replace(good, name="caps"), {}, by=ANNA)
    assert [one.spec.name for one in store.call(tasks.tasks_of, ONE)] == ["mugs"]


def test_a_server_has_its_own_tasks_and_direct_messages_theirs_beside_everybodys(store: Store) -> None:
    for place, output in ((ONE, "one"), (PRIVATE, "private"), (EVERYBODY, "all")):
        store.call(tasks.register, place, spec("mugs", [(RED, output)]), bytes_of(RED), by=ANNA)
    store.call(tasks.register, EVERYBODY, spec("caps", [(RED, "cap")]), {}, by=ANNA)

    def says(place: TaskPlace) -> list[str]:
        return [f"{one.spec.name}: {one.spec.shots[0].output}" for one in store.call(tasks.tasks_of, place)]

    assert says(ONE) == ["caps: cap", "mugs: one"]
    assert says(PRIVATE) == ["caps: cap", "mugs: private"]
    assert says(TWO) == says(TaskPlace(owner_id=BEN)) == says(EVERYBODY) == ["caps: cap", "mugs: all"]
    for place, output in ((ONE, "one"), (PRIVATE, "private"), (TWO, "all"), (TaskPlace(owner_id=BEN), "all")):
        found = store.call(tasks.find, place, "mugs")
        assert found is not None and found.spec.shots[0].output == output
    assert store.call(tasks.find, ONE, "hats") is None
    assert store.call(tasks.versions_of, TWO, "mugs") == ()
    assert not store.call(tasks.remove, TWO, "mugs")


def test_a_removed_task_leaves_neither_pictures_nor_texts_and_its_numbers_are_not_used_again(store: Store) -> None:
    both = spec("mugs", [(RED, "red"), (BLUE, "blue")], instruction="Name the colour.")
    store.call(tasks.register, ONE, both, bytes_of(RED, BLUE), by=ANNA)
    store.call(tasks.revise, ONE, spec("mugs", [(GREEN, "green")]), bytes_of(GREEN), by=ANNA)
    store.call(tasks.register, TWO, spec("other", [(BLUE, "blue")]), {}, by=ANNA)
    gone = store.call(tasks.find, ONE, "mugs@1")
    assert gone is not None
    assert store.call(tasks.remove, ONE, "mugs")
    assert not store.call(tasks.remove, ONE, "mugs")
    assert left_of(store, RED, BLUE, GREEN) == {BLUE}
    assert store.call(tasks.find, ONE, "mugs") is None
    assert not store.call(tasks.keep_card, gone, {"lift": 1})
    assert store.call(tasks.versions_of, ONE, "mugs") == ()

    assert store.call(tasks.register, ONE, spec("mugs", [(BLUE, "b")]), {}, by=ANNA) == 3
    with pytest.raises(UserError, match="no version 1"):
        store.call(tasks.find, ONE, "mugs@1")


def test_nobody_clears_up_a_picture_that_somebody_begins_to_need(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    begun, go = threading.Event(), threading.Event()

    def need() -> None:
        with transaction.atomic():
            kept.keep(RED)
            begun.set()
            assert go.wait(20)
            tasks.register(ONE, spec("mugs", [(RED, "red")]), {}, by=ANNA)

    with open_store(url) as one, open_store(url) as other, ThreadPoolExecutor() as threads:
        one.call(kept.keep, RED)
        needing = threads.submit(one.call, need)
        assert begun.wait(20)
        clearing = threads.submit(other.call, kept.forget_unused)
        with pytest.raises(TimeoutError):
            clearing.result(0.3)  # it waits for those who may begin to need one
        go.set()
        assert (needing.result(20), clearing.result(20)) == (None, 0)
        assert left_of(one, RED) == {RED}


def test_the_card_of_a_version_is_kept_with_it(store: Store) -> None:
    store.call(tasks.register, ONE, spec("mugs", [(RED, "red")]), bytes_of(RED), by=ANNA)
    task = store.call(tasks.find, ONE, "mugs")
    assert task is not None and task.card == {}
    assert store.call(tasks.keep_card, task, {"lift": 0.25, "never": float("nan")})
    store.call(tasks.revise, ONE, task.spec, {}, by=ANNA)
    cards = [one.card for one in store.call(tasks.versions_of, ONE, "mugs")]
    assert cards == [{}, {"lift": 0.25, "never": None}]


def test_forgetting_a_person_takes_their_tasks_and_the_examples_they_gave(store: Store) -> None:
    store.call(tasks.register, PRIVATE, spec("mine", [(GREEN, "green")]), bytes_of(GREEN), by=ANNA)
    shots = [(RED, "red"), (BLUE, "blue")]
    store.call(tasks.register, ONE, spec("mugs", shots[:1]), bytes_of(RED), by=ANNA)
    store.call(tasks.revise, ONE, spec("mugs", shots), bytes_of(BLUE), by=BEN)  # the first example stays Anna's
    assert {key: count for key, count in store.call(people.count_about, ANNA).items() if count} == {
        "tasks": 1,
        "task_examples": 2,  # one in each version
        "changes_made": 2,
    }
    told = store.call(people.export_about, ANNA)["task_examples"]
    assert [(one["task"], one["picture"]) for one in told] == [
        ("mine@1", GREEN.hash),
        ("mugs@1", RED.hash),
        ("mugs@2", RED.hash),
    ]
    gone = store.call(people.forget_user, ANNA)
    assert (gone["tasks"], gone["task_examples"]) == (1, 2)
    assert left_of(store, RED, BLUE, GREEN) == {BLUE}
    left = store.call(tasks.find, ONE, "mugs")
    assert left is not None and [shot.output for shot in left.spec.shots] == ["blue"]
    assert set(store.call(people.count_about, ANNA).values()) == {0}
    assert any(store.call(people.count_about, BEN).values())


def test_forgetting_a_server_takes_its_tasks(store: Store) -> None:
    for place, picture in ((ONE, RED), (EVERYBODY, BLUE), (PRIVATE, GREEN)):
        store.call(tasks.register, place, spec("mugs", [(picture, "x")]), bytes_of(picture), by=ANNA)
    assert store.call(people.forget_server, ONE.server_id)["tasks"] == 1
    assert left_of(store, RED, BLUE, GREEN) == {BLUE, GREEN}
    assert len(store.call(tasks.tasks_of, ONE)) == 1
