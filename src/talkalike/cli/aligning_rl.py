"""`talkalike align rl`: a reward moves a double, visibly and within limits."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Annotated, Literal

import typer
from rich.console import Console

from talkalike.alignment.rewards import open_reward
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLConfig, RLSettings
from talkalike.alignment.rl_values import RLEvent, RLFinished, RLStarted, RLStep
from talkalike.cli.aligning_runs import (
    RoleMethod,
    RunOption,
    before_and_after,
    choose_names,
    result_of,
    shared_settings,
)
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, above_zero
from talkalike.cli.output import JsonOption, duration, emit, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.opening import open_examples
from talkalike.workspace.run_folder import RunFolder, failing_with, new_run, newest_unfinished, only_training

Algorithm = Literal["rloo", "grpo", "dr-grpo", "raft", "ppo"]
LINE_EVERY = 30.0  # seconds between two lines
# adapters take ten times the rate of whole weights
_RATES = {"lora": 1e-4, "last-n": 3e-5, "full": 3e-6}


def align_rl(  # signature: typer
    reward: Annotated[
        str | None,
        typer.Option(
            help="What scores the replies: a reward model's name, 'sentiment', a rules file (.yaml), or "
            "python:module.function."
        ),
    ] = None,
    algo: Annotated[Algorithm, typer.Option(help="Policy gradient algorithm; ppo also trains a critic.")] = "rloo",
    model: Annotated[str | None, typer.Option(help="Double to train. Default: the newest one.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the trained double. Default: the double's name with -rl.")
    ] = None,
    examples: Annotated[
        str | None, typer.Option(help="Example set to take prompts from. Default: the one the double was trained on.")
    ] = None,
    method: Annotated[
        RoleMethod, typer.Option(help="Which weights are trained: LoRA matrices, the last layers, or all.")
    ] = "lora",
    steps: Annotated[int, typer.Option(min=1, help="Number of training steps (policy updates).")] = 100,
    prompts: Annotated[int, typer.Option(min=1, help="Number of prompts in each step.")] = 16,
    group_size: Annotated[int, typer.Option(min=1, help="Number of replies sampled for each prompt.")] = 4,
    minutes: Annotated[
        float | None, typer.Option(callback=above_zero, help="Stop after this many minutes. Default: no limit.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply that is sampled, in tokens.")] = 48,
    bursts: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the prompts that whole replies are sampled for; for the others it is single messages.",
        ),
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option(callback=above_zero, help="Sampling temperature of the rollouts.")
    ] = 1.0,
    kl_coef: Annotated[float, typer.Option(min=0, help="KL penalty coefficient; 0 switches the penalty off.")] = 0.05,
    kl_target: Annotated[
        float | None,
        typer.Option(
            callback=above_zero, help="Adapt the KL coefficient towards this KL per reply. Default: keep it fixed."
        ),
    ] = None,
    max_kl: Annotated[
        float, typer.Option(min=0, help="Stop when the KL per reply exceeds this. 0: never stop for it.")
    ] = 10.0,
    overlong: Annotated[
        int,
        typer.Option(
            min=0,
            help="Penalise replies that reach into this many tokens before --max-tokens, by up to 1. 0: no penalty.",
        ),
    ] = 0,
    lr: Annotated[
        float | None, typer.Option(callback=above_zero, help="Learning rate. Default: depends on --method.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed for choosing prompts and sampling replies.")
    ] = 0,
    keep_rollouts: Annotated[
        bool, typer.Option("--keep-rollouts", help="Keep every sampled reply in the run's folder.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished run.")] = False,
    run_id: RunOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a double against a reward with RL (RLOO, GRPO, PPO). Ctrl-C saves and stops; --resume continues."""
    began = time.monotonic()
    workspace = open_workspace(workspace_dir)
    if resume:
        run = newest_unfinished(workspace.runs, name, kind="rl")
        config = run.settings_as(RLConfig)
    else:
        if reward is None:
            raise UserError(
                "No reward was given.",
                hint="Name one: --reward sentiment, or a model made by `talkalike align reward`.",
            )

        update = PolicyUpdate(
            learning_rate=lr or _RATES[method],
            epochs=4 if algo == "ppo" else 1,  # TRL's defaults; a critic needs them
            minibatches=1 if algo == "ppo" else min(2, prompts),
        )
        settings = RLSettings(
            algorithm=algo,
            steps=steps,
            minutes=minutes,
            prompts=prompts,
            group_size=group_size,
            max_tokens=max_tokens,
            bursts=bursts,
            temperature=temperature,
            seed=seed,
            shaping=RewardShaping(kl=kl_coef, kl_target=kl_target, overlong=overlong),
            update=update,
            max_kl=max_kl,
        )
        double, aligned = choose_names(workspace, model, name, ending="rl")
        shared = shared_settings(workspace, method, "policy", "critic")
        config = RLConfig(
            name=aligned, double=double, reward=reward, settings=settings, keep_rollouts=keep_rollouts, **shared
        )
        run = new_run(workspace.runs, aligned, run_id)
    run.began = began
    finished = _run(workspace, config, run, examples=examples, resume=resume, quiet=as_json)
    emit(as_json, result_of(workspace, finished, run), lambda screen: _show(screen, finished, run))


