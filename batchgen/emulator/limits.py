"""How many submits are let in: a sliding window, and a number of unfinished requests."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

PARALLEL_RETRY_SECONDS = 1


@dataclass(slots=True)
class SubmitLimits:
    """`rate` submits in any `seconds`. `now` is always the event loop's time, in seconds."""

    rate: int | None
    seconds: float
    max_parallel: int | None
    _taken: deque[float] = field(default_factory=deque)

    def take(self, now: float, unfinished: int) -> int | None:
        """Take a place and return None, or return the seconds after which to ask again."""
        if self.max_parallel is not None and unfinished >= self.max_parallel:
            return PARALLEL_RETRY_SECONDS
        if self.rate is None:
            return None
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.rate:
            return max(1, math.ceil(self._taken[0] + self.seconds - now))
        self._taken.append(now)
        return None
