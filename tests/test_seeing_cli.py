"""`talkalike task`: adding, changing, showing, removing, and tasks as folders."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import Done, succeed, talkalike
from talkalike.store.seeing import kept
from talkalike.store.store import open_store
from vision_server import pictures_of, vision_server


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with drawings named by their colours."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for colour in ("red", "blue", "green"):
        Image.new("RGB", (24, 16), colour).save(folder / f"{colour}.png")
    return folder


def task(*arguments: object, root: Path) -> Done:
    return succeed("task", *arguments, "--workspace", root)


def refused(*arguments: object, root: Path) -> str:
    """What is said; the exit code must be that of somebody's input."""
    done = talkalike("task", *arguments, "--workspace", root)
    assert done.code == 2, done
    return " ".join(done.err.split())


def add(root: Path, pictures: Path, name: str, *colours: str, more: tuple[object, ...] = ()) -> Done:
    examples = [word for colour in colours for word in ("--example", f"{pictures / colour}.png={colour}")]
    return task("add", name, *examples, *more, root=root)


def kept_pictures(root: Path) -> int:
    with open_store(f"sqlite:///{root}/talkalike.db") as store:
        return store.call(lambda: len(kept.tables.KeptPicture.objects.all()))


def test_a_task_is_added_changed_shown_and_removed(tmp_workspace: Path, pictures: Path) -> None:
    root = tmp_workspace
    more = ("--template", "<image>Colour:", "--stop", "\\n", "--selection", "newest", "--max-shots", 4)
    done = add(root, pictures, "Colours", "red", "blue", more=more)
    assert "The task 'colours' of everybody has its version 1, with 2 examples." in done.out
    edited = task(
        "edit", "colours", "--drop", 1, "--example", "=none of them", "--instruction", "Say it.", "--json", root=root
    )
    assert [one["output"] for one in edited.json["examples"]] == ["blue", "none of them"]
    assert (edited.json["version"], edited.json["stop"], edited.json["selection"]) == (2, ["\n"], "newest")

    shown = task("show", "colours", root=root).out
    for expected in (
        "colours@2",
        "Say it.",
        "<image>Colour:",
        "at most 4 are shown (newest)",
        "24 x 16",
        "none of them",
    ):
        assert expected in shown
    versions = task("show", "colours@1", "--json", root=root).json
    assert [one["output"] for one in versions["examples"]] == ["red", "blue"]
    assert [one["version"] for one in versions["versions"]] == [2, 1]

    assert kept_pictures(root) == 2
    assert "Removed the task 'colours'" in task("remove", "colours", root=root).out
    assert kept_pictures(root) == 0
    assert "There is no task 'colours' here" in refused("show", "colours", root=root)


def test_servers_have_their_own_tasks_beside_everybodys_and_those_from_the_start(
    tmp_workspace: Path, pictures: Path
) -> None:
    root = tmp_workspace
    add(root, pictures, "mugs", "red")
    add(root, pictures, "mugs", "blue", "red", more=("--server", 10))
    add(root, pictures, "caption", "red", more=("--server", 10))

    def listed(*more: object) -> dict[str, str | None]:
        return {one["name"]: one["server_id"] for one in task("list", *more, "--json", root=root).json["tasks"]}

    assert listed() == dict.fromkeys(("caption", "instruct", "mugs", "read", "unconditional"))
    assert listed("--server", 10) == {**listed(), "caption": "10", "mugs": "10"}
    assert "mugs@1" in task("list", root=root).out
    assert "there from the start" in task("show", "caption", root=root).out
    assert "a red house under a yellow sun" in task("show", "caption", root=root).out
    for words, problem in (
        (("edit", "mugs", "--max-shots", 2, "--server", 11), "is for everybody and cannot be edited here"),
        (("remove", "mugs", "--server", 11), "is for everybody and cannot be removed here"),
        (("edit", "read", "--max-shots", 2), "is there from the start and cannot be edited here"),
        (("remove", "read"), "is there from the start and cannot be removed here"),
    ):
        assert problem in refused(*words, root=root)


