"""The buttons under a reply: cancel, again, why, and judging it. They hold the reply's id, so they survive restarts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import discord

from talkalike.chat.permissions import Action
from talkalike.discord_bot.asking import ANSWERED, ask
from talkalike.discord_bot.commands.gate import Interaction, gated, messages_of, tell
from talkalike.discord_bot.commands.menus import listing, story
from talkalike.discord_bot.judging import comparison_view, guessing, thumbs
from talkalike.discord_bot.rights import require_voice
from talkalike.errors import UserError
from talkalike.store import replies
from talkalike.store.replies import ReplyRow


class _ReplyButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"talkalike:none:(?P<id>\d{1,19})"):
    """A button that knows its reply. Subclasses say what it is called and what it does."""

    name: ClassVar[str] = "none"
    label: ClassVar[str] = ""

    def __init__(self, reply_id: int) -> None:
        super().__init__(discord.ui.Button(label=self.label, custom_id=f"talkalike:{self.name}:{reply_id}"))
        self.reply_id = reply_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Makes the button from its custom id, for every click."""
        return cls(int(match["id"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Whoever may press it is decided there."""
        if interaction.message is not None:
            await self.on_press(interaction, interaction.message)

    async def on_press(self, interaction: Interaction, message: discord.Message) -> None:
        """Does what the button says, once the rules allow it."""


async def own(interaction: Interaction, message: discord.Message) -> bool:
    """True for whoever asked for the reply that the button belongs to."""
    row = await _row(interaction)
    return row.asker_id == interaction.user.id


class CancelButton(_ReplyButton, template=r"talkalike:cancel:(?P<id>\d{1,19})"):
    """Stops a reply that waits or is being written."""

    name, label = "cancel", "Cancel"

    @gated(Action.CANCEL, own=own)
    async def on_press(self, interaction: Interaction, message: discord.Message) -> None:
        """Cancels the reply, and says so to the one who pressed."""
        stopped = await interaction.client.conversations.cancel(self.reply_id, by=interaction.user.id)
        await tell(interaction, "Cancelled." if stopped else "That reply has ended already.")


class AgainButton(_ReplyButton, template=r"talkalike:again:(?P<id>\d{1,19})"):
    """Answers the same message anew, in the place of this reply."""

    name, label = "again", "Again"

    @gated(Action.REGENERATE, own=own)
    async def on_press(self, interaction: Interaction, message: discord.Message) -> None:
        """Answers the message once more, unless it is gone."""
        row = await _row(interaction)
        asked = await ask(messages_of(interaction).fetch_message(row.trigger_id), ANSWERED)
        require_voice(asked.channel)
        await tell(interaction, "I am trying again.")
        await interaction.client.conversations.respond(asked, again=True)


class WhyButton(_ReplyButton, template=r"talkalike:why:(?P<id>\d{1,19})"):
    """Shows what the model saw, to the one who asks."""

    name, label = "why", "Why?"

    @gated(Action.SHOW_CONTEXT, own=own)
    async def on_press(self, interaction: Interaction, message: discord.Message) -> None:
        """Shows what the menu "Why this reply?" shows."""
        row = await _row(interaction)
        await tell(interaction, story(row), file=listing(row), file_name=f"reply-{row.id}.txt")


BUTTONS = (CancelButton, AgainButton, WhyButton, *thumbs.BUTTONS, *comparison_view.BUTTONS, *guessing.BUTTONS)


class ReplyButtons(discord.ui.View):
    """What sits under a reply. It is cancelled while it is written; when it is done it is asked about and judged.

    `judging`: whether the place wants buttons for that.
    """

    def __init__(self, reply_id: int) -> None:
        super().__init__(timeout=None)
        self.judging = True
        self._reply_id = reply_id
        self._done = False

    def while_written(self) -> None:
        """Sets the buttons of messages that are posted from now on."""
        self._done = False

    def when_done(self) -> Self:
        """Sets the buttons of messages that are posted from now on."""
        self._done = True
        return self

    def is_dispatchable(self) -> bool:
        """The client knows every one of the buttons by its name. A view that discord.py keeps besides would, when its
        buttons change, make the client forget those names, and so break the buttons of other replies.
        """
        return False

    def to_components(self) -> list[dict[str, Any]]:
        """What discord.py asks for when it posts: only then are the buttons made."""
        reply_id = self._reply_id
        self.clear_items()
        if self._done:
            self.add_item(AgainButton(reply_id)).add_item(WhyButton(reply_id))
            for button in thumbs.under(reply_id) if self.judging else ():
                self.add_item(button)
        else:
            self.add_item(CancelButton(reply_id))
        return super().to_components()


def cancel_button(reply_id: int) -> discord.ui.View:
    """The button alone, under the notice of a place in the line."""
    return discord.ui.View(timeout=None).add_item(CancelButton(reply_id))


async def _row(interaction: Interaction) -> ReplyRow:
    """The reply of the button that was pressed. Raises UserError where it is not known, or of another channel."""
    data: Mapping[str, Any] = interaction.data or {}
    reply_id = int(str(data["custom_id"]).rpartition(":")[2])
    row = await interaction.client.store.run(replies.by_id, reply_id)
    if row is None or row.channel_id != interaction.channel_id:
        raise UserError("I no longer know that reply.", hint="Ask me again.")
    return row
