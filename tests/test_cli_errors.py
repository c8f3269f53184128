"""What a person reads when something is wrong: one sentence, what to do, the right exit code, and nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from command_line import SAMPLE_PARTS, sample_workspace, succeed, talkalike
from exports import said, thread, write_thread
from talkalike.cli import main


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_workspace(tmp_path_factory.mktemp("errors"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    succeed("init", tmp_path / "empty")
    return tmp_path / "empty"


def complaint(*arguments: object) -> str:
    """The message of a command line that must fail by the user's fault, and print no result."""
    done = talkalike(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert re.match(r"error: .+\nhint: .+\n$", done.err, re.DOTALL), done.err
    assert "Traceback" not in done.err
    return done.err


def in_process(*arguments: str, preparation: str = "") -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    code = f"import sys\n{preparation}\nfrom talkalike.cli.main import main\nsys.argv[1:] = {list(arguments)!r}\nmain()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# ------------------------------------------------------------------------------------------------------- the workspace
@pytest.mark.parametrize(
    "command",
    [
        ["people"],
        ["people", "--json"],
        ["import", "x"],
        ["prepare", "-s", "x"],
        ["examples"],
        ["examples", "show"],
        ["models"],
        ["models", "show", "x"],
        ["models", "fetch"],
    ],
)
def test_outside_of_a_workspace(command: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = complaint(*command)
    assert f"{tmp_path} is not a workspace: it has no talkalike.toml." in error
    assert "talkalike init" in error
    assert list(tmp_path.iterdir()) == []


def test_workspaces_that_are_none(tmp_path: Path) -> None:
    assert "There is no folder" in complaint("people", "-w", tmp_path / "nowhere")
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file, not a workspace" in complaint("people", "-w", tmp_path / "file")
    assert "cannot be a folder" in complaint("init", tmp_path / "file")
    assert "cannot be a folder" in complaint("init", tmp_path / "file" / "below")
    assert "This path cannot be used (File name too long)" in complaint("people", "-w", "x" * 300)


def test_an_unknown_setting_names_the_line_and_a_near_one(empty: Path) -> None:
    (empty / "talkalike.toml").write_text("[train]\n\nranc = 3\n", encoding="utf-8")
    error = complaint("people", "-w", empty)
    assert "line 3: [train] has no setting 'ranc'" in error
    assert "Did you mean rank?" in error


def test_the_environment_is_checked_too(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKALIKE_TRAIN_RANC", "3")
    assert "TALKALIKE_TRAIN_RANC is no setting" in complaint("models", "-w", empty)


def test_a_folder_that_may_not_be_written() -> None:
    if not Path("/sys/kernel").is_dir():
        pytest.skip("needs Linux's /sys, in which nobody can make a folder")
    error = complaint("init", "/sys/talkalike-test")
    assert "This cannot be read or written" in error
    assert "/sys/talkalike-test" in error


def test_a_read_only_workspace_loses_nothing(imported: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind root")
    root = Path(shutil.copytree(imported, tmp_path / "copy"))
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        error = complaint("prepare", "-s", "juno", "--base", "tiny", "--no-estimate", "-w", root)
        assert "cannot be read or written (Permission denied)" in error
        assert "cannot be written" in complaint("import", *SAMPLE_PARTS, "-w", root)
        assert "Juno" in succeed("people", "-w", root).out
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_full_disk(imported: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the system call fails in the same way."""
    root = Path(shutil.copytree(imported, tmp_path / "copy"))
    succeed("prepare", "-s", "juno", "--base", "tiny", "--no-estimate", "-w", root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    arguments = ["prepare", "-s", "juno", "--base", "tiny", "--no-estimate", "-w", str(root)]
    done = in_process(*arguments, preparation=limit)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"error: The disk is full.*\nhint: Free some space", done.stderr)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


# -------------------------------------------------------------------------------------------------------------- import
def test_paths_that_hold_no_export(empty: Path, tmp_path: Path) -> None:
    assert re.search(r"no file or folder .*nowhere", complaint("import", tmp_path / "nowhere", "-w", empty))
    (tmp_path / "hollow").mkdir()
    assert "hollow is empty" in complaint("import", tmp_path / "hollow", "-w", empty)
    assert "There is no export format 'fax'" in complaint("import", tmp_path, "--format", "fax", "-w", empty)


def test_a_log_that_is_none_is_not_asked_for_as_json(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("milk\nbread\n", encoding="utf-8")
    done = talkalike("import", tmp_path / "notes.txt", "--format", "irc", "-w", empty)
    assert (done.code, "JSON" in done.err) == (2, False)
    assert "the first line is: milk" in done.out


def test_one_damaged_file_is_said_loudly_and_the_rest_is_imported(empty: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_thread(export, thread([said("Anna", f"fine {n}", n) for n in range(3)], slug="whole_1"))
    cut = write_thread(export, thread([said("Anna", "lost", n) for n in range(3)], slug="cut_2"))
    cut.write_bytes(cut.read_bytes()[:-300])
    write_thread(export, thread([said("Anna", "fine"), "no message", 7], slug="odd_3"))
    (export / "readme.docx").write_bytes(b"PK")
    done = succeed("import", export, "-w", empty)
    assert "DAMAGED: 1 file could not be read whole." in done.out
    assert re.search(r"cut_2/message_1\.json: it ends in the middle \(at position \d+; 1 message read\)", done.out)
    assert "Everything else was imported." in done.out
    assert re.search(r"Not readable: 2 × not a message object \(such as in \S+/odd_3/message_1\.json\)\.", done.out)
    assert re.search(r"1 +not a known chat export +.*readme\.docx", done.out)
    assert len(succeed("import", export, "-w", empty, "--json").json["damaged"]) == 1


def test_nothing_but_damage_is_an_error(empty: Path, tmp_path: Path) -> None:
    path = write_thread(tmp_path / "export", thread([said("Anna", "x")]))
    path.write_bytes(path.read_bytes()[:40])
    for as_json in ([], ["--json"]):
        done = talkalike("import", tmp_path / "export", "-w", empty, *as_json)
        assert done.code == 2
        assert "Nothing was imported" in done.err
        assert "it ends in the middle" in done.out
        assert "Everything else was imported" not in done.out
    assert len(done.json["damaged"]) == 1


# -------------------------------------------------------------------------------------------------------------- models
@pytest.mark.parametrize("command", [["score"], ["guess", "make"], ["judgements", "pairs"]])
def test_without_a_double_nothing_is_fetched(command: list[str], empty: Path) -> None:
    assert "There is no double in" in complaint(*command, "-w", empty)
    assert not (empty / "models").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_model_is_no_fault_of_ours(file: str, imported: Path, tmp_path: Path) -> None:
    shutil.copytree(imported / "models", tmp_path / "ws" / "models")
    shutil.copy(imported / "talkalike.toml", tmp_path / "ws")
    path = tmp_path / "ws" / "models" / "tiny" / file
    path.write_bytes(path.read_bytes()[:100])
    assert str(path.parent) in complaint("chat", "-w", tmp_path / "ws")


# ------------------------------------------------------------------------------------------------------------ speakers
def test_commands_that_need_chats_say_so(empty: Path) -> None:
    for command in (["people"], ["prepare", "-s", "x"]):
        assert "No chats are imported" in complaint(*command, "-w", empty)
    assert "There are no examples" in complaint("examples", "show", "-w", empty)


def test_speakers_who_mean_nobody_or_several(imported: Path) -> None:
    assert "Did you mean: Juno Marwick" in complaint("prepare", "-s", "Juno Marvick", "-w", imported)
    several = complaint("prepare", "-s", "ar", "-w", imported)
    assert "'ar' fits 3 people" in several
    assert "Edgar Pellworth (" in several
    assert not (imported / "examples").exists()


def test_two_of_one_name_and_one_who_never_speaks(empty: Path, tmp_path: Path) -> None:
    people = ("Anna", "Ben Riha", "Silent Sam")
    write_thread(tmp_path / "e", thread([said("Anna", "a b"), said("Ben Riha", "c", 1)], people=people))
    (tmp_path / "e" / "2020-01-01-#c.log").write_text("[10:00] <Anna> hi\n[10:01] <bob> yo\n" * 3, encoding="utf-8")
    succeed("import", tmp_path / "e", "-w", empty)
    error = complaint("prepare", "-s", "Anna", "-w", empty)
    assert "2 people are called 'Anna'" in error
    assert "irc:" in error
    assert "messenger:Anna" in error
    assert "Silent Sam takes part but never wrote" in complaint("prepare", "-s", "Silent Sam", "-w", empty)


def test_a_speaker_with_too_little_to_learn(empty: Path, tmp_path: Path, imported: Path) -> None:
    write_thread(tmp_path / "e", thread([said("Anna", "hi"), said("Ben", "ho", 1)], people=("Anna", "Ben")))
    succeed("import", tmp_path / "e", "-w", empty)
    succeed("models", "fetch", imported / "models" / "tiny", "-w", empty)
    assert "Anna said too little" in complaint("prepare", "-s", "Anna", "--base", "tiny", "-w", empty)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--base", "nonsense"], "There is no base model 'nonsense'"),
        (["--name", "../escape"], "'../escape' cannot be the examples' name"),
        (["--base", "."], "is not a model folder"),
    ],
)
def test_wrong_names_and_bases(imported: Path, options: list[str], told: str) -> None:
    assert told in complaint("prepare", "-s", "juno", *options, "-w", imported)


def test_models_and_examples_that_are_not_there(imported: Path) -> None:
    assert "Did you mean 'tiny'?" in complaint("models", "show", "tinny", "-w", imported)
    assert "no examples called 'x'" in complaint("examples", "show", "--name", "x", "-w", imported)
    assert "There is no base model 'x'" in complaint("models", "fetch", "x", "-w", imported)


# ----------------------------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["peeple"], "Did you mean 'people'"),
        (["people", "--limit", "0"], "--limit"),
        (["people", "--limit", "many"], "'--limit'"),
        (["prepare"], "--speaker"),
        (["prepare", "-s", "x", "--heldout-share", "0.9"], "--heldout-share"),
        (["import"], "PATH"),
        (["models", "fetch", "--source", "moon"], "moon"),
        (["people", "--wrong"], "--wrong"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], told: str) -> None:
    done = talkalike(*arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "Usage: talkalike" in done.err


def test_a_fault_of_ours_is_apologised_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(main, "app", broken)
    done = talkalike("people")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "Sorry, this is a fault in talkalike (ZeroDivisionError: of all things)" in done.err
    found = re.search(r"The details are in (\S+\.log);", done.err)
    assert found is not None
    log = Path(found[1])
    assert "ZeroDivisionError" in log.read_text(encoding="utf-8")
    assert log.stat().st_mode & 0o077 == 0
    log.unlink()
    monkeypatch.setenv("TALKALIKE_DEBUG", "1")
    assert "Traceback" in talkalike("people").err


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("talkalike.cli.workspace.make_workspace", interrupted)
    done = talkalike("init", tmp_path)
    assert (done.code, done.err.strip()) == (130, "Interrupted.")


def test_a_reader_who_leaves_is_no_fault(imported: Path) -> None:
    command = [sys.executable, "-m", "talkalike.cli.main", "people", "--json", "-w", str(imported)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()  # long before the first line is written
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("background", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"])
def test_sigterm_ends_every_command_as_ctrl_c_does(background: str) -> None:
    """Also where a script started it in the background, with Ctrl-C switched off."""
    code = (
        "import os, signal, time; from talkalike.cli import main as program\n"
        + background
        + """
def forever(**_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    finally:
        print("tidied")
program.app = forever
program.main()
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (main.INTERRUPTED, "tidied\n"), done.stderr
