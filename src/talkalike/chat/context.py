"""What the model sees of a conversation, what it does not see, and why: one pure function.

The newest turns that fit a token budget are kept, without holes. Where something has to go, more goes than needed
(down to `REFILL` of the budget): the beginning of the prompt then stays in place for the next replies, and an engine
that caches prefixes has to read new tokens only. Pinned turns stay whatever their age, up to a share of the budget. One
message gets at most half of the budget, as in training: a longer one loses the middle of its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from talkalike.errors import UserError
from talkalike.examples.fitting import CountTokens, shorten
from talkalike.examples.render import Turn

REFILL = 0.75  # share of the budget that is filled when turns have to go
STAY = 0.5  # a remembered beginning is given up when it fills less than this share (the budget was raised)
PINNED = 0.5  # share of the budget that pinned turns may fill: the conversation itself needs the rest
LONGEST = 0.5  # share of the budget that one message may fill
SHORT = 64  # tokens that it may fill in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextItem:
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
        """How many turns were left out because the token budget was used up."""
        return sum(not placed.barred for placed in self.left_out)


def select(items: Sequence[ContextItem], *, budget: int, count_tokens: CountTokens, start: str | None = None) -> Seen:
    """The newest of `items` (oldest first) that cost at most `budget` tokens; the newest one is always kept.

    `start` is the id of the oldest turn of the last prompt; as long as everything from there on fits, the prompt
    begins there again. Pinned turns are kept besides, up to half of the budget.
    Raises UserError where the budget is too small even for an empty message.
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
    left = budget - _pin(placed, pinned, limit=int(PINNED * budget))
    aged = [index for index in allowed if not items[index].pinned or index == newest]
    shown = _shorten_long(
        placed, aged, budget=left, longest=max(SHORT, int(LONGEST * budget)), count_tokens=count_tokens
    )
    sums = _sums_from_newest([shown.get(index, placed[index]).tokens for index in aged])
    first = _first_kept([items[index].id for index in aged], sums, budget=left, start=start)
    for position, index in enumerate(aged):
        if position >= first:
            one = shown.get(index, placed[index])
            gone, whole = len(placed[index].turn.text) - len(one.turn.text), len(placed[index].turn.text)
            cut = f", its middle left out ({gone:,} of {whole:,} characters)" if gone else ""
            placed[index] = replace(one, why=f"within {words}{cut}")
        elif sums[position] > left:
            placed[index] = replace(placed[index], why=f"over {words}")
        else:
            why = f"left out early to leave tokens for the next messages within {words}"
            placed[index] = replace(placed[index], why=why)
    members = frozenset(aged[first:]) | {index for index in pinned if placed[index].pinned}
    return Seen(
        kept=tuple(one for index, one in enumerate(placed) if index in members),
        left_out=tuple(one for index, one in enumerate(placed) if index not in members),
        budget=budget,
    )


def _shorten_long(
    placed: Sequence[Placed], aged: Sequence[int], *, budget: int, longest: int, count_tokens: CountTokens
) -> dict[int, Placed]:
    """The recent turns that are too long, each shortened, by their place in `placed`."""
    limit, left = min(budget, longest), budget
    found: dict[int, Placed] = {}
    for index in reversed(aged):
        one = placed[index]
        if one.tokens > limit:
            turn = shorten(one.turn, limit, count_tokens)
            one = found[index] = replace(one, turn=turn, tokens=count_tokens((turn,))[0])
        left -= one.tokens
        if left < 0 and index == aged[-1]:
            raise UserError(
                f"The context budget of {budget:,} tokens is too small for a single message.",
                hint="Raise the context budget, or lower the reply's longest length (max tokens).",
            )
        if left < 0:
            break
    return found


def _pin(placed: list[Placed], pinned: Sequence[int], *, limit: int) -> int:
    """Keeps pinned turns of at most `limit` tokens, oldest first (a persona before all); returns what they cost."""
    spent = 0
    for index in pinned:
        one = placed[index]
        if spent + one.tokens <= limit:
            placed[index] = replace(one, why="pinned", pinned=True)
            spent += one.tokens
        else:
            placed[index] = replace(one, why=f"pinned, but all pinned turns may cost {limit:,} tokens together")
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
