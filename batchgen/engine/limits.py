"""How many requests at once, how fast, and how long they take. Arithmetic on the loop's time.

A limiter never lets two starts come closer than its interval, and keeps no credit for idle time: so
there is no burst after a pause, nor after the machine slept. By hand: aiolimiter waits by itself,
where fair scheduling has to know when each limit lets the next start.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from statistics import median_low
from typing import TYPE_CHECKING, Self

from batchgen.engine.auto_concurrency import AutoConcurrency
from batchgen.engine.ceilings import FoundCeiling, Ramp
from batchgen.engine.polling import PollPrice
from batchgen.engine.service_times import ServiceTimes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from batchgen.engine.reserved import Reserved


LONGEST_SHUT = 300.0
SHORTEST_BACK_OFF = 1.0
LEAD = 0.05
"""Seconds from a start to its POST: about what the commit between them takes."""


@dataclass(slots=True)
class RateLimiter:
    """One limit: at most `limit` in flight, starts at least `interval` seconds apart.

    `accepted` of those in flight are with the vendor, or may be; `unanswered` of them got no answer
    and may be running. `found` is what 429s have shown of the vendor's own limit. `ramp`: how fast
    more are sent at once; None does not limit that.
    `auto`: how many keep the vendor's workers fed; None if no more than `limit` counts.
    `reserved`: what this run may use of a limit that it shares with others; None: it shares none.
    """

    limit: int
    interval: float = 0.0
    in_flight: int = 0
    ramp: Ramp | None = None
    auto: AutoConcurrency | None = None
    reserved: Reserved | None = None
    found: FoundCeiling = field(init=False, default_factory=FoundCeiling)
    accepted: int = field(init=False, default=0)
    unanswered: int = field(init=False, default=0)
    last_start: float = field(init=False, default=-inf)
    last_send: float = field(init=False, default=-inf)
    shut_until: float = field(init=False, default=-inf)
    back_off_until: float = field(init=False, default=-inf)
    backed_off_at: float = field(init=False, default=-inf)

    @property
    def ceiling(self) -> float:
        fed = inf if self.auto is None else self.auto.at_once
        return min(float(self.limit), self.found.value, fed)

    @property
    def busy(self) -> int:
        """Places that are taken. Requests without an answer leave the last one free."""
        return self.in_flight - self.unanswered + min(self.unanswered, int(self.ceiling) - 1)

    @property
    def share(self) -> float:
        """Which part of what may be in flight is."""
        return self.busy / self.ceiling

    @property
    def taken(self) -> int:
        """Places of the account that are taken. As in `busy`, the last one is left free."""
        held = self.limit if self.reserved is None else self.reserved.at_most
        answered = self.in_flight - self.unanswered
        return answered + int(min(self.unanswered, max(0, held - 1)))

    @property
    def pace(self) -> float:
        """Seconds between two submits, by what this run may use of its account's rate."""
        return 0.0 if self.reserved is None else self.reserved.pace

    @property
    def next_start(self) -> float:
        # After a slow commit the next start is late too: it would only wait before its POST, with
        # its intent on the disk, and a death would make an unknown of what was never sent.
        return self.last_begun + self.interval

    @property
    def last_begun(self) -> float:
        return max(self.last_start, self.last_send - LEAD)

    def opens_at(self, now: float) -> float | None:
        """From when on one more may start; None while too many are in flight."""
        if self.busy >= int(self.ceiling):
            return None
        ramp = now if self.ramp is None else self.ramp.opens_at(self.accepted, now)
        free = max(now, self.shut_until, self.back_off_until, ramp)
        opening = max(free, self.next_start)
        if self.reserved is None or free > now:
            return opening
        return self.reserved.opens_at(opening, now, self.taken, self.last_begun)

    def retune(self, limit: int, interval: float) -> None:
        """Set other limits, from the next start on. What throttling has taught stays."""
        self.limit, self.interval = limit, interval

    def enter(self, now: float) -> None:
        self.in_flight += 1
        self.last_start = now
        if self.ramp is not None:
            self.ramp.sent(now)
        if self.reserved is not None:
            self.reserved.enter(now, self.taken)

    def prepared(self, sent_at: float | None) -> None:
        """A start is over: its submit goes out then, or not at all."""
        if self.reserved is not None:
            self.reserved.prepared(sent_at, self.taken)

    def leave(self) -> None:
        self.in_flight -= 1
        if self.reserved is not None:
            self.reserved.give_back(self.taken)

    def answer(self, sent: float) -> None:
        """What was started at `sent` has its answer, or was not sent at all."""
        if self.ramp is not None:
            self.ramp.answered(sent)

    def accept(self, now: float) -> None:
        """One of those in flight is with the vendor."""
        self.accepted += 1
        self.found.accepted(self.accepted, now)
        if self.ramp is not None:
            self.ramp.accepted(self.accepted)

    def refuse(self, now: float, asked: float) -> None:
        """The vendor has as many as it takes; a Retry-After has `asked` for so many seconds."""
        self.found.refused(self.accepted, now, asked)
        if self.ramp is not None:
            self.ramp.refused(self.found.value)

    def is_shut(self, now: float) -> bool:
        return now < max(self.shut_until, self.back_off_until)

    def shut(self, now: float, seconds: float) -> None:
        self.shut_until = max(self.shut_until, now + min(seconds, LONGEST_SHUT))

    def back_off(self, now: float, seconds: float) -> None:
        """Wait a little, though the vendor did not ask for it."""
        self.backed_off_at = now
        self.back_off_until = max(self.back_off_until, now + seconds)

    def place_freed(self, now: float) -> None:
        """The account has a place again. With nothing in flight, this model is the next to try it.

        Otherwise the others would take each place while it waits, and it would starve.
        """
        if not self.in_flight:
            soonest = max(now, self.backed_off_at + SHORTEST_BACK_OFF)
            self.back_off_until = min(self.back_off_until, soonest)


