"""Builds the bundled sample chat from its script: `python samples/build.py [--out DIR]`.

The script (samples/script/*.txt) is dialogue a person can read and edit; this turns it into the two forms in which
Messenger hands chats out: the classic "download your information" JSON and the end-to-end-encrypted export.
The same script always gives the same bytes. The notation is explained in samples/README.md.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CLASSIC_DIR, E2EE_DIR = "four-friends", "four-friends-e2ee"
ROOT = "your_facebook_activity/messages"
OWNER = "j"
PEOPLE = {"j": "Juno Marwick", "e": "Edgar Pellworth", "r": "Rosália Fenn", "b": "Bořek Jedlovec", "s": "Dario Quenby"}
MEDIA = {
    "photo": ("photos", "jpg"),
    "photos": ("photos", "jpg"),
    "video": ("videos", "mp4"),
    "voice": ("audio_files", "mp4"),
    "gif": ("gifs", "gif"),
    "file": ("files", "pdf"),
}


class ScriptError(ValueError):
    """A line of the script that the notation does not allow; the text names the file and the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One conversation: `folder` is its place below the export's messages folder, `members` are keys of PEOPLE."""

    title: str
    folder: str
    members: str
    newest_in_first_file: int | None = None
    """Split into two files, with this many messages in message_1.json (None: one file)."""

    @property
    def is_group(self) -> bool:
        return len(self.members) > 2


