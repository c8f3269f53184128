"""How long a person waits for a command to start: `--help`, and the first word of a chat from a cold process."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds_of_help(rounds: int) -> float:
    """Median wall time of `talkalike --help`."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "talkalike.cli.main", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def seconds_to_first_word(workspace: Path, rounds: int) -> float:
    """Median time from starting `talkalike chat` in a terminal until the reply's first word."""
    times = []
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "talkalike.cli.main", "chat", "-w", str(workspace), "--seed", "1"]
    for _ in range(rounds):
        ours, its = pty.openpty()
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
            os.close(its)
            os.write(ours, b"hi there, how are you?\n")
            screen = ""
            while not _answered(screen):
                screen += os.read(ours, 4096).decode(errors="replace")
            times.append(time.perf_counter() - start)
            process.kill()
        os.close(ours)
    return statistics.median(times)


def _answered(screen: str) -> bool:
    """Whether a word of the double stands on the screen, whose name the greeting tells."""
    greeting = re.search(r"talks like (.+?)\s+\(", screen)
    return greeting is not None and re.search(rf"^{re.escape(greeting[1])}: \S", screen, re.MULTILINE) is not None


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, help="one with a model, for the chat's start")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = {"help_seconds": round(seconds_of_help(options.rounds), 3), "wanted_help_seconds": 0.4}
    if options.workspace:
        result["chat_first_word_seconds"] = round(seconds_to_first_word(options.workspace, options.rounds), 2)
        result["wanted_chat_first_token_seconds"] = 6.0
    print(json.dumps(result))


if __name__ == "__main__":
    main()
