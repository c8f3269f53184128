"""Jobs: started, watched and stopped from outside, and what is told of those that broke off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runs_workspace import add_card, add_examples, add_run, write
from talkalike.errors import UserError
from talkalike.jobs import job, process, runs
from talkalike.jobs.job import Job
from talkalike.workspace import curves as metrics
from talkalike.workspace.cards import Catalog
from talkalike.workspace.example_sets import example_sets
from talkalike.workspace.run_folder import RunState

WAIT = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time\n"
    "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, lambda *_: print('no', flush=True))\n"
    "print('ready', flush=True)\nwhile True: time.sleep(0.1)"
)
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGINT, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
    "print('ready', flush=True)\ntime.sleep(600)"
)


def python(program: str, *words: str) -> list[str]:
    return [sys.executable, "-u", "-c", program, *words]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def ended(folder: Path) -> Job:
    until(lambda: (found := job.status(folder)) is not None and not found.running)
    found = job.status(folder)
    assert found is not None
    return found


def said(folder: Path, text: str) -> bool:
    return text in job.log_tail(folder).text


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "runs" / "one"
    yield made
    for path in (tmp_path / "runs").glob("*"):
        if job.stop(path, patience=(0.1, 0.1)):
            ended(path)


def test_a_job_ends_and_says_how(folder: Path) -> None:
    began = job.start(python("print('hello'); print('oops', file=__import__('sys').stderr)"), folder, by="anna")
    assert began.by == "anna"
    done = ended(folder)
    assert (done.state, done.exit_code) == (RunState.FINISHED, 0)
    assert done.ended is not None and done.began is not None and done.ended >= done.began
    assert sorted(job.log_tail(folder).text.split("\n")) == ["hello", "oops"]
    other = folder.parent / "two"
    job.start(python("raise SystemExit(3)"), other, title="second")
    assert (ended(other).state, ended(other).exit_code) == (RunState.FAILED, 3)
    assert [job.status(each).title for each in (folder, other)] == ["", "second"]


def test_a_program_that_is_not_there_failed_with_a_sentence(folder: Path) -> None:
    found = job.start(["/nowhere/to/be/found"], folder)
    assert found.state is RunState.FAILED
    assert "could not be started: No such file" in found.problem


def test_words_are_words_and_no_shell_reads_them(folder: Path, tmp_path: Path) -> None:
    job.start(python("import sys; print(sys.argv[1:])", "$(touch hacked)", "; touch hacked", "*"), folder, cwd=tmp_path)
    ended(folder)
    assert job.log_tail(folder).text == "['$(touch hacked)', '; touch hacked', '*']"
    assert not list(tmp_path.rglob("hacked"))
    with pytest.raises(ValueError, match="list of words"):
        job.start("echo hello", folder.parent / "two")


def test_a_job_sees_no_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TALKALIKE_DISCORD_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "hush-hush")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TALKALIKE_TRAIN_RANK", "4")
    job.start(python("import os; print(dict(os.environ))"), folder)
    ended(folder)
    told = job.log_tail(folder).text
    assert "hush-hush" not in told
    assert "TALKALIKE_TRAIN_RANK" in told and "LC_ALL" in told and "PATH" in told


def test_stopping_lets_it_save_first(folder: Path) -> None:
    job.start(python(POLITE), folder)
    until(lambda: said(folder, "ready"))
    assert job.stop(folder)
    done = ended(folder)
    assert (done.state, done.exit_code) == (RunState.STOPPED, 0)
    assert said(folder, "saved")
    assert not job.stop(folder)


def test_patience_follows_how_long_the_job_s_steps_take(folder: Path) -> None:
    def patience(*ago: float) -> float:
        """What it is given where something was measured so many seconds ago."""
        lines = [json.dumps({"step": step, "at": time.time() - each}) for step, each in enumerate(ago)]
        write(folder / "job.json", {**json.loads((folder / "job.json").read_text()), "began": "2026-01-01T00:00:00Z"})
        (folder / "metrics.jsonl").write_text("\n".join([*lines, "damaged", '{"step": 9}']))
        assert job.stop(folder)
        found = job.status(folder)
        assert found is not None and found.stopping
        return found.patience

    job.start(python(STUBBORN), folder)
    until(lambda: said(folder, "ready"))
    assert patience() == 60.0
    assert patience(31, 21, 11, 1) == 60.0
    assert patience(300, 200, 100, 90) == pytest.approx(300, abs=3)
    assert patience(150, 149) == pytest.approx(447, abs=3)  # the step it is in takes longer than any before
    years = 5e8
    assert patience(years + 500, years, 2, 1) == 60.0  # before this job began
    assert not said(folder, "no\nno")
    job.stop(folder, patience=(0.1, 0.1))
    assert ended(folder).state is RunState.STOPPED


def test_who_does_not_listen_is_killed_with_its_children(folder: Path) -> None:
    parent = (
        f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"print('child', child.pid, flush=True)\n{STUBBORN}"
    )
    job.start(python(parent), folder)
    until(lambda: said(folder, "ready"))
    child = int(job.log_tail(folder).text.split()[1])
    assert process.identity(child) is not None
    job.stop(folder, patience=(0.3, 0.3))
    done = ended(folder)
    assert (done.state, done.exit_code) == (RunState.STOPPED, -signal.SIGKILL)
    assert job.log_tail(folder).text.count("no") == 2  # Ctrl-C and SIGTERM were tried before
    until(lambda: process.identity(child) is None)


def test_it_outlives_who_started_it(folder: Path) -> None:
    words = f"[sys.executable, '-c', {WAIT!r}], Path({str(folder)!r})"
    starter = f"import sys\nfrom pathlib import Path\nfrom talkalike.jobs import job\njob.start({words})"
    subprocess.run([sys.executable, "-c", starter], check=True)
    found = job.status(folder)
    assert found is not None and found.running
    job.stop(folder)
    assert ended(folder).state is RunState.STOPPED


def test_a_job_that_vanished_is_lost_and_can_be_started_again(folder: Path) -> None:
    job.start(python(WAIT), folder)
    described = json.loads((folder / "job.json").read_text())
    os.kill(described["keeper_pid"], signal.SIGKILL)
    until(lambda: process.identity(described["keeper_pid"]) is None)
    still = job.status(folder)
    assert still is not None and still.running  # its program goes on
    os.kill(described["pid"], signal.SIGKILL)
    assert ended(folder).state is RunState.LOST
    assert job.start(python("print('again')"), folder).folder == folder
    assert ended(folder).state is RunState.FINISHED


def test_without_its_keeper_a_job_can_still_be_stopped(folder: Path) -> None:
    job.start(python(STUBBORN), folder)
    until(lambda: said(folder, "ready"))
    described = json.loads((folder / "job.json").read_text())
    os.kill(described["keeper_pid"], signal.SIGKILL)
    until(lambda: process.identity(described["keeper_pid"]) is None)
    assert job.stop(folder, patience=(600.0, 600.0))  # returns at once
    assert job.stop(folder, patience=(0.2, 0.2))
    until(lambda: process.identity(described["pid"]) is None)


def test_another_process_with_the_same_number_is_not_taken_for_it(folder: Path) -> None:
    other = subprocess.Popen(python(WAIT), stdout=subprocess.DEVNULL)
    try:
        mine = process.identity(other.pid)
        assert mine is not None
        old = f"{mine.rpartition('+')[0]}+1"  # the number was somebody else's, early after the start
        write(folder / "job.json", {"state": "running", "pid": other.pid, "process": old, "argv": ["x"], "began": ""})
        found = job.status(folder)
        assert found is not None and found.state is RunState.LOST
        assert not job.stop(folder)
        assert other.poll() is None
        write(folder / "job.json", {"state": "running", "pid": other.pid, "process": mine, "argv": ["x"]})
        found = job.status(folder)
        assert found is not None and found.running
    finally:
        other.kill()
        other.wait()
    found = job.status(folder)
    assert found is not None and found.state is RunState.LOST


def test_two_who_start_at_once_get_one_job(folder: Path) -> None:
    def begin(_: int) -> bool:
        try:
            job.start(python(WAIT), folder)
        except UserError as refused:
            assert "is already running" in refused.what
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(begin, range(4))) == 1


def test_a_damaged_description_is_lost_not_hidden(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{not json")
    found = job.status(folder)
    assert found is not None and found.state is RunState.LOST and found.problem
    assert job.status(folder.parent / "nothing") is None
    (folder.parent / "list").mkdir()
    (folder.parent / "list" / "job.json").write_text("[1]")
    assert [found.id for found in runs.runs(folder.parent)] == ["one", "list"]


def test_the_tail_of_a_log_is_bounded_and_plain(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(b"x" * 40_000_000 + "\nünï\r10 %\r90 %\n\x1b[31mred\x1b[0m\x07\n".encode())
    tail = job.log_tail(folder)
    assert tail == job.LogTail(text="90 %\nred", cut=True)
    (folder / "log.txt").write_bytes(b"".join(b"%d\n" % n for n in range(1000)))
    tail = job.log_tail(folder, lines=3)
    assert tail == job.LogTail(text="997\n998\n999", cut=True)
    (folder / "log.txt").write_bytes("é\n".encode()[1:] + b"ok")
    assert job.log_tail(folder) == job.LogTail(text="�\nok", cut=False)


def test_metrics_leave_out_what_is_no_number_and_stay_small(tmp_path: Path) -> None:
    lines = [
        json.dumps({"step": step, "loss": 1.0 + step % 2, "tokens": 2, "seconds": step}) for step in range(1, 5001)
    ]
    lines[3:3] = [
        "",
        "nonsense",
        "[1]",
        '{"step": 3, "loss": NaN}',
        '{"loss": 1}',
        '{"step": 5000, "heldout_loss": 0.5}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 5001, "lo']))
    found = metrics.curves(tmp_path)
    assert len(found.loss) == metrics.MOST_POINTS and found.loss[-1][0] == 5000
    assert all(1.4 < value < 1.6 for _, value in found.loss)  # each is the mean of some twenty
    assert (found.steps, found.seconds, found.tokens, found.best_heldout) == (5000, 5000.0, 10_000, (5000.0, 0.5))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('ss": 9}\n{"step": 5002, "loss": 1.0}\n')
    assert metrics.curves(tmp_path).steps == 5002  # read anew: the file has changed
    assert metrics.curves(tmp_path / "none") == metrics.Curves()


def test_runs_are_read_from_their_folders(tmp_path: Path) -> None:
    add_run(tmp_path, "mira-1-20261101-100000")
    add_run(tmp_path, "mira-2-20261102-113000", state="stopped")
    add_run(tmp_path, "mira-3-20261031-113000", state="running")
    add_run(tmp_path, "mira-4-20261030-113000", state="strange", settings=[1])
    (tmp_path / "runs" / "serving").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "runs" / "mira-1-20261101-100000")
    (tmp_path / "runs" / ".training.lock").write_text("1")
    found = {run.model: run for run in runs.runs(tmp_path / "runs")}
    assert list(found) == ["mira-2", "mira-1", "mira-3", "mira-4"]
    assert found["mira-1"].state is RunState.FINISHED and not found["mira-1"].resumable
    assert found["mira-2"].state is RunState.STOPPED and found["mira-2"].resumable
    assert found["mira-4"].state is None
    assert (found["mira-1"].base, found["mira-1"].method, found["mira-1"].minutes) == ("tiny", "lora", 9.0)
    for name in ("..", "../runs", "mira-1-20261101-100000/..", "", "serving", "link", ".training.lock", "x\0y"):
        assert runs.run(tmp_path / "runs", name) is None


def test_a_run_that_says_it_runs_has_to(tmp_path: Path) -> None:
    add_run(tmp_path, "mira-1-20261101-100000", state="running")
    lock = tmp_path / "runs" / ".training.lock"

    def state() -> RunState | None:
        return runs.runs(tmp_path / "runs")[0].state

    assert state() is RunState.LOST
    lock.write_text(str(os.getpid()))
    assert state() is RunState.RUNNING
    os.utime(lock, (1, 1))  # taken long before this process began: the number was another's
    assert state() is RunState.LOST
    for nonsense in ("", "-5", "9" * 30, "four"):
        lock.write_text(nonsense)
        assert state() is RunState.LOST


def test_cards_and_examples_are_read_and_damaged_ones_named(tmp_path: Path) -> None:
    add_card(tmp_path, "tiny")
    add_card(tmp_path, "mira-1", parents=("tiny",), likeness=0.5)
    write(tmp_path / "models" / "odd" / "card.json", {"name": "odd", "parents": "tiny", "scores": {"likeness": [1]}})
    write(tmp_path / "models" / "moved" / "card.json", {"name": "other"})
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "card.json").write_text("{")
    found = {card.name: card for card in Catalog(tmp_path / "models").cards()}
    assert set(found) == {"tiny", "mira-1", "odd"} and found["odd"].parents == ()
    assert found["mira-1"].base == "tiny" and found["mira-1"].likeness is not None
    assert found["mira-1"].likeness.value == 0.5
    assert Catalog(tmp_path / "models").damaged() == ["broken", "moved"]
    add_examples(tmp_path, "one")
    add_examples(tmp_path, "two", base="other")
    assert {one.name: (one.base, one.learned) for one in example_sets(tmp_path / "examples")} == {
        "one": ("tiny", 1234),
        "two": ("other", 1234),
    }
