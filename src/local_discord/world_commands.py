"""Which commands there are for whom, in which place."""

from __future__ import annotations

from typing import Any

from local_discord.errors import missing_permissions, unknown
from local_discord.model import Bot, Channel, ChannelType
from local_discord.permissions import Permission
from local_discord.world_threads import Threads


class Commands(Threads):
    def commands(self, user_id: int, channel_id: int) -> list[dict[str, Any]]:
        """What that person can use there: every bot's commands as registered, each with its `application`."""
        channel = self.visible(user_id, channel_id)
        found = []
        for bot in self._bots_in(channel):
            application = {"id": str(bot.id), "name": bot.name}
            for command in bot.commands.values():
                if self._usable(command, user_id, channel):
                    found.append({**command, "application": application})
        return found

    def _bots_in(self, channel: Channel) -> list[Bot]:
        if channel.type == ChannelType.DM:
            there = [self.users[i] for i in channel.recipient_ids]
        else:
            there = [self.users[i] for i in self.server(channel.server_id or 0).members]
        return [u for u in there if isinstance(u, Bot)]

    def _usable(self, command: dict[str, Any], user_id: int, channel: Channel) -> bool:
        context = 0 if channel.server_id is not None else 1
        contexts = command.get("contexts")
        if contexts is not None and context not in contexts:
            return False
        if channel.server_id is None:
            return command.get("guild_id") is None and command.get("dm_permission") is not False
        if command.get("guild_id") not in (None, str(channel.server_id)):
            return False
        granted = self.permissions(user_id, channel)
        needed = command.get("default_member_permissions")
        if needed is not None:
            admin = bool(granted & Permission.ADMINISTRATOR)
            if not admin and (int(needed) == 0 or int(needed) & granted != int(needed)):
                return False
        return bool(granted & Permission.USE_APPLICATION_COMMANDS)

    def _command(self, user_id: int, channel_id: int, command_id: int) -> tuple[Bot, dict[str, Any]]:
        for bot in self._bots_in(self.visible(user_id, channel_id)):
            if (command := bot.commands.get(command_id)) is not None:
                if not self._usable(command, user_id, self.channel(channel_id)):
                    raise missing_permissions()
                return bot, command
        raise unknown("Application Command")

    @staticmethod
    def _command_data(command: dict[str, Any], filled: list[dict[str, Any]]) -> dict[str, Any]:
        data: dict[str, Any] = {"id": command["id"], "name": command["name"], "type": command.get("type", 1)}
        if filled:
            data["options"] = filled
        if command.get("guild_id"):
            data["guild_id"] = command["guild_id"]
        return data
