"""When trouble is no longer one job's: counting that leads to a pause."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

UNKNOWNS = 5
UNKNOWN_WINDOW = 60.0
THROTTLES_IN_A_ROW = 20
FAILURES_BEFORE_CONTACT = 5
SECONDS_BEFORE_CONTACT = 10.0
LONGEST_OUTAGE = 900.0


@dataclass(slots=True)
class UnknownBreaker:
    """Five unknown outcomes within a minute: the vendor or the line is not itself."""

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=UNKNOWNS))

    def trips(self, now: float) -> bool:
        """Count one more at the loop's time `now`."""
        self._times.append(now)
        return len(self._times) == UNKNOWNS and now - self._times[0] <= UNKNOWN_WINDOW


@dataclass(slots=True)
class ThrottleBreaker:
    """429 upon 429 and nothing accepted in between: waiting longer does not help."""

    in_a_row: int = 0

    def trips(self) -> bool:
        self.in_a_row += 1
        return self.in_a_row >= THROTTLES_IN_A_ROW

    def reset(self) -> None:
        self.in_a_row = 0


@dataclass(slots=True)
class OutageBreaker:
    """The API does not answer.

    Before the first answer of a run a few tries are enough to say so; after it, a night must
    survive a line that is down for some minutes.
    """

    reached: bool = False
    in_a_row: int = 0
    since: float | None = None

    def contact(self) -> None:
        self.reached = True
        self.in_a_row = 0
        self.since = None

    def trips(self, now: float) -> bool:
        """Count one more failure at the loop's time `now`."""
        self.in_a_row += 1
        self.since = now if self.since is None else self.since
        lasted = now - self.since
        if not self.reached:
            return self.in_a_row >= FAILURES_BEFORE_CONTACT and lasted >= SECONDS_BEFORE_CONTACT
        return lasted >= LONGEST_OUTAGE
