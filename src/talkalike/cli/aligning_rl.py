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
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.opening import open_examples
from talkalike.workspace.run_folder import RunFolder, failing_with, new_run, newest_unfinished, only_training

Algorithm = Literal["rloo", "grpo", "dr-grpo", "ppo"]
LINE_EVERY = 30.0  # seconds between two lines
# adapters take ten times the rate of whole weights
_RATES = {"lora": 1e-4, "last-n": 3e-5, "full": 3e-6}


def align_rl(  # signature: typer
    reward: Annotated[
        str | None, typer.Option(help="A reward model's name, 'sentiment', a rules .yaml, or python:module.function.")
    ] = None,
    algo: Annotated[Algorithm, typer.Option(help="How replies are compared; ppo brings a critic.")] = "rloo",
    model: Annotated[str | None, typer.Option(help="Which double. Default: the one made last.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the aligned double. Default: the double's, with -rl.")
    ] = None,
    examples: Annotated[
        str | None, typer.Option(help="Whose contexts. Default: those the double was trained on.")
    ] = None,
    method: Annotated[RoleMethod, typer.Option(help="What of the double changes.")] = "lora",
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = 100,
    prompts: Annotated[int, typer.Option(min=1, help="Contexts in one step.")] = 16,
    samples: Annotated[int, typer.Option(min=1, help="Replies to each context.")] = 4,
    minutes: Annotated[float | None, typer.Option(callback=above_zero, help="Stop after this long.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 48,
    temperature: Annotated[
        float, typer.Option(callback=above_zero, help="Of the replies that are practised on.")
    ] = 1.0,
    kl: Annotated[float, typer.Option(min=0, help="Price of a nat away from the double as it was.")] = 0.05,
    kl_target: Annotated[
        float | None, typer.Option(callback=above_zero, help="Let the price steer to so many nats a reply.")
    ] = None,
    max_kl: Annotated[float, typer.Option(min=0, help="Stop beyond so many nats a reply; 0: never.")] = 10.0,
    overlong: Annotated[int, typer.Option(min=0, help="The last so many tokens cost up to 1.")] = 0,
    lr: Annotated[float | None, typer.Option(callback=above_zero, help="Learning rate. Default: by method.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of prompts and replies.")] = 0,
    keep_rollouts: Annotated[bool, typer.Option("--keep-rollouts", help="Keep all replies on disk.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run.")] = False,
    run_id: RunOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Practise replies that a reward likes (RLOO, GRPO, PPO). Ctrl-C saves and stops; --resume goes on from there."""
    began = time.monotonic()
    workspace = open_workspace(workspace_dir)
    if resume:
        run = newest_unfinished(workspace.runs, name, kind="rl")
        config = run.settings_as(RLConfig)
    else:
        if reward is None:
            raise UserError(
                "There is no reward.", hint="Name one: --reward sentiment, or a model made by `talkalike align reward`."
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
            samples=samples,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            shaping=RewardShaping(kl=kl, kl_target=kl_target, overlong=overlong),
            update=update,
            max_kl=max_kl,
        )
        double, aligned = choose_names(workspace, model, name, ending="rl")
        means = shared_settings(workspace, method, "policy", "critic")
        config = RLConfig(
            name=aligned, double=double, reward=reward, settings=settings, keep_rollouts=keep_rollouts, **means
        )
        run = new_run(workspace.runs, aligned, run_id)
    run.began = began
    finished = _run(workspace, config, run, examples=examples, resume=resume, quiet=as_json)
    emit(as_json, result_of(workspace, finished, run), lambda screen: _show(screen, finished, run))


def _run(
    workspace: Workspace, config: RLConfig, run: RunFolder, *, examples: str | None, resume: bool, quiet: bool
) -> RLFinished:
    from talkalike.alignment.rl_recipe import RLSources, align  # torch: the help does not wait for it

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
        events = align(config, sources, run=run, resume=resume, should_stop=should_stop)
        return show_steps(events, run, quiet=quiet)


def show_steps(events: Iterable[RLEvent], run: RunFolder, *, quiet: bool) -> RLFinished:
    """Runs through the events, tells of them on stderr now and then, and returns the last.

    A run that ends in an error is marked as failed.
    """
    silent_for = LINE_EVERY
    with failing_with(run):
        for event in events:
            if isinstance(event, RLFinished):
                return event
            if not quiet:
                silent_for = tell_step(event, silent_for)
    raise AssertionError("a run ends with RLFinished")


def tell_step(event: object, silent_for: float) -> float:
    """The start, and a step where nothing was told for so long; returns how long nothing was told now, in seconds."""
    if isinstance(event, RLStarted):
        weights = sum(event.nbytes.values()) / 2**20
        say(f"{event.prompts} contexts, {weights:.0f} MiB of weights, {event.dtype} on {event.device}")
    if not isinstance(event, RLStep):
        return silent_for
    silent_for += event.seconds
    if silent_for < LINE_EVERY and not sys.stderr.isatty() and not event.stop:
        return silent_for
    say(
        f"step {event.index}: reward {event.reward:.3f}, {event.kl_k1:.2f} nats from the start, "
        f"{event.length:.0f} tokens, distinct-2 {event.distinct_2:.2f}"
    )
    return 0.0


def _show(screen: Console, finished: RLFinished, run: RunFolder) -> None:
    card = finished.card
    ended = {
        "finished": "Aligned to the end.",
        "minutes": "Aligned until its time was over.",
        "stopped": "Stopped. Go on with: talkalike align rl --resume",
        "kl": "Stopped: it went further from the double than --max-kl allows. This is the state before that.",
        "collapse": "Stopped: its replies became all alike. This is the state before that.",
    }[finished.reason]
    screen.print(ended, markup=False)
    rows = [["model", card.name], ["made from", ", ".join(card.parents)], *before_and_after(card.scores)]
    rows += [["time", duration(finished.seconds)], ["samples", str(run.samples_file)]]
    screen.print(table(["", ""], rows))
    screen.print(f"Talk to it: talkalike chat --model {card.name}    How alike is it: talkalike score", markup=False)
