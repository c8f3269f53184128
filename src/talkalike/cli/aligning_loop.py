"""`talkalike align loop`: what was judged since the last time becomes a candidate, for people to judge blindly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.alignment.loop_state import (
    LoopConfig,
    LoopSources,
    RewardKind,
    RewardModelKnown,
    Round,
    TrainingEvent,
    Via,
)
from talkalike.alignment.reward_values import RewardFinished
from talkalike.cli.aligning_rl import LINE_EVERY, report_step
from talkalike.cli.aligning_runs import JudgesOption, before_and_after, exact_model, open_judgements, report_feedback
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, above_zero
from talkalike.cli.engines import choose_double, reply_sources
from talkalike.cli.output import Advance, JsonOption, duration, emit, percent, progress, quantity, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.store.store import open_store
from talkalike.workspace.cards import Card
from talkalike.workspace.measurements import expectation
from talkalike.workspace.run_folder import RunFolder, only_training

_USUAL = LoopConfig()


def align_loop(  # signature: typer
    via: Annotated[
        Via,
        typer.Option(help="Method: RL or best-of-n training (raft) with a reward model, or a loss on the pairs."),
    ] = _USUAL.via,
    new: Annotated[int, typer.Option(min=1, help="Minimum number of new judgements since the last round.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Number of RL training steps.")] = _USUAL.steps,
    minutes: Annotated[
        float, typer.Option(min=0.0001, help="Time limit of the RL training in minutes (with --via rl).")
    ] = _USUAL.minutes,
    epochs: Annotated[float, typer.Option(min=0.01, help="Number of passes over the judgements.")] = _USUAL.epochs,
    bursts: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the prompts of RL training that whole replies are sampled for. For "
            "the others it is single messages, from which words are learned sooner, but not how many to send.",
        ),
    ] = _USUAL.bursts,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest sample of RL training in tokens.")
    ] = _USUAL.max_tokens,
    kl_coef: Annotated[float, typer.Option(min=0, help="Smallest KL penalty coefficient of RL training.")] = _USUAL.kl,
    kl_target: Annotated[
        float, typer.Option(min=0, help="KL per sample that the coefficient is steered to; 0: it is fixed.")
    ] = _USUAL.kl_target,
    wins: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of pairs the candidate is to be expected to win (with --via rl). No more of the change is kept "
            "than that takes; 1: all of it.",
        ),
    ] = _USUAL.wins,
    reward_kind: Annotated[
        RewardKind,
        typer.Option(help="Reward model: fitted on frozen features, or a trained adapter (with --via rl)."),
    ] = _USUAL.reward_kind,
    lr: Annotated[
        float | None,
        typer.Option(callback=above_zero, help="Learning rate of the candidate. Default: depends on --via."),
    ] = None,
    reward_lr: Annotated[
        float, typer.Option(callback=above_zero, help="Learning rate of the reward model (with --via rl).")
    ] = _USUAL.reward_lr,
    pairs: Annotated[
        int, typer.Option(min=1, max=1000, help="Number of held-out prompts for the blind comparison.")
    ] = _USUAL.pairs,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Train even if the judgements do not show yet what is liked.")
    ] = False,
    judges: JudgesOption = "human",
    model: Annotated[
        str | None, typer.Option(help="Double to improve. Default: the promoted one, else the newest.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the candidate. Default: the double's name with -aligned.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed of the whole round.")] = _USUAL.seed,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one whole round: reward model, RL training, checks, blind comparison.

    The result is a candidate: measured, and ready to be compared blindly with the present double on the website.
    The present double stays in use until the candidate is promoted. Ctrl-C keeps what is finished; the same command
    continues the round.
    """
    workspace = open_workspace(workspace_dir)
    config = LoopConfig(
        via=via,
        steps=steps,
        minutes=minutes,
        epochs=epochs,
        bursts=bursts,
        max_tokens=max_tokens,
        kl=kl_coef,
        kl_target=kl_target,
        wins=wins,
        reward_kind=reward_kind,
        lr=lr,
        reward_lr=reward_lr,
        pairs=pairs,
        judges=judges,
        name=name,
        seed=seed,
        anyway=anyway,
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
            say(f"Continuing {current.id}, which was interrupted.")
        with polite_interrupt() as should_stop:
            silent_for = LINE_EVERY
            for event in loop.train_candidate(current, sources, judgements, should_stop):
                if isinstance(event, Round):
                    current = event
                elif not quiet:
                    silent_for = _report(event, silent_for)
        if not current.ended:
            return current
        with progress("Answering", quiet=quiet) as advance:
            sources = _sources(workspace, advance)
            current = loop.check_candidate(current, sources)
            with open_store(database_url(workspace)) as store:
                return loop.compare_blindly(current, sources, store)


def _sources(workspace: Workspace, advance: Advance | None = None) -> LoopSources:
    """How a round trains and replies, by the settings."""
    settings, model = workspace.settings, exact_model(workspace)
    return LoopSources(
        replies=reply_sources(workspace, advance),
        adapter=AdapterSettings(method="lora", rank=settings.train.rank),
        dtype=model.dtype,
        device=model.device,
    )


def _report(event: RewardModelKnown | TrainingEvent, silent_for: float) -> float:
    """Reports on stderr what happens in a training; see `report_step`."""
    if isinstance(event, RewardModelKnown):
        say(f"The reward model '{event.name}' was already trained on these judgements.")
    elif isinstance(event, RewardFinished):
        share = event.report.accuracy.share
        if event.reason != "stopped" and share is not None:
            say(f"'{event.card.name}' puts {percent(share)} of the held-out pairs in the right order.")
    report_feedback(event)
    return report_step(event, silent_for)


def _show(screen: Console, done: Round, scores: Mapping[str, Any]) -> None:
    if done.state != "finished":
        screen.print("Stopped; what is finished is kept. The same command continues.", markup=False)
        return
    ended = {
        "kl": "RL training stopped because the KL grew too large; the state before that is kept.",
        "collapse": "RL training stopped because the replies became all alike; the state before that is kept.",
    }.get(done.ended, "")
    if ended:
        screen.print(ended, markup=False)
    rows = [["candidate", done.candidate], ["present double", done.present]]
    rows += [["reward model", done.reward]] if done.reward else []
    rows.append(["judgements", f"{len(done.used)}, {done.new} of them new"])
    rows += before_and_after({**scores, "checks": done.checks})
    rows.append(["time", duration(done.seconds)])
    screen.print(table(["", ""], rows))
    if done.pairs:
        expected = expectation({**scores, "checks": done.checks})
        if expected:
            screen.print(expected, markup=False)
        screen.print(
            f"Batch {done.batch}: {quantity(done.pairs, 'blind pair')} to be judged: talkalike serve --web\n"
            f"If the candidate wins: talkalike models promote {done.candidate}",
            markup=False,
        )
    else:
        screen.print("Both models gave the same reply to every prompt, so there is nothing to compare.", markup=False)
