"""Figures of a night → coordinates for the template. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from batchgen.jobs import model_alias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from batchgen.report.night import Latency, Night, Period

WIDTH = 960.0
LEFT = 44.0
RIGHT = 8.0
MAX_TICKS = 8
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between two ticks of a time line."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with its tooltip."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class TimePlots:
    """Three strips over one time line, each `height` high: in flight, outcomes, money."""

    ticks: tuple[Tick, ...]
    cuts: tuple[Tick, ...]
    in_flight: str
    most_in_flight: str
    done: tuple[Bar, ...]
    failed: tuple[Bar, ...]
    throttled: tuple[Bar, ...]
    most_done: int
    most_failed: int
    zero: float
    spent: str
    total_spent: str


@dataclass(frozen=True, slots=True)
class Range:
    """One model's latency: a thin line from fastest to slowest, a bar for the middle 90 %."""

    latency: Latency
    alias: str
    thin: tuple[float, float]
    thick: tuple[float, float]
    median: float


def time_plots(night: Night, height: float, zone: tzinfo | None) -> TimePlots:
    """`zone` is the time zone of the labels; None is the machine's own."""
    width = (WIDTH - LEFT - RIGHT) / len(night.in_flight)
    top = max((*night.in_flight, 0.001))
    bad = [failed + held for failed, held in zip(night.failed, night.throttled, strict=True)]
    most_done, most_bad = max(night.done), max(bad)
    # One scale on both sides of the zero line, so that lengths can be compared.
    unit = (height - 2) / max(1, most_done + most_bad)
    zero = 1 + most_done * unit
    labels = [_clock(_wall(night.periods, edge), zone) for edge in night.edges]
    span = night.spent[-1] or 1.0
    return TimePlots(
        _ticks(night, zone),
        _cuts(night),
        _steps([height - value / top * (height - 6) for value in night.in_flight], width, height),
        f"{top:.0f}" if top >= 1 else f"{top:.1f}",
        _bars(night.done, zero, -unit, width, labels, "done"),
        _bars(night.failed, zero, unit, width, labels, "failed"),
        _stacked(night, zero, unit, width, labels),
        most_done,
        most_bad,
        zero,
        _steps([height - value / span * (height - 6) for value in night.spent], width, height),
        f"{night.spent[-1]:.2f}",
    )


def _stacked(
    night: Night, zero: float, unit: float, width: float, labels: Sequence[str]
) -> tuple[Bar, ...]:
    """Draw throttled attempts below the failed ones."""
    bars = _bars(night.throttled, zero, unit, width, labels, "throttled")
    by_x = {_x(number, width): count * unit for number, count in enumerate(night.failed)}
    return tuple(
        Bar(bar.x, round(bar.y + by_x[bar.x], 1), bar.width, bar.height, bar.title) for bar in bars
    )


def _x(number: int, width: float) -> float:
    return round(LEFT + number * width, 1)


def _bars(
    counts: Sequence[int],
    zero: float,
    unit: float,
    width: float,
    labels: Sequence[str],
    label: str,
) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            _x(number, width),
            round(min(zero, zero + count * unit), 1),
            round(max(1.0, width - 1), 1),
            round(abs(count * unit), 1),
            f"{labels[number]}: {count} {label}",
        )
        for number, count in enumerate(counts)
        if count
    )


def _steps(heights: Sequence[float], width: float, bottom: float) -> str:
    """Return an area as an SVG path, with one level per bin."""
    points = [f"M{LEFT:.1f} {bottom:.1f}"]
    for number, y in enumerate(heights):
        left, right = LEFT + number * width, LEFT + (number + 1) * width
        points.append(f"L{left:.1f} {y:.1f}L{right:.1f} {y:.1f}")
    return "".join(points) + f"L{WIDTH - RIGHT:.1f} {bottom:.1f}Z"


def _wall(periods: Sequence[Period], active: float) -> float:
    """Convert active seconds to epoch seconds."""
    for one in periods:
        length = one.end - one.begin
        if active <= length:
            return one.begin + active
        active -= length
    return periods[-1].end


def _ticks(night: Night, zone: tzinfo | None) -> tuple[Tick, ...]:
    """Return ticks at round clock times, few enough to be legible."""
    step = next((one for one in STEPS if night.seconds / one <= MAX_TICKS), STEPS[-1])
    found, passed = [], 0.0
    for one in night.periods:
        first = math.ceil(one.begin / step) * step
        for number in range(int(max(0.0, one.end - first) / step) + 1):
            when = first + number * step
            if one.begin <= when <= one.end:
                at = _place(passed + when - one.begin, night.seconds)
                found.append(Tick(at, _clock(when, zone, seconds=step < 60)))  # noqa: PLR2004 - a minute
        passed += one.end - one.begin
    return _spaced(found)


def _spaced(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or tick.at - kept[-1].at >= WIDTH / (2 * MAX_TICKS):
            kept.append(tick)
    return tuple(kept)


def _cuts(night: Night) -> tuple[Tick, ...]:
    found, passed = [], 0.0
    for one, following in zip(night.periods, night.periods[1:], strict=False):
        passed += one.end - one.begin
        hours = (following.begin - one.end) / 3600
        label = f"{hours:.0f} h later" if hours >= 1 else f"{hours * 60:.0f} min later"
        found.append(Tick(_place(passed, night.seconds), label))
    return tuple(found)


def _place(active: float, seconds: float) -> float:
    return round(LEFT + active / seconds * (WIDTH - LEFT - RIGHT), 1)


def _clock(when: float, zone: tzinfo | None, *, seconds: bool = False) -> str:
    moment = datetime.fromtimestamp(when, zone).astimezone(zone)
    return moment.strftime("%H:%M:%S" if seconds else "%H:%M")


def latency_ranges(latencies: Sequence[Latency], width: float) -> tuple[Range, ...]:
    """Scale all models from zero to the slowest request of all."""
    slowest = max((one.slowest for one in latencies), default=0.0) or 1.0

    def x(seconds: float) -> float:
        return round(seconds / slowest * width, 1)

    return tuple(
        Range(
            one,
            model_alias(one.model),
            (x(one.fastest), x(one.slowest)),
            (x(one.early), x(one.late)),
            x(one.median),
        )
        for one in latencies
    )
