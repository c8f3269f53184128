"""What the model sees of a conversation, what it does not see, and why: one pure function.

The newest turns that fit a token budget are kept, without holes. Where something has to go, more goes than needed
(down to `REFILL` of the budget): the beginning of the prompt then stays in place for the next replies, and an engine
that caches prefixes has to read new tokens only. Pinned turns stay whatever their age, up to a share of the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from talkalike.errors import UserError
from talkalike.examples.render import Turn

REFILL = 0.75  # share of the budget that is filled when turns have to go
STAY = 0.5  # a remembered beginning is given up when it fills less than this share (the budget was raised)
PINNED = 0.5  # share of the budget that pinned turns may fill: the conversation itself needs the rest
WORD_SEARCH = 30  # characters within which a cut text is moved on to the beginning of a word

CountTokens = Callable[[tuple[Turn, ...]], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A turn that may be shown to the model. `barred` says in words why it must not be; empty means it may.

    `pinned`: to be kept whatever its age.
    """

    id: str
    turn: Turn
    barred: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A turn with its cost in tokens and the reason why it is in or out. `turn` is what the model reads."""

    id: str
    turn: Turn
    tokens: int
    why: str
    barred: bool = False  # out whatever the budget
    pinned: bool = False  # in whatever its age


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one reply saw and what was left out, both oldest first; together they are all items there were."""

    kept: tuple[Placed, ...]
    left_out: tuple[Placed, ...]
    budget: int

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the prompt."""
        return tuple(placed.turn for placed in self.kept)

    @property
    def tokens(self) -> int:
        """What the kept turns cost; never more than the budget."""
        return sum(placed.tokens for placed in self.kept)

    @property
    def start(self) -> str | None:
        """The id of the oldest turn that is in for its age alone: where the prompt begins, pinned turns aside."""
        return next((placed.id for placed in self.kept if not placed.pinned), None)

    @property
    def crowded_out(self) -> int:
        """How many turns were left out for want of room."""
        return sum(not placed.barred for placed in self.left_out)


def select(items: Sequence[Item], *, budget: int, count_tokens: CountTokens, start: str | None = None) -> Seen:
    """The newest of `items` (oldest first) that cost at most `budget` tokens; the newest one is always kept.

    `start` is the id of the oldest turn of the last prompt; as long as everything from there on fits, the prompt
    begins there again. Pinned turns are kept besides, up to half of the budget. A newest turn that exceeds the rest
    alone loses the beginning of its text.
    Raises UserError where the budget has no room even for an empty message.
    """
    costs = count_tokens(tuple(item.turn for item in items)) if items else []
    placed = [
        Placed(id=item.id, turn=item.turn, tokens=cost, why=item.barred, barred=bool(item.barred))
        for item, cost in zip(items, costs, strict=True)
    ]
    allowed = [index for index, item in enumerate(items) if not item.barred]
    if not allowed:
        return Seen(kept=(), left_out=tuple(placed), budget=budget)
    newest = allowed[-1]
    words = f"the budget of {budget:,} tokens"
    pinned = [index for index in allowed[:-1] if items[index].pinned]
    room = budget - _pin(placed, pinned, room=int(PINNED * budget))
    aged = [index for index in allowed if not items[index].pinned or index == newest]
    within = f"within {words}"
    too_long = placed[newest].tokens > room
    if too_long:
        whole = len(placed[newest].turn.text)
        placed[newest] = _cut_front(placed[newest], room, count_tokens)
        cut = f"{whole - len(placed[newest].turn.text):,} of {whole:,} characters left out"
        within = f"the newest message, its beginning cut to fit {words} ({cut})"
    sums = _sums_from_newest([placed[index].tokens for index in aged])
    ids = [items[index].id for index in aged]
    first = len(ids) - 1 if too_long else _first_kept(ids, sums, budget=room, start=start)
    for position, index in enumerate(aged):
        if position >= first:
            why = within
        elif too_long or sums[position] > room:
            why = f"over {words}"
        else:
            why = f"let go early to make room for the next messages within {words}"
        placed[index] = replace(placed[index], why=why)
    members = frozenset(aged[first:]) | {index for index in pinned if placed[index].pinned}
    return Seen(
        kept=tuple(one for index, one in enumerate(placed) if index in members),
        left_out=tuple(one for index, one in enumerate(placed) if index not in members),
        budget=budget,
    )


def _pin(placed: list[Placed], pinned: Sequence[int], *, room: int) -> int:
    """Keeps the pinned turns that fit into `room`, oldest first (a persona before all); returns what they cost."""
    spent = 0
    for index in pinned:
        one = placed[index]
        if spent + one.tokens <= room:
            placed[index] = replace(one, why="pinned", pinned=True)
            spent += one.tokens
        else:
            placed[index] = replace(one, why=f"pinned, but all pinned turns have {room:,} tokens together")
    return spent


def _sums_from_newest(costs: Sequence[int]) -> list[int]:
    """For each position, what it and everything newer cost."""
    sums: list[int] = []
    total = 0
    for cost in reversed(costs):
        total += cost
        sums.append(total)
    return sums[::-1]


def _first_kept(ids: Sequence[str], sums: Sequence[int], *, budget: int, start: str | None) -> int:
    if sums[0] <= budget:
        return 0
    if start in ids:
        position = ids.index(start)
        if STAY * budget <= sums[position] <= budget:
            return position
    last = len(sums) - 1
    return next((position for position in range(last) if sums[position] <= REFILL * budget), last)


def _cut_front(newest: Placed, budget: int, count_tokens: CountTokens) -> Placed:
    """The end of the text that fits. Work is bounded by the budget, not by the length of the text."""
    text, speaker = newest.turn.text, newest.turn.speaker

    def cost(characters: int) -> int:
        return count_tokens((Turn(speaker, text[len(text) - characters :]),))[0]

    if cost(0) > budget:
        raise UserError(
            f"The context budget of {budget:,} tokens has no room for a single message.",
            hint="Raise the context budget, or lower the reply's longest length (max tokens).",
        )
    fits, too_long = 0, max(1, budget)
    while too_long < len(text) and cost(too_long) <= budget:
        fits, too_long = too_long, too_long * 2
    too_long = min(too_long, len(text))
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if cost(middle) <= budget else (fits, middle)
    # Where a word begins soon, start there; fewer characters can cost more tokens, so it is counted again.
    for skipped in range(1, min(WORD_SEARCH, fits // 2)):
        if text[len(text) - fits + skipped - 1].isspace():
            fits = fits - skipped if cost(fits - skipped) <= budget else fits
            break
    return replace(newest, turn=Turn(speaker, text[len(text) - fits :]), tokens=cost(fits))
