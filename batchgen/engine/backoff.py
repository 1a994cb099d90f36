"""How long to wait before the next try: exponential, capped, with jitter. Pure but for the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


def delay(failures: int, dice: Random, *, first: float = 1.0, longest: float = 60.0) -> float:
    """Seconds before the next try, after `failures` (≥ 1) in a row.

    Half of it is chance ("equal jitter"), so that requests that failed together do not come back
    together, and none comes back at once.
    """
    # 2**30 s is far above any cap; the bound keeps the power small after a long outage.
    full = min(longest, first * 2.0 ** min(failures - 1, 30))
    return full / 2 + dice.uniform(0, full / 2)
