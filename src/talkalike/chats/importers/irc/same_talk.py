"""One channel under two folders: a second network, or a second computer that logged the same talk?

A folder above a log is a network's in most layouts, but people also keep `laptop/#c.log` beside `server/#c.log`. Where
a folder's name is no network that is known, the talk itself decides: the same people said the same things.
"""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.chats.importers.irc.lines import LineKind
from talkalike.chats.importers.irc.paths import is_network
from talkalike.chats.importers.irc.survey import Survey
from talkalike.chats.importers.irc.text import lines_of
from talkalike.chats.importers.protocol import Findings

Windows = dict[tuple[str, str], list[Survey]]

_TELLING = 6  # letters a message must have: "ok" is said everywhere
_COMMON, _SHARE = 3, 0.3  # messages two logs must share, and of all in the smaller one


def merge_windows(windows: Windows, findings: Findings) -> Windows:
    """The windows, with those joined that tell the same talk under folders that need not be networks."""
    networks: dict[str, list[str]] = {}
    for network, window in windows:
        networks.setdefault(window, []).append(network)
    joined = dict(windows)
    for window, names in networks.items():
        if len(names) == 1 or all(map(is_network, names)):
            continue
        # A network that is known keeps its name, then one that is named at all.
        first = sorted(names, key=lambda name: (not is_network(name), not name, name))
        said = {name: _fingerprints(joined[name, window]) for name in first}
        for at, name in enumerate(first):
            others = (other for other in first[:at] if (other, window) in joined and not _both_known(name, other))
            same = next((other for other in others if _same(said[name], said[other])), None)
            if same is not None:
                joined[same, window] = [*joined[same, window], *joined.pop((name, window))]
                said[same] |= said[name]
                findings.notes.append(
                    f"{window} under {name or 'no folder'} and under {same or 'no folder'} is the same "
                    "conversation: the logs were merged."
                )
    return joined


def _both_known(one: str, other: str) -> bool:
    return is_network(one) and is_network(other)


def _same(one: set[int], other: set[int]) -> bool:
    common = len(one & other)
    return common >= max(_COMMON, _SHARE * min(len(one), len(other)))


def _fingerprints(surveys: Sequence[Survey]) -> set[int]:
    """Who said what, as numbers."""
    found = set()
    for survey in surveys:
        parse = survey.parse
        for text in lines_of(survey.entry, survey.encoding):
            line = parse(text)
            if line is not None and line.kind is LineKind.MESSAGE and len(line.text) >= _TELLING:
                found.add(hash((line.nick.lower(), line.text)))
    return found