@dataclass(slots=True, eq=False)
class Permit:
    """A place within several limiters at once, given back at the end of `async with`.

    `intervals` are the limiters' once the job is ready. They hold until the POST: under a longer
    one that came in between, jobs that are about to be sent would wait with their intent on the
    disk.
    `at` is the loop's time of the start.
    """

    limiters: tuple[RateLimiter, ...]
    intervals: tuple[float, ...]
    at: float
    is_prepared: bool = False
    is_accepted: bool = False
    is_over: bool = False
    is_unanswered: bool = False

    def renew(self) -> None:
        """Take the intervals that are in force now. Call it before the intent is recorded."""
        self.intervals = tuple(limiter.interval for limiter in self.limiters)

    def prepared(self, sent_at: float | None) -> None:
        """Its submit goes out at `sent_at`; None: not at all, or it did long ago."""
        if not self.is_prepared:
            self.is_prepared = True
            for limiter in self.limiters:
                limiter.prepared(sent_at)

    def accept(self, now: float) -> None:
        """Its request is with the vendor, or may be. An answer may come after the permit."""
        self.prepared(None)
        if not (self.is_accepted or self.is_over):
            self.is_accepted = True
            for limiter in self.limiters:
                limiter.answer(self.at)
                limiter.accept(now)

    def give_back(self) -> None:
        self.is_over = True
        self.prepared(None)
        for limiter in self.limiters:
            limiter.leave()
            limiter.unanswered -= self.is_unanswered
            if self.is_accepted:
                limiter.accepted -= 1
            else:
                limiter.answer(self.at)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


def claim_sending(permit: Permit, now: float) -> float:
    """From when on the POST may go out; the next one keeps its distance from that.

    Starts are an interval apart, but the commit before the POST takes now longer, now shorter.
    """
    pairs = zip(permit.limiters, permit.intervals, strict=True)
    at = max(now, *(limiter.last_send + max(interval, limiter.pace) for limiter, interval in pairs))
    for limiter in permit.limiters:
        limiter.last_send = at
    permit.prepared(at)
    return at


