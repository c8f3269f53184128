"""What a bot does with an interaction: its first answer within three seconds, then messages for fifteen minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_discord import validation
from local_discord.errors import DiscordError, invalid_form, unknown
from local_discord.model import CallbackType, Interaction, InteractionType, Message, MessageFlag, MessageType
from local_discord.world import World
from local_discord.world_interactions import FIRST_ANSWER_SECONDS, TOKEN_SECONDS
from local_discord.world_posting import Draft, Upload

_POSSIBLE = {
    InteractionType.COMMAND: {CallbackType.MESSAGE, CallbackType.DEFERRED_MESSAGE, CallbackType.MODAL},
    InteractionType.COMPONENT: set(CallbackType) - {CallbackType.PONG, CallbackType.CHOICES},
    InteractionType.AUTOCOMPLETE: {CallbackType.CHOICES},
    InteractionType.MODAL_SUBMIT: set(CallbackType) - {CallbackType.PONG, CallbackType.CHOICES, CallbackType.MODAL},
}


def fresh(world: World, interaction_id: int, token: str) -> Interaction:
    """An interaction that still waits for its first answer: else 10062 (unknown, or too late) or 40060 (answered)."""
    it = world.interactions.get(interaction_id)
    if it is None or it.token != token:
        raise unknown("Interaction")
    if it.callback is not None:
        raise DiscordError(400, 40060, "Interaction has already been acknowledged.")
    if world.clock.now() - it.created > FIRST_ANSWER_SECONDS:
        raise unknown("Interaction")
    return it


def by_token(world: World, application_id: int, token: str) -> Interaction:
    """An answered interaction whose token still holds: else 10015."""
    it = next((i for i in reversed(world.interactions.values()) if i.token == token), None)
    if it is None or it.bot_id != application_id or it.callback is None:
        raise unknown("Webhook")
    if world.clock.now() - it.created > TOKEN_SECONDS:
        raise unknown("Webhook")
    return it


def first_answer(world: World, it: Interaction, body: dict[str, Any], files: Sequence[Upload]) -> Message | None:
    """Carries out a callback. Returns the message that it made or is about, None for choices and forms."""
    try:
        kind = CallbackType(body.get("type", 0))
    except ValueError:
        kind = CallbackType.PONG
    if kind not in _POSSIBLE[InteractionType(it.type)]:
        raise invalid_form("type", "INTERACTION_CALLBACK_TYPE", "This answer does not fit this interaction.")
    data = body.get("data") or {}
    if kind == CallbackType.CHOICES:
        validation.check_choices(data.get("choices") or [])
        it.choices = data.get("choices") or []
    elif kind == CallbackType.MODAL:
        validation.check_modal(data)
        it.modal = data
    message = _carry_out(world, it, kind, data, files)
    it.callback = kind
    it.answered.set()
    if kind != CallbackType.CHOICES:
        world.tell_person(it, message)
    return message


def _carry_out(
    world: World, it: Interaction, kind: CallbackType, data: dict[str, Any], files: Sequence[Upload]
) -> Message | None:
    if kind in (CallbackType.MESSAGE, CallbackType.DEFERRED_MESSAGE):
        ephemeral = bool(int(data.get("flags") or 0) & MessageFlag.EPHEMERAL)
        loading = kind == CallbackType.DEFERRED_MESSAGE
        made = _put(world, it, (data, files), ephemeral=ephemeral, loading=loading, first=True)
        it.original_id, it.ephemeral = made.id, ephemeral
        return made
    if kind in (CallbackType.UPDATE_MESSAGE, CallbackType.DEFERRED_UPDATE):
        source = world.ephemeral.get(it.source_id or 0) or world.find_message(it.source_id or 0)
        if source is None:
            raise unknown("Message")
        it.original_id = source.id
        it.message_ids.add(source.id)
        if kind == CallbackType.UPDATE_MESSAGE:
            world.put_change(source, data, files)
        return source
    return None


def _put(
    world: World,
    it: Interaction,
    content: tuple[dict[str, Any], Sequence[Upload]],
    *,
    ephemeral: bool,
    loading: bool = False,
    first: bool = False,
) -> Message:
    body, files = content
    kind = MessageType.REPLY
    if first and it.type == InteractionType.COMMAND:
        slash = it.data.get("type", 1) == 1
        kind = MessageType.CHAT_INPUT_COMMAND if slash else MessageType.CONTEXT_MENU_COMMAND
    elif first and it.source_id is None:
        kind = MessageType.DEFAULT
    draft = Draft(author_id=it.bot_id, channel_id=it.channel_id, body=body, files=files, type=kind)
    draft.application_id = it.bot_id
    draft.metadata = world.metadata(it)
    draft.only_for = it.user_id if ephemeral else None
    draft.flags = MessageFlag.LOADING if loading else 0
    pointed = (it.source_id if first else it.original_id) if kind == MessageType.REPLY else None
    if pointed is not None:
        channel = world.channel(it.channel_id)
        draft.reference = {"type": 0, "message_id": str(pointed), **world.whereabouts(channel)}
    made = world.put_message(draft)
    it.message_ids.add(made.id)
    return made


def follow_up(world: World, it: Interaction, body: dict[str, Any], files: Sequence[Upload]) -> Message:
    """A further message. The first one after a deferral takes the place of "thinking ...", seen by whom that was."""
    original = world.ephemeral.get(it.original_id or 0) or world.find_message(it.original_id or 0)
    if original is not None and original.flags & MessageFlag.LOADING:
        return edit(world, it, original, {k: v for k, v in body.items() if k != "flags"}, files)
    ephemeral = bool(int(body.get("flags") or 0) & MessageFlag.EPHEMERAL)
    made = _put(world, it, (body, files), ephemeral=ephemeral)
    if ephemeral:
        world.tell_person(it, made, followup=True)
    return made


def edit(world: World, it: Interaction, message: Message, body: dict[str, Any], files: Sequence[Upload]) -> Message:
    filled = message.flags & MessageFlag.LOADING
    message.flags &= ~int(MessageFlag.LOADING)
    try:
        world.put_change(message, body, files)
    except DiscordError:
        message.flags |= filled
        raise
    if message.only_for is not None:
        world.tell_person(it, message, edited=True)
    return message


def delete(world: World, it: Interaction, message: Message) -> None:
    if message.only_for is not None:
        world.tell_person(it, message, deleted=True)
    world.put_remove(message)
    it.message_ids.discard(message.id)
