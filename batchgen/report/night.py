"""Attempts → figures of a night: how many were in flight when, how they ended, what they cost."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchgen.state.report_queries import AttemptTimes

BINS = 144
IDLE = 900.0
"""Seconds without any request after which the time line is cut, e.g. between two evenings."""
SHORTEST = 1.0

REFUSED = ("throttled", "halted", "not_sent")
NOT_DONE = ("failed", "refused", "lost", "cancelled", "written_off")


@dataclass(frozen=True, slots=True)
class Period:
    """A period with requests, in epoch seconds."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from acceptance to end of a model's finished requests, and their cost in USD."""

    model: str
    requests: int
    fastest: float
    early: float
    median: float
    late: float
    slowest: float
    spent: float


@dataclass(frozen=True, slots=True)
class Night:
    """Figures by bin, all of equal length; `spent` is cumulative. Edges are active seconds."""

    periods: tuple[Period, ...]
    edges: tuple[float, ...]
    in_flight: tuple[float, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    throttled: tuple[int, ...]
    spent: tuple[float, ...]
    latencies: tuple[Latency, ...]

    @property
    def seconds(self) -> float:
        """The total active time."""
        return self.edges[-1]


def night_of(attempts: Callable[[], Iterable[AttemptTimes]]) -> Night | None:
    """Return None if nothing was sent. `attempts` yields them in the order of their submits.

    It is called twice, because bins depend on the total length and a million attempts are not kept
    in memory.
    """
    periods = _periods(attempts())
    if not periods:
        return None
    total = max(SHORTEST, sum(one.end - one.begin for one in periods))
    edges = tuple(total * number / BINS for number in range(BINS + 1))
    figures = _Figures(_active_time(periods), edges, periods[-1].end)
    for one in attempts():
        figures.add(one)
    return Night(
        periods,
        edges,
        in_flight(figures.begun, figures.landed, edges),
        tuple(figures.done.counts),
        tuple(figures.failed.counts),
        tuple(figures.throttled.counts),
        tuple(accumulate(figures.spent)),
        figures.latencies(),
    )


def _periods(attempts: Iterable[AttemptTimes]) -> tuple[Period, ...]:
    """Find active periods; attempts without an end last until the latest event."""
    closed: list[Period] = []
    last, going = -math.inf, math.inf
    for one in attempts:
        end = _last(one)
        last = max(last, end)
        if one.ended_at is None:
            going = min(going, one.submitted_at)
        _extend(closed, one.submitted_at, end)
    if going < math.inf:
        closed = list(merge_spans(sorted([*((s.begin, s.end) for s in closed), (going, last)])))
    return tuple(closed)


def _last(one: AttemptTimes) -> float:
    return max(
        when
        for when in (one.submitted_at, one.accepted_at, one.ended_at, one.done_at)
        if when is not None
    )


def merge_spans(spans: Iterable[tuple[float, float]]) -> tuple[Period, ...]:
    """Merge spans, ordered by start, that overlap or nearly do."""
    found: list[Period] = []
    for begin, end in spans:
        _extend(found, begin, end)
    return tuple(found)


def _extend(found: list[Period], begin: float, end: float) -> None:
    if found and begin - found[-1].end <= IDLE:
        if end > found[-1].end:
            found[-1] = Period(found[-1].begin, end)
    else:
        found.append(Period(begin, end))


def _active_time(periods: Sequence[Period]) -> Callable[[float], float]:
    """Return a function from epoch seconds to active seconds."""
    begins = [one.begin for one in periods]
    before = [0.0, *accumulate(one.end - one.begin for one in periods)]

    def at(when: float) -> float:
        number = max(0, bisect_right(begins, when) - 1)
        one = periods[number]
        return before[number] + min(max(when, one.begin), one.end) - one.begin

    return at


class Moments:
    """Moments by bin: their count and their sum."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.counts = [0] * (len(edges) - 1)
        self._sums = [0.0] * len(self.counts)
        self._width = edges[1] - edges[0]

    def add(self, when: float) -> int:
        """Add a moment and return its bin."""
        number = min(len(self.counts) - 1, int(when / self._width))
        self.counts[number] += 1
        self._sums[number] += when
        return number

    def time_until(self, edges: Sequence[float]) -> list[float]:
        """Return, at each edge, the total time since all moments before it."""
        counts, sums = [0, *accumulate(self.counts)], [0.0, *accumulate(self._sums)]
        return [
            count * edge - before for count, before, edge in zip(counts, sums, edges, strict=True)
        ]


def in_flight(begun: Moments, landed: Moments, edges: Sequence[float]) -> tuple[float, ...]:
    """Return the mean number in flight per bin, from the time spent in flight up to each edge."""
    both = zip(begun.time_until(edges), landed.time_until(edges), strict=True)
    until = [since_begin - since_end for since_begin, since_end in both]
    width = edges[1] - edges[0]
    return tuple((after - before) / width for before, after in pairwise(until))


class _Figures:
    """Takes attempts one by one, and keeps only sums."""

    def __init__(self, at: Callable[[float], float], edges: Sequence[float], last: float) -> None:
        self._at, self._last = at, last
        self.begun, self.landed = Moments(edges), Moments(edges)
        self.done, self.failed, self.throttled = Moments(edges), Moments(edges), Moments(edges)
        self.spent = [0.0] * (len(edges) - 1)
        self._seconds: dict[str, array[float]] = {}
        self._costs: dict[str, float] = {}

    def add(self, one: AttemptTimes) -> None:
        self.begun.add(self._at(one.submitted_at))
        landed = self._at(self._last if one.ended_at is None else one.ended_at)
        number = self.landed.add(landed)
        if one.done_at is not None:
            self.done.add(self._at(one.done_at))
        if one.ended_at is None:
            return
        if one.outcome in NOT_DONE:
            self.failed.add(landed)
        elif one.outcome in REFUSED:
            self.throttled.add(landed)
        self.spent[number] += one.cost or 0.0
        self._costs[one.model] = self._costs.get(one.model, 0.0) + (one.cost or 0.0)
        if one.outcome == "succeeded" and one.accepted_at is not None:
            took = self._seconds.setdefault(one.model, array("d"))
            took.append(one.ended_at - one.accepted_at)

    def latencies(self) -> tuple[Latency, ...]:
        """Return the slowest model first; models without a finished request are left out."""
        found = [
            _latency(model, sorted(took), self._costs[model])
            for model, took in self._seconds.items()
        ]
        return tuple(sorted(found, key=lambda one: -one.median))


def _latency(model: str, took: Sequence[float], spent: float) -> Latency:
    early, median, late = (took[int((len(took) - 1) * share)] for share in (0.05, 0.5, 0.95))
    return Latency(model, len(took), took[0], early, median, late, took[-1], spent)
