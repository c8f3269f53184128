"""Which turns of a session are worth their tokens: the chosen speakers' own, and enough context before each of them.

In a busy channel a person speaks once in a while; turns far from any of theirs teach nothing and cost most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence


def worthwhile(learn: Sequence[bool], costs: Sequence[int], context_tokens: int) -> list[tuple[int, int]]:
    """Half-open ranges of turns to keep, in order and without overlap.

    A turn is kept if it is learned, or if fewer than `context_tokens` tokens lie between it and the next learned turn.
    `costs` are the turns' tokens.
    """
    kept = [False] * len(learn)
    budget = 0
    for index in range(len(learn) - 1, -1, -1):
        if learn[index]:
            kept[index], budget = True, context_tokens
        elif budget > 0:
            kept[index] = True
            budget -= costs[index]
    ranges: list[tuple[int, int]] = []
    for index, keep in enumerate(kept):
        if not keep:
            continue
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return ranges


def heldout_start(learned: Sequence[int], share: float) -> int:
    """Index of the first held-out session of one conversation, given how many learned turns each session has.

    The held-out part is the newest sessions, as few as hold at least `share` of all learned turns, and never more than
    half of the sessions. `len(learned)` (nothing held out) when there are fewer than two sessions.
    """
    if len(learned) < 2 or share <= 0:
        return len(learned)
    wanted = share * sum(learned)
    start, held = len(learned), 0
    while held < wanted and start - 1 >= (len(learned) + 1) // 2:
        start -= 1
        held += learned[start]
    return start


def heldout_cut(learn: Sequence[bool], sent_ms: Sequence[int], *, wanted: int, most: int) -> int | None:
    """Index of the first held-out turn within one session, of which `wanted` to `most` learned turns are held out.

    The cut is where somebody else speaks first, so that what is scored has its context, and there at the longest
    silence. None where there is no place.
    """
    best: tuple[tuple[bool, int], int] | None = None
    held = 0
    for index in range(len(learn) - 1, 0, -1):
        held += learn[index]
        if held > most:
            break
        rank = (not learn[index], sent_ms[index] - sent_ms[index - 1])
        if held >= max(1, wanted) and (best is None or rank > best[0]):
            best = (rank, index)
    return best[1] if best else None
