"""Two answers side by side, without their models' names, and the buttons under them.

Both answers can be read in full: what does not fit beside the other is in a file, and that is said.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

import discord

from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, gated, tell
from talkalike.discord_bot.judging.asked import first_time
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.store.judging import boards
from talkalike.store.judging.boards import Board, Vote
from talkalike.store.judging.judgement_values import Choice, Side

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST = 2400  # characters of one answer; the embeds of a message may have 6000 together
LONGEST_QUOTE = 300
FILE_NAME = "answers.txt"
VOTES: dict[str, Side | Choice] = {
    "left": Side.LEFT,
    "right": Side.RIGHT,
    "tie": Choice.TIE,
    "both_bad": Choice.BOTH_BAD,
    "skip": Choice.SKIP,
}
LABELS = {"left": "A better", "right": "B better", "tie": "Tie", "both_bad": "Both bad", "skip": "Skip"}
UNDO, NAMES = "undo", "names"


class BoardButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"talkalike:pair:(?P<id>\d{1,19}):(?P<what>left|right|tie|both_bad|skip|undo|names)",
):
    """A vote, taking it back, or who is who. It holds the pair's id: bystanders vote on what they see."""

    labels: ClassVar[dict[str, str]] = {**LABELS, UNDO: "Undo", NAMES: "Show names"}

    def __init__(self, pair_id: int, what: str) -> None:
        row = 1 if what in (UNDO, NAMES) else 0
        super().__init__(
            discord.ui.Button(label=self.labels[what], custom_id=f"talkalike:pair:{pair_id}:{what}", row=row)
        )
        self.pair_id = pair_id
        self.what = what

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made anew for every click."""
        return cls(int(match["id"]), match["what"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """For everybody who may talk here."""
        await self.pressed(interaction)

    @gated(Action.JUDGE)
    async def pressed(self, interaction: Interaction) -> None:
        """Told to the one who pressed, once it is written."""
        store, user_id = interaction.client.store, interaction.user.id
        if self.what == NAMES:
            names = await store.run(boards.show_names, self.pair_id, user_id)
            text = f"A was **{names.left}**, B was **{names.right}**. "
            await tell(interaction, f"{text}You said: {_words(names.choice)}. Your vote stays as it is now.")
        elif self.what == UNDO:
            await tell(interaction, _undone(await store.run(boards.take_back, self.pair_id, user_id)))
        else:
            vote = await store.run(boards.vote, self.pair_id, user_id, VOTES[self.what])
            await tell(interaction, _noted(vote) + first_time(first=vote.first, consent=vote.consent))


BUTTONS = (BoardButton,)


class BoardButtons(discord.ui.View):
    """Everything one can say about a pair."""

    def __init__(self, pair_id: int) -> None:
        super().__init__(timeout=None)
        for what in BoardButton.labels:
            self.add_item(BoardButton(pair_id, what))


def shown(board: Board) -> dict[str, Any]:
    """The message that shows the pair: its embeds, its buttons, and a file where an answer is too long."""
    left, right = _text(board.left), _text(board.right)
    embeds = [
        discord.Embed(title="A", description=_question(board) + _beginning(left)),
        discord.Embed(title="B", description=_beginning(right)).set_footer(text=NOTICE_SIGN),
    ]
    files = []
    if max(len(left), len(right)) > LONGEST:
        both = f"A\n\n{left}\n\n\nB\n\n{right}\n"
        files.append(discord.File(io.BytesIO(both.encode()), filename=FILE_NAME))
    return {"embeds": embeds, "view": BoardButtons(board.pair_id), "files": files, "allowed_mentions": NOBODY}


async def show(interaction: Interaction, board: Board) -> None:
    """Shows the pair to the caller alone."""
    message = shown(board)
    message["attachments"] = message.pop("files")
    interaction.extras["answered"] = True
    await interaction.edit_original_response(content=headline(board), **message)


def headline(board: Board) -> str:
    """What is asked."""
    return f"Two answers: which one sounds more like {neutralise(board.speaker) or 'the person'}?"


def _text(messages: tuple[str, ...]) -> str:
    return neutralise("\n".join(messages))


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…\n\n*(only the beginning: all of it is in the file)*"


def _question(board: Board) -> str:
    if not board.context:
        return ""
    speaker, text = board.context[-1]
    words = " ".join(neutralise(text).split())
    cut = words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE]}… (only the beginning)"
    return f"> {neutralise(speaker)}: {cut}\n\n"


def _words(choice: Side | Choice) -> str:
    return LABELS[next(name for name, value in VOTES.items() if value is choice)]


def _noted(vote: Vote) -> str:
    if vote.choice is None:
        return "Nothing was stored."
    before = f" (it was: {_words(vote.before)})" if vote.before not in (None, vote.choice) else ""
    skipped = " A skip counts for neither." if vote.choice is Choice.SKIP else ""
    return (
        f"Noted: {_words(vote.choice)}{before}.{skipped} Press another button to change it, Undo to take it back, "
        "Show names to learn which model wrote which; then it stays."
    )


def _undone(vote: Vote) -> str:
    if vote.before is None:
        return "You have said nothing about these two, so there is nothing to undo."
    return f"Taken back: {_words(vote.before)}. You say nothing about these two now."
