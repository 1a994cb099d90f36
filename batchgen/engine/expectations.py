"""How long requests of each model take, learnt from those whose end this run has seen."""

from __future__ import annotations

from collections import deque
from statistics import median_low

REMEMBERED = 8
"""Few, so that five requests are enough to outvote what is true no longer."""


class Expectations:
    """The usual duration by model, in seconds: by the median of the last ones."""

    def __init__(self) -> None:
        self._supposed: dict[str, float] = {}
        self._seen: dict[str, deque[float]] = {}

    def suppose(self, model: str, seconds: float) -> None:
        """What earlier runs say: it counts until this run has seen an end itself."""
        self._supposed[model] = seconds

    def learn(self, model: str, going_until: float, ended_by: float) -> None:
        """A request was still going at one age, and had ended at the other.

        The middle counts. The later age would make an error stay for good: who first looks when a
        request has long ended would take the time of its own look for the duration. So the first
        looks come earlier, by half, until they find requests that are still going.
        """
        seen = self._seen.setdefault(model, deque(maxlen=REMEMBERED))
        seen.append((going_until + ended_by) / 2)

    def expected(self, model: str) -> float | None:
        """None where nobody knows. Of two in the middle the shorter: too early costs one poll."""
        seen = self._seen.get(model)
        return median_low(seen) if seen else self._supposed.get(model)

    def proven(self, model: str) -> bool:
        """Whether this run has seen an end itself."""
        return model in self._seen
