"""A share and how far it can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054  # 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`count` of `n` with its 95 % Wilson interval. All three numbers are None where n is 0."""

    count: float
    n: float
    share: float | None
    low: float | None
    high: float | None


def wilson(count: float, n: float) -> Share:
    """A share with Wilson's interval, which stays sensible at 0 and at 1 (Wilson 1927, doi:10.2307/2276774).

    SciPy's takes whole counts only; here a draw is half a win, and a mean rating a share of the scale.
    """
    if n <= 0:
        return Share(count=count, n=n, share=None, low=None, high=None)
    share = count / n
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return Share(count=count, n=n, share=share, low=max(0.0, centre - half), high=min(1.0, centre + half))
