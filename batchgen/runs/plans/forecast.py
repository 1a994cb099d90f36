"""How long the work will take, from what requests took so far and the limits in force. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class LaneWork:
    """`jobs` of one model that take `seconds` each; None: none of them was ever timed.

    `limit` is how many may be in flight at once, `interval` the seconds between two submits;
    `throttled`: as the vendor took them when it throttled last.
    """

    model: str
    jobs: int
    seconds: float | None
    limit: int
    interval: float
    throttled: bool = False


def lane_seconds(lane: LaneWork) -> float | None:
    """Seconds for one model by itself; None where no request of it was ever timed."""
    if not lane.jobs:
        return 0.0
    if lane.seconds is None:
        return None
    by_room = math.ceil(lane.jobs / lane.limit) * lane.seconds
    by_rate = (lane.jobs - 1) * lane.interval + lane.seconds
    return max(by_room, by_rate)


def run_seconds(lanes: Iterable[LaneWork], limit: int, interval: float) -> float | None:
    """Seconds for all models together, those left out that were never timed; None where all are.

    The narrowest place decides: one model, the run's room for `limit` requests, or its rate.
    """
    busy = [lane for lane in lanes if lane.jobs]
    timed = [(lane, lane.seconds) for lane in busy if lane.seconds is not None]
    if not timed:
        return None if busy else 0.0
    alone = max(lane_seconds(lane) or 0.0 for lane, _ in timed)
    by_room = sum(lane.jobs * seconds for lane, seconds in timed) / limit
    longest = max(seconds for _, seconds in timed)
    by_rate = (sum(lane.jobs for lane, _ in timed) - 1) * interval + longest
    return max(alone, by_room, by_rate)