def test_a_task_goes_to_a_folder_and_comes_back(tmp_workspace: Path, pictures: Path, tmp_path: Path) -> None:
    root, folder = tmp_workspace, tmp_path / "out" / "mugs"
    instruction = 'Say "it"\nin \\ one word\x7f 🙂.'
    more = ("--example", "=none", "--instruction", instruction, "--stop", "\\n", "--selection", "nearest")
    before = add(root, pictures, "mugs", "red", "blue", "red", more=(*more, "--json")).json
    done = task("export", "mugs", folder, root=root)
    assert "with 2 pictures" in done.out
    assert sorted(file.name for file in folder.iterdir()) == ["01.jpg", "02.jpg", "task.toml"]

    told = task("import", folder, "--name", "again", "--json", root=root).json
    same = ("instruction", "template", "stop", "selection", "max_shots")
    assert {key: told[key] for key in same} == {key: before[key] for key in same}
    outputs = [(one["text"], one["output"], one["picture"] is None) for one in told["examples"]]
    assert outputs == [("", "red", False), ("", "blue", False), ("", "red", False), ("", "none", True)]
    assert "There is a task 'mugs' already" in refused("import", folder, root=root)
    assert task("import", folder, "--update", "--json", root=root).json["version"] == 2
    assert "replace it with --force" in refused("export", "mugs", folder, root=root)
    task("export", "caption", folder, "--force", root=root)
    assert "a sailing boat" in (folder / "task.toml").read_text(encoding="utf-8")
    assert "holds no task" in refused("export", "mugs", pictures, "--force", root=root)
    assert len(list(pictures.iterdir())) == 3


def test_what_cannot_be_is_said_in_a_sentence(tmp_workspace: Path, pictures: Path, tmp_path: Path) -> None:
    root = tmp_workspace
    red = f"{pictures}/red.png=red"
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    for words, problem in (
        (("add", "mugs"), "The task 'mugs' has no examples."),
        (("add", "mugs", "--example", red, "--template", "Colour:"), "does not say where the picture stands"),
        (("add", "mugs", "--example", red, "--template", "<image> <image>"), "has 2 <image>, but each example has one"),
        (("add", "mugs", "--example", "red.png"), "Write PICTURE=ANSWER"),
        (("add", "mugs", "--example", f"{tmp_path}/gone.png=x"), "There is no picture"),
        (("add", "mugs", "--example", f"{tmp_path}/notes.txt=x"), "notes.txt: This file is no picture"),
        (("add", "mugs", "--example", f"{pictures}/red.png="), "Example 1 has no answer"),
        (("add", "two mugs", "--example", red), "'two mugs' is no name for a task"),
        (("add", "mugs", "--example", red, "--max-shots", 20), "less than or equal to 8"),
        (("show", "captoin"), "Did you mean 'caption'?"),
        (("show", "caption@2"), "has no versions"),
        (("remove", "gone"), "There is no task 'gone' here"),
        (("import", tmp_path), "holds no task: there is no task.toml"),
    ):
        assert problem in refused(*words, root=root)
    add(root, pictures, "mugs", "red")
    assert "There is a task 'mugs' already" in refused("add", "mugs", "--example", red, root=root)
    assert "Nothing was to be changed" in refused("edit", "mugs", root=root)
    assert "has no example 2. It has 1" in refused("edit", "mugs", "--drop", 2, root=root).replace("hint: ", "")
    assert "has no examples" in refused("edit", "mugs", "--drop", 1, root=root)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = [", "it is no TOML file"),
        ("colour = 1", "it has 'colour', which is unknown"),
        ("selection = 'best'", "'best' is no selection; there are: all, newest, nearest"),
        ("max_shots = 'many'", "'max_shots' is a whole number"),
        ("stop = 'x'", "'stop' is a list of texts"),
        ("template = 3", "'template' of it is no text"),
        ("[[example]]\noutput = 'x'\npicture = '../red.png'", "the picture '../red.png' of example 1 is no file in"),
        ("[[example]]\noutput = 'x'\npicture = 'link.png'", "the picture 'link.png' of example 1 is no file in"),
        ("[[example]]\nanswer = 'x'", "example 1 has 'answer', which is unknown"),
        ("[[example]]\noutput = 'x'\n" * 201, "it has 201 examples; 200 are the most"),
        ("name = 'x'", "The task 'x' has no examples"),
    ],
)
def test_a_folder_that_is_no_task_is_refused(
    text: str, problem: str, tmp_workspace: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "task.toml").write_text(text, encoding="utf-8")
    (folder / "link.png").symlink_to(pictures / "red.png")
    assert problem in refused("import", folder, root=tmp_workspace)


# ------------------------------------------------------------------------------------------------- asking and scoring
def colour_in(data: bytes) -> str:
    """What a small model sees: the strongest of three colours, nothing in grey."""
    with Image.open(io.BytesIO(data)) as picture:
        levels = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))
    return max(zip(levels, ("red", "green", "blue"), strict=True))[1] if max(levels) - min(levels) > 20 else "grey"


def learner(messages: list[dict[str, Any]]) -> str:
    """Says what the last example of the same colour was called."""
    asked = [message for message in messages if message["role"] == "user"]
    said = [message["content"][0]["text"] for message in messages if message["role"] == "assistant"]
    seen = [(colour_in(found[0]) if (found := pictures_of(message)) else "") for message in asked]
    return next((name for colour, name in reversed(list(zip(seen, said, strict=False))) if colour == seen[-1]), "eh")


