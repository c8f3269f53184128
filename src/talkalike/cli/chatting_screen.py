"""What the terminal chat prints and reads: streamed messages that wrap, tables, and lines of input."""

from __future__ import annotations

import contextlib
import re
import select
import sys
import zlib
from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from talkalike.chat.context import Placed, Seen
from talkalike.cli.output import harmless
from talkalike.examples.reactions import readable
from talkalike.store.recording import Sent

NAME_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
LISTED = 12  # turns that were left out and are listed one by one
INDENT = 2

# A word, a run of blanks, a line break, or one character of a script that breaks lines anywhere.
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"
_TOKENS = re.compile(rf"\n|[^\S\n]+|[{_WIDE}]|[^\s{_WIDE}]+")


def name_style(name: str) -> str:
    """The same colour for the same name, always."""
    return f"bold {NAME_COLOURS[zlib.crc32(name.encode('utf-8', 'replace')) % len(NAME_COLOURS)]}"


class MessageWriter:
    """Writes one message piece by piece under its speaker's name, breaking lines between words.

    The last word is held back until it is known to be complete, so that nothing ever has to be erased.
    """

    def __init__(self, console: Console, speaker: str) -> None:
        self._console = console
        self._speaker = speaker
        self._pending = ""
        self._column = 0  # 0: nothing was printed yet

    def write(self, text: str) -> None:
        """Prints what is complete of the text so far."""
        self._pending += harmless(text)
        if self._column == 0:
            self._pending = self._pending.lstrip()
        tokens = _TOKENS.findall(self._pending)
        self._pending = tokens.pop() if tokens else ""
        for token in tokens:
            self._place(token)

    def close(self) -> None:
        """Prints the rest and ends the line. Safe to call twice."""
        if self._pending.strip():
            self._place(self._pending)
        if self._column:
            self._console.print()
        self._pending, self._column = "", 0

    def _place(self, token: str) -> None:
        if self._column == 0:
            heading = f"{harmless(self._speaker)}: "
            self._print(heading, name_style(self._speaker))
            self._column = min(cell_len(heading), max(1, self._console.width - 1))
        if token == "\n":
            self._break_line()
            return
        room = max(1, self._console.width - INDENT)
        if self._column + cell_len(token) > self._console.width and self._column > INDENT:
            self._break_line()
            token = token.lstrip()
        for number, part in enumerate(chop_cells(token, room) if token else []):
            if number:
                self._break_line()
            self._print(part)
            self._column += cell_len(part)

    def _break_line(self) -> None:
        self._print("\n" + " " * INDENT)
        self._column = INDENT

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), end="", soft_wrap=True)


class PrintedReply:
    """A `replying.writing.Display`: words as they come, where a person looks on (`piecewise`), else lines."""

    def __init__(self, console: Console, speaker: str, *, piecewise: bool) -> None:
        self.begun = False
        self._console = console
        self._speaker = speaker
        self._piecewise = piecewise
        self._writer = MessageWriter(console, speaker)

    def start(self, speaker: str) -> None:
        """Prints nothing yet: the name comes with the first word."""

    async def add_text(self, index: int, chunk: str) -> None:
        """Prints the next piece of a message."""
        self.begun = True
        self._writer.write(chunk)

    async def finish_message(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """Prints the last word of a message, or all of it. Nothing is stored."""
        if self._piecewise:
            self._writer.close()
        else:
            print_line(self._console, f"{self._speaker}: {text}")
        return ()

    async def add_reaction(self, index: int, emoji: str) -> bool:
        """Prints the reaction in words."""
        self._writer.close()
        dim = "dim" if self._piecewise else ""
        print_line(self._console, f"{self._speaker} reacted {emoji}", style=dim, wrap=self._piecewise)
        return True

    async def finish(self) -> None:
        """Ends the line: a message of blanks alone was never done."""
        self._writer.close()

    async def abort(self) -> Sequence[Sent]:
        """Ends the line; what was shown stays."""
        self._writer.close()
        return ()


def print_line(console: Console, text: str, *, style: str = "", wrap: bool = False) -> None:
    """A line that cannot steer the terminal; `wrap`: between words."""
    console.print(Text(harmless(text), style=style), soft_wrap=not wrap)


def seen_table(seen: Seen) -> Table:
    """What the last reply saw and what was left out, with tokens and reasons, oldest first."""
    table = Table(
        title=f"What the last reply saw: {seen.tokens:,} of {seen.budget:,} tokens",
        title_justify="left",
        expand=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("speaker", no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column("message", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("reason")
    older, listed = seen.left_out[:-LISTED], seen.left_out[-LISTED:]
    for why, count in Counter(placed.why for placed in older).items():
        tokens = sum(placed.tokens for placed in older if placed.why == why)
        table.add_row("out", "", f"{count:,} older messages", f"{tokens:,}", why, style="dim")
    for placed in listed:
        table.add_row("out", *_cells(placed), style="dim")
    for placed in seen.kept:
        table.add_row("in", *_cells(placed))
    return table


def _cells(placed: Placed) -> tuple[Text, Text, str, Text]:
    text = " ".join(harmless(readable(placed.turn.text)).split())
    return Text(harmless(placed.turn.speaker)), Text(text), f"{placed.tokens:,}", Text(placed.why)


class InputLines:
    """InputLines from standard input. Blocks the caller: while a person types, nothing else has to run.

    A thread would keep the event loop free, but Ctrl-C cannot reach an `input()` outside the main thread, and the
    terminal would be left in the line editor's mode.
    """

    def __init__(self, *, interactive: bool) -> None:
        self._interactive = interactive
        if interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  (gives input() line editing and history)

    def read(self, prompt: str) -> str | None:
        """The next line without its end, or None at the end of input. Ctrl-C raises KeyboardInterrupt."""
        if not self._interactive:
            raw = sys.stdin.buffer.readline()
            return raw.decode("utf-8-sig", "replace").rstrip("\r\n") if raw else None
        try:
            line = input(prompt)
        except EOFError:
            return None
        return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def waiting(self) -> bool:
        """Whether a person has already typed more (while the reply was written, or by pasting)."""
        if not self._interactive or sys.platform == "win32":
            return False
        return bool(select.select([sys.stdin], [], [], 0)[0])
