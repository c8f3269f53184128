"""The form for one reply: four scales from 1 to 5, and a better answer.

Discord lets nothing come before a form, not even "thinking": the rules are asked at once, within the three seconds. A
form that was sent is taken by its name, which holds the reply's id: so no restart loses it, and two people may have the
same one open, where discord.py's own forms would mix them up.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import TOO_LATE, gate, tell, verdict
from talkalike.discord_bot.judging.asked import first_time, reply_by_id, speaker_of
from talkalike.errors import TalkalikeError
from talkalike.store.judging import rating_forms
from talkalike.store.judging.judgement_values import RATINGS, Scale
from talkalike.store.judging.rating_forms import Filled, FormChange, RatingForm
from talkalike.store.replies import ReplyRow

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

PATIENCE = 2.0  # seconds of Discord's three
LONGEST = 4000  # characters; what Discord lets into one field
NO_RATING = "0"
BETTER = "better"
SENT = re.compile(r"talkalike:form:(?P<id>\d{1,19}):(?P<opened>\d{1,12})")
ENDS = {1: "1 (not at all)", 5: "5 (very)"}

_log = logging.getLogger(__name__)


class JudgeForm(discord.ui.Modal, title="How good is this reply?"):
    """What was said before is filled in."""

    def __init__(self, reply_id: int, said: RatingForm) -> None:
        super().__init__(custom_id=f"talkalike:form:{reply_id}:{int(time.time())}")
        for scale in Scale:
            label = discord.ui.Label(text=scale.heading(), description=scale.question, component=_scale(scale, said))
            self.add_item(label)
        better: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id=BETTER,
            style=discord.TextStyle.paragraph,
            required=False,
            max_length=LONGEST,
            default=said.correction if len(said.correction) <= LONGEST else None,
        )
        hint = f"What should it have said? One message a line, at most {LONGEST:,} characters."
        self.add_item(discord.ui.Label(text="A better answer", description=hint, component=better))
        self.stop()  # or discord.py would keep every form that was opened in memory


async def open_form(interaction: Interaction, find: Callable[[], Awaitable[ReplyRow]]) -> None:
    """Asks the rules and opens the form, or says why it cannot be opened."""
    store, user_id = interaction.client.store, interaction.user.id
    try:
        async with asyncio.timeout(PATIENCE):
            decision = await verdict(interaction, Action.JUDGE)
            if decision.allowed:
                row = await find()
                said = await store.run(rating_forms.form_of, row.id, user_id, speaker=speaker_of(interaction, row))
        if decision.allowed:
            await interaction.response.send_modal(JudgeForm(row.id, said))
        else:
            await tell(interaction, f"Sorry, you can't do that here. {decision.explanation}")
    except TimeoutError:
        await tell(interaction, "I am busy right now. Nothing was stored; please try again.")
    except TalkalikeError as error:
        await tell(interaction, str(error))
    except discord.NotFound as error:
        if error.code not in TOO_LATE:
            raise
        _log.warning("Discord stopped waiting before a form was opened.")


async def on_interaction(interaction: discord.Interaction[Any]) -> None:
    """Every interaction; forms that were sent are taken here."""
    data: Mapping[str, Any] = interaction.data or {}
    if interaction.type is not discord.InteractionType.modal_submit:
        return
    sent = SENT.fullmatch(str(data.get("custom_id")))
    if sent is not None:
        took = interaction.created_at.timestamp() - int(sent["opened"])
        await submit(interaction, int(sent["id"]), dict(_fields(data.get("components") or ())), took)


async def submit(interaction: Interaction, reply_id: int, given: Mapping[str, str], seconds: float) -> None:
    """Writes all of it or nothing. What was typed is given back where it could not be kept."""
    better = given.get(BETTER, "")
    try:
        if not (await gate(interaction, Action.JUDGE)).allowed:
            await _give_back(interaction, "Nothing was stored.", better)
            return
        row = await reply_by_id(interaction, reply_id)
        store, user_id, speaker = interaction.client.store, interaction.user.id, speaker_of(interaction, row)
        said = await store.run(rating_forms.form_of, row.id, user_id, speaker=speaker)
        unseen = len(said.correction) > LONGEST and not better.strip()  # it did not fit into the form
        filled = await store.run(
            rating_forms.fill_form,
            row.id,
            user_id,
            FormChange(ratings=_ratings(given), correction=None if unseen else better),
            speaker=speaker,
            seconds=max(0.0, seconds),
        )
    except TalkalikeError as error:
        await _give_back(interaction, f"{error} Nothing of the form was stored.", better)
        return
    await tell(interaction, receipt(filled) + first_time(filled.explain))


def receipt(filled: Filled) -> str:
    """What is kept now and what is not any more, in words."""
    before, after = filled.before, filled.after
    if before == after:
        return "Nothing changed." if after.ratings or after.correction else "You chose nothing, so nothing was stored."
    noted = [f"{scale.words()} {value} of 5" for scale, value in after.ratings.items()]
    if after.correction:
        noted.append(f"your better answer ({len(after.correction):,} characters)")
    gone = [scale.words() for scale in before.ratings if scale not in after.ratings]
    if before.correction and not after.correction:
        gone.append("your better answer")
    lines = [f"Noted: {', '.join(noted)}."] if noted else []
    lines += [f"Taken back: {', '.join(gone)}."] if gone else []
    return "\n".join([*lines, "Open the form again to change it."])


def _scale(scale: Scale, said: RatingForm) -> discord.ui.RadioGroup[Any]:
    now = said.ratings.get(scale)
    values = [discord.RadioGroupOption(label=ENDS.get(n, str(n)), value=str(n), default=n == now) for n in RATINGS]
    nothing = discord.RadioGroupOption(label="no rating", value=NO_RATING)
    return discord.ui.RadioGroup(custom_id=scale.value, required=False, options=[*values, nothing])


def _ratings(given: Mapping[str, str]) -> dict[Scale, int | None]:
    """What was chosen. A scale left alone is missing: "no rating" and nothing at all are not a low rating."""
    chosen = {scale: given[scale.value] for scale in Scale if given.get(scale.value)}
    return {scale: None if value == NO_RATING else int(value) for scale, value in chosen.items()}


def _fields(components: Any) -> Iterator[tuple[str, str]]:
    """The fields of a form that was sent, in whatever they lie."""
    for component in components:
        inner = component.get("component")
        yield from _fields([*component.get("components", ()), *([inner] if inner else ())])
        if component.get("custom_id") and component.get("value") is not None:
            yield str(component["custom_id"]), str(component["value"])


async def _give_back(interaction: Interaction, why: str, better: str) -> None:
    if better.strip():
        why += " What you wrote is in the file."
    await tell(interaction, why, file=better if better.strip() else "", file_name="better-answer.txt")
