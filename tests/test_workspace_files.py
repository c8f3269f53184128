"""What must survive is replaced whole: readers and crashes see the old state or the new one, never a part."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from talkalike.workspace.files import read_json, replacing, replacing_folder, write_atomically, write_json


@pytest.fixture
def open_mask() -> object:
    before = os.umask(0)
    yield None
    os.umask(before)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file, other = tmp_path / "one.txt", tmp_path / "two.txt"
    write_atomically(file, "old")
    write_atomically(other, "other")
    with pytest.raises(KeyError), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert (file.read_text(), other.read_text()) == ("old", "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.txt", "two.txt"]


@pytest.mark.usefixtures("open_mask")
def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "one.json", {"é": [1, 2.5]})
    with replacing_folder(tmp_path / "made") as scratch:
        (scratch / "inside.txt").write_text("x")
    assert read_json(tmp_path / "one.json") == {"é": [1, 2.5]}
    assert stat.S_IMODE((tmp_path / "one.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with replacing_folder(folder) as scratch:
        (scratch / "a").write_text("1")
        (scratch / "b").write_text("1")
    with pytest.raises(KeyError), replacing_folder(folder) as scratch:
        (scratch / "a").write_text("2")
        raise KeyError
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "1", "b": "1"}
    with replacing_folder(folder) as scratch:
        (scratch / "c").write_text("3")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"c": "3"}
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_killed_at_any_moment_a_reader_finds_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    program = (
        "import sys, itertools; from pathlib import Path\n"
        "from talkalike.workspace.files import write_json\n"
        "for n in itertools.count():\n"
        "    write_json(Path(sys.argv[1]), {'n': n, 'again': [n] * 20_000})\n"
        "    print(n, flush=True)\n"
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged = max([*told, *map(int, rest.split())])
        found = read_json(file)
        assert found is not None
        assert found["n"] >= acknowledged
        assert found["again"] == [found["n"]] * 20_000


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"one": "é"})
    write_json(tmp_path / "a.json", {"two": 2})
    assert read_json(tmp_path / "a.json") == {"two": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert read_json(tmp_path / "deep.json") is None