def take(limiters: tuple[RateLimiter, ...], now: float) -> Permit:
    """Enter all the limiters at once; the caller has checked that they are open."""
    for limiter in limiters:
        limiter.enter(now)
    return Permit(limiters, tuple(limiter.interval for limiter in limiters), now)


def take_unanswered(limiters: tuple[RateLimiter, ...], now: float) -> Permit:
    """For a request that may be with the vendor, though nobody has its id."""
    permit = take(limiters, now)
    permit.accept(now)
    permit.is_unanswered = True
    for limiter in limiters:
        limiter.unanswered += 1
    return permit


AGES = 32
ENOUGH_AGES = 8
SURELY = 3.0
"""Times the age of the oldest of the last `AGES` requests: none of them took a third of it."""
UNSURE = 16
REMEMBERED = 8
"""Few, so that five requests are enough to outvote what is no longer true."""


@dataclass(slots=True)
class Traffic:
    """What this run learns of one model from the polls of its requests.

    `unsure_in_a_row`: so many ended of which nobody knows when the work on them began.
    """

    service: ServiceTimes = field(default_factory=ServiceTimes)
    auto: AutoConcurrency = field(default_factory=AutoConcurrency)
    unsure_in_a_row: int = 0

    @property
    def wants_a_start(self) -> bool:
        """Whether the start of a queued request is worth polls of its own."""
        return self.unsure_in_a_row >= UNSURE

    def queue_wait(self, place: int) -> float:
        """Seconds until work begins on the request at this place of the queue; 0: it is at work.

        By the workers and their usual time. The ends that were noticed would not do: polls that
        come too late would make the queue seem slower, and so the next polls later still.
        """
        if place <= 0 or not self.auto.workers or not self.service.known:
            return 0.0
        return place * self.service.mean / self.auto.workers


class Expectations:
    """The usual duration by model, in seconds: by the median of the last ones.

    `finds_concurrency`: whether the run finds out how many requests keep the workers fed.
    """

    def __init__(self) -> None:
        self.finds_concurrency = False
        self.poll_price = PollPrice()
        self._traffic: dict[str, Traffic] = {}
        self._supposed: dict[str, float] = {}
        self._seen: dict[str, deque[float]] = {}
        self._ages: dict[str, deque[float]] = {}

    def traffic(self, model: str) -> Traffic:
        return self._traffic.setdefault(model, Traffic())

    @contextmanager
    def in_flight(self, model: str, accepted_at: float) -> Iterator[float]:
        """A request is followed inside this block; `accepted_at` is the loop's time.

        Gives what the request is called in the model's traffic.
        """
        auto = self.traffic(model).auto
        request = auto.begin(accepted_at)
        try:
            yield request
        finally:
            auto.end(request)

    def suppose(self, model: str, seconds: float) -> None:
        """From earlier runs: it counts until this run has seen an end itself."""
        self._supposed[model] = seconds

    def learn(self, model: str, going_until: float, ended_by: float) -> None:
        """A request was still going at one age, and had ended at the other.

        The middle counts. With the later age an error would never go away: a first poll that comes
        long after the end would be taken for the duration, and the next one would come as late. So
        the first polls come earlier, by half, until they find requests that are still going.
        """
        self._ages.setdefault(model, deque(maxlen=AGES)).append(ended_by)
        seen = self._seen.setdefault(model, deque(maxlen=REMEMBERED))
        seen.append((going_until + ended_by) / 2)

    def expected(self, model: str) -> float | None:
        """None where it is unknown. Of two in the middle the shorter: too early costs one poll."""
        seen = self._seen.get(model)
        return median_low(seen) if seen else self._supposed.get(model)

    def surely_over(self, model: str) -> float | None:
        """The age at which a request has ended, as certainly as can be; None: nobody knows yet."""
        ages = self._ages.get(model, ())
        return SURELY * max(ages) if len(ages) >= ENOUGH_AGES else None

    def proven(self, model: str) -> bool:
        """Whether this run has seen an end itself."""
        return model in self._seen