@pytest.fixture
def named(tmp_workspace: Path, tmp_path: Path) -> Path:
    """A workspace with the task `names`: twelve pictures in three colours, each with a made-up name."""
    folder = tmp_path / "names"
    folder.mkdir()
    words: list[str] = []
    for number in range(12):
        colour, name = (("red", "dax"), ("green", "wug"), ("blue", "fep"))[number % 3]
        image = Image.new("RGB", (24, 16), colour)
        image.paste("white", (number, 0, number + 2, 16))  # so that no two are the same
        image.save(folder / f"{number}.png")
        words += ["--example", f"{folder}/{number}.png={name}"]
    task("add", "names", *words, "--template", "<image>Name:", root=tmp_workspace)
    return tmp_workspace


def test_a_task_is_scored_through_a_vision_server_and_its_card_is_kept(named: Path, tmp_path: Path) -> None:
    with vision_server(learner) as (url, bodies):
        done = task("score", "names", "--eye", url, "--chart", tmp_path / "card.svg", "--json", root=named)
    card = done.json
    assert card["lift"]["control"] == "shuffled labels"
    assert card["lift"]["value"] > 0.3
    assert {arm["name"]: arm["count"] for arm in card["arms"]}["blank query"] == 0
    assert len(bodies) == 12 * 9
    assert (tmp_path / "card.svg").read_text(encoding="utf-8").startswith("<svg")
    shown = task("show", "names", root=named).out
    for expected in ("12 examples asked about, with seer", "shuffled labels", "two examples in words only"):
        assert expected in shown
    assert task("show", "names", "--json", root=named).json["card"]["says"] == card["says"]
    assert "points" in task("list", root=named).out


def test_a_task_with_too_few_examples_is_not_scored(named: Path, tmp_path: Path) -> None:
    task("edit", "names", "--drop", 1, root=named)
    with vision_server(learner) as (url, bodies):
        done = task("score", "names", "--eye", url, "--chart", tmp_path / "card.svg", root=named)
    assert bodies == []
    assert "Nothing can be said yet: the task has 11 examples with a picture" in done.out
    assert not (tmp_path / "card.svg").exists()
    assert "too few examples" in task("list", root=named).out


def test_a_question_is_asked_with_the_tasks_examples_and_every_option(named: Path, pictures: Path) -> None:
    sets = [word for one in ("temperature=0", "top_p=0.5", "top_k=3", "max_tokens=9") for word in ("--set", one)]
    with vision_server(learner) as (url, bodies):
        told = task("ask", "names", pictures / "blue.png", "--eye", url, *sets, "--json", root=named).json
        said = task("ask", "names", pictures / "blue.png", "--eye", url, "--eye-images", 3, root=named).out
        task(
            "ask", "names", pictures / "red.png", pictures / "blue.png", "--eye", url, "--prompt", "Which?", root=named
        )
    assert (told["text"], told["task"], told["shots"], told["by"]) == ("fep", "names@1", 8, "seer")
    body = bodies[0]
    assert [body[key] for key in ("temperature", "top_p", "top_k", "max_tokens")] == [0, 0.5, 3, 9]
    assert [len(pictures_of(message)) for message in body["messages"]] == [1, 0] * 8 + [1]
    assert "2 of 12 examples" in said and "left out: 6 of 8 examples" in said
    assert body["messages"][-1]["content"][1] == {"type": "text", "text": "Name:"}
    assert len(pictures_of(bodies[2]["messages"][-1])) == 2


def test_what_cannot_be_asked_is_said_in_a_sentence(named: Path, pictures: Path) -> None:
    blue = pictures / "blue.png"
    with vision_server(learner, models=("seer", "other")) as (url, bodies):
        for words, problem in (
            (("ask", "names", *([blue] * 20), "--eye", url), "at most 4 pictures at once, but there were 20"),
            (
                ("ask", "names", blue, "--eye", url, "--eye-model", "seer", "--prompt", "<image><image>"),
                "There is 1 picture, but the prompt has 2 <image>",
            ),
            (("ask", "names", blue, "--eye", url), "It has: other, seer"),
            (("ask", "names", blue, "--eye", url, "--set", "heat=1"), "There is no option 'heat'"),
            (("ask", "names", blue, "--eye", url, "--set", "temperature=9"), "0 to 5, but was 9"),
            (("ask", "nams", blue, "--eye", url), "Did you mean 'names'?"),
            (("score", "names", "--eye", "seer.local"), "There is no eye 'seer.local'"),
            (("score", "names"), "There is no eye that could look at pictures"),
        ):
            assert problem in refused(*words, root=named)
    assert bodies == []
