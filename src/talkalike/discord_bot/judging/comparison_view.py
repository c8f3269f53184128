"""Two answers side by side, without their models' names, and the buttons under them.

Both answers can be read in full: what does not fit beside the other is in a file, and that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import discord

from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import gated, tell
from talkalike.discord_bot.judging import side_by_side
from talkalike.discord_bot.judging.asked import first_time
from talkalike.discord_bot.judging.side_by_side import file_of, quote, shorten
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.discord_bot.stored_button import StoredButton
from talkalike.store.judging import comparisons
from talkalike.store.judging.comparisons import Vote
from talkalike.store.judging.judgement_values import COUNTS_FOR_NEITHER, Choice, Comparison, Side

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST = 2400  # characters of one answer; the embeds of a message may have 6000 together
LABELS: dict[Side | Choice, str] = {
    Side.LEFT: "A better",
    Side.RIGHT: "B better",
    Choice.TIE: "Tie",
    Choice.BOTH_BAD: "Both bad",
    Choice.SKIP: "Skip",
}
VOTES = {choice.value: choice for choice in LABELS}
UNDO, NAMES = "undo", "names"


class ComparisonButton(
    StoredButton, template=r"talkalike:pair:(?P<pair_id>\d{1,19}):(?P<what>left|right|tie|both_bad|skip|undo|names)"
):
    """A vote, taking it back, or who is who. It holds the pair's id: bystanders vote on what they see."""

    labels: ClassVar[dict[str, str]] = {
        **{name: LABELS[choice] for name, choice in VOTES.items()},
        UNDO: "Undo",
        NAMES: "Show names",
    }

    def __init__(self, pair_id: int, what: str) -> None:
        row = 1 if what in (UNDO, NAMES) else 0
        super().__init__(
            discord.ui.Button(label=self.labels[what], custom_id=f"talkalike:pair:{pair_id}:{what}", row=row)
        )
        self.pair_id = pair_id
        self.what = what

    @gated(Action.JUDGE)
    async def on_press(self, interaction: Interaction) -> None:
        """Stores the vote, and confirms it to the one who pressed."""
        store, user_id = interaction.client.store, interaction.user.id
        if self.what == NAMES:
            names = await store.run(comparisons.show_names, self.pair_id, user_id)
            text = f"A was **{names.left}**, B was **{names.right}**. "
            await tell(interaction, f"{text}You said: {LABELS[names.choice]}. Your vote stays as it is now.")
        elif self.what == UNDO:
            await tell(interaction, _undone(await store.run(comparisons.take_back, self.pair_id, user_id)))
        else:
            choice = VOTES[self.what]
            vote = await store.run(comparisons.vote, self.pair_id, user_id, choice)
            await tell(interaction, _confirm(choice, vote.before) + first_time(vote.explain))


BUTTONS = (ComparisonButton,)


class ComparisonButtons(discord.ui.View):
    """Everything one can say about a pair."""

    def __init__(self, pair_id: int) -> None:
        super().__init__(timeout=None)
        for what in ComparisonButton.labels:
            self.add_item(ComparisonButton(pair_id, what))


def message_of(shown: Comparison) -> dict[str, Any]:
    """The message that shows the pair: its embeds, its buttons, and a file where an answer is too long."""
    answers = {"A": _text(shown.left.messages), "B": _text(shown.right.messages)}
    asked = quote(shown.context[-1][1], shown.context[-1][0]) if shown.context else ""
    embeds = [
        discord.Embed(title="A", description=asked + shorten(answers["A"], LONGEST)),
        discord.Embed(title="B", description=shorten(answers["B"], LONGEST)).set_footer(text=NOTICE_SIGN),
    ]
    return {
        "embeds": embeds,
        "view": ComparisonButtons(shown.id),
        "files": file_of(answers, LONGEST, name="answers.txt"),
    }


async def show(interaction: Interaction, shown: Comparison) -> None:
    """Shows the pair to the caller alone."""
    await side_by_side.show(interaction, headline(shown), **message_of(shown))


def headline(shown: Comparison) -> str:
    """The question above the two answers."""
    return f"Two answers: which one sounds more like {neutralise(shown.speaker) or 'the person'}?"


def _text(messages: tuple[str, ...]) -> str:
    return neutralise("\n".join(messages))


def _confirm(choice: Side | Choice, before: Side | Choice | None) -> str:
    changed = f" (it was: {LABELS[before]})" if before is not None and before is not choice else ""
    skipped = f" {COUNTS_FOR_NEITHER}" if choice is Choice.SKIP else ""
    return (
        f"Noted: {LABELS[choice]}{changed}.{skipped} Press another button to change it, Undo to take it back, "
        "Show names to learn which model wrote which; then it stays."
    )


def _undone(vote: Vote) -> str:
    if vote.before is None:
        return "You have said nothing about these two, so there is nothing to undo."
    return f"Taken back: {LABELS[vote.before]}. You say nothing about these two now."
