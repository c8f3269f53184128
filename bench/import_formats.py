"""Import speed and memory of every format, one JSON line each; and 20,000 mutated exports.

The same chat of four people is written in each format into a zip; each import runs in a process of its own, so that its
peak memory is its own. `--mutated N` reads damaged exports instead and tells what was raised, which should be nothing.
Where chat-miner is installed, the number of messages that it reads of the same file is told beside it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from import_messenger import _peak_mb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

_WORDS = ("ahoj", "jak", "se", "máš", "dneska", "večer", "jdeme", "ven", "😂", "super", "jo", "uvidíme", "ok", "haha")
_NAMES = ("Anna Nováková", "Ben Kučera", "Žofie Malá", "Dan Říha")


def write_export(path: Path, form: str, messages: int) -> None:
    """A zip with so many messages in one format."""
    from format_writers import WRITERS  # tests/ is on the path by now

    chance = random.Random(0)
    said = []
    sent = 1_500_000_000
    for _ in range(messages):
        sent += chance.randrange(1, 200)
        said.append((chance.choice(_NAMES), sent, " ".join(chance.choices(_WORDS, k=chance.randrange(1, 16)))))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, content in WRITERS[form](said).items():
            file.writestr(name, content)


def _import(export: Path, workspace: Path) -> None:
    from talkalike.chats.archive import Archive  # in the measured process only
    from talkalike.chats.importing import import_paths

    start = time.perf_counter()
    report = import_paths([export], archive=Archive(workspace / "chats"))
    seconds = time.perf_counter() - start
    told = {"messages": report.new, "seconds": round(seconds, 2), "peak_rss_mb": round(_peak_mb())}
    told["cpu_seconds"] = round(time.process_time(), 2)  # with the start of Python; what a busy machine leaves as it is
    print(json.dumps({**told, "messages_per_s": round(report.new / seconds)}))


def mutate(count: int) -> dict[str, object]:
    """What reading so many damaged exports raised, by the format and the error."""
    from mutations import exports, mutated, read  # tests/ is on the path by now

    whole = exports()
    names = sorted(whole)
    raised = Counter[str]()
    messages = 0
    start = time.perf_counter()
    for seed in range(count):
        name = names[seed % len(names)]
        try:
            messages += read(mutated(whole[name], random.Random(seed)))[0]
        except Exception as error:  # noqa: BLE001  # whatever is raised is what is looked for
            raised[f"{name}: {type(error).__name__}"] += 1
    seconds = round(time.perf_counter() - start, 1)
    return {
        "mutated": count,
        "raised": dict(raised),
        "messages": messages,
        "seconds": seconds,
        "peak_rss_mb": round(_peak_mb()),
    }


def independent(form: str, files: dict[str, bytes], folder: Path) -> int | None:
    """How many messages another parser reads of the same files; None where it is not installed or reads others."""
    parsers = {"whatsapp": "WhatsAppParser", "telegram": "TelegramJsonParser", "instagram": "InstagramJsonParser"}
    if form not in parsers:
        return None
    try:
        module = importlib.import_module("chatminer.chatparsers")
    except ImportError:
        return None
    path = folder / "export"
    path.write_bytes(next(iter(files.values())))
    parser = getattr(module, parsers[form])(str(path))
    parser.parse_file()
    return len(parser.parsed_messages.get_df())


def main() -> None:
    """Write, import and measure each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", help="names of formats; all of them by default")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--mutated", type=int, default=0, metavar="N")
    parser.add_argument("--import-only", nargs=2, type=Path, metavar=("EXPORT", "WORKSPACE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.import_only:
        _import(*arguments.import_only)
        return
    if arguments.mutated:
        print(json.dumps(mutate(arguments.mutated)))
        return
    from format_writers import WRITERS  # tests/ is on the path by now

    for form in arguments.formats or WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            export, workspace = Path(folder, "export.zip"), Path(folder, "workspace")
            write_export(export, form, arguments.messages)
            command = [sys.executable, __file__, "--import-only", str(export), str(workspace)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = {"format": form, **json.loads(done.stdout)}
            with zipfile.ZipFile(export) as file:
                files = {name: file.read(name) for name in file.namelist()}
            other = independent(form, files, Path(folder))
            print(json.dumps({**found, **({"chat_miner_messages": other} if other is not None else {})}), flush=True)


if __name__ == "__main__":
    main()
