"""`talkalike align loop`: what was judged since the last time becomes a candidate, for people to judge blindly."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import shutil
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from talkalike.alignment.judged import Judgements, gather, nothing_to_learn
from talkalike.alignment.loop_state import Round, fingerprints, rounds, unused
from talkalike.cli.aligning_loop_parts import (
    Means,
    free_names,
    keep_serving,
    known_taste,
    learn_taste,
    practise,
    prefer,
    present_double,
)
from talkalike.cli.aligning_runs import JudgesOption, open_judgements
from talkalike.cli.aligning_scores import before_and_after
from talkalike.cli.moments import choose_moments, examples_of
from talkalike.cli.numbers import LARGEST_SEED, above_zero
from talkalike.cli.output import JsonOption, counted, duration, emit, say, table
from talkalike.cli.pairing import make_pairs
from talkalike.cli.secrets import database_url
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError
from talkalike.examples.heldout import load_replies
from talkalike.store.store import open_store
from talkalike.workspace.run_folder import RunFolder, only_training

Via = Literal["rl", "dpo"]


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
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """All of it: judgements, reward, practice, checks, a blind comparison.

    What comes out is a candidate, measured and ready to be judged blindly beside the present double.
    The double that serves stays the one that serves. Ctrl-C keeps what is finished; the same command goes on.
    """
    opened = open_workspace(workspace)
    options: dict[str, Any] = {
        "via": via,
        "steps": steps,
        "minutes": minutes,
        "epochs": epochs,
        "max_tokens": max_tokens,
    }
    options |= {
        "kl": kl,
        "lr": lr,
        "reward_lr": reward_lr,
        "pairs": pairs,
        "judges": judges,
        "name": name,
        "seed": seed,
    }
    done = _round(opened, options, model=model, new=new, quiet=as_json)
    card = opened.catalog().card(done.candidate) if done.ended else None
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
        "folder": opened.runs / done.id,
    }
    emit(as_json, result, lambda screen: _show(screen, done, card.scores if card else {}))


def _round(opened: Workspace, options: dict[str, Any], *, model: str | None, new: int, quiet: bool) -> Round:
    present = present_double(opened, model)
    examples = examples_of(opened, present)  # before anything is learned: the candidate will be measured with them
    examples.verify()
    choose_moments(load_replies(examples), present.speakers[0], 1, seed=0)
    began = time.monotonic()
    with only_training(opened.runs):
        this, judgements = _begun(opened, options, present=present.name, new=new)
        earlier = this.seconds

        def saved(changed: Round) -> Round:
            timed = dataclasses.replace(changed, seconds=round(earlier + time.monotonic() - began, 1))
            timed.save(opened.runs)
            return timed

        this = saved(this)
        try:
            this = _trained(opened, this, judgements, quiet=quiet)
        except UserError:
            _forget(opened, this)
            raise
        this = saved(this)
        if not this.ended:
            return saved(dataclasses.replace(this, state="stopped"))
        if not this.checks:
            start = time.monotonic()
            from talkalike.cli.aligning_loop_checks import checked  # torch and scikit-learn: not for the help

            this = dataclasses.replace(this, checks=checked(opened, this, moments=options["pairs"], quiet=quiet))
            this = saved(_took(this, "checks", start))
        if this.batch is None:
            start = time.monotonic()
            batch, made = _compared(opened, this, quiet=quiet)
            this = saved(_took(dataclasses.replace(this, batch=batch, pairs=made), "pairs", start))
        _note(opened, this)
        return saved(dataclasses.replace(this, state="finished"))


def _begun(opened: Workspace, options: dict[str, Any], *, present: str, new: int) -> tuple[Round, Judgements]:
    """A new round with the judgements as they are now, or the one that was cut off if it had the same."""
    known = rounds(opened.runs)
    run = RunFolder(opened.runs / _new_id(opened))
    judgements = open_judgements(opened, run, source=None, judges=options["judges"], resume=False)
    try:
        prints = fingerprints(judgements)
        fresh = unused(prints, known)
        gathered = gather(judgements)
        if not gathered.pairs and not gathered.ratings:
            raise nothing_to_learn(judgements, gathered)
        wanted = Round(
            id=run.name,
            present=present,
            candidate="",
            reward="",
            digest=judgements.digest,
            used=prints,
            new=fresh,
            options=options,
        )
        going_on = next((each for each in reversed(known) if each.goes_on(wanted)), None)
        if going_on is not None:
            say(f"Going on with {going_on.id}, which was cut off.")
            shutil.rmtree(run.path)
            return going_on, judgements
        if fresh < new:
            raise UserError(
                f"There {'is' if fresh == 1 else 'are'} {counted(fresh, 'new judgement')} since the last time; "
                f"{new} are wanted.",
                hint=f"Judge some more, or go on with these: --new {fresh}" if fresh else "Judge some more replies.",
            )
        card = opened.catalog().card(present)
        candidate, taste = free_names(opened, card, options["name"])
        if options["via"] == "rl":
            wanted = dataclasses.replace(wanted, reward=known_taste(opened, card, judgements.digest) or taste)
        return dataclasses.replace(wanted, candidate=candidate), judgements
    except UserError:
        shutil.rmtree(run.path)
        raise


def _trained(opened: Workspace, this: Round, judgements: Judgements, *, quiet: bool) -> Round:
    """The round with its candidate made; `ended` stays empty where Ctrl-C came first."""
    catalog = opened.catalog()
    if this.ended:
        return this
    with polite_interrupt() as interrupted:
        means = Means(opened=opened, judgements=judgements, interrupted=interrupted, quiet=quiet)
        start = time.monotonic()
        if this.reward and catalog.exists(this.reward):
            say(f"The reward model '{this.reward}' knows these judgements already.")
        elif this.reward:
            learned = learn_taste(means, this)
            this = _took(this, "reward", start)
            if not learned:
                return this
        if interrupted():
            return this
        keep_serving(opened, catalog.card(this.present))
        start = time.monotonic()
        return _took(practise(means, this) if this.reward else prefer(means, this), "practice", start)


def _took(this: Round, part: str, start: float) -> Round:
    """The round, knowing how long a part of it took; one that was cut off takes what all its pieces took."""
    seconds = this.took.get(part, 0.0) + time.monotonic() - start
    return dataclasses.replace(this, took={**this.took, part: round(seconds, 1)})


def _compared(opened: Workspace, this: Round, *, quiet: bool) -> tuple[int, int]:
    """A batch of blind pairs: the candidate and the present double in the same held-out moments."""
    cards = (opened.catalog().card(this.candidate), opened.catalog().card(this.present))
    moments, seed = int(this.options["pairs"]), int(this.options["seed"])
    with open_store(database_url(opened)) as store:
        made = asyncio.run(make_pairs(opened, store, cards, moments=moments, seed=seed, quiet=quiet))
    return made.id, made.pairs


def _note(opened: Workspace, this: Round) -> None:
    """Writes on the candidate's card what it came from and what was measured."""
    catalog = opened.catalog()
    card = catalog.card(this.candidate)
    about = {"judgements": this.digest, "of_them_new": this.new, "judgements_used": len(this.used)}
    about |= {"reward_model": this.reward, "present": this.present, "via": this.options["via"], "id": this.id}
    about |= {"batch": this.batch, "options": dict(this.options)}
    catalog.save_card(
        dataclasses.replace(
            card, settings={**card.settings, "round": about}, scores={**card.scores, "checks": dict(this.checks)}
        )
    )


def _forget(opened: Workspace, this: Round) -> None:
    """Removes the round where not even its first training began."""
    trainings = [opened.runs / f"{this.id}-{part}" / "run.json" for part in ("taste", "practice")]
    if not any(file.is_file() for file in trainings):
        shutil.rmtree(opened.runs / this.id, ignore_errors=True)


def _new_id(opened: Workspace) -> str:
    started = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    names = [f"loop-{started}", *(f"loop-{started}-{number}" for number in range(2, 100))]
    return next(name for name in names if not (opened.runs / name).exists())


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
            f"Batch {done.batch}: {counted(done.pairs, 'blind pair')} to be judged: talkalike serve --web\n"
            f"If the candidate wins: talkalike models promote {done.candidate}",
            markup=False,
        )
    else:
        screen.print("Both say the same in every moment: there is nothing to compare.", markup=False)
