"""The form checks of Discord's API: lengths and numbers of things, told as 50035 with the path of the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from local_discord.errors import DiscordError, invalid_form
from local_discord.model import MessageFlag

MAX_CONTENT = 2000
MAX_FILES = 10
_CHAT_INPUT_NAME = re.compile(r"^[-_'\w]{1,32}$")


def check_length(path: str, text: Any, most: int, least: int = 0) -> None:
    if not isinstance(text, str):
        raise invalid_form(path, "STRING_TYPE_CONVERT", "Only strings are accepted.")
    if len(text) > most:
        raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    if len(text) < least:
        raise invalid_form(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def check_number(path: str, things: Sequence[Any], most: int, least: int = 0) -> None:
    if not least <= len(things) <= most:
        raise invalid_form(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def check_message(body: dict[str, Any], *, flags: int = 0) -> None:
    """A message as it is posted or edited (keys that are absent are not looked at)."""
    if (content := body.get("content")) is not None:
        check_length("content", content, MAX_CONTENT)
    embeds = body.get("embeds") or []
    check_number("embeds", embeds, 10)
    _check_embeds(embeds)
    components = body.get("components") or []
    if flags & MessageFlag.COMPONENTS_V2:
        for key in ("content", "embeds", "poll"):
            if body.get(key):
                raise invalid_form(
                    key,
                    "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                    f"The field '{key}' cannot be used with these components.",
                )
        check_number("components", list(walk(components)), 40)
    else:
        check_number("components", components, 5)
    _check_components(components)


def _check_embeds(embeds: list[dict[str, Any]]) -> None:
    total = 0
    for index, embed in enumerate(embeds):
        path = f"embeds.{index}"
        parts = [("title", 256), ("description", 4096)]
        for key, most in parts:
            if embed.get(key):
                check_length(f"{path}.{key}", embed[key], most)
                total += len(embed[key])
        fields = embed.get("fields") or []
        check_number(f"{path}.fields", fields, 25)
        for number, field in enumerate(fields):
            check_length(f"{path}.fields.{number}.name", field.get("name"), 256, 1)
            check_length(f"{path}.fields.{number}.value", field.get("value"), 1024, 1)
            total += len(field["name"]) + len(field["value"])
        total += len((embed.get("footer") or {}).get("text") or "") + len((embed.get("author") or {}).get("name") or "")
    if total > 6000:
        raise invalid_form("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every component, whatever it lies in."""
    for component in components:
        yield component
        yield from walk(component.get("components") or [])
        inner = [component[key] for key in ("accessory", "component") if isinstance(component.get(key), dict)]
        yield from walk(inner)


def _check_components(components: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for index, row in enumerate(components):
        if row.get("type") == 1:
            check_number(f"components.{index}.components", row.get("components") or [], 5, 1)
    for component in walk(components):
        custom_id = component.get("custom_id")
        if custom_id is None:
            continue
        check_length("components.custom_id", custom_id, 100, 1)
        if custom_id in seen:
            message = "Component custom id cannot be duplicated"
            raise invalid_form("components.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", message)
        seen.add(custom_id)
        if component.get("type") == 2:
            check_length("components.label", component.get("label") or "", 80)
        if component.get("type") == 3:
            check_number("components.options", component.get("options") or [], 25, 1)


def check_modal(modal: dict[str, Any]) -> None:
    check_length("data.custom_id", modal.get("custom_id"), 100, 1)
    check_length("data.title", modal.get("title"), 45, 1)
    check_number("data.components", modal.get("components") or [], 5, 1)
    _check_components(modal["components"])


def check_choices(choices: list[dict[str, Any]]) -> None:
    check_number("data.choices", choices, 25)
    for index, choice in enumerate(choices):
        check_length(f"data.choices.{index}.name", choice.get("name"), 100, 1)
        if isinstance(choice.get("value"), str):
            check_length(f"data.choices.{index}.value", choice["value"], 100)


def check_commands(commands: list[dict[str, Any]]) -> None:
    """All the commands of one application in one scope."""
    for kind, most in ((1, 100), (2, 5), (3, 5)):
        if sum(c.get("type", 1) == kind for c in commands) > most:
            raise DiscordError(400, 30032, f"Maximum number of application commands reached ({most})")
    seen: set[tuple[int, str]] = set()
    for index, command in enumerate(commands):
        kind, name = command.get("type", 1), command.get("name")
        check_length(f"{index}.name", name, 32, 1)
        if kind == 1:
            _check_chat_input(str(index), command)
        if (kind, name) in seen:
            message = "Application command names must be unique"
            raise invalid_form(f"{index}.name", "APPLICATION_COMMANDS_DUPLICATE_NAME", message)
        seen.add((kind, str(name)))


def _check_chat_input(path: str, command: dict[str, Any]) -> None:
    name = command["name"]
    if not _CHAT_INPUT_NAME.match(name) or name != name.lower():
        raise invalid_form(f"{path}.name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    check_length(f"{path}.description", command.get("description"), 100, 1)
    options = command.get("options") or []
    check_number(f"{path}.options", options, 25)
    for index, option in enumerate(options):
        check_length(f"{path}.options.{index}.name", option.get("name"), 32, 1)
        _check_chat_input(f"{path}.options.{index}", option)
        check_number(f"{path}.options.{index}.choices", option.get("choices") or [], 25)
