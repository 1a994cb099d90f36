"""Attempts → figures of the night: how many were in flight when, what ended how, what it cost."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchgen.state.looking import ShownAttempt

BINS = 144
IDLE = 900.0
"""Seconds without any request after which the time line is cut, as between two evenings."""
SHORTEST = 1.0

REFUSED = ("throttled", "halted", "not_sent")
NOT_DONE = ("failed", "refused", "lost", "cancelled", "written_off")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which something went on, in epoch seconds."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from accept to end of a model's finished requests, and USD that they cost."""

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
    """Figures by bin, all of one length; `spent` is cumulative. Edges are active seconds."""

    stretches: tuple[Stretch, ...]
    edges: tuple[float, ...]
    in_flight: tuple[float, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    throttled: tuple[int, ...]
    spent: tuple[float, ...]
    latencies: tuple[Latency, ...]

    @property
    def seconds(self) -> float:
        """How long something went on."""
        return self.edges[-1]


def night_of(attempts: Iterable[ShownAttempt]) -> Night | None:
    """None where nothing was sent."""
    all_of = list(attempts)
    if not all_of:
        return None
    last = max(_last(one) for one in all_of)
    spans = [(one.submitted_at, last if one.ended_at is None else _last(one)) for one in all_of]
    stretches = stretches_of(spans)
    at = _active_time(stretches)
    total = max(SHORTEST, sum(one.end - one.begin for one in stretches))
    edges = tuple(total * number / BINS for number in range(BINS + 1))
    flights = [
        (at(one.submitted_at), at(last if one.ended_at is None else one.ended_at)) for one in all_of
    ]
    ended = [(at(one.ended_at), one) for one in all_of if one.ended_at is not None]
    return Night(
        stretches,
        edges,
        in_flight(flights, edges),
        _count((at(one.done_at) for one in all_of if one.done_at is not None), edges),
        _count((when for when, one in ended if one.outcome in NOT_DONE), edges),
        _count((when for when, one in ended if one.outcome in REFUSED), edges),
        _spent(ended, edges),
        latencies_of(all_of),
    )


def _last(one: ShownAttempt) -> float:
    return max(
        when
        for when in (one.submitted_at, one.accepted_at, one.ended_at, one.done_at)
        if when is not None
    )


def stretches_of(spans: Iterable[tuple[float, float]]) -> tuple[Stretch, ...]:
    """Spans that overlap, or nearly, are one stretch."""
    found: list[Stretch] = []
    for begin, end in sorted(spans):
        if found and begin - found[-1].end <= IDLE:
            found[-1] = Stretch(found[-1].begin, max(end, found[-1].end))
        else:
            found.append(Stretch(begin, end))
    return tuple(found)


def _active_time(stretches: Sequence[Stretch]) -> Callable[[float], float]:
    """Epoch seconds → seconds in which something went on."""
    begins = [one.begin for one in stretches]
    before = [0.0, *accumulate(one.end - one.begin for one in stretches)]

    def at(when: float) -> float:
        number = max(0, bisect_right(begins, when) - 1)
        one = stretches[number]
        return before[number] + min(max(when, one.begin), one.end) - one.begin

    return at


def in_flight(flights: Sequence[tuple[float, float]], edges: Sequence[float]) -> tuple[float, ...]:
    """Mean number in flight within each bin, from the time spent in flight before each edge."""
    area = _time_since([begin for begin, _ in flights])
    landed = _time_since([end for _, end in flights])
    until = [area(edge) - landed(edge) for edge in edges]
    width = edges[1] - edges[0]
    return tuple((after - before) / width for before, after in pairwise(until))


def _time_since(moments: list[float]) -> Callable[[float], float]:
    """Give the sum of the time that passed since each of the moments."""
    ordered = sorted(moments)
    sums = [0.0, *accumulate(ordered)]

    def until(edge: float) -> float:
        number = bisect_right(ordered, edge)
        return number * edge - sums[number]

    return until


def _bin(when: float, edges: Sequence[float]) -> int:
    return min(BINS - 1, int(when / edges[-1] * BINS))


def _count(moments: Iterable[float], edges: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * BINS
    for when in moments:
        counts[_bin(when, edges)] += 1
    return tuple(counts)


def _spent(
    ended: Iterable[tuple[float, ShownAttempt]], edges: Sequence[float]
) -> tuple[float, ...]:
    costs = [0.0] * BINS
    for when, one in ended:
        costs[_bin(when, edges)] += one.cost or 0.0
    return tuple(accumulate(costs))


def latencies_of(attempts: Iterable[ShownAttempt]) -> tuple[Latency, ...]:
    """The slowest model first; models of which nothing finished are left out."""
    seconds: dict[str, list[float]] = {}
    spent: dict[str, float] = {}
    for one in attempts:
        spent[one.model] = spent.get(one.model, 0.0) + (one.cost or 0.0)
        if one.outcome == "succeeded" and one.ended_at and one.accepted_at:
            seconds.setdefault(one.model, []).append(one.ended_at - one.accepted_at)
    found = [_latency(model, sorted(took), spent[model]) for model, took in seconds.items()]
    return tuple(sorted(found, key=lambda one: -one.median))


def _latency(model: str, took: Sequence[float], spent: float) -> Latency:
    early, median, late = (took[int((len(took) - 1) * share)] for share in (0.05, 0.5, 0.95))
    return Latency(model, len(took), took[0], early, median, late, took[-1], spent)
