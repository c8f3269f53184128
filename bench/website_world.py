"""The other processes of `website.py`: one fills a database with judgements, one is the website over it.

    DATABASE_URL=... python bench/website_world.py fill JUDGEMENTS      prints what is in it, as JSON
    DATABASE_URL=... python bench/website_world.py serve WORKSPACE      prints its port, ends with its input

The rows go in past the functions that judge, which would take half a day; every count that is kept beside the
judgements is made to agree with them.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

from talkalike.cli.web import site_store, web
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.website.services import SiteSettings

MODELS = tuple(f"double-{number}" for number in range(6))
SIDES = tuple(combinations(range(len(MODELS)), 2))  # the pairs that one context gives
JUDGES = 200  # who judged before
DAYS = 200
BATCH = 2000  # pairs of a batch that is done: the most that the site's form makes
WAITING = 5000  # pairs of the open batch that nobody judged, at the least
CHOICES = ("a", "b", "tie", "both_bad", "skip")
WEIGHTS = (40, 30, 20, 10, 3)
SCALES = ("sounds_like_me", "helpful", "honest", "harmless")
PASSWORD = "correct horse battery 9"
VISITORS = "judge-{}"
VIEWER = "anna"


@dataclass(slots=True, kw_only=True)
class World:
    """What is made: `pairs` of which the last `open_pairs` are those of the open batch; counts as they grow."""

    judgements: int
    random: random.Random = field(default_factory=lambda: random.Random(20))
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None, microsecond=0))
    tallies: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    agreement: Counter[tuple[str, str]] = field(default_factory=Counter)
    assignments: list[tuple[Any, ...]] = field(default_factory=list)
    pairs: list[tuple[Any, ...]] = field(default_factory=list)
    scores: dict[tuple[int, str], Counter[str]] = field(default_factory=dict)
    made: int = 0  # judgements

    @property
    def done(self) -> int:
        """Pairs in batches whose names are known."""
        return max(BATCH, self.judgements * 4 // 10)

    @property
    def batches(self) -> int:
        """How many of those there are; the open one comes after them."""
        return -(-self.done // BATCH)

    @property
    def judged(self) -> int:
        """The same, and those of the open batch that somebody judged."""
        return self.done + self.judgements // 10

    @property
    def count(self) -> int:
        """All pairs."""
        return self.judged + max(WAITING, self.judgements // 10)

    def at(self, number: int) -> datetime:
        """When judgement `number` was given: evenly over the last days, until yesterday."""
        return self.now - timedelta(days=1 + DAYS * (1 - number / self.judgements))


def items_of(pair: int) -> tuple[int, int]:
    """The two items of a pair: what two of the models said to the same context."""
    context, sides = divmod(pair - 1, len(SIDES))
    one, two = SIDES[sides]
    return context * len(MODELS) + one + 1, context * len(MODELS) + two + 1


def model_of(item: int) -> str:
    """The model that gave it."""
    return MODELS[(item - 1) % len(MODELS)]


def items(world: World) -> Iterator[tuple[Any, ...]]:
    """Replies of every model to each context."""
    contexts = -(-world.count // len(SIDES))
    for number in range(1, contexts * len(MODELS) + 1):
        context = (number - 1) // len(MODELS)
        turns = [["Ben" if turn % 2 else "Cleo", f"Line {turn} of {context}: how was your day?"] for turn in range(8)]
        said = [f"Number {number}, it was fine, thanks", "and yours?"]
        yield number, f"{number:032x}", model_of(number), json.dumps(turns), json.dumps(said), world.now


def comparisons(world: World) -> Iterator[tuple[Any, ...]]:
    """A judgement of each pair by one, or two, people; 5 % again by the same. Their counts are kept in `world`."""
    chance = world.random
    for pair in range(1, world.count + 1):
        batch = min(world.batches + 1, (pair - 1) // BATCH + 1) if pair <= world.done else world.batches + 1
        wanted = 1 + (chance.random() < 0.15)
        # In the open batch, half of the second opinions are missing.
        people = 0 if pair > world.judged else wanted if batch <= world.batches else chance.randint(1, wanted)
        votes: Counter[str] = Counter()
        last = 0
        for judge in chance.sample(range(1, JUDGES + 1), people):
            rounds = (0, 1) if chance.random() < 0.05 else (0,)
            said = []
            for round_ in rounds:
                choice, first = chance.choices(CHOICES, WEIGHTS)[0], chance.random() < 0.5
                said.append(choice)
                yield compared(world, pair=pair, judge=judge, round_=round_, choice=choice, first=first)
                world.assignments.append((judge, batch, pair, round_, first, 0, True))
            if len(said) == 2 and "skip" not in said:
                value = "same" if said[0] == said[1] else "differs"
                world.tallies["2000-01-01", "human", "consistency", "", "", "", value, -1] += 1
            if said[0] != "skip":
                votes[said[0]] += 1
                last = judge
        judged = votes.total()
        unsure = chance.random()
        missing = max(0, wanted - judged)
        counts = json.dumps(dict(sorted(votes.items())))
        key = f"{pair:032x}"
        row = (pair, key, batch, *items_of(pair), False, unsure, unsure + 0.5, wanted, missing, judged, last, counts)
        world.pairs.append((*row, world.now))
        agree(world, "", votes)


def compared(world: World, *, pair: int, judge: int, round_: int, choice: str, first: bool) -> tuple[Any, ...]:
    """One of them, counted."""
    at = begin(world)
    models = [model_of(item) for item in items_of(pair)]  # in alphabetical order, as tallies have them
    shown_first = int((choice == "a") == first) if choice in ("a", "b") else -1
    kind = "repeat" if round_ else "comparison"
    world.tallies[str(at.date()), "human", kind, "", *models, choice, shown_first] += 1
    seconds = world.random.lognormvariate(2, 0.6)
    return world.made, judge, "comparison", None, pair, "", round_, None, choice, "", first, seconds, "web", at


def ratings(world: World) -> Iterator[tuple[Any, ...]]:
    """As many as are missing to the number of judgements, all about a fifth of the replies. Their counts are kept."""
    rated = max(1, world.count // len(SIDES) * len(MODELS) // 5)
    for number in range(world.judgements - world.made):
        again, item = divmod(number, rated)
        scale, judge = SCALES[again % len(SCALES)], 1 + (item * 7 + again * 13) % JUDGES
        value = world.random.choices(range(1, 6), (1, 2, 3, 4, 3))[0]
        at = begin(world)
        world.tallies[str(at.date()), "human", "rating", scale, model_of(item + 1), "", str(value), -1] += 1
        world.scores.setdefault((item + 1, scale), Counter())[str(value)] += 1
        seconds = world.random.lognormvariate(2, 0.6)
        yield world.made, judge, "rating", item + 1, None, scale, 0, value, "", "", None, seconds, "web", at


def scores(world: World) -> Iterator[tuple[Any, ...]]:
    """The ratings of each reply on each scale."""
    for (item, scale), votes in world.scores.items():
        count, total = votes.total(), sum(int(value) * times for value, times in votes.items())
        agree(world, scale, votes)
        counts = json.dumps(dict(sorted(votes.items())))
        yield item, scale, "human", counts, count, total / count, (total + 6) / (count + 2)


def begin(world: World) -> datetime:
    """Numbers a judgement."""
    world.made += 1
    return world.at(world.made)


def agree(world: World, scale: str, votes: Counter[str]) -> None:
    """Counts how a pair or reply was judged, where two or more judged it."""
    if votes.total() > 1:
        world.agreement[scale, " ".join(f"{name}:{count}" for name, count in sorted(votes.items()))] += 1


# -------------------------------------------------------------------------------------------------------- the database
def fill(judgements: int, visitors: int) -> dict[str, Any]:
    """Fills an empty database; returns what the measurements need to know. Runs in the store's thread."""
    from talkalike.store.tables import judging_tables as tables

    world = World(judgements=judgements)
    judged = [(n, f"judge-{n:05}", "human", "judge", world.now, world.now) for n in range(1, JUDGES + 1)]
    put(tables.Judge, "id pseudonym kind group consent_at made_at", judged)
    put(tables.Item, "id key model context messages made_at", items(world), SPEAKER)
    names = [(n + 1, f"Batch {n + 1}", "revealed", n, world.now) for n in range(world.batches)]
    names.append((world.batches + 1, "The open one", "open", 7, world.now))
    put(tables.Batch, "id name state seed made_at", names, {"server_id": 0, "scores": "{}"})
    said = list(comparisons(world))  # before the pairs, whose counts they make; the pairs must be there before them
    columns = "id key batch_id a_id b_id a_first spread unsure wanted missing judged last_judge_id votes made_at"
    put(tables.Pair, columns, world.pairs)
    columns = "id judge_id type item_id pair_id scale round value choice text a_first seconds face at"
    put(tables.Judgement, columns, said)
    put(tables.Judgement, columns, ratings(world))
    put(tables.Assignment, "judge_id batch_id pair_id round a_first after done", world.assignments)
    put(tables.ItemScore, "item_id scale kind votes count mean rank", scores(world))
    columns = "day kind type scale model_a model_b value first count"
    put(tables.Tally, columns, ((*key, count) for key, count in world.tallies.items()))
    put(tables.Agreement, "scale votes count", ((*key, count) for key, count in world.agreement.items()))
    settle()
    make_people(visitors)
    return {"judgements": world.made, "pairs": len(world.pairs), "batch": world.batches + 1}


