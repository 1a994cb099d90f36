"""How long a model works on a request, as far as this run has seen it, and when to look. Pure.

Counted from the start of the work, not from the accept: how long a request waits in the vendor's
queue says nothing about when it ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import erfc, exp, log, sqrt

REMEMBERED = 32
ENOUGH = 4
"""Ends, before a distribution says more than their median."""
LEAST_SPREAD = 0.05
SHORTEST = 0.05
STEPS = 40
LEAST_LEFT = 1e-4
"""Share of requests that run longer. Beyond it the fit says nothing; those are outliers."""
GROWTH = 0.1
"""Share of an outlier's age after which it is looked at again."""


@dataclass(slots=True)
class ServiceTimes:
    """A lognormal distribution, fitted to the last service times."""

    _logs: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _fit: tuple[float, float] = (0.0, LEAST_SPREAD)

    @property
    def known(self) -> bool:
        return len(self._logs) >= ENOUGH

    @property
    def mean(self) -> float:
        middle, spread = self._fit
        return exp(middle + spread * spread / 2)

    def learn(self, working_at: float, ended_by: float) -> None:
        """A request was still worked on at one age of the work, and had ended at the other.

        The middle counts, as in `Expectations.learn`.
        """
        self._logs.append(log(max(SHORTEST, (working_at + ended_by) / 2)))
        logs, count = self._logs, len(self._logs)
        # Not by `statistics`, whose exact fractions cost a twentieth of a run's CPU.
        middle = sum(logs) / count
        spread = sqrt(sum([(one - middle) ** 2 for one in logs]) / max(1, count - 1))
        self._fit = middle, max(LEAST_SPREAD, spread)

    def running_after(self, age: float) -> float:
        """The share of requests that are still worked on after so many seconds."""
        if age <= 0:
            return 1.0
        middle, spread = self._fit
        return max(LEAST_LEFT, 0.5 * erfc((log(age) - middle) / (spread * sqrt(2.0))))

    def wait(self, age: float, price: float, longest: float) -> float:
        """Seconds until the next look at a request that is worked on for `age` seconds.

        Until then its place is expected to be idle for `price` seconds: the chance that it has
        ended, for as long as that would go unnoticed. So looks are dense where ends are likely, and
        rare where they are not.
        """
        base = self.running_after(age)
        if base <= LEAST_LEFT:
            return min(longest, GROWTH * age)
        step = max(longest, SHORTEST) / STEPS
        # Coarse steps first, then fine ones within the step that passes the price.
        start, idle = self._pass(age, base, 0.0, 0.0, price, step, STEPS)
        if start >= longest:
            return longest
        end, _ = self._pass(age, base, start, idle, price, step / STEPS, STEPS)
        return min(longest, end + step / STEPS)

    def _pass(
        self,
        age: float,
        base: float,
        start: float,
        idle: float,
        price: float,
        step: float,
        most: int,
    ) -> tuple[float, float]:
        """The last of so many steps before the price is reached, and the idle time up to it."""
        for _ in range(most):
            more = (1.0 - self.running_after(age + start + step) / base) * step
            if idle + more >= price:
                return start, idle
            start, idle = start + step, idle + more
        return start, idle
