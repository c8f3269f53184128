"""The errors a person reads: each carries one sentence about what happened and one about what to do.

Every room may raise these; only the edges (the command line, each face's error handler, a job's boundary) catch them.
`UserError` is the user's input (exit code 2), everything else that escapes is ours (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TalkalikeError(Exception):
    """A failure with a sentence for a person. `what` happened, `hint` what to do next; `str()` joins both."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()


class UserError(TalkalikeError):
    """Something in the user's input or workspace has to change before this can work (exit code 2)."""

    exit_code = 2


class MissingExtraError(UserError):
    """An optional library is not installed; names the extra that brings it."""

    def __init__(self, library: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the library '{library}', which is not installed.",
            hint=f"Install it with: pip install 'talkalike[{extra}]'",
        )


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint for a name that is not there: the known one nearest to it, or `otherwise` where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else otherwise
