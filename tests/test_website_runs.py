"""The runs' pages without a browser: what is shown, started, stopped, refused; and which model is in use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runs_workspace import FakeRunCommands, add_card, add_examples, add_run, fill, jobs_in
from talkalike.errors import UserError
from talkalike.jobs import job, runs
from talkalike.website.runs import lineage
from talkalike.website.runs.service import Alignment
from talkalike.website.services import SiteServices
from talkalike.workspace.cards import Catalog
from talkalike.workspace.serving import promote, serving_model

pytest_plugins = ("website_site",)

HTMX = {"HX-Request": "true"}
RECIPE = {
    "name": "mira-9",
    "examples": "mira",
    "base": "",
    "method": "lora",
    "minutes": "0.5",
    "epochs": "",
    "learning_rate": "",
}


@pytest.fixture
def workspace(services: SiteServices) -> Iterator[FakeRunCommands]:
    fill(services.root)
    services.run_commands = FakeRunCommands(services.root)
    yield services.run_commands
    for one in jobs_in(services.root / "runs"):
        if job.stop(one.folder, patience=(2.0, 1.0)):
            wait_for(lambda folder=one.folder: not job.status(folder).running)  # type: ignore[misc, union-attr]


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def begin(owner: Any, **changes: str) -> str:
    """Starts a training by the form, and returns its address."""
    answer = owner.post("/runs/new/", RECIPE | changes)
    assert answer.status_code == 303, answer.content.decode()
    return str(answer.headers["Location"])


def test_runs_and_models_are_listed(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    workspace.chosen = "mira-2"
    page = person("viewer").get("/runs/").content.decode()
    places = [page.index(f"/run/{name}/") for name in ("mira-2-aligned-20261104-090000", "mira-3-20261103-090000")]
    assert places == sorted(places)
    assert "stopped" in page and "2.563" in page and "RL training" in page
    picture = re.search(r'<svg class="lineage".*?</svg>', page, re.S)
    assert picture and "no longer here" in picture[0] and picture[0].count(">in use<") == 1
    assert "Train a new model" not in page and "Use this model" not in page
    assert "hx-trigger" not in page  # nothing runs: nothing is asked for again


def test_the_old_addresses_lead_to_the_new_ones(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    """The page was called "Trainings": links to it stay good, and so does a form that was open meanwhile."""
    owner = person("owner")
    for path in ("", "run/mira-2-20261102-113000/", "compare/?run=mira-1-20261101-100000&run=a%2Fb%20c"):
        answer = owner.get(f"/trainings/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (308, f"/runs/{path}")
        assert owner.get(f"/trainings/{path}", follow=True).status_code == 200
    answer = owner.post("/trainings/model/mira-1/promote/", follow=True)
    assert answer.status_code == 200 and workspace.chosen == "mira-1"
    for stray in ("//example.org/", "..//example.org/"):
        assert owner.get(f"/trainings/{stray}").headers["Location"].startswith("/runs/")
    assert person().get("/trainings/", follow=True).redirect_chain[-1][0].startswith("/login/?next=%2Fruns%2F")


def test_a_run_and_a_card_show_what_is_known(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    who = person("viewer")
    page = who.get("/runs/run/mira-2-20261102-113000/").content.decode()
    assert (
        "LoRA on the examples" in page and page.count("<polyline") == 6 and "2.563" in page and "hx-trigger" not in page
    )
    part = who.get("/runs/run/mira-2-20261102-113000/", headers=HTMX).content.decode()
    assert "<html" not in part and 'id="run"' in part
    page = who.get("/runs/model/mira-2/").content.decode()
    assert "mira-2-aligned" in page and "0.61" in page and "mira-2-20261102-113000" in page
    for path in ("run/nothing/", "run/..%2Fmodels/", "model/nothing/", "run/.training.lock/"):
        assert who.get(f"/runs/{path}").status_code == 404


def test_an_rl_run_is_shown_with_all_its_measurements(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    path = "/runs/run/mira-2-aligned-20261104-090000/"
    owner = person("owner")
    page = owner.get(path).content.decode()
    for words in ("mean reward", "KL from the reference model", "distinct-2", "reply length (tokens)"):
        assert words in page
    said = re.search(r'<table class="said stacks">.*?</table>', page, re.S)
    assert said
    assert re.findall(r'<th scope="col">(.*?)</th>', said[0]) == [
        "Held-out prompt",
        "Before training",
        "After step 10",
        "After step 20",
    ]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in said[0].split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["are you coming?", "which train"]
    assert [re.sub(r"\s*<.*", "", cell, flags=re.S) for cell in rows[0][1:]] == ["yes", "yes!", "yes, at &lt;eight&gt;"]
    assert "0.40" in rows[1][3]
    # What was said stands in people's chats: nobody but the owner sees it.
    page = person("viewer").get(path).content.decode()
    assert "mean reward" in page and "are you coming?" not in page
    # A damaged file costs only its damaged lines.
    file = workspace.root / "runs" / "mira-2-aligned-20261104-090000" / "replies.jsonl"
    first, *_ = file.read_text(encoding="utf-8").split("\n")
    again = first.replace('"yes"', '"again"')
    other = first.replace("are you coming?", "another prompt").replace('"step": 0', '"step": 5')
    wrong = ['{"step": 3', "[]", '{"step": "x", "replies": []}', '{"step": 4, "replies": [{"text": 5}]}', "\x00", other]
    file.write_text("\n".join([first, *wrong, again, first.replace('"step": 0', '"step": 30')]), encoding="utf-8")
    page = owner.get(path).content.decode()
    assert re.findall(r'<th scope="col">(.*?)</th>', page)[-3:] == [
        "Held-out prompt",
        "Before training",
        "After step 30",
    ]
    assert "again" in page and "another prompt" not in page


def test_runs_are_compared(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    who = person("viewer")
    page = who.get("/runs/compare/?run=mira-1-20261101-100000&run=mira-3-20261103-090000").content.decode()
    row = re.search(r"Lowest held-out loss</th>(.*?)</tr>", page, re.S)
    assert row and re.findall(r">([\d.]+)<", row[1]) == ["3.139", "2.633"]
    assert page.count("<polyline") == 8 and page.count(" checked") == 2
    assert who.get("/runs/compare/?run=nothing").status_code == 200
    assert page.count("mira-2-20261102-113000") == 2  # offered, not shown


def test_an_empty_workspace_has_empty_pages(person: Callable[..., Any], services: SiteServices) -> None:
    services.run_commands = FakeRunCommands(services.root)
    owner = person("owner")
    assert "There are no runs yet." in owner.get("/runs/").content.decode()
    assert "nothing to compare" in owner.get("/runs/compare/").content.decode()
    assert "There are no examples to learn from yet" in owner.get("/runs/new/").content.decode()
    assert owner.post("/runs/new/", RECIPE).status_code == 400


def test_a_training_is_started_watched_and_stopped(
    person: Callable[..., Any], services: SiteServices, workspace: FakeRunCommands
) -> None:
    owner, viewer = person("owner", name="anna"), person("viewer")
    address = begin(owner)
    assert re.fullmatch(r"/runs/run/mira-9-\d{8}-\d{6}/", address)
    (recipe,) = workspace.asked
    assert (recipe.name, recipe.examples, recipe.base, recipe.method, recipe.minutes) == (
        "mira-9",
        "mira",
        "tiny",
        "lora",
        0.5,
    )
    page = wait_for(lambda: "step 12" in (text := owner.get(address).content.decode()) and text)
    assert "Training mira-9" in page and 'hx-trigger="every 2s"' in page and "by anna" in page
    seen = viewer.get(address).content.decode()
    assert "step 12" not in seen and "Save and stop" not in seen and 'hx-trigger="every 2s"' in seen
    assert 'hx-trigger="every 3s"' in viewer.get("/runs/").content.decode()

    # One at a time, and no other with its name.
    again = owner.post("/runs/new/", RECIPE | {"name": "mira-10"})
    assert again.status_code == 400 and "mira-9 is being trained" in again.content.decode()
    assert len(workspace.asked) == 1

    assert owner.post(f"{address}stop/").status_code == 303
    wait_for(lambda: ">Resume<" in owner.get(address).content.decode())
    page = owner.get(address).content.decode()
    assert "stopped" in page and "Saved." in page and "hx-trigger" not in page
    assert "The run had already ended" in owner.post(f"{address}stop/", follow=True).content.decode()

    assert owner.post(f"{address}resume/").status_code == 303
    page = wait_for(lambda: (text := owner.get(address).content.decode()).count("Training mira-9") > 1 and text)
    assert page.count("Training mira-9") == 2 and "Save and stop" in page


def test_a_stop_that_takes_long_is_explained_meanwhile(person: Callable[..., Any], services: SiteServices) -> None:
    fill(services.root)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, lambda *_: None); print('up', flush=True); time.sleep(600)"
    )
    services.run_commands = FakeRunCommands(services.root, program=stubborn)
    owner = person("owner")
    address = begin(owner)
    wait_for(lambda: ">up" in owner.get(address).content.decode())
    page = owner.post(f"{address}stop/", follow=True).content.decode()
    assert "stopping" in page and "If that takes longer than 1 min 0 s, it is stopped at once" in page
    (one,) = jobs_in(services.root / "runs")
    job.stop(one.folder, patience=(0.1, 0.1))
    page = wait_for(lambda: "stopping" not in (text := owner.get(address).content.decode()) and text)
    assert "If that takes longer" not in page


def test_a_training_that_cannot_start_says_why(person: Callable[..., Any], services: SiteServices) -> None:
    fill(services.root)
    services.run_commands = FakeRunCommands(services.root, program="print('error: no memory'); raise SystemExit(2)")
    owner = person("owner")
    address = begin(owner)
    page = wait_for(lambda: "failed" in (text := owner.get(address).content.decode()) and text)
    assert "error: no memory" in page and "Nothing was measured yet" in page


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("name", "../evil", "letters, digits"),
        ("name", "-n", "letters, digits"),
        ("name", "a" * 65, "at most 64"),
        ("name", "mira\n2", "letters, digits"),
        ("name", "MIRA-2", "already"),
        ("examples", "nothing", "valid choice"),
        ("base", "mira-1", "valid choice"),
        ("method", "; rm -rf /", "valid choice"),
        ("minutes", "-1", "greater than or equal"),
        ("minutes", "nan", "number"),
        ("epochs", "1e9", "less than or equal"),
        ("learning_rate", "inf", "number"),
    ],
)
def test_a_recipe_that_is_wrong_starts_nothing(
    person: Callable[..., Any], services: SiteServices, workspace: FakeRunCommands, field: str, value: str, words: str
) -> None:
    before = set((services.root / "runs").iterdir())
    answer = person("owner").post("/runs/new/", RECIPE | {field: value})
    assert answer.status_code == 400
    errors = re.findall(r'class="problem-text"[^>]*>([^<]+)', answer.content.decode())
    assert len(errors) >= 1 and any(words in error for error in errors), errors
    assert not workspace.asked and set((services.root / "runs").iterdir()) == before


def test_only_the_owner_changes_things(
    person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices, workspace: FakeRunCommands
) -> None:
    paths = (
        "new/",
        "align/",
        "model/mira-1/promote/",
        "run/mira-3-20261103-090000/stop/",
        "run/mira-3-20261103-090000/resume/",
    )
    for who, status in ((person("viewer"), 403), (person("judge"), 403), (guest("viewer"), 403), (person(), 302)):
        for path in paths:
            assert who.post(f"/runs/{path}", RECIPE).status_code == status, path
    owner = person("owner", csrf=True)
    for path in paths:
        assert owner.post(f"/runs/{path}", RECIPE).status_code == 403  # forged
    owner = person("owner", name="second")
    assert [owner.get(f"/runs/{path}").status_code for path in paths] == [200, 200, 405, 405, 405]
    assert workspace.chosen is None and not workspace.asked
    assert not jobs_in(services.root / "runs")
    assert person("judge", name="j2").get("/runs/").status_code == 403


def test_a_model_is_promoted(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    owner = person("owner")
    page = owner.post("/runs/model/mira-1/promote/", follow=True).content.decode()
    assert workspace.chosen == "mira-1" and "mira-1 is now the model in use." in page
    assert owner.post("/runs/model/nothing/promote/").status_code == 404
    add_card(workspace.root, "broken", parents=("nothing",))
    refused = owner.post("/runs/model/broken/promote/")
    assert refused.status_code == 400 and b"which is not here" in refused.content and workspace.chosen == "mira-1"


def test_learning_from_judgements_is_started_as_a_job(person: Callable[..., Any], workspace: FakeRunCommands) -> None:
    owner = person("owner")
    add_card(workspace.root, "mira-reward", parents=("tiny", "mira-2"), kind="reward")
    page = owner.get("/runs/align/").content.decode()
    offered = re.findall(r'<option value="([^"]*)"', page)
    assert {"mira-1", "mira-2", "mira-reward", "sentiment"} <= set(offered) and "tiny" not in offered
    wanted = {"kind": "rl", "double": "mira-2", "name": "mira-5", "steps": "30", "judges": "human"}
    refused = owner.post("/runs/align/", wanted)
    assert refused.status_code == 400 and "RL training needs a reward" in refused.content.decode()
    for wrong in ({"name": "mira-1"}, {"double": "tiny"}, {"reward": "python:os.remove"}, {"kind": "loop"}):
        assert owner.post("/runs/align/", wanted | {"reward": "mira-reward"} | wrong).status_code == 400, wrong
    assert not workspace.asked
    answer = owner.post("/runs/align/", wanted | {"reward": "mira-reward"})
    run = str(answer.headers["Location"])
    asked = Alignment(name="mira-5", kind="rl", double="mira-2", reward="mira-reward", steps=30, judges="human")
    assert answer.status_code == 303 and workspace.asked == [asked]
    wait_for(lambda: "step 3" in owner.get(run).content.decode())
    assert (
        owner.post("/runs/align/", wanted | {"reward": "mira-reward", "name": "x"}).status_code == 400
    )  # one at a time
    owner.post(f"{run}stop/")
    wait_for(lambda: "stopped" in owner.get(run).content.decode())


def test_a_site_without_a_trainer_shows_and_changes_nothing(person: Callable[..., Any], services: SiteServices) -> None:
    fill(services.root)
    owner = person("owner")
    assert "Train a new model" not in owner.get("/runs/").content.decode()
    answer = owner.post("/runs/new/", RECIPE)
    assert answer.status_code == 400 and "talkalike train" in answer.content.decode()


def test_a_run_of_a_terminal_is_not_stopped_from_here(
    person: Callable[..., Any], services: SiteServices, workspace: FakeRunCommands
) -> None:
    import os

    folder = add_run(services.root, "mira-7-20261110-090000", state="running")
    (services.root / "runs" / ".training.lock").write_text(str(os.getpid()))
    owner = person("owner")
    assert "started in a terminal" in owner.get(f"/runs/run/{folder.name}/").content.decode()
    answer = owner.post(f"/runs/run/{folder.name}/stop/")
    assert answer.status_code == 400 and b"Ctrl-C" in answer.content
    assert b"is being trained" in owner.post("/runs/run/mira-3-20261103-090000/resume/").content
    assert runs.run(services.root / "runs", folder.name).running  # type: ignore[union-attr]


def test_names_of_models_are_text(person: Callable[..., Any], services: SiteServices) -> None:
    add_card(services.root, "a", parents=("<script>alert(1)</script>",), speakers=["<b>Mira</b>"], source="<i>x</i>")
    add_examples(services.root, "e")
    who = person("viewer")
    for path in ("", "model/a/"):
        page = who.get(f"/runs/{path}").content.decode()
        assert "<script>alert" not in page and "<b>Mira" not in page and "<i>x" not in page


def test_the_tree_holds_every_model_once(tmp_path: Path) -> None:
    add_card(tmp_path, "base")
    add_card(tmp_path, "one", parents=("base",))
    add_card(tmp_path, "two", parents=("base", "one"))
    add_card(tmp_path, "circle-a", parents=("circle-b",))
    add_card(tmp_path, "circle-b", parents=("circle-a",))
    add_card(tmp_path, "self", parents=("self",))
    add_card(tmp_path, "lost", parents=("gone",))
    nodes = lineage.tree(Catalog(tmp_path / "models").cards())
    placed = {node.name: (node.depth, nodes[node.above].name if node.above is not None else None) for node in nodes}
    assert len(nodes) == 8 == len(placed)
    assert (placed["base"], placed["one"], placed["two"]) == ((0, None), (1, "base"), (2, "one"))
    assert (placed["gone"], placed["lost"], placed["self"]) == ((0, None), (1, "gone"), (0, None))
    assert placed["circle-b"][1] == "circle-a" or placed["circle-a"][1] == "circle-b"


def test_the_mark_of_the_model_in_use(tmp_path: Path) -> None:
    root = tmp_path / "models"
    add_card(tmp_path, "tiny")
    add_card(tmp_path, "mira-1", parents=("tiny",))
    add_card(tmp_path, "orphan", parents=("gone",))
    assert serving_model(root) is None
    promote(root, "mira-1", "anna")
    assert serving_model(root) == "mira-1"
    promote(root, "tiny", "anna")
    for name, words in (("nothing", "no model called"), ("orphan", "which is not here"), ("../x", "cannot be")):
        with pytest.raises(UserError, match=words):
            promote(root, name, "anna")
    assert serving_model(root) == "tiny"
    (root / "tiny" / "card.json").unlink()
    assert serving_model(root) is None
    for nonsense in ("{", "[]", '{"model": 3}', '{"model": "../tiny"}'):
        (root / "serving.json").write_text(nonsense)
        assert serving_model(root) is None
    assert [path.name for path in root.glob(".*")] == []
