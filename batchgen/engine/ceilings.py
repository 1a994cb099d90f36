"""How many requests of a model may be in flight, as its 429s show it, and how fast more are sent.

Arithmetic on the loop's time. A 429 says that what is in flight is the limit: half of that would
leave the vendor idle, and all of it is known to work.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from math import inf

FIRST_PROBE = 30.0
"""Seconds until one more is tried above a ceiling that was just found."""
USUAL = (2.0, 600.0)
FALLEN = (1.15, 240.0)
"""By how much the wait grows after each try that is refused, and its most seconds. A limit that was
higher in this run is likely to come back: so that is noticed within five minutes."""
PROBE_AFTER_WAITS = 10.0
"""A refused try costs the vendor's Retry-After each time, so it must come so much more seldom."""

RECOVERED = 1.5
"""Times what was found: the limit has risen. Less may be accepted because ends were not noticed."""

PATIENCE = 5.0
"""Seconds after which a submit without an answer holds no others back: it only answers slowly."""
AT_ONCE = 8
"""Requests that are sent at once before anything is known."""
FEWEST_MORE = 2


@dataclass(slots=True)
class Ramp:
    """Slow start: until the vendor has taken so many at once, only half as many more are sent.

    Without it, all of a high ceiling would be sent before the first 429 could say that it is too
    high. `proven` is the most that were accepted and in flight at once.
    """

    proven: int = 0
    _at_once: int = AT_ONCE
    _was_refused: bool = False
    _sent: list[float] = field(default_factory=list)

    def sent(self, now: float) -> None:
        insort(self._sent, now)

    def accepted(self, accepted: int) -> None:
        self.proven = max(self.proven, accepted)
        self._was_refused = False

    def refused(self, ceiling: float) -> None:
        """A 429: a single one goes first when the wait after it is over."""
        self.proven = int(min(self.proven, ceiling))
        self._at_once = 1
        self._was_refused = True

    def answered(self, sent: float) -> None:
        self._sent.remove(sent)

    def opens_at(self, accepted: int, now: float) -> float:
        """From when on one more may be sent; never more than PATIENCE later."""
        most = max(self._at_once, self.proven + max(FEWEST_MORE, self.proven // 2))
        room = 1 if self._was_refused else most - accepted
        counting = [at for at in self._sent if at + PATIENCE > now]
        if len(counting) < room:
            return now
        return counting[len(counting) - max(1, room)] + PATIENCE


@dataclass(slots=True)
class FoundCeiling:
    """What 429s have shown: `value` requests at once, `inf` before the first one.

    Above it, one more is tried now and then: more seldom after each try that is refused. After
    one that is accepted more are tried at once, two, four and so on, as far as it `worked` before.
    """

    value: float = inf
    _most: int = 0
    _worked: int = 0
    _found: int = 0
    _gap: float = 0.0
    _probe_at: float = inf
    _step: int = 0
    _tried: int = 0
    _fell: bool = False

    def refused(self, accepted: int, now: float, asked: float = 0.0) -> None:
        """A 429, with so many `accepted` and in flight; its Retry-After `asked` for seconds.

        It takes half at most: a 429 for the rate may come when hardly anything is in flight, and
        if nothing was, ever, it says nothing about a ceiling.
        """
        found = max(accepted, self._most // 2)
        if not found:
            return
        if self._found < self.value < inf and found < RECOVERED * self._found:
            # More than what was tried before was in flight only for ends that nobody noticed yet.
            found = min(found, self._tried)
            growth, longest = FALLEN if self._fell else USUAL
            self._gap = min(longest, growth * self._gap)
        self._worked = max(self._worked, self._most)
        fell = self._worked >= RECOVERED * found
        if fell and not self._fell:
            self._gap = FIRST_PROBE
        self._fell = fell
        self._gap = max(self._gap, FIRST_PROBE, PROBE_AFTER_WAITS * asked)
        self._most = self._found = found
        self._step = 0
        self._probe_at = now + self._gap
        self.value = float(found)

    def accepted(self, accepted: int, now: float) -> None:
        """A submit was accepted, which made it so many in flight."""
        self._most = max(self._most, accepted)
        if accepted < self.value:
            return
        if accepted > self.value:
            # It was sent before the 429 came: a refusal may be quicker than an acceptance.
            self.value, self._found = float(accepted), accepted
            return
        if self._step:
            self._step *= 2
            self._raise(now)
        elif now >= self._probe_at:
            self._step = 1
            self._raise(now)

    def _raise(self, now: float) -> None:
        higher = self.value + self._step
        if self.value < self._worked <= higher:
            higher = float(self._worked)
            self._step = 0
        if self._most >= RECOVERED * self._found:
            self._gap = FIRST_PROBE
        self._probe_at = now + self._gap
        self._tried = int(self.value)
        self.value = higher
