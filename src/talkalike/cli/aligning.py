"""`talkalike align`: people's judgements of replies make a double better."""

from __future__ import annotations

from typing import ClassVar

import typer

from talkalike.cli.commands import LazyCommand, LazyGroup


class AlignCommands(LazyGroup):
    """The commands of `talkalike align`: the single steps first, then a whole round."""

    table: ClassVar = {
        "reward": LazyCommand(
            "talkalike.cli.aligning_reward", "align_reward", "Train a reward model on people's judgements."
        ),
        "rl": LazyCommand(
            "talkalike.cli.aligning_rl", "align_rl", "Train a double against a reward with RL (RLOO, GRPO, PPO)."
        ),
        "dpo": LazyCommand(
            "talkalike.cli.aligning_dpo", "align_dpo", "Train a double directly on preferences (DPO, IPO, KTO, SimPO)."
        ),
        "judge": LazyCommand(
            "talkalike.cli.aligning_judge",
            "align_judge",
            "Let a model judge pairs of replies by written rules (AI feedback).",
        ),
        "loop": LazyCommand(
            "talkalike.cli.aligning_loop",
            "align_loop",
            "Run one whole round: reward model, RL training, checks, blind comparison.",
        ),
    }


app = typer.Typer(
    cls=AlignCommands,
    help="Improve a double with people's judgements of its replies.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def align() -> None:
    """Improve a double with people's judgements of its replies."""
