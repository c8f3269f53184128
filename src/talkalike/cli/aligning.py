"""`talkalike align`: what people think of replies makes the double better."""

from __future__ import annotations

import typer

from talkalike.cli.aligning_dpo import align_dpo
from talkalike.cli.aligning_judge import align_judge
from talkalike.cli.aligning_loop import align_loop
from talkalike.cli.aligning_reward import align_reward
from talkalike.cli.aligning_rl import align_rl

app = typer.Typer(help="Make a double better by what people think of it.", rich_markup_mode=None, no_args_is_help=True)
app.command("reward", short_help="Learn what people like from their judgements.")(align_reward)
app.command("rl", short_help="Practise replies that a reward likes (RLOO, GRPO, PPO).")(align_rl)
app.command("dpo", short_help="Move a double towards what people preferred, directly.")(align_dpo)
app.command("judge", short_help="Let a model judge pairs by rules, kept apart from people's judgements.")(align_judge)
app.command("loop", short_help="All of it: judgements, reward, practice, checks, a blind comparison.")(align_loop)


@app.callback()
def align() -> None:
    """Make a double better by what people think of it."""
