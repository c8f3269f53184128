"""`talkalike align`: what people think of replies makes the double better."""

from __future__ import annotations

from typing import ClassVar

import typer

from talkalike.cli.commands import LazyCommand, LazyGroup


class AlignCommands(LazyGroup):
    """Reward first, then what it is for, then all of it in one."""

    table: ClassVar = {
        "reward": LazyCommand(
            "talkalike.cli.aligning_reward", "align_reward", "Learn what people like from their judgements."
        ),
        "rl": LazyCommand(
            "talkalike.cli.aligning_rl", "align_rl", "Practise replies that a reward likes (RLOO, GRPO, PPO)."
        ),
        "dpo": LazyCommand(
            "talkalike.cli.aligning_dpo", "align_dpo", "Move a double towards what people preferred, directly."
        ),
        "judge": LazyCommand(
            "talkalike.cli.aligning_judge",
            "align_judge",
            "Let a model judge pairs by rules, kept apart from people's judgements.",
        ),
        "loop": LazyCommand(
            "talkalike.cli.aligning_loop",
            "align_loop",
            "All of it: judgements, reward, practice, checks, a blind comparison.",
        ),
    }


app = typer.Typer(
    cls=AlignCommands,
    help="Make a double better by what people think of it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def align() -> None:
    """Make a double better by what people think of it."""
