"""/comprehend: a question about pictures, with the examples of a task before it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands

from talkalike.chat.options import refusal
from talkalike.chat.permissions import Action
from talkalike.chat.seeing.comprehend import SeenAnswer
from talkalike.chat.seeing.defaults import CAPTION
from talkalike.chat.seeing.prompts import LONGEST_PROMPT
from talkalike.chat.seeing.values import MOST_PICTURES
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, Interaction, channel_of, gated, messages_of, tell
from talkalike.discord_bot.commands.many_options import chosen_sampling, numbered, sampling_options, spread
from talkalike.discord_bot.commands.model import model_here
from talkalike.discord_bot.commands.sent_pictures import read_pictures
from talkalike.discord_bot.commands.task_words import names_here, place_here
from talkalike.discord_bot.judging.side_by_side import file_of, shorten
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.discord_bot.rights import EMBEDS, FILES, lacking, require_voice
from talkalike.engine.eyes import Grade
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.replying.picture_questions import AskedAbout, ask_about, require_eye

LONGEST_ANSWER = 2500  # characters
LONGEST_SHOWN = 600  # of a prompt, and of what is told under the answer
_MORE = {
    f"image{number}": (discord.Attachment, f"A {word} picture")
    for number, word in enumerate(("second", "third", "fourth"), start=2)
}
assert len(_MORE) + 1 == MOST_PICTURES


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the commands of this module."""
    what = "Ask about a picture; everybody here sees the answer"
    return [app_commands.Command(name="comprehend", description=what, callback=comprehend)]


@gated(Action.TALK)
@app_commands.autocomplete(task=names_here)
@app_commands.describe(
    image="The picture",
    prompt="What to ask; <image> says where the picture stands. Empty: what the task asks",
    task=f"The task whose examples are shown before it, as /list_tasks names them (default: {CAPTION})",
    grade="How closely the picture is looked at (default: glance)",
)
@spread({**_MORE, **sampling_options()})
async def comprehend(
    interaction: Interaction,
    image: discord.Attachment,
    prompt: app_commands.Range[str, 0, LONGEST_PROMPT] = "",
    task: str = CAPTION,
    grade: Grade = Grade.GLANCE,
    **options: Any,
) -> None:
    """The answer is a message of the channel's own, with the pictures; what the place sets holds unless it is given."""
    client, user = interaction.client, interaction.user
    eye = require_eye(client.services.onlooker)
    channel = messages_of(interaction)
    _require_rights(channel)
    further = [sent for _, sent in sorted(numbered(options, "image")) if sent is not None]
    pictures = await read_pictures([image, *further])
    async with client.conversations.turn(user.id, interaction.id):  # one question at a time for each person
        facts = await client.places.facts(client.places.place(channel_of(interaction)), user.id)
        if words := refusal(facts.options.budget(), facts.used):
            raise UserError(words)
        engine = None if eye.sight.answers else await client.engines.open(model_here(client, facts.options))
        asked = AskedAbout(
            place=place_here(interaction),
            pictures=pictures,
            task=task,
            prompt=prompt,
            sampling=replace(facts.options.sampling(), **chosen_sampling(options)),
            grade=grade,
            by=user.id,
        )
        answer = await ask_about(client.store, asked, eye=eye, engine=engine)
    message = await channel.send(**_shown(answer, pictures, by=user))
    await tell(interaction, f"The answer: {message.jump_url}")


def _require_rights(channel: object) -> None:
    """Before a model runs: the answer is shown as an embed, with the pictures."""
    require_voice(channel)
    lacks = [right.name for right in lacking(channel) if right in (EMBEDS, FILES)]
    if lacks:
        raise UserError(
            f"I lack a right here to show you the answer: {' and '.join(lacks)}.",
            hint="Somebody who manages the server can grant it.",
        )


def _shown(answer: SeenAnswer, pictures: tuple[Picture, ...], *, by: discord.User | discord.Member) -> dict[str, Any]:
    """The pictures, the prompt, the answer, and how it came about. Its footer keeps it out of every conversation."""
    text = answer.text or "(silence)"
    embed = discord.Embed(description=shorten(text, LONGEST_ANSWER)).set_footer(text=NOTICE_SIGN)
    embed.set_author(name=by.display_name[:256])
    embed.add_field(name="Prompt", value=_cut(answer.prompt), inline=False)
    embed.add_field(name="How", value=_cut(answer.footer), inline=False)
    files = [_file(picture, number) for number, picture in enumerate(pictures, start=1)]
    parts = {"Prompt": answer.prompt, "Answer": text, "How": answer.footer}
    longest = LONGEST_ANSWER if max(len(answer.prompt), len(answer.footer)) <= LONGEST_SHOWN else LONGEST_SHOWN
    files += file_of(parts, longest, name="answer.txt")
    return {"embed": embed, "files": files, "allowed_mentions": NOBODY}


def _cut(text: str) -> str:
    words = neutralise(text)
    return words if len(words) <= LONGEST_SHOWN else f"{words[:LONGEST_SHOWN]}… (cut; all of it is in the file)"


def _file(picture: Picture, number: int) -> discord.File:
    ending = "png" if picture.content_type == "image/png" else "jpg"
    return discord.File(io.BytesIO(picture.data), filename=f"picture-{number}.{ending}")
