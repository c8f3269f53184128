"""/model: whose voice answers on this server, which others there are, and two of them side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from talkalike.chat.engines import Voice
from talkalike.chat.options import DEFAULT, Resolved
from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, channel_of, family, gated, messages_of, tell
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.engine.collecting import collect
from talkalike.engine.protocol import Prompt
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.store import scoped

if TYPE_CHECKING:
    from talkalike.discord_bot.client import BotClient
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST_QUOTE = 300  # characters of the prompt that are shown
LONGEST_ANSWER = 2500  # characters; two embeds may have 6000 together
LONGEST_PROMPT = 1500
WRITING, DONE, FAILED = discord.Colour.orange(), discord.Colour.green(), discord.Colour.red()


def commands() -> list[app_commands.Group]:
    """The family's commands, made anew."""
    return family(
        "model",
        "Which model answers",
        ("show", "The model that answers here, and every other one", show),
        ("use", "Let another model answer on this server", use),
        ("compare", "The same prompt answered by two models, side by side", compare),
    )


async def models(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The models whose name, speaker or base contains what was typed."""
    typed = current.casefold()
    voices = interaction.client.engines.voices()
    found = [voice for voice in voices if typed in f"{voice.model} {voice.speaker} {voice.base}".casefold()]
    return [app_commands.Choice(name=words(voice)[:100], value=voice.model) for voice in found][:25]


def words(voice: Voice) -> str:
    """A model in one line."""
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
    voice = _voice(interaction, model)
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
    voices = (_voice(interaction, first), _voice(interaction, second))
    if first == second:
        raise UserError("That is the same model twice.", hint="Choose two different ones.")
    if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
        raise UserError(f"The prompt must have between 1 and {LONGEST_PROMPT:,} characters.")
    client = interaction.client
    options = await client.places.options(channel_of(interaction))
    board = Board(neutralise(prompt), voices)
    message = await messages_of(interaction).send(embeds=board.embeds(), allowed_mentions=NOBODY)
    await tell(interaction, f"The two answers appear in {message.jump_url}.")
    turn = Turn(interaction.user.display_name, prompt)
    await asyncio.gather(*(_answer(client, options, turn, board, index, message) for index in range(2)))


class Board:
    """The message with both answers."""

    def __init__(self, prompt: str, voices: tuple[Voice, Voice]) -> None:
        self.prompt = prompt
        self.voices = voices
        self.answers = ["", ""]
        self.colours = [WRITING, WRITING]

    def embeds(self) -> list[discord.Embed]:
        """One for each model; the first carries the prompt."""
        question = f"> {' '.join(self.prompt.split())[:LONGEST_QUOTE]}\n\n"
        return [
            discord.Embed(
                title=voice.model[:200],
                description=(question if index == 0 else "") + (self.answers[index] or "…"),
                colour=self.colours[index],
            ).set_footer(text=NOTICE_SIGN)
            for index, voice in enumerate(self.voices)
        ]


async def _answer(
    client: BotClient, options: Resolved, turn: Turn, board: Board, index: int, message: discord.Message
) -> None:
    """Fills in one half. A model that fails says so in its half and leaves the other one alone."""
    voice = board.voices[index]
    try:
        text = await ask(client, voice, (turn,), options)
        board.answers[index], board.colours[index] = _cut(neutralise(text)) or "(silence)", DONE
    except TalkalikeError as error:
        board.answers[index], board.colours[index] = _cut(str(error)), FAILED
    # With the bot's own rights: a command's token dies after 15 minutes, a slow model may need longer.
    await message.edit(embeds=board.embeds(), allowed_mentions=NOBODY)


async def ask(client: BotClient, voice: Voice, turns: tuple[Turn, ...], options: Resolved) -> str:
    """What the model says to these turns alone. Raises TalkalikeError when it fails."""
    engine = await client.engines.open(voice.model)
    persona = str(options.value("persona") or "")
    opening = (Turn("system", persona),) if persona else ()
    prompt = Prompt(turns=(*opening, *turns), speaker=voice.speaker)
    reply = await collect(engine, prompt, options.sampling())
    return "\n".join(text for text in reply.messages if text.strip())


def _voice(interaction: Interaction, model: str) -> Voice:
    voices = {voice.model: voice for voice in interaction.client.engines.voices()}
    if model not in voices:
        raise UserError(f"There is no model '{model[:100]}'.", hint=f"There is: {', '.join(voices) or 'none at all'}.")
    voice: Voice = voices[model]
    return voice


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}… (cut)"
