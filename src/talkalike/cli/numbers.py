"""The numbers that options take: finite ones only, whatever the option, and above 0 where nothing else makes sense."""

from __future__ import annotations

import math
from typing import Any

import typer

LARGEST_SEED = 2**32 - 1  # what every library that draws takes
LONGEST_GAP_HOURS = 87_600  # ten years


def above_zero(value: float | None) -> float | None:
    """An option's callback: refuses 0 and less."""
    if value is not None and value <= 0:
        raise typer.BadParameter("It must be above 0.")
    return value


def finite_only(command: Any) -> None:
    """Lets no option of the command, or of any below it, take what Python reads as a number but is none: nan, inf."""
    for param in command.params:
        param.callback = _finite_before(param.callback)
    below = getattr(command, "commands", {})
    for each in below.values() if isinstance(below, dict) else ():  # a lazy group's are seen to as they are loaded
        finite_only(each)


def _finite_before(callback: Any) -> Any:
    def check(context: Any, param: Any, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no number to calculate with.", ctx=context, param=param)
        return callback(context, param, value) if callback else value

    return check
