"""/model: whose voice answers on this server, which others there are, and two of them side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from talkalike.chat.engines import Voice
from talkalike.chat.options import DEFAULT, Resolved
from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, channel_of, family, gated, messages_of, tell
from talkalike.discord_bot.judging.alternatives import answer, find_two_voices, find_voice
from talkalike.discord_bot.judging.side_by_side import quote
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.store import scoped

if TYPE_CHECKING:
    from talkalike.discord_bot.client import BotClient
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST_ANSWER = 2500  # characters; two embeds may have 6000 together
LONGEST_PROMPT = 1500
WRITING, DONE, FAILED = discord.Colour.orange(), discord.Colour.green(), discord.Colour.red()


def commands() -> list[app_commands.Group]:
    """Makes the commands of this module."""
    return family(
        "model",
        "The model that answers",
        ("show", "Show the model that answers here, and all other models", show),
        ("use", "Use another model on this server", use),
        ("compare", "Let two models answer the same prompt, side by side", compare),
    )


async def models(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The models whose name, speaker or base contains what was typed."""
    typed = current.casefold()
    voices = interaction.client.engines.voices()
    found = [voice for voice in voices if typed in f"{voice.model} {voice.speaker} {voice.base}".casefold()]
    return [app_commands.Choice(name=words(voice)[:100], value=voice.model) for voice in found][:25]


def words(voice: Voice) -> str:
    """Describes a model in one line."""
    parts = [f"{voice.model}: writes like {voice.speaker}{' (fictional)' if voice.fictional else ''}"]
    if voice.base:
        parts.append(f"based on {voice.base}")
    if voice.trained_at is not None:
        parts.append(f"trained {voice.trained_at:%Y-%m-%d}")
    if voice.likeness is not None:
        parts.append(f"likeness {voice.likeness:.2f}")
    return ", ".join(parts)


def model_here(client: BotClient, options: Resolved) -> str:
    """The model that is to answer where these options hold; it may be gone meanwhile."""
    return str(options.value("model") or client.engines.default)


@gated(Action.VIEW_SETTINGS)
async def show(interaction: Interaction) -> None:
    """The one in use is marked."""
    client = interaction.client
    options = await client.places.options(channel_of(interaction))
    here = model_here(client, options)
    lines = [f"{'▶' if voice.model == here else '•'} {words(voice)}" for voice in client.engines.voices()]
    source = options.source("model")
    lines.append("It is the bot's default." if source == DEFAULT else f"It was chosen for this {source}.")
    if here not in {voice.model for voice in client.engines.voices()}:
        lines.append(f"⚠ '{here}' is not there any more: choose another with /model use.")
    await tell(interaction, "\n".join(lines), file_name="models.txt")


@gated(Action.SET_MODEL)
@app_commands.autocomplete(model=models)
@app_commands.describe(model="Which one")
async def use(interaction: Interaction, model: str) -> None:
    """For the whole server; in direct messages for this one talk."""
    voice = find_voice(interaction.client, model)
    server_id = interaction.guild_id
    scope, scope_id = ("server", server_id) if server_id is not None else ("channel", channel_of(interaction).id)
    store = interaction.client.store
    await store.run(scoped.put, scope, scope_id, "model", model, by=interaction.user.id, server_id=server_id)
    options = await interaction.client.places.options(channel_of(interaction))
    text = f"Done: from the next reply on I am {words(voice)}."
    if (here := model_here(interaction.client, options)) != model:
        text += f" But the {options.source('model')} here has its own choice, {here}: see /settings unset."
    await tell(interaction, text)


@gated(Action.SET_MODEL)
@app_commands.autocomplete(first=models, second=models)
@app_commands.describe(prompt="What to answer", first="One model", second="The other model")
async def compare(interaction: Interaction, prompt: str, first: str, second: str) -> None:
    """A message of the channel's own, so that it can still be filled in when the command's answer has expired."""
    voices = find_two_voices(interaction.client, first, second)
    if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
        raise UserError(f"The prompt must have between 1 and {LONGEST_PROMPT:,} characters.")
    client = interaction.client
    options = await client.places.options(channel_of(interaction))
    answers = ModelAnswers(prompt, voices)
    message = await messages_of(interaction).send(**answers.message())
    await tell(interaction, f"The two answers appear in {message.jump_url}.")
    turn = Turn(interaction.user.display_name, prompt)
    await asyncio.gather(*(_fill(client, options, turn, answers, index, message) for index in range(2)))


class ModelAnswers:
    """The message with what two models answer, each under its name."""

    def __init__(self, prompt: str, voices: tuple[Voice, Voice]) -> None:
        self.voices = voices
        self._asked = quote(prompt)
        self._halves = [("…", WRITING), ("…", WRITING)]

    def set_answer(self, index: int, text: str, colour: discord.Colour) -> None:
        """Sets the answer of one of the two models."""
        self._halves[index] = (text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}… (cut)", colour)

    def message(self) -> dict[str, Any]:
        """An embed for each model; the first carries the prompt."""
        embeds = [
            discord.Embed(title=voice.model[:200], description=text, colour=colour).set_footer(text=NOTICE_SIGN)
            for voice, (text, colour) in zip(self.voices, self._halves, strict=True)
        ]
        embeds[0].description = f"{self._asked}{embeds[0].description}"
        return {"embeds": embeds, "allowed_mentions": NOBODY}


async def _fill(
    client: BotClient, options: Resolved, turn: Turn, answers: ModelAnswers, index: int, message: discord.Message
) -> None:
    """Lets a model answer. One that fails says so in its half and leaves the other one alone."""
    persona = str(options.value("persona") or "")
    opening = (Turn("system", persona),) if persona else ()
    try:
        reply = await answer(client, answers.voices[index], (*opening, turn), options.sampling())
        said = "\n".join(text for text in reply.messages if text.strip())
        answers.set_answer(index, neutralise(said) or "(silence)", DONE)
    except TalkalikeError as error:
        answers.set_answer(index, str(error), FAILED)
    # With the bot's own rights: a command's token dies after 15 minutes, a slow model may need longer.
    await message.edit(**answers.message())
