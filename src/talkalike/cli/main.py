"""The program `talkalike`: its commands, and the one place where an error becomes a sentence and an exit code.

Nothing heavy is imported here: `--help` has to be quick. A command's module is imported when the command is wanted.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated, ClassVar

import typer

from talkalike import __version__
from talkalike.cli.commands import LazyCommand, LazyGroup, WorkspaceOption, hand_down
from talkalike.errors import TalkalikeError, UserError
from talkalike.workspace.privacy import owner_only

DEBUG_VARIABLE = "TALKALIKE_DEBUG"
INTERRUPTED = 130
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_ODD = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


class Commands(LazyGroup):
    """The commands of the program, in the order that a person needs them."""

    table: ClassVar = {
        "init": LazyCommand(
            "talkalike.cli.workspace", "init", "Make a workspace: a folder with a commented talkalike.toml."
        ),
        "import": LazyCommand("talkalike.cli.importing", "import_chats", "Import chat exports into the workspace."),
        "people": LazyCommand(
            "talkalike.cli.people", "people", "List who speaks and how much, and guess whose export it is."
        ),
        "prepare": LazyCommand(
            "talkalike.cli.preparing", "prepare", "Turn the chats into training examples of one or more speakers."
        ),
        "examples": LazyCommand("talkalike.cli.examples", "app", "List the example sets or show single examples."),
        "train": LazyCommand("talkalike.cli.training", "train", "Train a model on the prepared examples."),
        "score": LazyCommand("talkalike.cli.scoring", "score", "Measure how much a model writes like its owner."),
        "chat": LazyCommand("talkalike.cli.talking", "chat", "Talk to a model in the terminal."),
        "eye": LazyCommand("talkalike.cli.eyes", "app", "Fetch an eye, and have it look at pictures."),
        "task": LazyCommand("talkalike.cli.tasks", "app", "Ask about pictures, with tasks that show how by example."),
        "judgements": LazyCommand(
            "talkalike.cli.judgements", "app", "Show, export, import and collect people's judgements of replies."
        ),
        "guess": LazyCommand(
            "talkalike.cli.guessing",
            "app",
            "Make a blind test for friends, and show its results.",
        ),
        "align": LazyCommand(
            "talkalike.cli.aligning",
            "app",
            "Improve a double with people's judgements of its replies.",
        ),
        "models": LazyCommand("talkalike.cli.models", "app", "List, show, fetch, create and promote models."),
        "export": LazyCommand(
            "talkalike.cli.exporting", "export", "Write a double as files for llama.cpp, vLLM or transformers."
        ),
        "serve": LazyCommand(
            "talkalike.cli.serving", "serve", "Serve a model through the API, on Discord and on the website."
        ),
        "route": LazyCommand("talkalike.cli.routing", "route", "Put several servers behind one address."),
        "discord": LazyCommand("talkalike.cli.discord", "app", "Set up the double on Discord."),
        "web": LazyCommand("talkalike.cli.web", "app", "Manage the owner's account on the website."),
        "doctor": LazyCommand(
            "talkalike.cli.doctor", "doctor", "Check the installation, this machine and the workspace."
        ),
        "advise": LazyCommand(
            "talkalike.cli.advising", "app", "Recommend a base model for this machine and these chats."
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
    workspace_dir: WorkspaceOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that may stand before the command."""
    hand_down(context, workspace_dir=workspace_dir)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns the exit code: 0 done, 2 the user's input, 1 ours, 130 interrupted."""
    try:
        with owner_only():
            app(args=list(arguments), prog_name="talkalike")
    except SystemExit as end:  # how the command line parser ends, well or with a usage error
        return _exit_code(end.code)
    except KeyboardInterrupt:
        return _exit_code(INTERRUPTED)
    except TalkalikeError as error:
        return _print_error(error)
    except OSError as error:
        explained = storage_error(error)
        return _print_error(explained) if explained else _report_fault()
    except Exception:  # noqa: BLE001  # the outermost edge: whatever is left is a fault of ours
        return _report_fault()
    return 0


def _exit_code(code: object) -> int:
    if code == INTERRUPTED:
        print("Interrupted.", file=sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _stop_writing()
    return code if isinstance(code, int) else int(code is not None)


def _print_error(error: TalkalikeError) -> int:
    """Prints the error and its hint on stderr; returns the exit code."""
    print(f"error: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _stop_writing() -> int:
    """Nobody reads our output any more, as with `| head`: so nothing more is written, not even by the interpreter."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 1


def _report_fault() -> int:
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


def storage_error(error: OSError) -> UserError | None:
    """What a failed read or write means to a person; None if it is no matter of space, permissions or paths."""
    where = f": {error.filename}" if error.filename else ""
    short_write = error.errno is None and "requested and" in str(error)  # numpy's words, without a number
    if error.errno in _FULL or short_write:
        return UserError(
            f"The disk is full{where}. What was finished before is unharmed.",
            hint="Free some space, then run the command again.",
        )
    if error.errno in _DENIED:
        return UserError(
            f"This cannot be read or written ({os.strerror(error.errno)}){where}.",
            hint="Check its permissions, or use another workspace (--workspace DIR).",
        )
    if error.errno in _ODD:
        return UserError(f"This path cannot be used ({os.strerror(error.errno)}){where}.", hint="Check what it names.")
    return None


def _end_as_by_ctrl_c(_signal: int, _frame: object) -> None:
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):  # started in the background by a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """The entry point of the program. Who asks it to end by SIGTERM gets what Ctrl-C gets: work is saved, files go."""
    signal.signal(signal.SIGTERM, _end_as_by_ctrl_c)
    # What libraries convert and load they show as bars in words of their own. Read when tqdm is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    # oneDNN keeps what it prepared for each of the last 1,024 shapes of a product: gigabytes, as no two batches are
    # equally long. Read when torch is imported. Training was not slower with fewer.
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "64")
    # It names, wherever PEFT imports it, each faster kernel that it does without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another one
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
