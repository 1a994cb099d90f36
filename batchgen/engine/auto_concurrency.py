"""How many requests keep a model's workers fed: found by what polls of them show. Pure.

The vendor has so many workers for a model, and a queue before them. As many requests in flight as
there are workers leave each idle from the end of a request until that is noticed and the next one
is there; two more wait in the queue meanwhile. Any more gain nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO_START = 8
"""As many as a run had before it could find out; kept where the vendor's answers do not tell."""
MOST_AUTO = 64
"""In all. What is in flight is paid for even if you change your mind, and a crash leaves it to be
followed again: more than this is for a person to ask for, by a number."""
SPARES = 2

WARM_UP = 10.0
"""Seconds after the first start of work during which workers are still starting."""
DOUBLE_EVERY = 5.0
LOOKS_GROW = 2.0
RAREST_LOOKS = 120.0
FIRST_LOOK = 1.0
"""Seconds after the accept: whether a request has to wait in the queue shows at once."""
LATEST_FIRST_LOOK = 3.0
REPORT_EVERY = 10.0


@dataclass(slots=True)
class AutoConcurrency:
    """Of one model. `at_once` requests keep its workers fed; `most` is never passed.

    `workers` is how many the vendor works on at once, None while that has not shown.
    """

    at_once: int = AUTO_START
    most: int = MOST_AUTO
    workers: int | None = None
    reported: int = AUTO_START
    _is_known: bool = False
    _reported_at: float = -inf
    _live: list[float] = field(default_factory=list)
    _counts: deque[int] = field(default_factory=lambda: deque(maxlen=12))
    _first_work: float = inf
    _last_look: float = -inf
    _look_every: float = FIRST_LOOK
    _doubled: float = inf

    def start_from(self, found: Mapping[str, Any] | None) -> None:
        """From what the last run found: its workers may be others by now."""
        if found is not None:
            self._set(int(found["at_once"]))
            self.reported = self.at_once

    def is_news(self, now: float) -> bool:
        """Whether what was found differs by more than a little from what was reported last."""
        if now - self._reported_at < REPORT_EVERY:
            return False
        changed = abs(self.at_once - self.reported)
        is_new = self.workers is not None and not self._is_known
        if not changed or (changed <= self.reported // 8 and not is_new):
            return False
        self.reported, self._is_known = self.at_once, self.workers is not None
        self._reported_at = now
        return True

    @property
    def why(self) -> str:
        """For people."""
        if self.workers is None:
            if self.at_once > AUTO_START:
                return "none of them has had to wait yet"
            return "the vendor's answers do not say yet how many it works on"
        spare = self.at_once - self.workers
        return f"the vendor works on {self.workers}" + (f", and {spare} wait" if spare > 0 else "")

    @property
    def spares(self) -> int:
        """How many wait in the vendor's queue, so that as many unnoticed ends leave no one idle."""
        return 0 if self.workers is None else max(0, len(self._live) - self.workers)

    def place(self, request: float) -> int:
        """The place in the queue that a request probably has; 0 or less: it is at work."""
        ahead = bisect_left(self._live, request)
        return 0 if self.workers is None else ahead - self.workers + 1

    def begin(self, accepted_at: float) -> float:
        """A request was accepted at this time of the loop, in this run or before it.

        Returns what it is called here: that time, a little later where another one has the same.
        """
        while accepted_at in self._live:
            accepted_at += 1e-6
        insort(self._live, accepted_at)
        return accepted_at

    def end(self, request: float) -> None:
        self._live.remove(request)

    def looks_soon(self, now: float) -> bool:
        """Whether to look at a request that was just accepted, to see if it has to wait."""
        is_full = len(self._live) >= self.at_once - 1
        if not is_full or now - self._last_look <= self._look_every:
            return False
        self._last_look = now
        return True

    def queued(self, request: float, position: int, now: float) -> None:
        """A request waits: what is ahead of it and not in the queue is worked on.

        An account that has others in the queue sees too few workers, and none at all if they are
        all ahead of it: then more in the queue get a larger share of the workers.
        """
        ahead = bisect_left(self._live, request)
        workers = ahead - (position - 1)
        self._last_look = now
        self._look_every = min(RAREST_LOOKS, LOOKS_GROW * self._look_every)
        if self._first_work == inf:
            self._double(now)
        elif workers <= 0:
            pass  # What was sent together may wait in another order.
        elif now - self._first_work >= WARM_UP:
            self._counts.append(workers)
            self.workers = sorted(self._counts)[3 * len(self._counts) // 4]
            self._set(self.workers + SPARES)

    def at_work(self, request: float, age: float, now: float, *, is_first_look: bool) -> None:
        """A request does not wait in the queue any more, so many seconds after its accept."""
        self._first_work = min(self._first_work, now)
        starts_at_once = is_first_look and age <= LATEST_FIRST_LOOK
        if starts_at_once and bisect_left(self._live, request) >= self.at_once - SPARES:
            self._set(self.at_once + max(SPARES, self.at_once // 2))
            self._counts.clear()
            self._last_look, self._look_every = -inf, FIRST_LOOK

    def _double(self, now: float) -> None:
        """Nothing is at work, though all wait: workers may have to be started for each request."""
        self._doubled = min(self._doubled, now)
        if now - self._doubled >= DOUBLE_EVERY:
            self._doubled = now
            self._set(2 * self.at_once)

    def _set(self, at_once: int) -> None:
        self.at_once = max(1, min(self.most, at_once))
