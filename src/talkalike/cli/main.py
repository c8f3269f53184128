"""The program `talkalike`: its commands, and the one place where an error becomes a sentence and an exit code.

Nothing heavy is imported here: `--help` has to be quick. A command's module is imported when the command is wanted.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated, ClassVar

import typer

from talkalike import __version__
from talkalike.cli.lazy import LazyCommand, LazyGroup
from talkalike.cli.workspace import WorkspaceOption, hand_down, storage_error
from talkalike.errors import TalkalikeError
from talkalike.workspace.privacy import owner_only

DEBUG_VARIABLE = "TALKALIKE_DEBUG"
INTERRUPTED = 130


class Commands(LazyGroup):
    """All of the program, in the order that a person needs it."""

    table: ClassVar = {
        "init": LazyCommand(
            "talkalike.cli.init", "init", "Make a workspace: a folder with a commented talkalike.toml."
        ),
        "import": LazyCommand("talkalike.cli.importing", "import_chats", "Import chat exports."),
        "people": LazyCommand(
            "talkalike.cli.people", "people", "List who speaks and how much, and guess whose export it is."
        ),
        "prepare": LazyCommand(
            "talkalike.cli.preparing", "prepare", "Turn the chats into training examples of one or more speakers."
        ),
        "examples": LazyCommand("talkalike.cli.examples", "app", "List the example sets, show examples."),
        "train": LazyCommand("talkalike.cli.training", "train", "Train a model on the prepared examples."),
        "score": LazyCommand("talkalike.cli.scoring", "score", "Score a model's likeness on held-out sessions."),
        "chat": LazyCommand("talkalike.cli.talking", "chat", "Talk to a model in the terminal."),
        "judgements": LazyCommand(
            "talkalike.cli.judgements", "app", "What people think of replies: numbers, export, import."
        ),
        "guess": LazyCommand("talkalike.cli.guessing", "app", "The friends' blind test."),
        "align": LazyCommand("talkalike.cli.aligning", "app", "Make a double better by what people think of it."),
        "models": LazyCommand("talkalike.cli.models", "app", "List, show, fetch, make and promote models."),
        "serve": LazyCommand("talkalike.cli.serving", "serve", "Serve models: API, Discord, website."),
        "discord": LazyCommand("talkalike.cli.discord", "app", "Set up the double on Discord."),
        "web": LazyCommand("talkalike.cli.web", "app", "The website's owner."),
        "doctor": LazyCommand(
            "talkalike.cli.doctor", "doctor", "Check the installation, this machine and the workspace."
        ),
        "demo": LazyCommand("talkalike.cli.demo", "demo", "Try everything on bundled, invented chats."),
    }


app = typer.Typer(
    name="talkalike",
    cls=Commands,
    help="Train an AI that talks like you from your own chat exports, and talk to it.",
    epilog="Start with: talkalike init DIR, then import, people, prepare, train and chat inside it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the plain help is read as well as the coloured one, at half the time
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"talkalike {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that may stand before the command."""
    hand_down(context, workspace=workspace)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns the exit code: 0 done, 2 the user's input, 1 ours, 130 interrupted."""
    try:
        with owner_only():
            app(args=list(arguments), prog_name="talkalike")
    except SystemExit as end:  # how the command line parser ends, well or with a usage error
        return _ended(end.code)
    except KeyboardInterrupt:
        return _ended(INTERRUPTED)
    except TalkalikeError as error:
        return _told(error)
    except OSError as error:
        told = storage_error(error)
        return _told(told) if told else _apologise()
    except Exception:  # noqa: BLE001  # the outermost edge: whatever is left is a fault of ours
        return _apologise()
    return 0


def _ended(code: object) -> int:
    if code == INTERRUPTED:
        print("Interrupted.", file=sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _quietly()
    return code if isinstance(code, int) else int(code is not None)


def _told(error: TalkalikeError) -> int:
    """The error in its own words, on stderr."""
    print(f"error: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _quietly() -> int:
    """Nobody reads our output any more, as with `| head`: so nothing more is written, not even by the interpreter."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 1


def _apologise() -> int:
    """A fault of ours: one sentence, with the traceback in a file that only its owner can read."""
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        traceback.print_exc()
        return 1
    kind, problem, _ = sys.exc_info()
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="talkalike-error-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as log:
            traceback.print_exc(file=log)
        where = f"The details are in {log.name}"
    except OSError:
        where = "The details could not be written anywhere"
    print(f"error: Sorry, this is a fault in talkalike ({kind and kind.__name__}: {problem}).", file=sys.stderr)
    print(f"hint: {where}; {DEBUG_VARIABLE}=1 shows them here. Please report it.", file=sys.stderr)
    return 1


def _end_as_by_ctrl_c(_signal: int, _frame: object) -> None:
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):  # started in the background by a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """The entry point of the program. Who asks it to end by SIGTERM gets what Ctrl-C gets: work is saved, files go."""
    signal.signal(signal.SIGTERM, _end_as_by_ctrl_c)
    # What libraries convert and load they show as bars in words of their own. Read when tqdm is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another one
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
