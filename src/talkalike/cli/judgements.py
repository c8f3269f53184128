"""`talkalike judgements`: people's judgements of the double's replies, in numbers and as files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from talkalike.alignment.pairing import MadeBatch, make_own_pairs, make_pairs
from talkalike.alignment.uncertain_pairs import MOST, newest_ensemble
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption
from talkalike.cli.engines import ask_uncertain_first, choose_double, reply_sources
from talkalike.cli.output import JsonOption, emit, number, one_line, percent, progress, quantity, say, table
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.errors import UserError
from talkalike.store.judging.statistics import Alpha, Share
from talkalike.store.store import open_store
from talkalike.workspace.files import replacing

if TYPE_CHECKING:
    from talkalike.store.judging.exchange import Exported
    from talkalike.store.judging.guesses import GuessResult
    from talkalike.store.judging.importing import Imported
    from talkalike.store.judging.standings import Standing
    from talkalike.store.judging.summaries import Opinions, RatingSummary

app = typer.Typer(help="Show, export, import and collect people's judgements of replies.", no_args_is_help=True)
NOTHING = "Nobody has judged anything yet. Judge replies on Discord or on the website (talkalike serve --web)."


@app.command("stats")
def stats(workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show how models compare, their ratings, and people's agreement."""
    from talkalike.store.judging import summaries  # Django: the help does not wait for it

    workspace = open_workspace(workspace_dir)
    with open_store(database_url(workspace)) as store:
        summary = store.call(summaries.summary)
    emit(as_json, summary, lambda screen: _show(summary, screen))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="File to write; it gets one JSON object per line.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export judgements to a file. Only those of people who agreed to it are written."""
    from talkalike.store.judging import exchange  # Django: the help does not wait for it

    workspace = open_workspace(workspace_dir)
    if file.exists() and not force:
        raise UserError(f"{file} is there already.", hint="Choose another name, or replace it with --force.")

    with (
        open_store(database_url(workspace)) as store,
        replacing(file) as beside,
        beside.open("w", encoding="utf-8", newline="\n") as stream,
        progress("Exporting", quiet=as_json, unit="judgements") as advance,
    ):
        done = store.call(exchange.export_jsonl, stream, on_progress=lambda written: advance(written, written))

    emit(
        as_json, {"file": file, "written": done.written, "left_out": done.left_out}, lambda _: _print_export(done, file)
    )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="File that 'talkalike judgements export' wrote.")],
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import judgements from a file. Those that are here already are not taken twice."""
    from talkalike.store.judging import importing  # Django: the help does not wait for it

    workspace = open_workspace(workspace_dir)
    if not file.is_file():
        raise UserError(f"There is no file {file}.", hint="Name a file that 'talkalike judgements export' wrote.")
    with (
        open_store(database_url(workspace)) as store,
        file.open("rb") as stream,
        progress("Importing", quiet=as_json, unit="lines") as advance,
    ):
        done = store.call(importing.import_jsonl, stream, on_progress=lambda read: advance(read, 0))
    emit(as_json, done, lambda _: _print_import(done))


@app.command("pairs")
def pairs(
    model: Annotated[
        str | None, typer.Option(help="Double that replies. Default: the promoted one, else the newest.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Model to compare it with. Default: its base model.")] = None,
    prompts: Annotated[int, typer.Option(min=1, max=1000, help="Number of held-out prompts to reply to.")] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed; the same seed chooses the same prompts.")
    ] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make pairs of replies to judge on the website. Two models reply to the same held-out prompts."""
    workspace = open_workspace(workspace_dir)
    card = choose_double(workspace, model)
    other = workspace.catalog().card(against or card.base)
    with open_store(database_url(workspace)) as store, progress("Answering", quiet=as_json) as advance:
        sources = reply_sources(workspace, advance)
        made = asyncio.run(make_pairs(sources, store, (card, other), count=prompts, seed=seed))
    emit(as_json, made, partial(_print_batch, made))


