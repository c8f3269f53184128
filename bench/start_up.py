"""How long a person waits for a command to start: `--help`, and the first word of a chat from a cold process."""

from __future__ import annotations

import argparse
import json
import os
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


def seconds_to_first_reply(workspace: Path, rounds: int) -> float:
    """Median time from starting `talkalike chat` on a pipe until the first reply's first word."""
    times = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # else a pipe gets everything at the end
    command = [sys.executable, "-m", "talkalike.cli.main", "chat", "-w", str(workspace), "--seed", "1"]
    for _ in range(rounds):
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdin and process.stdout
            process.stdin.write(b"hi there, how are you?\n")
            process.stdin.close()
            process.stdout.read(1)
            times.append(time.perf_counter() - start)
            process.stdout.read()
    return statistics.median(times)


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, help="one with a model, for the chat's start")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = {"help_seconds": round(seconds_of_help(options.rounds), 3), "wanted_help_seconds": 0.4}
    if options.workspace:
        result["chat_first_reply_seconds"] = round(seconds_to_first_reply(options.workspace, options.rounds), 2)
        result["wanted_chat_first_token_seconds"] = 6.0
    print(json.dumps(result))


if __name__ == "__main__":
    main()
