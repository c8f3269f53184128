"""Some editors and shells begin a file with a byte order mark: it never costs the first line."""

from __future__ import annotations

import io
import sys
from importlib import resources

import pytest

from command_line import succeed
from exports import encrypted, imported, said, texts, thread, write_encrypted, write_thread
from talkalike.alignment.yaml_files import entries
from talkalike.chat.scenarios import read
from talkalike.chats.archive import Archive
from talkalike.cli.chatting_screen import InputLines
from talkalike.cli.workspace import discord_token, keep_token, open_workspace
from talkalike.store.judging.lines import LineError, from_line

MARK = b"\xef\xbb\xbf"


def test_messenger_exports_of_both_kinds(tmp_path):
    archive = Archive(tmp_path / "chats")
    write_thread(tmp_path / "export", thread([said("Anna", "x")]), bom=True)
    file = write_encrypted(
        tmp_path / "export", encrypted([("Eve", "y", 0)], people=("Eve", "Dan"), title="Dan"), "Dan_1"
    )
    file.write_bytes(MARK + file.read_bytes())
    assert imported(tmp_path / "export", archive=archive).new == 2
    assert [texts(archive, chat.id) for chat in archive.conversations()] in ([["x"], ["y"]], [["y"], ["x"]])


def test_a_scenario():
    folder = resources.files("talkalike.chat").joinpath("scenarios")
    data = next(file for file in folder.iterdir() if file.name.endswith(".toml")).read_bytes()
    assert read(MARK + data, source="a.toml") == read(data, source="a.toml")


def test_rules_in_yaml(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_bytes(MARK + b"rules:\n  - text: be kind\n")
    assert entries(file, "rules", others={}) == [{"text": "be kind"}]


def test_a_judgement():
    with pytest.raises(LineError, match="no JSON object"):  # which is more than "it is not JSON"
        from_line("\ufeff[]")


def test_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    succeed("init", tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    keep_token(opened, "\ufeffsecret")
    assert discord_token(opened) == "secret"


def test_what_is_piped_into_a_chat(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MARK + "příklad\n".encode())))
    assert InputLines(interactive=False).read("") == "příklad"
