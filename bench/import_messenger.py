"""Import speed and memory on synthetic Messenger exports, one JSON line per size.

The export is written to a temporary folder (threads of 10,000 messages a file, newest first, double-encoded as
Facebook does); each import runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MESSAGES_PER_FILE = 10_000
FILES_PER_THREAD = 5
_WORDS = (
    "ahoj",
    "jak",
    "se",
    "máš",
    "dneska",
    "večer",
    "jdeme",
    "ven",
    "😂",
    "super",
    "jo",
    "uvidíme",
    "ok",
    "haha",
    "later",
)
_NAMES = ("Anna Nováková", "Ben Kučera", "Žofie Malá", "Dan Říha")


def write_export(root: Path, messages: int, *, seed: int = 0) -> None:
    """A synthetic export of so many messages under `root`."""
    chance = random.Random(seed)
    sent_ms = 1_600_000_000_000
    left, thread = messages, 0
    while left:
        folder = root / "your_facebook_activity" / "messages" / "inbox" / f"thread_{thread:05}"
        folder.mkdir(parents=True)
        names = [_NAMES[0], _NAMES[1 + thread % 3]] if thread % 4 else list(_NAMES)
        for number in range(1, FILES_PER_THREAD + 1):
            size = min(MESSAGES_PER_FILE, left)
            if not size:
                break
            left -= size
            found = []
            for _ in range(size):
                sent_ms += chance.randrange(1, 60_000)
                found.append(_message(chance, names, sent_ms))
            content = {
                "participants": [{"name": _double_encoded(name)} for name in names],
                "messages": found[::-1],
                "title": _double_encoded(names[-1]),
                "is_still_participant": True,
                "thread_path": f"inbox/{folder.name}",
            }
            (folder / f"message_{number}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
        thread += 1


def _message(chance: random.Random, names: list[str], sent_ms: int) -> dict[str, object]:
    message: dict[str, object] = {"sender_name": _double_encoded(chance.choice(names)), "timestamp_ms": sent_ms}
    kind = chance.random()
    if kind < 0.94:
        message["content"] = _double_encoded(" ".join(chance.choices(_WORDS, k=chance.randrange(1, 16))))
    elif kind < 0.98:
        message["photos"] = [{"uri": f"messages/photos/{sent_ms}.jpg", "creation_timestamp": sent_ms // 1000}]
    else:
        message["sticker"] = {"uri": "messages/stickers_used/1.png", "ai_stickers": []}
    if chance.random() < 0.1:
        message["reactions"] = [{"reaction": _double_encoded("❤"), "actor": _double_encoded(names[0])}]
    message["is_geoblocked_for_viewer"] = False
    return message


def _double_encoded(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _import(export: Path, workspace: Path) -> None:
    from talkalike.chats.archive import Archive
    from talkalike.chats.importing import import_paths

    start = time.perf_counter()
    report = import_paths([export], archive=Archive(workspace / "chats"))
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "messages": report.new,
                "seconds": round(seconds, 2),
                "peak_rss_mb": round(_peak_mb()),
                "messages_per_s": round(report.new / seconds),
            }
        )
    )


def _peak_mb() -> float:
    """This process's peak resident memory. Not getrusage where avoidable: on Linux it includes the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Write, import and measure each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[100_000, 1_000_000], help="numbers of messages")
    parser.add_argument("--import-only", nargs=2, type=Path, metavar=("EXPORT", "WORKSPACE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.import_only:
        _import(*arguments.import_only)
        return
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            export, workspace = Path(folder, "export"), Path(folder, "workspace")
            write_export(export, size)
            command = [sys.executable, __file__, "--import-only", str(export), str(workspace)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
