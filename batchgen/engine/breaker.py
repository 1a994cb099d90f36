"""When trouble is no longer one job's: counting that leads to a pause."""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.causes import cause_key

if TYPE_CHECKING:
    from batchgen.manifest import Halt

UNKNOWNS = 5
UNKNOWN_WINDOW = 60.0
GATEWAYS_IN_A_ROW = 8
REFUSALS_IN_A_ROW = 10
FEWEST_THROTTLES = 5
FAILURES_BEFORE_CONTACT = 5
SECONDS_BEFORE_CONTACT = 10.0
LONGEST_OUTAGE = 900.0
"""Seconds, for a vendor that does not answer as for one that asks to wait: a night survives it."""


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
    """429 upon 429 for a long time, and nothing accepted in between: waiting does not help.

    The first ones may lie far apart, since each is waited for as told: so a few are needed.
    """

    in_a_row: int = 0
    since: float | None = None

    def trips(self, now: float) -> bool:
        """Count one more at the loop's time `now`."""
        self.in_a_row += 1
        self.since = now if self.since is None else self.since
        return self.in_a_row >= FEWEST_THROTTLES and now - self.since >= LONGEST_OUTAGE

    def reset(self) -> None:
        self.in_a_row = 0
        self.since = None


@dataclass(slots=True)
class GatewayBreaker:
    """Submits answered by somebody on the way, and none accepted in between.

    With the waits in between that is about two minutes: a firewall that reloads is outlived.
    """

    in_a_row: int = 0

    def trips(self) -> bool:
        self.in_a_row += 1
        return self.in_a_row >= GATEWAYS_IN_A_ROW

    def reset(self) -> None:
        self.in_a_row = 0


@dataclass(slots=True)
class RefusalBreaker:
    """The ten submits sent last that have an answer were all refused in the same words.

    Each job is refused but once in a run, so these are so many jobs: the cause is not theirs, or
    it is everybody's, such as an empty account that the vendor tells by a code nobody documented.
    The same words may name another id or balance each time. In the order of sending, not of the
    answers: an acceptance that comes late says nothing of what was sent after it.
    """

    _answers: list[tuple[int, str | None]] = field(default_factory=list)

    def accepted(self, sent: int) -> None:
        """`sent` numbers the submits of a run in the order in which they went out."""
        self._note(sent, None)

    def trips(self, sent: int, code: str, reason: str) -> bool:
        cause = cause_key("", JobState.FAILED, code, reason)
        self._note(sent, cause)
        is_enough = len(self._answers) == REFUSALS_IN_A_ROW
        return is_enough and {known for _, known in self._answers} == {cause}

    def _note(self, sent: int, cause: str | None) -> None:
        insort(self._answers, (sent, cause))
        del self._answers[:-REFUSALS_IN_A_ROW]


@dataclass(slots=True)
class FailureBreaker:
    """So many jobs of this run failed that the next ones would be paid for in vain.

    Counted are jobs that this run sent and that have ended: delivered by the vendor, or failed for
    good. A delivery counts before its download: failures, which have none, would else seem to be
    more. What an earlier run sent is left out: its lost requests would halt each run anew.
    """

    halt: Halt | None
    ended: int = 0
    failed: int = 0
    _causes: Counter[str] = field(default_factory=Counter)
    _reasons: dict[str, str] = field(default_factory=dict)

    def delivered(self) -> bool:
        """Count one more; True where the limit is reached now, since enough have ended."""
        self.ended += 1
        return self._is_reached()

    def fails(self, code: str, reason: str) -> bool:
        """Count one more; True where the limit is reached."""
        self.ended += 1
        self.failed += 1
        self._causes[code] += 1
        self._reasons.setdefault(code, reason)
        return self._is_reached()

    def sentence(self) -> str:
        """The counts and the commonest cause, once something failed."""
        ((code, times),) = self._causes.most_common(1)
        return (
            f"{self.failed} of the {self.ended} jobs that ended in this run failed,"
            f" most often ({times}) for {code}: {self._reasons[code]}"
        )

    def _is_reached(self) -> bool:
        return self.halt is not None and self.halt.is_reached(self.failed, self.ended)


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
