"""What a person does on the page: each action's JSON arguments checked, and the world's method called with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from local_discord import page_view
from local_discord.errors import DiscordError, PageError
from local_discord.world import World
from local_discord.world_interactions import FIRST_ANSWER_SECONDS

Answer = dict[str, Any]
_MOST_NESTED = 2  # a group and a subcommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One action of one person. `files` in the order they were sent."""

    world: World
    user_id: int
    args: dict[str, Any]
    files: tuple[tuple[str, bytes], ...] = ()

    def id(self, key: str) -> int:
        value = self.text(key)
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise _unusable(key)
        return int(value)

    def optional_id(self, key: str) -> int | None:
        return None if self.args.get(key) is None else self.id(key)

    def text(self, key: str) -> str:
        value = self.args.get(key)
        if not isinstance(value, str):
            raise _unusable(key)
        return value

    def values(self, key: str = "values") -> dict[str, Any]:
        value = self.args.get(key)
        if not isinstance(value, dict):
            raise _unusable(key)
        return value

    def options(self) -> dict[str, Any]:
        """Typed values under the path of subcommands; a file's place in `files` instead of `{"file": place}`."""
        path = self.args.get("path") or []
        if not isinstance(path, list) or len(path) > _MOST_NESTED or not all(isinstance(p, str) for p in path):
            raise _unusable("subcommand")
        made: dict[str, Any] = {name: _place(value) for name, value in self.values().items()}
        for name in reversed(path):
            made = {name: made}
        return made


def _unusable(what: str) -> PageError:
    return PageError(f"The page sent no usable {what}.", hint="Reload the page.")


def send(call: Call) -> Answer:
    sent = call.world.send(
        call.user_id,
        call.id("channel_id"),
        call.text("content"),
        attachments=call.files,
        reply_to=call.optional_id("reply_to"),
    )
    return {"message_id": str(sent.id)}


def edit(call: Call) -> Answer:
    call.world.edit(call.user_id, call.id("message_id"), call.text("content"))
    return {}


def delete(call: Call) -> Answer:
    call.world.delete(call.user_id, call.id("message_id"))
    return {}


def dismiss(call: Call) -> Answer:
    """Puts away a private answer; one that is gone already is no trouble."""
    message_id = call.id("message_id")
    if message_id in call.world.ephemeral:
        call.world.delete(call.user_id, message_id)
    return {}


def react(call: Call) -> Answer:
    call.world.react(call.user_id, call.id("message_id"), call.text("emoji"))
    return {}


def unreact(call: Call) -> Answer:
    call.world.unreact(call.user_id, call.id("message_id"), call.text("emoji"))
    return {}


def typing(call: Call) -> Answer:
    call.world.typing(call.user_id, call.id("channel_id"))
    return {}


def open_dm(call: Call) -> Answer:
    return {"channel_id": str(call.world.open_dm(call.user_id, call.id("bot_id")).id)}


def create_thread(call: Call) -> Answer:
    made = call.world.create_thread(
        call.user_id, call.id("channel_id"), call.text("name"), call.optional_id("message_id")
    )
    return {"channel_id": str(made.id)}


def history(call: Call) -> Answer:
    batch, complete = page_view.history(call.world, call.user_id, call.id("channel_id"), before=call.id("before"))
    return {"messages": batch, "complete": complete}


def commands(call: Call) -> Answer:
    return {"commands": call.world.commands(call.user_id, call.id("channel_id"))}


async def invoke(call: Call) -> Answer:
    interaction_id = call.world.invoke(
        call.user_id,
        call.id("channel_id"),
        call.id("command_id"),
        call.options(),
        target_id=call.optional_id("target_id"),
        attachments=call.files,
    )
    return await _answered(call.world, interaction_id)


async def autocomplete(call: Call) -> Answer:
    choices = await call.world.autocomplete(
        call.user_id, call.id("channel_id"), call.id("command_id"), call.options(), call.text("focused")
    )
    return {"choices": choices}


async def click(call: Call) -> Answer:
    interaction_id = call.world.click(call.user_id, call.id("message_id"), call.text("custom_id"))
    return await _answered(call.world, interaction_id)


async def choose(call: Call) -> Answer:
    values = call.args.get("values")
    if not isinstance(values, list):
        raise _unusable("choice of values")
    interaction_id = call.world.choose(
        call.user_id, call.id("message_id"), call.text("custom_id"), [str(v) for v in values]
    )
    return await _answered(call.world, interaction_id)


async def submit_modal(call: Call) -> Answer:
    values = {
        name: [_place(one) for one in value] if isinstance(value, list) else value
        for name, value in call.values().items()
    }
    interaction_id = call.world.submit_modal(call.user_id, call.id("interaction_id"), values, attachments=call.files)
    return await _answered(call.world, interaction_id)


def _place(value: Any) -> Any:
    """A file's place in the files that were sent; anything else as it is."""
    return value["file"] if isinstance(value, dict) and "file" in value else value


async def _answered(world: World, interaction_id: str) -> Answer:
    """Waits as long as Discord does for a bot's first answer, so that the page can say when none came."""
    try:
        await world.answered(interaction_id, timeout=FIRST_ANSWER_SECONDS)
    except TimeoutError:
        return {"interaction_id": interaction_id, "answered": False}
    return {"interaction_id": interaction_id, "answered": True}


ACTIONS: dict[str, Callable[[Call], Answer | Awaitable[Answer]]] = {
    action.__name__: action
    for action in (
        send, edit, delete, dismiss, react, unreact, typing, open_dm, create_thread, history, commands,
        invoke, autocomplete, click, choose, submit_modal,
    )
}  # fmt: skip

_WORDS = {
    10003: "That channel is gone.",
    10008: "That message is gone.",
    10014: "That is no emoji this page knows. Paste a single one.",
    10062: "That form is no longer open. Ask for it again.",
    10063: "The bot no longer offers that command.",
    40005: "That file is too large for this server.",
    50001: "You cannot see that place.",
    50006: "There is nothing in that message.",
    50007: "That bot cannot be written to.",
    50013: "You do not have the permission for that here.",
    50083: "This thread is locked.",
}


def in_words(error: DiscordError) -> str:
    """A refusal as a person reads it; for a rejected form, the first thing that is wrong with it."""
    if error.errors is None:
        return _WORDS.get(error.code, error.message)
    path, tree = [], error.errors
    while "_errors" not in tree and tree:
        key = next(iter(tree))
        path.append(key)
        tree = tree[key]
    problems = tree.get("_errors") or [{"message": error.message}]
    return f"{path[-1]}: {problems[0]['message']}" if path else str(problems[0]["message"])
