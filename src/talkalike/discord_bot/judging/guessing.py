"""The friends' blind test, played by buttons: which of two replies did the person really write?

The buttons hold the test's and the question's ids, so that a restart interrupts nobody.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Self

import discord

from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, gated, tell
from talkalike.errors import TalkalikeError, UserError
from talkalike.store.judging import guesses, judges
from talkalike.store.judging.guesses import Guessed, GuessResult, QuestionView, RoundRow
from talkalike.store.judging.judgement_values import Side
from talkalike.store.judging.sheets import FACE

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST = 1500  # characters of the conversation, and of each reply, that are shown without the file
SIDES = {Side.LEFT: "A", Side.RIGHT: "B"}
RULES = (
    "**{name}**: you see a piece of a real conversation and two replies. One was really written by {speaker}, the "
    "other by a model. Which is the real one? There are {left:,} to guess; stop whenever you like.\n"
    "By pressing Play you agree that your guesses are kept under a random name and counted. They are used for "
    "training only if the owner of the double says so and you do: `/privacy training on`. `/privacy` also shows and "
    "deletes them."
)


class PlayButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"talkalike:play:(?P<id>\d{1,19})"):
    """Agrees, and shows the first question."""

    def __init__(self, round_id: int) -> None:
        super().__init__(
            discord.ui.Button(label="Play", style=discord.ButtonStyle.primary, custom_id=f"talkalike:play:{round_id}")
        )
        self.round_id = round_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made anew for every click."""
        return cls(int(match["id"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """For everybody who may talk here."""
        await self.pressed(interaction)

    @gated(Action.GUESS)
    async def pressed(self, interaction: Interaction) -> None:
        """The next question, to the one who pressed."""
        await _ask(interaction, self.round_id, "")


class GuessButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"talkalike:guess:(?P<round>\d{1,19}):(?P<id>\d{1,19}):(?P<side>left|right)",
):
    """Takes one side for the real one. Once told, the guess stays."""

    def __init__(self, round_id: int, question_id: int, side: Side) -> None:
        custom_id = f"talkalike:guess:{round_id}:{question_id}:{side.value}"
        super().__init__(discord.ui.Button(label=f"{SIDES[side]} is real", custom_id=custom_id))
        self.round_id = round_id
        self.question_id = question_id
        self.side = side

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made anew for every click."""
        return cls(int(match["round"]), int(match["id"]), Side(match["side"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """For everybody who may talk here."""
        await self.pressed(interaction)

    @gated(Action.GUESS)
    async def pressed(self, interaction: Interaction) -> None:
        """What it really was, once the guess is written, and the next question."""
        await _require_here(interaction, self.round_id)
        took = None
        if interaction.message is not None:
            took = max(0.0, (interaction.created_at - interaction.message.created_at).total_seconds())
        told = await interaction.client.store.run(_guess, self.question_id, interaction.user.id, self.side, took)
        await _ask(interaction, self.round_id, _told(told))


BUTTONS = (PlayButton, GuessButton)


async def begin(interaction: Interaction) -> None:
    """Shows what the test is about and asks for agreement; who guessed before goes on. Raises UserError without one."""
    store, user_id = interaction.client.store, interaction.user.id
    for row in await store.run(guesses.rounds):
        question = await store.run(_next, row.id, user_id) if row.open and _is_here(row, interaction) else None
        if question is None:
            continue
        if question.answered:
            await _ask(interaction, row.id, "")
            return
        rules = RULES.format(
            name=neutralise(row.name), speaker=neutralise(question.speaker), left=question.left_to_answer
        )
        await _say(interaction, rules, PlayButton(row.id))
        return
    raise UserError(
        "There is no blind test with anything left for you to guess.", hint="The owner of the double makes new ones."
    )


async def _ask(interaction: Interaction, round_id: int, before: str) -> None:
    """Says `before`, and shows the next question; after the last one, how the models fared."""
    store = interaction.client.store
    try:
        await _require_here(interaction, round_id)
        question = await store.run(_next, round_id, interaction.user.id)
    except TalkalikeError as error:  # what was guessed by then is kept, and told
        await tell(interaction, f"{before}\n{error}".strip())
        return
    if question is None:
        results = await store.run(guesses.results, round_id)
        await tell(interaction, "\n".join(filter(None, [before, "That was all. Thank you!", *map(_share, results)])))
        return
    buttons = [GuessButton(round_id, question.question_id, side) for side in Side]
    talk = "\n".join(f"{speaker}: {text}" for speaker, text in question.context)
    parts = {"The conversation": talk, "A": "\n".join(question.left), "B": "\n".join(question.right)}
    embeds = [
        discord.Embed(title=title, description=_shown(text, end=title == "The conversation"))
        for title, text in parts.items()
        if text
    ]
    whole = "\n\n\n".join(f"{title}\n\n{text}" for title, text in parts.items())
    long = any(len(neutralise(text)) > LONGEST for text in parts.values())
    text = f"{before}\nWhich one did {neutralise(question.speaker)} really write?".strip()
    await _say(interaction, text, *buttons, embeds=embeds, file=whole if long else "")


async def _say(
    interaction: Interaction, text: str, *items: discord.ui.Item[Any], embeds: Any = (), file: str = ""
) -> None:
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    files = [discord.File(io.BytesIO(file.encode()), filename="question.txt")] if file else []
    interaction.extras["answered"] = True
    await interaction.edit_original_response(
        content=text, embeds=list(embeds), attachments=files, view=view, allowed_mentions=NOBODY
    )


def _is_here(row: RoundRow, interaction: Interaction) -> bool:
    """A test may be for one server only."""
    return row.server_id is None or row.server_id == interaction.guild_id


async def _require_here(interaction: Interaction, round_id: int) -> None:
    rows = await interaction.client.store.run(guesses.rounds)
    if not any(row.id == round_id and _is_here(row, interaction) for row in rows):
        raise UserError("That blind test is no longer there.", hint="Nothing was stored. /guess shows what there is.")


def _shown(text: str, *, end: bool) -> str:
    """As much as fits: of a conversation its end, of a reply its beginning; what is missing is said."""
    text = neutralise(text)
    if len(text) <= LONGEST:
        return text
    if end:
        return f"*(only the end: all of it is in the file)*\n…{text[-LONGEST:]}"
    return f"{text[:LONGEST]}…\n*(only the beginning: all of it is in the file)*"


def _told(told: Guessed) -> str:
    """Whether the guess was right."""
    who = {"double": "the double", "base": "the untrained model", "prompted": "the model with a description"}
    other = who.get(told.arm, "a model")
    return f"{'Right' if told.right else 'No'}: {SIDES[told.real]} is the real one, the other was {other}."


def _share(result: GuessResult) -> str:
    share = result.taken_for_real
    if share.share is None or share.low is None or share.high is None:
        return ""
    counted = f"{share.share:.0%} of {share.n:,.0f} guesses (95 %: {share.low:.0%} to {share.high:.0%})"
    return f"{result.model} ({result.arm}) was taken for the real one in {counted}."


def _next(round_id: int, user_id: int) -> QuestionView | None:
    return guesses.next_question(round_id, judges.of_discord(user_id).id)


def _guess(question_id: int, user_id: int, side: Side, seconds: float | None) -> Guessed:
    return guesses.guess(question_id, judges.of_discord(user_id).id, side, seconds=seconds, face=FACE)
