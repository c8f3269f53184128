"""Plain IRC logs. Every file is a day or a stretch of one window; all files of a window are one conversation.

The order of the lines is the truth: times are local, often without a date or AM/PM, and only ever move forward. A
file is read twice: once to learn how its client writes, its nicks and its window, once for its messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from talkalike.chats.importers import codepages
from talkalike.chats.importers.irc.channel import IrcChannel
from talkalike.chats.importers.irc.same_talk import merge_windows
from talkalike.chats.importers.irc.survey import Survey, by_window, looks_like_a_log, survey
from talkalike.chats.importers.irc.text import NOT_DECIDED, is_text
from talkalike.chats.importers.protocol import Draft, Findings
from talkalike.chats.sources import Entry

_RECOGNISED_SHARE = 0.6
_NOT_LOGS = (".json", ".jsonl", ".csv", ".xml", ".toml", ".yaml", ".yml", ".py", ".md", ".rst")
_NAMED = 3  # files named in a note


@dataclass(frozen=True, slots=True, kw_only=True)
class Irc:
    """Logs of Ubuntu's archive, irssi, WeeChat, XChat/HexChat, mIRC, eggdrop, ZNC, Konversation, The Lounge and alike.

    `encoding` is the code page of lines that are not UTF-8; None: it is found out. `forced` takes every text for a log.
    """

    encoding: str | None = None
    forced: bool = False
    name: str = "irc"
    described: str = "IRC logs (irssi, WeeChat, XChat, mIRC, ZNC, eggdrop, Ubuntu's archive and others)"

    def recognises(self, entry: Entry) -> bool:
        """A text file of which most lines are of one client."""
        encoding = self.encoding or NOT_DECIDED
        if not is_text(entry, encoding):
            return False
        if self.forced:
            return True
        return not entry.name.lower().endswith(_NOT_LOGS) and looks_like_a_log(entry, encoding, _RECOGNISED_SHARE)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft for each window and logger; what several loggers tell of one window is put together when stored."""
        encoding = self.encoding or NOT_DECIDED
        surveys = [found for entry in entries if (found := survey(entry, encoding, findings))]
        windows = by_window(surveys)
        if self.encoding is None:
            windows = {key: _decode_windows(found, surveys, findings) for key, found in windows.items()}
            _say_encodings([found for members in windows.values() for found in members], findings)
        windows = merge_windows(windows, findings)
        _say_days(surveys, findings)
        for (network, window), members in sorted(windows.items(), key=lambda item: item[0]):
            loggers: dict[tuple[str, str], list[Survey]] = {}
            for found in members:
                loggers.setdefault((found.place.family, found.stamp.name), []).append(found)
            # Whoever knows the seconds is told first: the others' messages find their place among these.
            for logger in sorted(loggers.values(), key=lambda files: not any(found.tells_seconds for found in files)):
                files = sorted(logger, key=lambda found: (found.start, found.entry.path))
                yield IrcChannel(network=network, window=window, files=files, findings=findings)


def _decode_windows(members: Sequence[Survey], everybody: Sequence[Survey], findings: Findings) -> list[Survey]:
    """The files of a window with their code pages: by their own letters, or if these are few, by their neighbours'."""
    decided = []
    for found in members:
        if found.foreign:
            guesses = (codepages.guess(_foreign(files)) for files in ([found], members, everybody))
            own = next(guesses)
            sure = (
                own if own.margin >= codepages.SURE else next((g for g in guesses if g.margin >= codepages.SURE), own)
            )
            decided.append(survey(found.entry, sure.encoding, findings) or found)
        else:
            decided.append(found)
    return decided


def _foreign(surveys: Sequence[Survey]) -> bytes:
    return b"".join(bytes(found.foreign) for found in surveys)


def _say_encodings(surveys: Sequence[Survey], findings: Findings) -> None:
    chosen: dict[str, list[str]] = {}
    for found in surveys:
        if found.foreign:
            chosen.setdefault(found.encoding, []).append(found.entry.path)
    for encoding, files in sorted(chosen.items()):
        findings.notes.append(
            f"{_files(files)} with lines that are not UTF-8; these were read as {encoding}, judged by their letters. "
            "If letters look wrong, import again with --encoding and the right name."
        )


def _say_days(surveys: Sequence[Survey], findings: Findings) -> None:
    undated = [found.entry.path for found in surveys if found.undated]
    if undated:
        findings.notes.append(
            f"{_files(undated)} without any date. Their days were counted back from the day on which the file was last "
            "changed. To set them right, put the first day into the file's name (#chat.2020-03-02.log) and import them "
            "into a new workspace."
        )
    unsure = [found.entry.path for found in surveys if found.unsure_order]
    if unsure:
        findings.notes.append(f"{_files(unsure)} with dates such as 03/04/2020, which were read as day/month/year.")


def _files(paths: Sequence[str]) -> str:
    more = ", …" if len(paths) > _NAMED else ""
    return f"{len(paths)} {'file' if len(paths) == 1 else 'files'} ({', '.join(paths[:_NAMED])}{more})"