THREADS = {
    "group": Thread(
        title="Thursday Dumplings 🥟",
        folder="inbox/thursdaydumplings_7410220519384416",
        members="rebj",
        newest_in_first_file=800,
    ),
    "plot": Thread(title="NOT BOŘEK 🤫🎂", folder="inbox/notborek_8122031904417735", members="erj"),
    "dm-e": Thread(title=PEOPLE["e"], folder="inbox/edgarpellworth_10160027134415521", members="ej"),
    "dm-r": Thread(title=PEOPLE["r"], folder="inbox/rosaliafenn_10159881240073318", members="rj"),
    "dm-b": Thread(title=PEOPLE["b"], folder="inbox/borekjedlovec_10160342287715046", members="bj"),
    "stranger": Thread(title=PEOPLE["s"], folder="message_requests/darioquenby_122107734910066", members="sj"),
}
E2EE_FILES = {"dm-e": "Edgar Pellworth_3.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a conversation; `at` is milliseconds since 1970, `kind` is "text", "system" or a mark."""

    at: int
    sender: str
    kind: str
    text: str = ""
    argument: str = ""
    reactions: tuple[tuple[str, str], ...] = ()
    in_classic: bool = True
    in_e2ee: bool = False


HEADER = re.compile(r"= (\d{4}-\d\d-\d\d \d\d:\d\d) ([a-z-]+)(?: (both|e2ee))?")
LINE = re.compile(r"([a-z])([:!]) (.+)")
GAP = re.compile(r"~ (?:(\d+)h)?(?:(\d+)m)?")
REACTION = re.compile(r"\{(\S+) ([a-z]+)\}")
REACTIONS_AT_END = re.compile(r"(?:\s*\{\S+ [a-z]+\})+$")
MARK = re.compile(
    r"\[(photo|photos|video|voice|gif|file|sticker|share|call|missed|unsent|reacted)"
    r"(?: ([^\]]+))?\](?: (.+))?"
)


def read_script(folder: Path) -> dict[str, list[Event]]:
    """All events by thread key, oldest first."""
    events: dict[str, list[Event]] = {key: [] for key in THREADS}
    for file in sorted(folder.glob("*.txt")):
        for key, event in read_script_file(file):
            if events[key] and event.at <= events[key][-1].at:
                raise ScriptError(f"{file.name}: a session of {key} begins before the one above it has ended")
            events[key].append(event)
    return events


def read_script_file(file: Path) -> Iterator[tuple[str, Event]]:
    thread, route, now, last_sender = "", "", 0.0, ""
    clock = random.Random(0)
    for number, raw in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        line, where = raw.rstrip(), f"{file.name}:{number}"
        if not line or line.startswith("#"):
            continue
        if header := HEADER.fullmatch(line):
            day, thread, route = header.group(1), header.group(2), header.group(3) or "classic"
            if thread not in THREADS or (route != "classic" and thread not in E2EE_FILES):
                raise ScriptError(f"{where}: no such thread: {line}")
            now = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
            clock, last_sender = random.Random(line), ""  # seeded by the header: editing one session moves no other
        elif gap := GAP.fullmatch(line):
            now += 3600 * int(gap.group(1) or 0) + 60 * int(gap.group(2) or 0)
        elif (spoken := LINE.fullmatch(line)) and thread:
            sender, sign, body = spoken.groups()
            if sender not in THREADS[thread].members:
                raise ScriptError(f"{where}: {sender} is not in {thread}")
            for piece in body.split(" | "):
                event = parse_piece(piece, sender=sender, system=sign == "!")
                pause = 1.2 + 4 * clock.random() if sender == last_sender else 5 + 35 * clock.random()
                now += pause + len(event.text) * (0.06 + 0.05 * clock.random())
                last_sender = sender
                yield thread, replace(event, at=int(now * 1000), in_classic=route != "e2ee", in_e2ee=route != "classic")
        else:
            raise ScriptError(f"{where}: cannot read: {line}")


def parse_piece(piece: str, *, sender: str, system: bool) -> Event:
    """One message: its text or mark, without the reactions written behind it."""
    found = REACTIONS_AT_END.search(piece)
    marks = REACTION.findall(found.group()) if found else []
    reactions = tuple((emoji, actor) for emoji, actors in marks for actor in actors)
    body = piece[: found.start()] if found else piece
    if system:
        return Event(at=0, sender=sender, kind="system", text=body)
    if mark := MARK.fullmatch(body):
        return Event(
            at=0,
            sender=sender,
            kind=mark.group(1),
            argument=mark.group(2) or "",
            text=mark.group(3) or "",
            reactions=reactions,
        )
    return Event(at=0, sender=sender, kind="text", text=body.replace("\\n", "\n"), reactions=reactions)


def classic_message(event: Event, thread: Thread) -> dict[str, Any]:
    """The message as the classic export writes it, still with its text in plain Unicode."""
    message: dict[str, Any] = {"sender_name": PEOPLE[event.sender], "timestamp_ms": event.at}
    message.update(classic_content(event, thread))
    if event.reactions:
        message["reactions"] = [{"reaction": emoji, "actor": PEOPLE[actor]} for emoji, actor in event.reactions]
    message["is_geoblocked_for_viewer"] = False
    message["is_unsent_image_by_messenger_kid_parent"] = False
    return message


def classic_content(event: Event, thread: Thread) -> dict[str, Any]:
    subject = "You" if event.sender == OWNER else PEOPLE[event.sender].split()[0]
    if event.kind in ("text", "system"):
        return {"content": event.text}
    if event.kind in MEDIA:
        return {MEDIA[event.kind][0]: media_items(event, thread)}
    if event.kind == "sticker":
        return {"sticker": {"uri": f"{ROOT}/stickers_used/{event.at // 1000}_n.png", "ai_stickers": []}}
    if event.kind == "share":
        return {"content": event.text or f"{subject} sent an attachment.", "share": {"link": event.argument}}
    if event.kind == "unsent":
        return {"is_unsent": True}
    if event.kind == "reacted":
        return {"content": f"Reacted {event.argument} to your message "}
    return call_content(event, thread)


def call_content(event: Event, thread: Thread) -> dict[str, Any]:
    first_name = PEOPLE[event.sender].split()[0]
    other = PEOPLE[thread.members[0]].split()[0]
    own = event.sender == OWNER
    if event.kind == "missed":
        return {
            "content": f"{other} missed your call." if own else f"You missed a call from {first_name}.",
            "call_duration": 0,
        }
    if thread.is_group:
        content = "The video chat ended."
    else:
        content = f"You called {other}." if own else f"{first_name} called you."
    return {"content": content, "call_duration": int(event.argument)}


def media_items(event: Event, thread: Thread) -> list[dict[str, Any]]:
    field, extension = MEDIA[event.kind]
    folder = {"audio_files": "audio"}.get(field, field)
    taken = event.at // 1000
    if event.kind == "file":
        return [{"uri": f"{ROOT}/{thread.folder}/{folder}/{event.argument}", "creation_timestamp": taken}]
    names = [f"{event.at * 97 + n}_{taken}_n.{extension}" for n in range(int(event.argument or 1))]
    if event.kind == "gif":
        return [{"uri": f"{ROOT}/{thread.folder}/{folder}/{name}"} for name in names]
    return [{"uri": f"{ROOT}/{thread.folder}/{folder}/{name}", "creation_timestamp": taken} for name in names]


def e2ee_message(event: Event) -> dict[str, Any]:
    """The message as the end-to-end-encrypted export writes it."""
    jitter = event.at % 601 - 300  # the two exports never agree to the millisecond on when a message was sent
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"four-friends/{event.at}")
    media = [{"uri": f"./media/{name}.jpeg"}] if event.kind in MEDIA else []
    return {
        "isUnsent": event.kind == "unsent",
        "media": media,
        "reactions": [{"actor": PEOPLE[actor], "reaction": emoji} for emoji, actor in event.reactions],
        "senderName": PEOPLE[event.sender],
        "text": event.text,
        "timestamp": event.at + (jitter if event.in_classic else 0),
        "type": "media" if media else "text",
    }


