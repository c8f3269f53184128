"""Commands, buttons, menus and forms: a person uses them, the bot is told, and here is what both may do with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from local_discord import payloads, validation
from local_discord.command_options import Options
from local_discord.errors import DiscordError, invalid_form, unknown
from local_discord.events import Event
from local_discord.model import Bot, Interaction, InteractionType, Message
from local_discord.permissions import ALL
from local_discord.world_commands import Commands
from local_discord.world_posting import Upload

FIRST_ANSWER_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60.0
FILE_UPLOAD = 19  # a form's field
_MAX_INTERACTIONS = 2000


class Interactions(Commands):
    # ---------------------------------------------------------------------------------------- what a person does
    def invoke(
        self,
        user_id: int,
        channel_id: int,
        command_id: int,
        options: dict[str, Any] | None = None,
        *,
        target_id: int | None = None,
        attachments: Sequence[tuple[str, bytes]] = (),
    ) -> str:
        """Uses a slash command, or a context menu on `target_id`. Returns the interaction's id.

        `options`: name -> value, subcommands as nested dicts ({"get": {"key": ...}}); users, roles and channels by id;
        an attachment option by its place in `attachments`. Raises `DiscordError` (50035) where they do not fit.
        """
        bot, command = self._command(user_id, channel_id, int(command_id))
        files = [Upload(name=name, data=data) for name, data in attachments]
        stored = self._store(channel_id, files, ephemeral=True)
        server = self.servers.get(self.channel(channel_id).server_id or 0)
        filling = Options(self, server, user_id, stored)
        data = self._command_data(command, filling.fill(command.get("options") or [], options or {}))
        if target_id is not None:
            data["target_id"] = str(target_id)
            if command.get("type") == 2:
                filling.point_at_user(int(target_id))
            else:
                filling.point_at_message(int(target_id))
        if filling.resolved:
            data["resolved"] = filling.resolved
        return self._start(InteractionType.COMMAND, bot, user_id, channel_id, data)

    async def autocomplete(
        self, user_id: int, channel_id: int, command_id: int, options: dict[str, Any], focused: str
    ) -> list[dict[str, Any]]:
        """The bot's suggestions for the option `focused`, as it is being typed; none if it takes over 3 seconds."""
        bot, command = self._command(user_id, channel_id, int(command_id))
        server = self.servers.get(self.channel(channel_id).server_id or 0)
        filling = Options(self, server, user_id, focused=focused)
        data = self._command_data(command, filling.fill(command.get("options") or [], options))
        interaction_id = int(self._start(InteractionType.AUTOCOMPLETE, bot, user_id, channel_id, data))
        interaction = self.interactions[interaction_id]
        try:
            await asyncio.wait_for(interaction.answered.wait(), FIRST_ANSWER_SECONDS)
        except TimeoutError:
            return []
        return interaction.choices or []

    def click(self, user_id: int, message_id: int, custom_id: str) -> str:
        """Presses a button. Returns the interaction's id."""
        return self._use_component(user_id, message_id, custom_id, None)

    def choose(self, user_id: int, message_id: int, custom_id: str, values: Sequence[str]) -> str:
        """Picks from a select menu (of users, roles and channels: their ids). Returns the interaction's id."""
        return self._use_component(user_id, message_id, custom_id, [str(v) for v in values])

    def _use_component(self, user_id: int, message_id: int, custom_id: str, values: list[str] | None) -> str:
        message = self.shown(user_id, message_id)
        component = next((c for c in validation.walk(message.components) if c.get("custom_id") == custom_id), None)
        if component is None or component.get("disabled"):
            raise DiscordError(400, 50035, "This message has no such component that can be used.")
        data: dict[str, Any] = {"custom_id": custom_id, "component_type": component["type"]}
        data["id"] = component.get("id")
        if values is not None:
            low, high = component.get("min_values", 1), component.get("max_values", 1)
            validation.check_number("data.values", values, high, low)
            data["values"] = values
            self._resolve_values(message, user_id, component["type"], data)
        bot = self.bot(message.application_id or message.author_id)
        return self._start(InteractionType.COMPONENT, bot, user_id, message.channel_id, data, source=message)

    def _resolve_values(self, message: Message, user_id: int, kind: int, data: dict[str, Any]) -> None:
        option_kind = {5: 6, 6: 8, 7: 9, 8: 7}.get(kind)  # select of users, roles, mentionables, channels
        if option_kind is None:
            return
        filling = Options(self, self.servers.get(message.server_id or 0), user_id)
        filling.fill(
            [{"name": str(n), "type": option_kind} for n in range(len(data["values"]))],
            {str(n): value for n, value in enumerate(data["values"])},
        )
        data["resolved"] = filling.resolved

    def shown(self, user_id: int, message_id: int) -> Message:
        """A message that this person sees, ephemeral ones among them."""
        own = self.ephemeral.get(message_id)
        if own is not None and own.only_for == user_id:
            return own
        message = self.message(message_id)
        self.visible(user_id, message.channel_id)
        return message

    def submit_modal(
        self,
        user_id: int,
        interaction_id: int | str,
        values: dict[str, Any],
        *,
        attachments: Sequence[tuple[str, bytes]] = (),
    ) -> str:
        """Sends the form that the bot had shown for `interaction_id`. Returns the id of the new interaction.

        `values`: custom_id -> text, or a list of values; of a field for files, their places in `attachments`.
        """
        opened = self.interactions.get(int(interaction_id))
        if opened is None or opened.user_id != user_id or opened.modal is None:
            raise unknown("Interaction")
        modal = opened.modal
        uploads = [Upload(name=name, data=data) for name, data in attachments]
        files = self._store(opened.channel_id, uploads, ephemeral=True)
        given = values | _uploaded(modal["components"], values, [str(file.id) for file in files])
        components = [_filled_in(c, given) for c in modal["components"]]
        opened.modal = None  # a form is sent once
        data: dict[str, Any] = {"custom_id": modal["custom_id"], "components": components}
        if files:
            data["resolved"] = {"attachments": {str(file.id): payloads.attachment(self, file) for file in files}}
        source = self.ephemeral.get(opened.source_id or 0) or self.find_message(opened.source_id or 0)
        bot, channel_id = self.bot(opened.bot_id), opened.channel_id
        made = self._start(InteractionType.MODAL_SUBMIT, bot, user_id, channel_id, data, source=source)
        self.interactions[int(made)].parent_metadata = self.metadata(opened)
        return made

    # ----------------------------------------------------------------------------------------------- on the wire
    def _start(
        self,
        kind: InteractionType,
        bot: Bot,
        user_id: int,
        channel_id: int,
        data: dict[str, Any],
        *,
        source: Message | None = None,
    ) -> str:
        made = Interaction(
            id=self.ids.next(),
            token=secrets.token_urlsafe(48),
            type=kind,
            bot_id=bot.id,
            user_id=user_id,
            channel_id=channel_id,
            data=data,
            created=self.clock.now(),
            source_id=None if source is None else source.id,
        )
        self.interactions[made.id] = made
        while len(self.interactions) > _MAX_INTERACTIONS:
            self.interactions.popitem(last=False)
        payload = self._interaction_payload(made, source)
        server_id = self.channel(channel_id).server_id
        self.emit(Event(name="INTERACTION_CREATE", payload=payload, server_id=server_id, only=frozenset({bot.id})))
        return str(made.id)

    def _interaction_payload(self, it: Interaction, source: Message | None) -> dict[str, Any]:
        channel, person = self.channel(it.channel_id), self.user(it.user_id)
        server = self.servers.get(channel.server_id or 0)
        granted = self.permissions(it.user_id, channel)
        made: dict[str, Any] = {
            "id": str(it.id),
            "application_id": str(it.bot_id),
            "type": int(it.type),
            "token": it.token,
            "version": 1,
            "data": it.data,
            "channel_id": str(channel.id),
            "channel": payloads.channel(self, channel, viewer_id=it.bot_id) | {"permissions": str(int(granted))},
            "app_permissions": str(int(self.permissions(it.bot_id, channel) or (ALL if server is None else 0))),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": "0" if server is None else str(server.id)},
            "context": 1 if server is None else 0,
            "attachment_size_limit": self.faults.upload_cap,
        }
        if server is None:
            made["user"] = payloads.user(person)
        else:
            made["guild_id"] = str(server.id)
            made["guild"] = {"id": str(server.id), "locale": "en-US", "features": []}
            made["guild_locale"] = "en-US"
            member = payloads.member(self, server.members[it.user_id])
            made["member"] = member | {"permissions": str(int(granted))}
        if source is not None:
            made["message"] = payloads.message(self, source, viewer_id=it.bot_id)
        return made

    def metadata(self, it: Interaction) -> dict[str, Any]:
        """What the messages of its answer say about where they come from."""
        made: dict[str, Any] = {
            "id": str(it.id),
            "type": int(it.type),
            "user": payloads.user(self.user(it.user_id)),
            "authorizing_integration_owners": {},
        }
        if it.type == InteractionType.COMPONENT:
            made["interacted_message_id"] = str(it.source_id)
        if it.type == InteractionType.MODAL_SUBMIT:
            made["triggering_interaction_metadata"] = it.parent_metadata
        if it.type == InteractionType.COMMAND:
            made |= {"command_type": it.data.get("type", 1), "name": it.data.get("name")}
        return made

    async def answered(self, interaction_id: int | str, timeout: float = 5.0) -> Interaction:
        """The interaction once the bot has given its first answer. Raises TimeoutError."""
        interaction = self.interactions[int(interaction_id)]
        await asyncio.wait_for(interaction.answered.wait(), timeout)
        return interaction

    def answer_payload(self, it: Interaction, message: Message | None = None, **more: Any) -> dict[str, Any]:
        """Of INTERACTION_RESPONSE, the event that a person's page gets about the answer to what they did."""
        return {
            "interaction_id": str(it.id),
            "interaction_type": int(it.type),
            "type": it.callback,
            "user_id": str(it.user_id),
            "application_id": str(it.bot_id),
            "channel_id": str(it.channel_id),
            "message": None if message is None else payloads.message(self, message, viewer_id=it.user_id),
            "modal": it.modal,
            **more,
        }

    def tell_person(self, it: Interaction, message: Message | None = None, **more: Any) -> None:
        payload = self.answer_payload(it, message, **more)
        self.emit(Event(name="INTERACTION_RESPONSE", payload=payload, only=frozenset({it.user_id})))


