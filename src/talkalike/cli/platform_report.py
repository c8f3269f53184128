"""What `import` and `prepare` show of lines that look like the platform's own words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from talkalike.chats.platform_lines import PlatformLine
from talkalike.cli.output import counted, number, shown, table

_ROWS = 8


def show_platform_lines(screen: Console, lines: Sequence[PlatformLine], *, learned: bool = False) -> None:
    """The most frequent of them with a sample each, and what becomes of them."""
    if not lines:
        return
    total = counted(sum(line.count for line in lines), "message")
    fate = "are learned, as you asked" if learned else "are not learned as anybody's words"
    rows = [[number(line.count), line.sample, line.why] for line in lines[:_ROWS]]
    screen.print(table([">messages", "such as", "because it"], rows, title="Looks like the platform's own words"))
    more = f", {len(lines) - _ROWS:,} more sentences with --json" if len(lines) > _ROWS else ""
    screen.print(shown(f"{total} look like the platform's own and {fate}{more}."))
    if not learned:
        screen.print("If people wrote them: talkalike prepare --platform-lines, or platform_lines in talkalike.toml.")
