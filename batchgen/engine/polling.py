"""When to ask whether a request has ended: arithmetic on the loop's time, pure but for the dice.

`next_poll` decides for one request. All polls of a run share one `PollPacer`.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from batchgen.engine.auto_concurrency import SPARES
from batchgen.engine.backoff import delay

if TYPE_CHECKING:
    from random import Random

SHORTEST = 0.25
LONGEST = 15.0
LONGEST_FIRST = 60.0
"""Before an expected end that this run has proven. Any other wait is `LONGEST` at most: an earlier
run may have learnt from an outage, or from a slower vendor, and all places would be idle. A request
of which nothing is known is polled as often, so this is no less polite."""

EARLY = 0.9
"""The first poll comes at this share of the expected time: a little early costs one poll, a
little late costs an idle slot."""

FILES_LONGEST = 60.0
GROWTH = 0.5
GROWTH_WHEN_EXPECTED = 0.1
JITTER = 0.1


def next_poll_for_files(empty_for: float) -> float:
    """Seconds until the next poll of a success that names no files, `empty_for` seconds old."""
    return min(FILES_LONGEST, max(1.0, empty_for))


def next_poll(age: float, expected: float | None, dice: Random, *, proven: bool = True) -> float:
    """Seconds until the next poll of a request accepted `age` seconds ago.

    `expected` is how long such a request usually takes, None where that is unknown yet: then the
    gaps grow with the age, so the end of a request is seen at most half its own time late.
    `proven`: by this run; earlier ones are trusted less.
    """
    if expected is not None and age < EARLY * expected:
        return min(LONGEST_FIRST if proven else LONGEST, max(SHORTEST, EARLY * expected - age))
    growth = GROWTH if expected is None else GROWTH_WHEN_EXPECTED
    gap = min(LONGEST, max(SHORTEST, growth * age))
    return max(SHORTEST, gap * dice.uniform(1 - JITTER, 1 + JITTER))


CHEAPEST, DEAREST = 0.005, 0.04
"""How long a place may be expected idle before a poll, as a share of what a request takes: where an
end that goes unnoticed leaves a worker without work, and where the next request waits in the
vendor's queue already, for each spare one. So the number of polls does not depend on how long
requests take."""
MOST_SPARES = 5
"""More do not make a poll dearer: how many there are is an estimate."""
POLITE = 1.0
"""Polls a second of an account, before the API has shown that it answers more."""
PROVEN_BY = 100
"""Answers that allow one more a second. A poll that is refused takes all of them back."""
USUAL_PACE = 2.0
"""Seconds between two polls of one request by the vendor's own clients: never more than that."""
MEASURED_OVER = 20.0


class PollPrice:
    """What a poll costs, as a share of a request: more where polls would become too many."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._at = float("-inf")
        self._answered = 0

    def polled(self, now: float, *, refused: bool) -> None:
        self._rate = self._rate_at(now) + 1.0 / MEASURED_OVER
        self._at = now
        self._answered = 0 if refused else self._answered + 1

    def price(self, now: float, in_flight: int, spares: int) -> float:
        """`in_flight` are the requests of all models, `spares` those that wait for this one's."""
        if spares >= SPARES:
            return DEAREST * min(MOST_SPARES, spares - SPARES + 1)
        proven = POLITE + self._answered / PROVEN_BY
        allowed = max(POLITE, min(proven, in_flight / USUAL_PACE))
        return min(DEAREST, CHEAPEST * max(1.0, self._rate_at(now) / allowed) ** 2)

    def _rate_at(self, now: float) -> float:
        return self._rate * exp((self._at - now) / MEASURED_OVER) if self._rate else 0.0


MOST_AT_ONCE = 100
"""Polls that wait for an answer. Enough for 1,000 requests that are each asked every 15 s by a line
on which an answer takes a second; and a vendor that stalls holds no more connections than that."""

CATCH_UP = 50.0
"""Polls a second where many are due at once: after a restart, and after trouble. It is what 1,000
requests in flight need at any time, so no more than what a long run asks anyway."""
SPEED_UP = 0.1
"""More polls a second for each answer. A tenth more each second: 1,000 are asked in 11 s."""

SILENT_IN_A_ROW = 3
"""One answer that is lost among many says nothing of the API."""


class PollPacer:
    """Paces all polls of a run together.

    Usually a poll goes out when it is due. Where many are due at once they are spread. Where the
    API refuses them for their rate, or does not answer any more, all wait; then a single one goes
    out, and the others follow, spread, once the API has answered it.
    """

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._era = 0
        self._unanswered = 0
        self._to_spread = 0
        self._rate = CATCH_UP
        self._next = float("-inf")
        self._shut_until = float("-inf")
        self._shuts_in_a_row = 0
        self._silent_in_a_row = 0

    def spread(self, polls: int) -> None:
        """So many are due at once."""
        self._to_spread = max(self._to_spread, polls)
        self._rate = CATCH_UP

    def wait(self, now: float) -> float | None:
        """Seconds until the next poll may go; None: not before another one has ended."""
        if self._unanswered >= (1 if self._shuts_in_a_row else MOST_AT_ONCE):
            return None
        opens = max(self._shut_until, self._next if self._to_spread else now)
        return max(0.0, opens - now)

    def go(self, now: float) -> int:
        """A poll is sent. Call `ended` and the method for its outcome with the number returned."""
        self._unanswered += 1
        if self._to_spread:
            self._to_spread -= 1
            self._next = now + 1 / self._rate
        return self._era

    def ended(self, poll: int) -> None:
        if poll == self._era:
            self._unanswered -= 1

    def answered(self, poll: int, waiting: int) -> None:
        """The API said something about a request; `waiting` polls are due."""
        if poll != self._era:
            return
        self._silent_in_a_row = 0
        self._rate += SPEED_UP
        if self._shuts_in_a_row:
            self._shuts_in_a_row = 0
            self.spread(waiting)

    def silent(self, poll: int, now: float) -> None:
        if poll != self._era:
            return
        self._silent_in_a_row += 1
        if self._shuts_in_a_row or self._silent_in_a_row >= SILENT_IN_A_ROW:
            self._shut(now, 0.0)

    def throttled(self, poll: int, now: float, retry_after: float) -> float | None:
        """Returns the seconds that all polls wait; None where they wait already."""
        if poll == self._era:
            return self._shut(now, retry_after)
        # It was on its way already: its Retry-After is obeyed, and it counts for nothing else.
        self._shut_until = max(self._shut_until, now + retry_after)
        return None

    def _shut(self, now: float, at_least: float) -> float:
        """Polls that are on their way meet the same trouble: they do not count any more."""
        self._era += 1
        self._unanswered = 0
        self._shuts_in_a_row += 1
        seconds = max(at_least, delay(self._shuts_in_a_row, self._dice))
        self._shut_until = max(self._shut_until, now + seconds)
        return seconds
