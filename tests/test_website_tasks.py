"""The pages of tasks without a browser: what is shown and to whom, asked, added, changed, removed and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from scripted_eyes import AnsweringEye, NamingEye, TalkingEye
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.chat.looking import Onlooker
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError
from talkalike.store import scoped
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import EVERYBODY, TaskPlace
from talkalike.website.services import SiteServices
from task_world import NAME, fill_tasks, mug

pytest_plugins = ("website_site",)

Person = Callable[..., Any]
FORM = {
    "name": "cups",
    "instruction": "Name the colour.",
    "template": "<image>Colour:",
    "stop": "\\n\nEND",
    "selection": "newest",
    "max_shots": "4",
    "answer-1": "red",
    "answer-2": "none of them",
}


def sent(colour: str = "red", *, at: int = 0, name: str = "mug.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, mug(colour, at=at), content_type="image/png")


def page(client: Any, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content.decode()
    return str(answer.content.decode())


def asked(client: Any, path: str = f"/tasks/0/task/{NAME}/ask/", **given: Any) -> Any:
    return client.post(path, {"pictures": sent("green", at=50), **given})


def test_tasks_are_listed_and_shown_with_pictures_versions_and_card(services: SiteServices, person: Person) -> None:
    services.store.call(fill_tasks)
    viewer = person("viewer")
    listed = page(viewer, "/tasks/")
    assert f'<a href="/tasks/0/task/{NAME}/">{NAME}@2</a>' in listed and ">caption</a>" in listed
    assert "Add a task" not in listed and "points" in listed
    shown = page(viewer, f"/tasks/0/task/{NAME}/")
    assert "13, of which at most 8 are shown" in shown and "The examples help" in shown
    assert shown.count("<svg") >= 4  # the curve and the arms, each for wide and narrow pages
    assert f"/tasks/0/task/{NAME}@1/" in shown
    stored = services.store.call(tasks.find, EVERYBODY, NAME)
    address = f"/tasks/0/task/{NAME}@2/picture/{stored.spec.shots[0].picture.hash}/"
    assert shown.count(f'src="/tasks/0/task/{NAME}@2/picture/') == 13 and address in shown
    picture = viewer.get(address)
    assert picture.headers["Content-Type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert picture.headers["Cache-Control"].startswith("private")
    assert "Change it" not in shown and "Change it" in page(person("owner"), f"/tasks/0/task/{NAME}/")
    assert "Nobody has measured it yet" in page(viewer, f"/tasks/0/task/{NAME}@1/")


def test_others_see_only_what_is_theirs_to_see(services: SiteServices, person: Person, guest: Person) -> None:
    services.store.call(fill_tasks)
    found = services.store.call(tasks.find, EVERYBODY, NAME)
    hash_ = found.spec.shots[0].picture.hash
    for place in (TaskPlace(server_id=77), TaskPlace(owner_id=5)):
        services.store.call(tasks.register, place, found.spec, {}, by=5)
    paths = ["/tasks/77/task/mugs/", f"/tasks/77/task/mugs/picture/{hash_}/", f"/tasks/0/task/read/picture/{hash_}/"]
    for path in (*paths, f"/tasks/0/task/{NAME}/picture/{'0' * 64}/", "/tasks/0/task/nothing/", "/tasks/0/task/a b/"):
        assert person("judge", name=path).get(path).status_code == 404, path
    owner = person("owner")
    assert [owner.get(path).status_code for path in paths] == [200, 200, 404]
    listed = page(owner, "/tasks/")
    assert "Of the Discord server 77" in listed and listed.count(">mugs@1</a>") == 1  # nobody's direct messages
    assert owner.get(f"/tasks/{2**63}/task/mugs/").status_code == 404
    assert person().get("/tasks/").status_code == 302
    assert guest("guesser").get("/tasks/").status_code == 403
    for path in ("/tasks/0/new/", f"/tasks/0/task/{NAME}/edit/"):
        assert person("judge", "viewer", name=f"no {path}").get(path).status_code == 403
    assert person("viewer", name="v").post(f"/tasks/0/task/{NAME}/remove/").status_code == 403
    assert person("viewer", name="w").post(f"/tasks/0/task/{NAME}/measure/").status_code == 403
    assert person("owner", name="o", csrf=True).post(f"/tasks/0/task/{NAME}/remove/").status_code == 403
    assert services.store.call(tasks.find, EVERYBODY, NAME) is not None


def test_a_question_is_answered_with_how(services: SiteServices, person: Person) -> None:
    services.store.call(fill_tasks)
    eye = TalkingEye(lambda turns: "green <b>\nand more")
    services.onlooker = Onlooker(eye)
    judge = person("judge")
    part = judge.post(
        f"/tasks/0/task/{NAME}/ask/",
        {"pictures": sent("green", at=50), "option-temperature": "0", "option-max_tokens": "7"},
        headers={"HX-Request": "true"},
    )
    told = part.content.decode()
    assert part.status_code == 200 and "<html" not in told
    assert "green &lt;b&gt;</p>" in told and "and more" not in told  # the task's stop
    assert f"task {NAME}@2" in told and "8 of 13 examples" in told and "talking eye" in told
    assert 'src="data:image/jpeg;base64,' in told
    assert (eye.samplings[0].temperature, eye.samplings[0].max_tokens) == (0, 7)
    whole = asked(judge, prompt="What now?").content.decode()  # without JavaScript
    assert "<html" in whole and "&lt;image&gt;What now?" in whole and "was put in front of it" in whole
    older = asked(judge, path=f"/tasks/0/task/{NAME}@1/ask/").content.decode()
    assert f"task {NAME}@1" in older


def test_an_eye_that_only_names_lets_the_double_answer(services: SiteServices, person: Person) -> None:
    services.store.call(fill_tasks)
    eye = NamingEye({})
    services.onlooker = Onlooker(eye)
    judge = person("judge")
    alone = asked(judge).content.decode()
    assert "No model answered: these are the words of the eye." in alone
    engine = ScriptedEngine((("greenish",),), name="ada-2")
    services.engines = OpenEngines(engines={"ada-2": engine}, described=(Voice(model="ada-2", speaker="Ada"),))
    for _ in range(2):
        assert "greenish" in asked(judge).content.decode()
    looked = [hash_ for hash_, _ in eye.looked]
    example = services.store.call(tasks.find, EVERYBODY, NAME).spec.shots[0].picture.hash
    assert looked.count(example) == 1  # its words were kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": "<image> or <image>?"}, "There is 1 picture, but the prompt has 2"),
        ({"pictures": SimpleUploadedFile("x.png", b"hello")}, "This file is no picture that can be read."),
        ({"pictures": []}, "There is no picture to ask about."),
        ({"pictures": [sent(at=n) for n in range(5)]}, "at most 4 pictures"),
        ({"option-temperature": "9"}, "temperature"),
    ],
)
def test_what_cannot_be_asked_is_told(services: SiteServices, person: Person, given: dict[str, Any], said: str) -> None:
    services.onlooker = Onlooker(AnsweringEye(lambda picture, ask: "red"))
    answer = asked(person("judge"), path="/tasks/0/task/caption/ask/", **given)
    assert answer.status_code == 400 and said in answer.content.decode()


def test_no_eye_one_that_is_gone_and_a_budget_used_up(services: SiteServices, person: Person) -> None:
    judge, path = person("judge"), "/tasks/0/task/caption/ask/"
    assert "There is no eye here" in page(judge, "/tasks/0/task/caption/")
    none = asked(judge, path=path)
    assert none.status_code == 400 and "I have no eye here" in none.content.decode().replace("&#x27;", "'")

    def gone(picture: Any, ask: str) -> str:
        raise TalkalikeError("http://10.0.0.7:9000/v1 does not answer.")

    services.onlooker = Onlooker(AnsweringEye(gone))
    lost = asked(judge, path=path)
    assert lost.status_code == 503 and "be reached right now" in lost.content.decode()
    assert "10.0.0.7" not in lost.content.decode()
    services.onlooker = Onlooker(AnsweringEye(lambda picture, ask: "red"))
    services.store.call(scoped.put, "bot", 0, "daily_replies_user", 1, by=1, server_id=None)
    assert asked(judge, path=path).status_code == 200
    spent = asked(judge, path=path)
    assert spent.status_code == 400 and "today" in spent.content.decode()


def test_the_owner_adds_changes_and_removes_a_task(services: SiteServices, person: Person) -> None:
    owner = person("owner")
    assert owner.get("/tasks/0/new/").status_code == 200
    made = owner.post("/tasks/0/new/", {**FORM, "picture-1": sent()})
    assert made.status_code == 303 and made.headers["Location"] == "/tasks/0/task/cups/"
    stored = services.store.call(tasks.find, EVERYBODY, "cups")
    assert [shot.output for shot in stored.spec.shots] == ["red", "none of them"]
    assert (stored.spec.stop, stored.spec.selection, stored.spec.max_shots) == (("\n", "END"), "newest", 4)
    form = page(owner, "/tasks/0/task/cups/edit/")
    assert "\\n\nEND</textarea>" in form and 'name="version" value="1"' in form
    change = {**FORM, "name": "", "answer-1": "blue", "answer-2": "", "drop": "2", "version": "1"}
    assert owner.post("/tasks/0/task/cups/edit/", {**change, "picture-1": sent("blue")}).status_code == 303
    stored = services.store.call(tasks.find, EVERYBODY, "cups")
    assert (stored.number, [shot.output for shot in stored.spec.shots]) == (2, ["red", "blue"])
    late = owner.post("/tasks/0/task/cups/edit/", change)  # by numbers of a version that is not the newest any more
    assert late.status_code == 400 and "Somebody changed the task meanwhile" in late.content.decode()
    refused = (
        ({"template": "Colour:", "version": "2"}, "it has no &lt;image&gt;"),
        ({"drop": ["1", "2"], "answer-1": "", "version": "2"}, "has no examples"),
        ({"answer-1": "", "drop": "", "version": "2", "picture-1": sent()}, "New example 1 has no answer."),
        ({"version": "2", "picture-1": SimpleUploadedFile("a.png", b"x")}, "New example 1: This file is no picture"),
    )
    for given, said in refused:
        answer = owner.post("/tasks/0/task/cups/edit/", {**change, "drop": "", **given})
        assert answer.status_code == 400 and said in answer.content.decode(), said
    assert "cannot be changed here" in owner.get("/tasks/0/task/caption/edit/").content.decode()
    taken = owner.post("/tasks/0/new/", {**FORM, "picture-1": sent()})
    assert taken.status_code == 400 and "already" in taken.content.decode()
    few = owner.post("/tasks/0/task/cups/measure/")
    assert few.status_code == 400
    assert owner.post("/tasks/0/task/cups/remove/").status_code == 303
    assert owner.get("/tasks/0/task/cups/").status_code == 404


def test_a_servers_tasks_are_the_owners_to_change(services: SiteServices, person: Person) -> None:
    owner = person("owner")
    assert owner.post("/tasks/77/new/", {**FORM, "picture-1": sent()}).status_code == 303
    assert services.store.call(tasks.find, TaskPlace(server_id=77), "cups").place.server_id == 77
    assert services.store.call(tasks.find, EVERYBODY, "cups") is None