def _run(
    workspace: Workspace, config: RLConfig, run: RunFolder, *, examples: str | None, resume: bool, quiet: bool
) -> RLFinished:
    from talkalike.alignment.rl_recipe import RLSources, train_rl  # torch: the help does not wait for it

    catalog = workspace.catalog()
    trained_on = examples or run.description().get("examples") or catalog.card(config.double).examples
    chosen = open_examples(workspace.examples, trained_on or None)
    chosen.verify()
    sources = RLSources(
        catalog=catalog,
        examples=chosen,
        reward=lambda roles: open_reward(config.reward, catalog=catalog, roles=roles),
    )
    with only_training(workspace.runs), polite_interrupt() as should_stop:
        events = train_rl(config, sources, run=run, resume=resume, should_stop=should_stop)
        return show_steps(events, run, quiet=quiet)


def show_steps(events: Iterable[RLEvent], run: RunFolder, *, quiet: bool) -> RLFinished:
    """Runs the training, reports its progress on stderr now and then, and returns the last event.

    A run that ends in an error is marked as failed.
    """
    silent_for = LINE_EVERY
    with failing_with(run):
        for event in events:
            if isinstance(event, RLFinished):
                return event
            if not quiet:
                silent_for = report_step(event, silent_for)
    raise AssertionError("a run ends with RLFinished")


def report_step(event: object, silent_for: float) -> float:
    """Reports the start, and a step where the last report is long ago; returns how long ago it is, in seconds."""
    if isinstance(event, RLStarted):
        weights = sum(event.nbytes.values()) / 2**20
        say(f"{event.prompts} prompts, {weights:.0f} MiB of weights, {event.dtype} on {event.device}")
    if not isinstance(event, RLStep):
        return silent_for
    silent_for += event.seconds
    if silent_for < LINE_EVERY and not sys.stderr.isatty() and not event.stop:
        return silent_for
    say(
        f"step {event.index}: reward {event.reward:.3f}, KL {event.kl_k1:.2f}, "
        f"{event.length:.0f} tokens per reply, distinct-2 {event.distinct_2:.2f}"
    )
    return 0.0


def _show(screen: Console, finished: RLFinished, run: RunFolder) -> None:
    card = finished.card
    ended = {
        "finished": "All training steps are done.",
        "minutes": "The time limit (--minutes) is reached.",
        "stopped": "Stopped. Continue with: talkalike align rl --resume",
        "kl": "Stopped: the KL from the starting point exceeded --max-kl. The state before that is kept.",
        "collapse": "Stopped: the replies became all alike. The state before that is kept.",
    }[finished.reason]
    screen.print(ended, markup=False)
    rows = [["model", card.name], ["trained from", ", ".join(card.parents)], *before_and_after(card.scores)]
    rows += [["time", duration(finished.seconds)], ["samples", str(run.samples_file)]]
    screen.print(table(["", ""], rows))
    screen.print(
        f"Talk to it: talkalike chat --model {card.name}    Measure its likeness: talkalike score", markup=False
    )