def mojibake(value: object) -> object:
    """Every string as Messenger writes it: each UTF-8 byte taken for a character of its own."""
    if isinstance(value, str):
        return value.encode("utf-8").decode("latin-1")
    if isinstance(value, list):
        return [mojibake(item) for item in value]
    if isinstance(value, dict):
        return {key: mojibake(item) for key, item in value.items()}
    return value


def write_classic(events: Mapping[str, Sequence[Event]], out: Path) -> None:
    for key, thread in THREADS.items():
        newest_first = [event for event in reversed(events[key]) if event.in_classic]
        cut = thread.newest_in_first_file or len(newest_first)
        for number, part in enumerate((newest_first[:cut], newest_first[cut:]), start=1):
            if not part:
                continue
            document: dict[str, Any] = {
                "participants": [{"name": PEOPLE[member]} for member in thread.members],
                "messages": [classic_message(event, thread) for event in part],
                "title": thread.title,
                "is_still_participant": True,
                "thread_path": thread.folder,
                "magic_words": [],
            }
            if thread.is_group:
                document["joinable_mode"] = {"mode": 1, "link": ""}
            write_json(out / ROOT / thread.folder / f"message_{number}.json", mojibake(document), ascii_only=True)


def write_e2ee(events: Mapping[str, Sequence[Event]], out: Path) -> None:
    for key, name in E2EE_FILES.items():
        document = {
            "participants": [PEOPLE[member] for member in THREADS[key].members],
            "threadName": name.removesuffix(".json"),
            "messages": [e2ee_message(event) for event in reversed(events[key]) if event.in_e2ee],
        }
        write_json(out / name, document, ascii_only=False)


def write_json(file: Path, document: object, *, ascii_only: bool) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=ascii_only, indent=2)
    file.write_text(text, encoding="utf-8", newline="\n")


def build(*, script: Path, out: Path) -> None:
    """Writes both exports below `out`, replacing what an earlier build left there. Raises ScriptError."""
    events = read_script(script)  # read all before touching the old files
    for folder in (CLASSIC_DIR, E2EE_DIR):
        shutil.rmtree(out / folder, ignore_errors=True)
    write_classic(events, out / CLASSIC_DIR)
    write_e2ee(events, out / E2EE_DIR)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the bundled sample chat from its script.")
    parser.add_argument("--script", type=Path, default=HERE / "script", help="folder of *.txt files")
    parser.add_argument("--out", type=Path, default=HERE, help="where the two export folders are written")
    options = parser.parse_args()
    try:
        build(script=options.script, out=options.out)
    except ScriptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