SPEAKER = {"server_id": 0, "origin": "web", "speaker": "Anna", "sampling": "{}", "may_train": True}


def put(table: Any, names: str, rows: Iterable[Sequence[Any]], same: dict[str, Any] | None = None) -> None:
    """Inserts rows, of the columns `names`; `same` are columns that have one value in all of them."""
    from django.db import connection, transaction

    fixed = same or {}
    quoted = ", ".join(f'"{name}"' for name in (*names.split(), *fixed))
    whole = ((*row, *fixed.values()) for row in rows)
    name = table._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f'COPY "{name}" ({quoted}) FROM STDIN') as copy:
                for row in whole:
                    copy.write_row(row)
            return
        marks = ", ".join("?" * len(quoted.split(", ")))
        texts = ([str(value) if isinstance(value, datetime) else value for value in row] for row in whole)
        connection.connection.executemany(f'INSERT INTO "{name}" ({quoted}) VALUES ({marks})', texts)


def settle() -> None:
    """Postgres: numbers go on after those that were given, and it knows its tables, as it does after a while."""
    from django.core.management.color import no_style
    from django.db import connection

    from talkalike.store.tables import judging_tables as tables

    given = [tables.Judge, tables.Item, tables.Batch, tables.Pair, tables.Judgement]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), given):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")


