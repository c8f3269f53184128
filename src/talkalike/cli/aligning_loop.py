"""`talkalike align loop`: what was judged since the last time becomes a candidate, for people to judge blindly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.alignment.loop_state import LoopConfig, LoopSources, RewardModelKnown, Round, TrainingEvent, Via
from talkalike.alignment.reward_values import RewardFinished
from talkalike.cli.aligning_rl import LINE_EVERY, tell_step
from talkalike.cli.aligning_runs import JudgesOption, before_and_after, open_judgements, tell_feedback
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, above_zero
from talkalike.cli.engines import choose_double, reply_sources
from talkalike.cli.output import Advance, JsonOption, duration, emit, percent, progress, quantity, say, table
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.store.store import open_store
from talkalike.workspace.cards import Card
from talkalike.workspace.run_folder import RunFolder, only_training


def align_loop(  # signature: typer
    via: Annotated[Via, typer.Option(help="Practise with a reward model, or learn from the pairs directly.")] = "rl",
    new: Annotated[int, typer.Option(min=1, help="Fewest new judgements since the last time.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Of practice (rl).")] = 18,
    minutes: Annotated[float, typer.Option(min=0.0001, help="Of practice at most (rl).")] = 6.0,
    epochs: Annotated[float, typer.Option(min=0.01, help="Times through the judgements.")] = 2.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply that is practised (rl).")] = 32,
    kl: Annotated[float, typer.Option(min=0, help="Price of a nat away from the double as it is (rl).")] = 0.15,
    lr: Annotated[
        float | None, typer.Option(callback=above_zero, help="Learning rate of the candidate. Default: by method.")
    ] = None,
    reward_lr: Annotated[
        float, typer.Option(callback=above_zero, help="Learning rate of the reward model (rl).")
    ] = 1e-3,
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="Held-out moments for the blind comparison.")] = 20,
    judges: JudgesOption = "human",
    model: Annotated[str | None, typer.Option(help="Which double. Default: the one that serves.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The candidate's name. Default: the double's, with -aligned.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of everything that is drawn.")] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """All of it: judgements, reward, practice, checks, a blind comparison.

    What comes out is a candidate, measured and ready to be judged blindly beside the present double.
    The double that serves stays the one that serves. Ctrl-C keeps what is finished; the same command goes on.
    """
    workspace = open_workspace(workspace_dir)
    config = LoopConfig(
        via=via,
        steps=steps,
        minutes=minutes,
        epochs=epochs,
        max_tokens=max_tokens,
        kl=kl,
        lr=lr,
        reward_lr=reward_lr,
        pairs=pairs,
        judges=judges,
        name=name,
        seed=seed,
    )
    done = _run_round(workspace, config, choose_double(workspace, model), fewest=new, quiet=as_json)
    card = workspace.catalog().card(done.candidate) if done.ended else None
    result = {
        "state": done.state,
        "model": done.candidate,
        "present": done.present,
        "reward": done.reward,
        "judgements": {"all": len(done.used), "new": done.new},
        "ended": done.ended,
        "seconds": done.seconds,
        "took": done.took,
        "scores": dict(card.scores) if card else {},
        "batch": done.batch,
        "pairs": done.pairs,
        "folder": workspace.runs / done.id,
    }
    emit(as_json, result, lambda screen: _show(screen, done, card.scores if card else {}))


def _run_round(workspace: Workspace, config: LoopConfig, present: Card, *, fewest: int, quiet: bool) -> Round:
    from talkalike.alignment import loop  # torch: the help does not wait for it

    loop.check_present(workspace, present)
    with only_training(workspace.runs):
        sources, run = _sources(workspace), RunFolder(workspace.runs / loop.new_round_id(workspace.runs))
        judgements = open_judgements(workspace, run, source=None, judges=config.judges, resume=False)
        current = loop.begin_round(config, workspace, judgements, round_id=run.name, present=present, fewest=fewest)
        if current.id != run.name:
            say(f"Going on with {current.id}, which was cut off.")
        with polite_interrupt() as should_stop:
            silent_for = LINE_EVERY
            for event in loop.train_candidate(current, sources, judgements, should_stop):
                if isinstance(event, Round):
                    current = event
                elif not quiet:
                    silent_for = _tell(event, silent_for)
        if not current.ended:
            return current
        with progress("Answering", quiet=quiet) as advance:
            sources = _sources(workspace, advance)
            current = loop.check_candidate(current, sources)
            with open_store(database_url(workspace)) as store:
                return loop.compare_blindly(current, sources, store)


def _sources(workspace: Workspace, advance: Advance | None = None) -> LoopSources:
    """How a round trains and replies, by the settings."""
    settings = workspace.settings
    return LoopSources(
        replies=reply_sources(workspace, advance),
        adapter=AdapterSettings(method="lora", rank=settings.train.rank),
        dtype=settings.model.dtype,
        device=settings.model.device,
    )


def _tell(event: RewardModelKnown | TrainingEvent, silent_for: float) -> float:
    """What happens in a training, on stderr; see `tell_step`."""
    if isinstance(event, RewardModelKnown):
        say(f"The reward model '{event.name}' knows these judgements already.")
    elif isinstance(event, RewardFinished):
        share = event.report.accuracy.share
        if event.reason != "stopped" and share is not None:
            say(f"'{event.card.name}' puts {percent(share)} of the held-out pairs in the right order.")
    tell_feedback(event)
    return tell_step(event, silent_for)


def _show(screen: Console, done: Round, scores: Mapping[str, Any]) -> None:
    if done.state != "finished":
        screen.print("Stopped; what is finished is kept. The same command goes on.", markup=False)
        return
    ended = {
        "kl": "It went too far from the double, so this is the state before that.",
        "collapse": "Its replies became all alike, so this is the state before that.",
    }.get(done.ended, "")
    if ended:
        screen.print(ended, markup=False)
    rows = [["candidate", done.candidate], ["present double", done.present]]
    rows += [["reward model", done.reward]] if done.reward else []
    rows.append(["judgements", f"{len(done.used)}, {done.new} of them new"])
    rows += before_and_after({**scores, **done.checks})
    rows.append(["time", duration(done.seconds)])
    screen.print(table(["", ""], rows))
    if done.pairs:
        screen.print(
            f"Batch {done.batch}: {quantity(done.pairs, 'blind pair')} to be judged: talkalike serve --web\n"
            f"If the candidate wins: talkalike models promote {done.candidate}",
            markup=False,
        )
    else:
        screen.print("Both say the same in every moment: there is nothing to compare.", markup=False)
