"""`talkalike discord setup` against a Discord of our own, over real sockets."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from command_line import Done, succeed, talkalike
from local_discord.server import LocalDiscord
from local_discord.world import World
from talkalike.cli.workspace import discord_token, keep_token, open_workspace
from talkalike.errors import UserError


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    succeed("init", tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture
async def local() -> AsyncIterator[LocalDiscord]:
    async with LocalDiscord(World(), port=0) as server:
        yield server


async def setup(server: LocalDiscord, workspace: Path, *more: str) -> Done:
    return await asyncio.to_thread(
        talkalike, "discord", "setup", "--json", "--api", server.api_base, "-w", workspace, *more
    )


async def test_a_bot_that_is_ready(local: LocalDiscord, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local.world.add_user("somebody else")
    owner = local.world.add_user("ann")
    bot = local.world.add_bot("Ann's double", owner=owner)
    monkeypatch.setenv("DISCORD_TOKEN", bot.token)
    done = await setup(local, workspace)
    assert done.code == 0, done.err
    told = done.json
    assert (told["bot_name"], told["problems"], told["owner_set"]) == ("Ann's double", [], True)
    assert f"client_id={bot.id}" in told["invite_link"]
    assert bot.token not in done.out + done.err
    assert open_workspace(workspace).settings.discord.owner_id == owner.id
    again = await setup(local, workspace)
    assert (again.code, again.json["owner_set"]) == (0, True)


async def test_an_intent_that_is_off_is_told(
    local: LocalDiscord, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = local.world.add_bot("Double", privileged=())
    monkeypatch.setenv("DISCORD_TOKEN", bot.token)
    done = await setup(local, workspace)
    assert done.code == 0
    assert "Message Content" in done.json["problems"][0]
    assert f"/{bot.id}/bot" in done.json["problems"][0]


async def test_wrong_tokens_and_absent_ones(
    local: LocalDiscord, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await setup(local, workspace)
    assert (done.code, "DISCORD_TOKEN" in done.err) == (2, True)
    monkeypatch.setenv("DISCORD_TOKEN", "wrong")
    done = await setup(local, workspace)
    assert (done.code, "does not know this token" in done.err) == (2, True)
    monkeypatch.setenv("TALKALIKE_DISCORD_OWNER_ID", "7")
    absent = await asyncio.to_thread(talkalike, "discord", "setup", "--api", "http://127.0.0.1:9/api", "-w", workspace)
    assert (absent.code, "could not be reached" in absent.err) == (1, True)


def test_the_tokens_file_is_for_its_owner_only(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_workspace(workspace)
    assert discord_token(opened) == ""
    file = keep_token(opened, "one.two.three")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert discord_token(opened) == "one.two.three"
    keep_token(opened, "four.five.six")
    assert discord_token(opened) == "four.five.six"
    monkeypatch.setenv("DISCORD_TOKEN", "from.the.environment")
    assert discord_token(opened) == "from.the.environment"
    monkeypatch.delenv("DISCORD_TOKEN")
    file.chmod(0o644)
    with pytest.raises(UserError, match="mode 644"):
        discord_token(opened)


def test_the_invitation_asks_for_what_the_bot_uses() -> None:
    from talkalike.discord_bot.application import PERMISSIONS, invite_link

    assert f"permissions={PERMISSIONS.value}" in invite_link(5)
    assert PERMISSIONS.create_public_threads and PERMISSIONS.send_messages_in_threads
    assert not PERMISSIONS.administrator and not PERMISSIONS.mention_everyone and not PERMISSIONS.manage_messages


def test_no_token_is_a_sentence(workspace: Path) -> None:
    done = talkalike("serve", "--discord", "-w", workspace)
    assert done.code == 2
    assert "error:" in done.err and "Traceback" not in done.err


def test_the_doctor_looks_at_the_token_the_owner_and_the_database(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, tuple[str, str]]:
        checks = talkalike("doctor", "--json", "-w", workspace).json["checks"]
        return {check["name"]: (check["state"], check["found"]) for check in checks}

    assert found()["discord"][0] == found()["database"][0] == "ok"
    file = keep_token(open_workspace(workspace), "one.two.three")
    assert found()["discord"][0] == "warning"
    monkeypatch.setenv("TALKALIKE_DISCORD_OWNER_ID", "7")
    assert found()["discord"] == ("ok", "there is a token, and an owner")
    file.chmod(0o604)
    told = found()  # which also mends it
    assert told["privacy"] == (
        "warning",
        f"other accounts could read {workspace.name}/discord.token; now only yours can",
    )
    assert (found()["privacy"][0], stat.S_IMODE(file.stat().st_mode)) == ("ok", 0o600)
    (workspace / "talkalike.db").write_bytes(b"this is no database " * 100)
    assert found()["database"][0] == "problem"
