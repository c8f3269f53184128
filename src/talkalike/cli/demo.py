"""`talkalike demo`: the whole path on the bundled, invented chats, from an export to a double you can talk to."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.alignment.heldout_prompts import ModelArm, answer_prompts, choose_prompts
from talkalike.alignment.pairing import make_pairs
from talkalike.chats.archive import Archive
from talkalike.chats.importing import import_paths
from talkalike.cli.engines import reply_sources
from talkalike.cli.output import FICTIONAL, console, duration, number, one_line, progress, table
from talkalike.cli.people import count_people
from talkalike.cli.preparing import make_examples
from talkalike.cli.scoring import score
from talkalike.cli.serving import Faces, serve_faces, site_settings
from talkalike.cli.training import train
from talkalike.cli.web import site_store
from talkalike.cli.workspace import FICTIONAL_FILE, Workspace, make_workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_replies
from talkalike.examples.opening import open_examples
from talkalike.examples.reactions import readable
from talkalike.workspace.cards import Card

_SPEAKER = "Juno Marwick"
PAIRS = 20  # to judge on the website
_SHOWN = 5  # prompts shown before and after
_CONTEXT = 3  # messages shown of each prompt
_PARTS = ("four-friends", "four-friends-e2ee")


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder in which the demo's workspace is made.")
    ] = Path("demo"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Training time in minutes.")] = 2.0,
    replies: Annotated[int, typer.Option(min=10, help="Number of held-out prompts in the likeness score.")] = 24,
    chat: Annotated[bool, typer.Option("--chat/--no-chat", help="Open the website at the end (in a terminal).")] = True,
) -> None:
    """Try everything on bundled, invented chats. Import, train for a few minutes, compare, score, talk."""
    began = time.monotonic()
    screen = console()
    make_workspace(directory)
    (directory / FICTIONAL_FILE).write_text(f"{FICTIONAL}\n", encoding="utf-8")
    workspace = open_workspace(directory)
    screen.print(f"A workspace in {directory}/ ({FICTIONAL}).\n", markup=False, style="italic")
    examples = _examples(workspace, screen)
    card = _double(workspace, examples, screen, minutes)
    _before_and_after(workspace, examples, card, screen, began)
    _score(workspace, card, screen, replies)
    _where_to_go(directory, card, screen)
    if chat and sys.stdin.isatty() and sys.stdout.isatty():
        _website(workspace, card)


def _website(workspace: Workspace, card: Card) -> None:
    """Pairs to judge, and the website with a link that needs no account."""
    with site_store(workspace, site_settings(workspace)) as store:
        base = workspace.catalog().card(card.base)
        with progress("Answering", quiet=False) as advance:
            asyncio.run(make_pairs(reply_sources(workspace, advance), store, (card, base), count=PAIRS))
    serve_faces(workspace, Faces(web=True, invite=True), model=card.name)


def sample_folders() -> list[Path]:
    """The bundled export: within an installed package (the wheel puts it there), or in a checkout."""
    here = Path(__file__).resolve()
    for root in (here.parents[1] / "samples", here.parents[3] / "samples"):
        if all((root / part).is_dir() for part in _PARTS):
            return [root / part for part in _PARTS]
    raise UserError(
        "The bundled sample chats are missing from this installation.",
        hint="Install talkalike again: README.md says how.",
    )


def _examples(workspace: Workspace, screen: Console) -> ExampleSet:
    _step(screen, 1, "Import: two exports of the same friends, merged")
    archive = Archive(workspace.chats)
    import_paths(sample_folders(), archive=archive)
    rows = count_people(archive, quiet=True)
    screen.print(table(["who", ">messages"], [[row.person.name, number(row.messages)] for row in rows]))
    _step(screen, 2, f"Prepare: what {_SPEAKER} says is learned, what the others say is context")
    manifest = make_examples(workspace, [_SPEAKER]).manifest
    screen.print(
        f"{number(manifest.train.learned)} messages to learn in {number(manifest.train.sessions)} sessions; the newest "
        f"{number(manifest.heldout.learned)} are held out. Redacted: "
        f"{', '.join(f'{count} {sort}' for sort, count in manifest.redacted.items()) or 'nothing'}.",
        markup=False,
    )
    return open_examples(workspace.examples, manifest.name)


def _double(workspace: Workspace, examples: ExampleSet, screen: Console, minutes: float) -> Card:
    _step(screen, 3, f"Train: about {duration(60 * minutes)} on this machine (Ctrl-C stops and keeps what was learned)")
    train(examples=examples.manifest.name, minutes=minutes, workspace_dir=workspace.root)
    card = workspace.catalog().newest_double()
    if card is None:
        raise AssertionError("training ends with a model in the catalog")
    return card


def _before_and_after(workspace: Workspace, examples: ExampleSet, card: Card, screen: Console, began: float) -> None:
    """The double answers first: its words are what everybody waits for."""
    _step(screen, 4, "Before and after: replies to held-out prompts, which nobody trained on")
    fit = [reply for reply in load_replies(examples) if len(reply.context) >= _CONTEXT]
    prompts = choose_prompts(fit, _SPEAKER, _SHOWN, seed=3)
    double, base = (
        ModelArm(name=name, card=workspace.catalog().card(model))
        for name, model in (("double", card.name), ("base", card.base))
    )
    ((_, by_double),) = asyncio.run(answer_prompts(reply_sources(workspace), [double], prompts, seed=0))
    first = next((" | ".join(words) for words in by_double if words), "nothing yet")
    waited = duration(time.monotonic() - began)
    screen.print(one_line(f"The double's first words, {waited} after the start: {first}", "bold cyan"))
    screen.print()
    ((_, by_base),) = asyncio.run(answer_prompts(reply_sources(workspace), [base], prompts, seed=0))
    for prompt, before, after in zip(prompts, by_base, by_double, strict=True):
        for turn in prompt.context[-_CONTEXT:]:
            screen.print(one_line(f"{turn.speaker}: {readable(turn.text)}", "dim"))
        screen.print(one_line(f"  really said: {' | '.join(map(readable, prompt.messages))}", "green"))
        screen.print(one_line(f"  the base:    {' | '.join(before)}", "yellow"))
        screen.print(one_line(f"  the double:  {' | '.join(after)}", "bold cyan"))
        screen.print()


def _score(workspace: Workspace, card: Card, screen: Console, replies: int) -> None:
    _step(screen, 5, "Score: how much does the double write like her?")
    score(model=card.name, against="base", speaker=None, replies=replies, workspace_dir=workspace.root)


def _where_to_go(directory: Path, card: Card, screen: Console) -> None:
    _step(screen, 6, "What to do next")
    screen.print(f"Talk to it:        talkalike chat -w {directory} --model {card.name}", markup=False)
    screen.print(f"Train it longer:   talkalike train -w {directory} --epochs 6", markup=False)
    screen.print("With your own:     talkalike init my-double, then see README.md", markup=False)


def _step(screen: Console, number_: int, title: str) -> None:
    screen.print(f"\n{number_}. {title}", style="bold", markup=False)