def _uploaded(components: list[dict[str, Any]], values: dict[str, Any], ids: list[str]) -> dict[str, list[str]]:
    """The ids of what was uploaded into each field for files. Raises DiscordError for too few, too many, none such."""
    found: dict[str, list[str]] = {}
    for field in validation.walk(components):
        if field.get("type") != FILE_UPLOAD:
            continue
        name, places = field["custom_id"], values.get(field["custom_id"]) or []
        least = (field.get("min_values") or 1) if field.get("required", True) else 0
        validation.check_number(f"data.{name}", places, field.get("max_values") or 1, least)
        try:
            found[name] = [ids[int(place)] for place in places]
        except (TypeError, ValueError, IndexError):
            raise invalid_form(f"data.{name}", "BASE_TYPE_CONVERT", "There is no such file.") from None
    return found


def _filled_in(component: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A modal's component as it is sent back: rows and labels keep their shape, fields get their value."""
    kind = component["type"]
    made: dict[str, Any] = {"type": kind, "id": component.get("id", 0)}
    if kind == 1:
        return made | {"components": [_filled_in(c, values) for c in component["components"]]}
    if kind == 18:
        return made | {"component": _filled_in(component["component"], values)}
    custom_id = component.get("custom_id")
    if custom_id is None:
        return made
    made["custom_id"] = custom_id
    given = values.get(custom_id)
    if kind == 4:
        text = str(component.get("value") or "") if given is None else str(given)
        if component.get("required", True) and not text:
            raise invalid_form(f"data.{custom_id}", "BASE_TYPE_REQUIRED", "This field is required.")
        validation.check_length(f"data.{custom_id}", text, component.get("max_length") or 4000)
        return made | {"value": text}
    if kind in (21, 23):
        return made | {"value": given}
    chosen = [given] if isinstance(given, str) else list(given or [])
    return made | {"values": [str(v) for v in chosen]}