@app.command("ask")
def ask(
    model: Annotated[
        str | None, typer.Option(help="Double that replies. Default: the promoted one, else the newest.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, max=5000, help="Number of training prompts to reply to.")] = 240,
    replies: Annotated[
        int, typer.Option(min=2, max=32, help="Replies to each prompt; those that differ most become pairs.")
    ] = 4,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed; the same seed chooses the same prompts.")
    ] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make pairs of a double's own replies. What people say of them is what it learns from.

    The prompts are from the chats it was trained on. Judge some forty pairs, run `talkalike judgements sort`, and
    continue: the pairs that there is most to learn from come first then.
    """
    workspace = open_workspace(workspace_dir)
    card = choose_double(workspace, model)
    with open_store(database_url(workspace)) as store, progress("Answering", quiet=as_json) as advance:
        sources = reply_sources(workspace, advance)
        made = asyncio.run(make_own_pairs(sources, store, card, count=prompts, replies=replies, seed=seed))
    emit(as_json, made, partial(_print_batch, made))


@app.command("sort")
def sort(
    reward: Annotated[
        str | None, typer.Option(help="Reward model with several members (an ensemble). Default: the newest one.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Maximum number of waiting pairs to look at, from the head of the queue.")
    ] = MOST,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the waiting pairs first that there is most to learn from.

    A reward model with several members says which. Where there is none, one is fitted to the judgements there are.
    """
    from talkalike.cli.aligning_runs import fit_present_judgements  # Django: the help does not wait for it

    workspace = open_workspace(workspace_dir)
    ensemble = reward or newest_ensemble(workspace.catalog())
    model = fit_present_judgements(workspace) if ensemble is None else ensemble
    with open_store(database_url(workspace)) as store:
        count = ask_uncertain_first(workspace, store, model, most=most, quiet=as_json)
    by = "the judgements so far" if ensemble is None else f"'{ensemble}'"
    text = f"{quantity(count, 'waiting pair')} looked at: those with most to learn, by {by}, come first."
    emit(
        as_json,
        {"reward": ensemble, "pairs": count},
        lambda screen: screen.print(text if count else "No pair waits for a judgement.", markup=False),
    )


def _print_batch(made: MadeBatch, screen: Console) -> None:
    screen.print(f"Batch {made.id}: {quantity(made.pairs, 'pair')}; {made.left_out} left out: equal replies.")
    screen.print("Judge them on the website: talkalike serve --web")


def _print_export(done: Exported, file: Path) -> None:
    say(f"{quantity(done.written, 'judgement')} written to {file}.")
    for reason, count in done.left_out.items():
        say(f"{quantity(count, 'judgement')} left out: {reason}.")


def _print_import(done: Imported) -> None:
    say(f"{quantity(done.taken, 'judgement')} taken, {number(done.known)} known before.")
    for line, reason in done.skipped:
        say(f"line {line} left out: {reason}")
    if done.skipped_count > len(done.skipped):
        say(f"and {quantity(done.skipped_count - len(done.skipped), 'line')} more.")


def _show(summary: Opinions, screen: Console) -> None:
    if not (summary.totals or summary.ai_totals or summary.guesses):
        screen.print(NOTHING)
        return
    totals = ", ".join(f"{number(count)} {name}s" for name, count in summary.totals.items())
    screen.print(one_line(f"{quantity(summary.judges, 'person', 'people')}: {totals or 'no judgements'}."))
    _standings(summary.standings, "Which model is preferred (0: average; with 95 % intervals)", screen)
    _ratings(summary.ratings, "Ratings from 1 to 5", screen)
    if summary.guesses:
        screen.print(guess_table(summary.guesses))
    _habits(summary, screen)
    _standings(summary.ai_standings, "AI judges only", screen)
    _ratings(summary.ai_ratings, "Ratings by AI judges only", screen)


def guess_table(guesses: Iterable[GuessResult]) -> Table:
    """How often each model was taken for the real person."""
    rows = [[guess.model, guess.arm, _share(guess.taken_for_real), number(guess.taken_for_real.n)] for guess in guesses]
    return table(["model", "arm", ">taken for the real one", ">guesses"], rows, title="Blind test")


def _standings(standings: Iterable[Standing], title: str, screen: Console) -> None:
    rows = [
        [row.model, f"{row.score:+.2f}", f"{row.low:+.2f} to {row.high:+.2f}", *map(number, _games(row))]
        for row in standings
    ]
    if rows:
        columns = ["model", ">score", ">interval", ">wins", ">ties", ">losses"]
        screen.print(table(columns, rows, title=title))


def _games(row: Standing) -> tuple[int, int, int]:
    return row.wins, row.ties, row.losses


def _ratings(ratings: Iterable[RatingSummary], title: str, screen: Console) -> None:
    rows = [
        [row.model, row.scale.replace("_", " "), f"{row.mean:.2f}", f"{row.low:.2f} to {row.high:.2f}", number(row.n)]
        for row in ratings
    ]
    if rows:
        screen.print(table(["model", "scale", ">mean", ">interval", ">ratings"], rows, title=title))


def _habits(summary: Opinions, screen: Console) -> None:
    rows = [
        [f"agreement on {name.replace('_', ' ')}", _alpha(alpha)]
        for name, alpha in summary.agreement.items()
        if alpha.units
    ]
    habits = summary.habits
    rows.append(["the reply shown first wins", _share(habits.first)])
    rows.append(["the same judgement when asked again", _share(habits.same)])
    if habits.median_seconds is not None:
        rows.append(["seconds per judgement (median)", number(habits.median_seconds)])
    screen.print(table(["how people judge", "value"], rows))


def _alpha(alpha: Alpha) -> str:
    same = f"{percent(alpha.same or 0.0)} of pairs equal, n = {number(alpha.units)}"
    if not alpha.enough:
        return f"not enough yet ({same})"
    return f"everybody judged the same ({same})" if alpha.alpha is None else f"alpha {alpha.alpha:.2f} ({same})"


def _share(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return "not enough yet"
    return f"{percent(share.share)} [{percent(share.low)}, {percent(share.high)}] of {number(share.n)}"