def make_people(visitors: int) -> None:
    """The owner, and those who judge. One password, made once, for all: it is slow to make on purpose."""
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import Group, User

    from talkalike.website.accounts import make_groups

    make_groups()
    password = make_password(PASSWORD)
    groups = {group.name: group for group in Group.objects.all()}
    for name in (VIEWER, *map(VISITORS.format, range(visitors))):
        user = User.objects.create(username=name, password=password)
        user.groups.add(groups["owner" if name == VIEWER else "judge"])


# ---------------------------------------------------------------------------------------------------------- the website
def serve(root: Path) -> None:
    """As `talkalike serve --web` does, without a model to talk to; until the input ends."""
    opened, settings = open_workspace(root), SiteSettings(name="Anna")

    async def run() -> None:
        from talkalike.engine.listening import open_socket

        listening = open_socket("127.0.0.1", 0)
        print(listening.getsockname()[1], flush=True)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(sys.stdin, stop.set)
        await web(opened, store, listening=listening, stop=stop, settings=settings)

    with site_store(opened, settings) as store:
        asyncio.run(run())


def main() -> None:
    """See the file's head."""
    what, workspace, *numbers = sys.argv[1:]
    if what == "serve":
        serve(Path(workspace))
        return
    opened = open_workspace(Path(workspace))
    with site_store(opened, SiteSettings()) as store:
        print(json.dumps({"database": database_url(opened).partition(":")[0], **store.call(fill, *map(int, numbers))}))


if __name__ == "__main__":
    main()
