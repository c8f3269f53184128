"""The friends' blind test, played by buttons: which of two replies did the person really write?

The buttons hold the test's and the question's ids, so that a restart interrupts nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import gated, tell
from talkalike.discord_bot.judging.side_by_side import file_of, shorten, show
from talkalike.discord_bot.stored_button import StoredButton
from talkalike.errors import TalkalikeError, UserError
from talkalike.store.judging import guesses, judges
from talkalike.store.judging.guesses import Guessed, GuessResult, Question, RoundRow
from talkalike.store.judging.judgement_values import Side
from talkalike.store.judging.rating_forms import FACE

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST = 1500  # characters of the conversation, and of each reply, that are shown without the file
TALK = "The conversation"
SIDES = {Side.LEFT: "A", Side.RIGHT: "B"}
RULES = (
    "**{name}**: you see a piece of a real conversation and two replies. One was really written by {speaker}, the "
    "other by a model. Which is the real one? There are {left:,} to guess; stop whenever you like.\n"
    "By pressing Play you agree that your guesses are kept under a random name and counted. They are used for "
    "training only if the owner of the double says so and you do: `/privacy training on`. `/privacy` also shows and "
    "deletes them."
)


class PlayButton(StoredButton, template=r"talkalike:play:(?P<round_id>\d{1,19})"):
    """Agrees, and shows the first question."""

    def __init__(self, round_id: int) -> None:
        super().__init__(
            discord.ui.Button(label="Play", style=discord.ButtonStyle.primary, custom_id=f"talkalike:play:{round_id}")
        )
        self.round_id = round_id

    @gated(Action.GUESS)
    async def on_press(self, interaction: Interaction) -> None:
        """Shows the next question to the one who pressed."""
        await _ask(interaction, self.round_id, "")


class GuessButton(
    StoredButton,
    template=r"talkalike:guess:(?P<round_id>\d{1,19}):(?P<question_id>\d{1,19}):(?P<side>left|right)",
):
    """Takes one side for the real one. Once the answer was shown, the guess stays."""

    def __init__(self, round_id: int, question_id: int, side: str) -> None:
        custom_id = f"talkalike:guess:{round_id}:{question_id}:{side}"
        super().__init__(discord.ui.Button(label=f"{SIDES[Side(side)]} is real", custom_id=custom_id))
        self.round_id = round_id
        self.question_id = question_id
        self.side = Side(side)

    @gated(Action.GUESS)
    async def on_press(self, interaction: Interaction) -> None:
        """Stores the guess, then shows whether it was right, and the next question."""
        await _require_here(interaction, self.round_id)
        took = None
        if interaction.message is not None:
            took = max(0.0, (interaction.created_at - interaction.message.created_at).total_seconds())
        guessed = await interaction.client.store.run(_guess, self.question_id, interaction.user.id, self.side, took)
        await _ask(interaction, self.round_id, _describe(guessed))


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
            name=neutralise(row.name), speaker=neutralise(question.replies.speaker), left=question.left_to_answer
        )
        await show(interaction, rules, view=_view(PlayButton(row.id)), embeds=[], files=[])
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
    except TalkalikeError as error:  # what was guessed by then is kept, and shown
        await tell(interaction, f"{before}\n{error}".strip())
        return
    if question is None:
        results = await store.run(guesses.results, round_id)
        await tell(interaction, "\n".join(filter(None, [before, "That was all. Thank you!", *map(_share, results)])))
        return
    asked = question.replies
    buttons = [GuessButton(round_id, asked.id, side) for side in Side]
    parts = {TALK: "\n".join(f"{speaker}: {text}" for speaker, text in asked.context)}
    parts |= {SIDES[side]: "\n".join(asked.on(side).messages) for side in Side}
    embeds = [
        discord.Embed(title=title, description=shorten(text, LONGEST, end=title == TALK))
        for title, text in parts.items()
        if text
    ]
    text = f"{before}\nWhich one did {neutralise(asked.speaker)} really write?".strip()
    files = file_of(parts, LONGEST, name="question.txt")
    await show(interaction, text, view=_view(*buttons), embeds=embeds, files=files)


def _view(*items: discord.ui.Item[Any]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return view


def _is_here(row: RoundRow, interaction: Interaction) -> bool:
    """A test may be for one server only."""
    return row.server_id is None or row.server_id == interaction.guild_id


async def _require_here(interaction: Interaction, round_id: int) -> None:
    rows = await interaction.client.store.run(guesses.rounds)
    if not any(row.id == round_id and _is_here(row, interaction) for row in rows):
        raise UserError("That blind test is no longer there.", hint="Nothing was stored. /guess shows what there is.")


def _describe(guessed: Guessed) -> str:
    """Says whether the guess was right."""
    other = guesses.ARMS.get(guessed.arm, "a model")
    return f"{'Right' if guessed.right else 'No'}: {SIDES[guessed.real]} is the real one, the other was {other}."


def _share(result: GuessResult) -> str:
    share = result.taken_for_real
    if share.share is None or share.low is None or share.high is None:
        return ""
    counted = f"{share.share:.0%} of {share.n:,.0f} guesses (95 %: {share.low:.0%} to {share.high:.0%})"
    return f"{result.model} ({result.arm}) was taken for the real one in {counted}."


def _next(round_id: int, user_id: int) -> Question | None:
    return guesses.next_question(round_id, judges.of_discord(user_id).id)


def _guess(question_id: int, user_id: int, side: Side, seconds: float | None) -> Guessed:
    return guesses.guess(question_id, judges.of_discord(user_id).id, side, seconds=seconds, face=FACE)
