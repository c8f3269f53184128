"""/privacy: what is kept about the caller, as numbers and as a file, its deletion, and what may be done with it."""

from __future__ import annotations

import json
from typing import Any

from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import Interaction, channel_of, family, gated, tell
from talkalike.store import people

SWITCH = [app_commands.Choice(name="on", value="on"), app_commands.Choice(name="off", value="off")]
SEEN = {
    True: "I read your messages where I may talk. `/privacy seen off` stops that.",
    False: "I don't read your messages anywhere. `/privacy seen on` undoes that.",
}
TRAINING = {
    True: "You agreed that your ratings and what you rated may be used to improve me.",
    False: "Nothing you write or rate is used to train me.",
}


def commands() -> list[app_commands.Group]:
    """Makes the commands of this module."""
    return family(
        "privacy",
        "What I keep about you, and what I may do with it",
        ("show", "Show what is kept about you", show),
        ("export", "Get everything that is kept about you, as a file", export),
        ("delete", "Delete everything that is kept about you", delete),
        ("training", "Allow or forbid using your ratings to improve me (off by default)", set_training),
        ("seen", "Allow or forbid me to read your messages (on by default)", set_seen),
    )


@gated(Action.PRIVACY)
async def show(interaction: Interaction) -> None:
    """Counts by kind, the two choices, and for how long records are kept."""
    store, user_id = interaction.client.store, interaction.user.id
    kept = await store.run(people.count_about, user_id)
    consent = await store.run(people.consent, user_id)
    days = (await interaction.client.places.options(channel_of(interaction))).value("retention_days")
    lines = ["**Kept about you**" if any(kept.values()) else "Nothing is kept about you."]
    lines += [f"- {kind.replace('_', ' ')}: {count:,}" for kind, count in kept.items() if count]
    lines += ["", SEEN[consent.seen], TRAINING[consent.training]]
    lines.append(f"Records of replies here are deleted after {days:,} days. `/privacy delete` deletes them now.")
    lines.append("Whoever runs me could read what is kept, in my database.")
    await tell(interaction, "\n".join(lines))


@gated(Action.PRIVACY)
async def export(interaction: Interaction) -> None:
    """A JSON file for the caller's eyes only."""
    data = await interaction.client.store.run(people.export_about, interaction.user.id)
    text = json.dumps(data, ensure_ascii=False, indent=2, default=str)
    await tell(interaction, "Here is everything.", file=text, file_name="talkalike-privacy.json")


@gated(Action.PRIVACY)
@app_commands.describe(confirm="True: really delete. There is no way back.")
async def delete(interaction: Interaction, confirm: bool) -> None:
    """Without the confirmation it only tells what would go."""
    store, user_id = interaction.client.store, interaction.user.id
    if not confirm:
        kept = await store.run(people.count_about, user_id)
        await tell(interaction, f"Nothing was deleted. It would be: {_counts(kept)}. Choose confirm: True to do it.")
        return
    await interaction.client.conversations.settle()
    gone = await store.run(people.forget_user, user_id)
    await interaction.client.contexts.forget_saved(None)  # they may have spoken in any channel
    await tell(
        interaction,
        f"Done. Deleted: {_counts(gone)}. Your messages on Discord itself are yours to delete; "
        "`/privacy seen off` keeps me from reading them.",
    )


@gated(Action.PRIVACY)
@app_commands.choices(state=SWITCH)
async def set_training(interaction: Interaction, state: str) -> None:
    """Opting in or out of being learned from."""
    on = state == "on"
    await interaction.client.store.run(people.set_consent, interaction.user.id, training=on)
    await tell(interaction, f"Done. {TRAINING[on]}")


@gated(Action.PRIVACY)
@app_commands.choices(state=SWITCH)
async def set_seen(interaction: Interaction, state: str) -> None:
    """Opting in or out of being read, on every server and in direct messages."""
    on = state == "on"
    await interaction.client.store.run(people.set_consent, interaction.user.id, seen=on)
    if not on:
        await interaction.client.contexts.forget_saved(None)
    await tell(interaction, f"Done. {SEEN[on]}")


def _counts(counts: dict[str, Any]) -> str:
    parts = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items() if count]
    return ", ".join(parts) or "nothing, because nothing was kept"
