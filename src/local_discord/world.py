"""A whole small Discord in memory: who and what there is, and everything that people do in it.

Build one (`add_user`, `add_server`, `add_channel`, `add_bot`, `invite`), serve it with `LocalDiscord`, and act as its
people with `send`, `react`, `invoke`, ... These raise `DiscordError` where Discord would refuse. One event loop only.
"""

from __future__ import annotations

from collections.abc import Sequence

from local_discord.model import Channel, Message
from local_discord.world_interactions import Interactions
from local_discord.world_posting import Draft, Upload


class World(Interactions):
    def send(
        self,
        user_id: int,
        channel_id: int,
        content: str = "",
        *,
        attachments: Sequence[tuple[str, bytes]] = (),
        reply_to: int | None = None,
        ping: bool = True,
    ) -> Message:
        """Posts as a person. `reply_to`: the message replied to, whose author is pinged unless `ping` is False."""
        body = {"content": content}
        draft = Draft(author_id=user_id, channel_id=channel_id, body=body)
        draft.files = [Upload(name=name, data=data) for name, data in attachments]
        if reply_to is not None:
            draft.body["message_reference"] = {"message_id": str(reply_to)}
            if not ping:
                draft.body["allowed_mentions"] = {"parse": ["users", "roles", "everyone"], "replied_user": False}
        return self.post(draft)

    def forward(self, user_id: int, channel_id: int, message_id: int) -> Message:
        body = {"message_reference": {"type": 1, "message_id": str(message_id)}}
        return self.post(Draft(author_id=user_id, channel_id=channel_id, body=body))

    def edit(self, user_id: int, message_id: int, content: str) -> Message:
        return self.change(user_id, self.message(message_id), {"content": content})

    def delete(self, user_id: int, message_id: int) -> None:
        """Also dismisses an ephemeral message that is theirs."""
        own = self.ephemeral.get(message_id)
        if own is not None and own.only_for == user_id:
            self.put_remove(own)
            return
        self.remove(user_id, self.message(message_id))

    def react(self, user_id: int, message_id: int, emoji: str) -> None:
        self.add_reaction(user_id, self.message(message_id), emoji)

    def unreact(self, user_id: int, message_id: int, emoji: str) -> None:
        self.remove_reaction(user_id, self.message(message_id), emoji, user_id)

    def create_thread(
        self, user_id: int, channel_id: int, name: str, message_id: int | None = None, *, private: bool = False
    ) -> Channel:
        message = None if message_id is None else self.message_in(channel_id, message_id)
        return self.start_thread(user_id, channel_id, name, message=message, private=private)
