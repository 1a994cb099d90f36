"""How many requests at once, how fast, and how long they take. Arithmetic on the loop's time.

A limiter never lets two starts come closer than its interval, and keeps no credit for idle time: so
there is no burst after a pause, nor after the machine slept. By hand: aiolimiter waits by itself,
where fair scheduling has to know when each limit lets the next start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from statistics import median_low
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


LONGEST_SHUT = 300.0
LEAD = 0.05
"""Seconds from a start to its POST: about what the commit between them takes."""


@dataclass(slots=True)
class RateLimiter:
    """One limit: at most `limit` in flight, starts at least `interval` seconds apart.

    `learnt` is what throttling has taught about the limit: halved by a 429, raised by one after as
    many accepted requests as it allows (additive increase, multiplicative decrease).
    """

    limit: int
    interval: float = 0.0
    in_flight: int = 0
    learnt: float = field(init=False, default=inf)
    last_start: float = field(init=False, default=-inf)
    last_send: float = field(init=False, default=-inf)
    shut_until: float = field(init=False, default=-inf)

    @property
    def ceiling(self) -> float:
        return min(float(self.limit), self.learnt)

    @property
    def share(self) -> float:
        """Which part of what may be in flight is."""
        return self.in_flight / self.ceiling

    @property
    def next_start(self) -> float:
        # After a slow commit the next start is late too: it would only wait before its POST, with
        # its intent on the disk, and a death would make an unknown of what was never sent.
        return max(self.last_start, self.last_send - LEAD) + self.interval

    def opens_at(self, now: float) -> float | None:
        """From when on one more may start; None while too many are in flight."""
        if self.in_flight >= int(self.ceiling):
            return None
        return max(now, self.next_start, self.shut_until)

    def retune(self, limit: int, interval: float) -> None:
        """Set other limits, from the next start on. What throttling has taught stays."""
        self.limit, self.interval = limit, interval

    def enter(self, now: float) -> None:
        self.in_flight += 1
        self.last_start = now

    def leave(self) -> None:
        self.in_flight -= 1

    def is_shut(self, now: float) -> bool:
        return now < self.shut_until

    def shut(self, now: float, seconds: float) -> None:
        self.shut_until = max(self.shut_until, now + min(seconds, LONGEST_SHUT))

    def halve(self) -> None:
        """After a 429: fewer at once, one at least."""
        self.learnt = max(1.0, min(self.ceiling, self.in_flight) // 2)

    def relax(self) -> None:
        """After an accepted request. Where the whole limit is allowed again, nothing is left."""
        if self.learnt < self.limit:
            grown = self.learnt + 1.0 / self.learnt
            self.learnt = grown if grown < self.limit else inf


@dataclass(slots=True)
class Permit:
    """A place within several limiters at once, given back at the end of `async with`.

    `intervals` are the limiters' at the start. They hold until the POST: under a longer one that
    came in between, jobs that are about to be sent would wait with their intent on the disk.
    """

    limiters: tuple[RateLimiter, ...]
    intervals: tuple[float, ...]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for limiter in self.limiters:
            limiter.leave()


def claim_sending(permit: Permit, now: float) -> float:
    """From when on the POST may go out; the next one keeps its distance from that.

    Starts are an interval apart, but the commit before the POST takes now longer, now shorter.
    """
    pairs = zip(permit.limiters, permit.intervals, strict=True)
    at = max(now, *(limiter.last_send + interval for limiter, interval in pairs))
    for limiter in permit.limiters:
        limiter.last_send = at
    return at


def take(limiters: tuple[RateLimiter, ...], now: float) -> Permit:
    """Enter all the limiters at once; the caller has checked that they are open."""
    for limiter in limiters:
        limiter.enter(now)
    return Permit(limiters, tuple(limiter.interval for limiter in limiters))


REMEMBERED = 8
"""Few, so that five requests are enough to outvote what is no longer true."""


class Expectations:
    """The usual duration by model, in seconds: by the median of the last ones."""

    def __init__(self) -> None:
        self._supposed: dict[str, float] = {}
        self._seen: dict[str, deque[float]] = {}

    def suppose(self, model: str, seconds: float) -> None:
        """From earlier runs: it counts until this run has seen an end itself."""
        self._supposed[model] = seconds

    def learn(self, model: str, going_until: float, ended_by: float) -> None:
        """A request was still going at one age, and had ended at the other.

        The middle counts. With the later age an error would never go away: a first poll that comes
        long after the end would be taken for the duration, and the next one would come as late. So
        the first polls come earlier, by half, until they find requests that are still going.
        """
        seen = self._seen.setdefault(model, deque(maxlen=REMEMBERED))
        seen.append((going_until + ended_by) / 2)

    def expected(self, model: str) -> float | None:
        """None where it is unknown. Of two in the middle the shorter: too early costs one poll."""
        seen = self._seen.get(model)
        return median_low(seen) if seen else self._supposed.get(model)

    def proven(self, model: str) -> bool:
        """Whether this run has seen an end itself."""
        return model in self._seen
