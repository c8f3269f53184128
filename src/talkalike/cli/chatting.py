"""The terminal's face of the conversation pipeline: streamed bursts, commands, and Ctrl-C that stops a reply."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.pipeline import Pipeline
from talkalike.cli.chatting_screen import InputLines, PrintedReply, name_style, print_line, seen_table
from talkalike.cli.output import harmless
from talkalike.engine.protocol import Finish
from talkalike.errors import TalkalikeError, UserError
from talkalike.replying.writing import ReplyInputs, ReplyOutcome, ReplyWriting
from talkalike.store.recording import ReplyState


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """A model that is ready to talk: its pipeline, and the speakers whose voices it was trained on."""

    pipeline: Pipeline
    speakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """What the chat can offer besides talking; whatever is left out is not offered.

    `speakers`: voices the model was trained on (empty: a base model, any name will do). `people`: others in its chats.
    `models`: the names to choose from. `open_model` loads one of them; the engines belong to the caller, who may close
    the old one there.
    """

    speakers: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    models: Callable[[], Sequence[str]] | None = None
    open_model: Callable[[str], Awaitable[ChatModel]] | None = None


class Command(NamedTuple):
    """One slash command."""

    name: str
    argument: str
    does: str


COMMANDS = (
    Command("help", "", "show this list"),
    Command("who", "", "show who is who, and which people the model can speak as"),
    Command("as", "NAME", "let the double speak as NAME"),
    Command("be", "NAME", "change your own name to NAME"),
    Command("seen", "", "show what the model saw for its last reply, what was left out, and why"),
    Command("reset", "", "start anew: the double sees nothing of what was said so far"),
    Command("model", "[NAME]", "list the models, or change to another one"),
    Command("quit", "", "end the chat (as do Ctrl-D, and Ctrl-C while nothing is being written)"),
)
ALIASES = {"exit": "quit", "q": "quit", "bye": "quit", "?": "help", "h": "help"}


async def chat(
    pipeline: Pipeline, *, me: str, double: str, console: Console, options: ChatOptions | None = None
) -> None:
    """Talks in the terminal until the person quits or standard input ends.

    With a terminal on both ends replies are streamed and Ctrl-C stops them; otherwise each line read is a message, and
    replies are printed as plain lines. Must run in the main thread, which receives Ctrl-C. Raises UserError where `me`
    and `double` are one name; where nobody types, also what the engine raises.
    """
    session = _Session(pipeline, me=me, double=double, console=console, options=options or ChatOptions())
    loop = asyncio.get_running_loop()
    previous = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(NotImplementedError):  # Windows, whose loop is woken by signals anyway
        # Only for its side effect: a signal that comes just before the loop falls asleep wakes it up.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
    signal.signal(signal.SIGINT, session.interrupt)
    try:
        await session.run()
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, previous)


class _Session:
    def __init__(self, pipeline: Pipeline, *, me: str, double: str, console: Console, options: ChatOptions) -> None:
        if _same(me, double):
            raise UserError(
                f"You and the double would both be '{double}', and it could not tell you apart.",
                hint="Choose another name for yourself.",
            )
        self.pipeline = pipeline
        self.me = me
        self.console = console
        self.options = options
        self.speakers = options.speakers
        self.interactive = console.is_terminal and _stdin_is_terminal()
        self.lines = InputLines(interactive=self.interactive)
        self.conversation = InMemoryConversation(id="terminal", double=double)
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[None] | None = None  # what Ctrl-C stops
        self._reading = False
        self._presses = 0  # of Ctrl-C since the work began
        self._quit = False
        self._said_left_out = False

    async def run(self) -> None:
        """Reads messages and answers them until the person quits."""
        if self.interactive:
            self._note(
                f"You are {self.me}, talking to an AI that talks like {self.conversation.double} "
                f"({self.pipeline.engine.name}). /help lists the commands, Ctrl-C stops a reply."
            )
        while not self._quit:
            line = self._read()
            if line is not None and await self._take(line):
                # What was typed or pasted meanwhile belongs to the same burst.
                while not self._quit and self.lines.waiting() and (more := self._read()) is not None:
                    await self._take(more)
                if not self._quit:
                    await self._stoppable(self._reply())

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Ctrl-C: leaves the prompt, or stops the work; pressed again meanwhile it also quits, and then insists."""
        if self._reading:
            raise KeyboardInterrupt
        self._presses += 1
        if self._work is None or self._presses > 1:
            self._quit = True
        if self._presses > 2:
            raise KeyboardInterrupt
        if self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)

    def _read(self) -> str | None:
        try:
            self._reading = True
            line = self.lines.read(f"{harmless(self.me)}> ")
        except KeyboardInterrupt:
            line = None
        finally:
            self._reading = False
        if line is None:
            self._quit = True
            if self.interactive:
                self.console.print()  # the shell's prompt gets a line of its own
        return line

    async def _take(self, line: str) -> bool:
        """Obeys a command or says a message; true when the message wants an answer."""
        if not line.strip():
            return False
        if line.startswith("/") and not line.startswith("//"):
            await self._obey(line)
            return False
        text = line[1:] if line.startswith("//") else line
        self.conversation.say(self.me, text)
        if self.conversation.is_side_talk(text):
            self._note(f"Side talk: {self.conversation.double} does not see it.")
            return False
        return True

    async def _stoppable(self, work: Coroutine[None, None, None]) -> None:
        """Runs work that Ctrl-C may stop. Errors are shown to a person, and raised where input is piped."""
        self._presses = 0
        task = self._work = asyncio.create_task(work)
        try:
            await task
        except asyncio.CancelledError:
            if not self._presses:
                raise
            self._note("Stopped. Ctrl-C again ends the chat.")
        except TalkalikeError as error:
            if not self.interactive:
                raise
            self.console.print(Text(error.what, style="red"))
            if error.hint:
                self._note(error.hint)
        finally:
            self._work = None

    # ------------------------------------------------------------------------------------------------ a reply

    async def _reply(self) -> None:
        outcome = ReplyOutcome()
        prepared = ReplyInputs(
            pipeline=self.pipeline,
            talk=self.conversation,
            display=PrintedReply(self.console, self.conversation.double, piecewise=self.interactive),
            whole_messages=not self.interactive,
        )
        await ReplyWriting(prepared, outcome=outcome).write()
        if outcome.state is ReplyState.SILENT:
            self._note(f"{self.conversation.double} says nothing.")
        elif outcome.finish is Finish.LENGTH:
            self._note(f"Cut off at the longest length, {outcome.tokens:,} tokens.")
        seen = self.conversation.seen
        if seen is not None and seen.crowded_out and not self._said_left_out:
            self._said_left_out = True
            self._note("Earlier messages no longer fit what the double can see; /seen shows which.")

    # ----------------------------------------------------------------------------------------------- commands

    async def _obey(self, line: str) -> None:
        word, _, argument = line[1:].strip().partition(" ")
        name = ALIASES.get(word.lower(), word.lower())
        argument = argument.strip()
        match name:
            case "help":
                self._help()
            case "who":
                self._who()
            case "as":
                self._speak_as(argument)
            case "be":
                self._be(argument)
            case "seen":
                self._seen()
            case "reset":
                self.conversation.reset()
                self._said_left_out = False
                self._note(f"Done: {self.conversation.double} sees nothing of what was said so far.")
            case "model":
                await self._model(argument)
            case "quit":
                self._quit = True
            case _:
                close = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=1, cutoff=0.5)
                meant = f"Did you mean /{close[0]}?" if close else "/help lists the commands."
                self._note(f"There is no /{word}. {meant} To say it to the double, begin with two slashes.")

    def _help(self) -> None:
        table = Table.grid(padding=(0, 2))
        for command in COMMANDS:
            table.add_row(Text(f"/{command.name} {command.argument}".strip(), style="bold"), command.does)
        table.add_row(Text("//…", style="bold"), "a message that begins with a slash")
        table.add_row(
            Text(f"{self.conversation.side_talk}…", style="bold"), "side talk: kept, but not seen by the double"
        )
        self.console.print(table)

    def _who(self) -> None:
        table = Table.grid(padding=(0, 2))
        double = self.conversation.double
        table.add_row("you", Text(harmless(self.me), style="bold"))
        table.add_row(
            "the double", Text(harmless(double), style=name_style(double)) + f" (an AI, {self.pipeline.engine.name})"
        )
        voices = ", ".join(self.speakers) if self.speakers else "not trained on anybody: any name will do"
        table.add_row("its voices", Text(harmless(f"{voices}   (/as NAME)")))
        people = tuple(dict.fromkeys((*self.speakers, *self.options.people)))
        others = ", ".join(name for name in people if not _same(name, double))
        table.add_row("you can be", Text(harmless(f"{others or 'anybody'}   (/be NAME)")))
        self.console.print(table)

    def _speak_as(self, name: str) -> None:
        if not name:
            self._note("Whose voice? For example: /as " + (self.speakers[0] if self.speakers else "anna"))
            return
        chosen = next((speaker for speaker in self.speakers if _same(speaker, name)), None)
        if self.speakers and chosen is None:
            self._note(f"'{name}' is not one of this model's voices: {', '.join(self.speakers)}.")
        elif _same(name, self.me):
            self._note(f"You are '{self.me}' yourself. First become someone else: /be NAME")
        else:
            self.conversation.double = chosen or name
            self._note(f"The double now speaks as {self.conversation.double}.")

    def _be(self, name: str) -> None:
        if not name:
            self._note(f"You are {self.me}. To be someone else: /be NAME")
        elif _same(name, self.conversation.double):
            self._note(f"The double already speaks as '{name}'.")
        else:
            self.me = name
            self._note(f"You are now {self.me}.")

    def _seen(self) -> None:
        if self.conversation.seen is None:
            self._note("There was no reply yet.")
        else:
            self.console.print(seen_table(self.conversation.seen))

    async def _model(self, name: str) -> None:
        if name and self.options.open_model is not None:
            await self._stoppable(self._switch(name, self.options.open_model))
            return
        if name:
            self._note("This chat cannot change its model.")
        self._note(f"The model is {self.pipeline.engine.name}.")
        names = self.options.models() if self.options.models is not None else ()
        if names:
            self._note(f"To change it, /model NAME: {', '.join(names)}")

    async def _switch(self, name: str, open_model: Callable[[str], Awaitable[ChatModel]]) -> None:
        self._note(f"Loading {name}…")
        loaded = await open_model(name)
        self.pipeline, self.speakers = loaded.pipeline, loaded.speakers
        double = self.conversation.double
        if self.speakers and not any(_same(double, speaker) for speaker in self.speakers):
            free = next((speaker for speaker in self.speakers if not _same(speaker, self.me)), None)
            if free is None:
                self._note(f"Its only voice is {self.speakers[0]}, and that is you: choose another name with /be NAME.")
            else:
                self.conversation.double = free
        self._note(f"The model is now {self.pipeline.engine.name}, speaking as {self.conversation.double}.")

    # ----------------------------------------------------------------------------------------------- printing

    def _note(self, text: str) -> None:
        print_line(self.console, text, style="dim" if self.interactive else "", wrap=self.interactive)


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _stdin_is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
