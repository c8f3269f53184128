"""The button "Add an example" under a task, and the form it opens: a picture and what is to be answered about it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.permissions import Action
from talkalike.chat.seeing.changing import TaskChange
from talkalike.chat.seeing.checking import LONGEST_TEXT
from talkalike.chat.seeing.values import TEXT, Shot
from talkalike.discord_bot.commands.gate import TOO_LATE, gated, tell, verdict
from talkalike.discord_bot.commands.sent_pictures import read_pictures
from talkalike.discord_bot.commands.task_words import place_here
from talkalike.discord_bot.stored_button import StoredButton
from talkalike.errors import TalkalikeError
from talkalike.store.seeing.usable import change_task, own_task

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

PATIENCE = 2.0  # seconds of the three that Discord waits for the form
OPEN = 900.0  # seconds after which a form that nobody sent is dropped from memory
LONGEST_TITLE = 45  # characters; Discord's limit

_log = logging.getLogger(__name__)


class ExampleButton(StoredButton, template=r"talkalike:example:(?P<name>[^:]{1,64})"):
    """Opens the form for one more example of a task."""

    def __init__(self, name: str | int) -> None:
        self.name = str(name)  # a name may be all digits
        super().__init__(
            discord.ui.Button(
                label="Add an example", custom_id=f"talkalike:example:{name}", style=discord.ButtonStyle.primary
            )
        )

    async def on_press(self, interaction: Interaction) -> None:
        """Discord lets nothing come before a form: the rules are asked within its three seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                decision = await verdict(interaction, Action.EDIT_TASKS)
                if not decision.allowed:
                    await tell(interaction, f"Sorry, you can't do that here. {decision.explanation}")
                    return
                task = await interaction.client.store.run(own_task, place_here(interaction), self.name)
            await interaction.response.send_modal(ExampleForm(self.name, with_text=TEXT in task.spec.template))
        except TimeoutError:
            await tell(interaction, "I am busy right now; please try again.")
        except TalkalikeError as error:
            await tell(interaction, str(error))
        except discord.NotFound as error:
            if error.code not in TOO_LATE:
                raise
            _log.warning("Discord stopped waiting before a form was opened.")


class ExampleForm(discord.ui.Modal):
    """`with_text`: the task's template has a place for a text beside the picture."""

    def __init__(self, name: str, *, with_text: bool) -> None:
        title = f"An example of {name}"
        super().__init__(title=title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…", timeout=OPEN)
        self.name = name
        self.picture: discord.ui.FileUpload[Any] = discord.ui.FileUpload(custom_id="picture", required=False)
        self.text: discord.ui.TextInput[Any] = _field("text", required=False)
        self.answer: discord.ui.TextInput[Any] = _field("answer", required=True)
        self.add_item(discord.ui.Label(text="Picture", component=self.picture))
        if with_text:
            self.add_item(discord.ui.Label(text="Text that stands beside it", component=self.text))
        self.add_item(discord.ui.Label(text="What is to be answered", component=self.answer))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        """Adds the example, which adds a version of the task."""
        await add_example(interaction, self)


@gated(Action.EDIT_TASKS)
async def add_example(interaction: Interaction, form: ExampleForm) -> None:
    """Adds what the form holds, whatever others added meanwhile."""
    pictures = await read_pictures(form.picture.values[:1])
    ref = pictures[0].ref if pictures else None
    shot = Shot(picture=ref, text=form.text.value.strip(), output=form.answer.value.strip())
    stored = await interaction.client.store.run(
        change_task,
        place_here(interaction),
        form.name,
        TaskChange(add=(shot,)),
        {picture.hash: picture for picture in pictures},
        by=interaction.user.id,
    )
    await tell(interaction, f"Done. {stored.words}")


def _field(custom_id: str, *, required: bool) -> discord.ui.TextInput[Any]:
    return discord.ui.TextInput(
        custom_id=custom_id, style=discord.TextStyle.paragraph, required=required, max_length=LONGEST_TEXT
    )
