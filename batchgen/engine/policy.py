"""How the engine works in a run: limits, deadlines and tries. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from batchgen.engine.auto_concurrency import MOST_AUTO
from batchgen.manifest.policy import AUTO, OnUnknown, Policy

if TYPE_CHECKING:
    from batchgen.manifest.units import Rate

MOST_RESUBMITS = 3
"""`on_unknown: resubmit` pays for a lost answer again, but not endlessly."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Of one model: requests in flight, and seconds between two submits."""

    limit: int
    interval: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy(Policy):
    """What the manifest and its options ask for, and what only the engine decides.

    `most` is how many requests may be in flight at once where `concurrency` is `auto`.
    `submit_deadline` is how long to wait for the answer to a submit before the job is unknown;
    `late_deadline` is how much longer a late answer is still recorded. `grace` is how long after
    its submit the vendor may not know a request yet. `begins_at` (epoch seconds) is what `start_at`
    means for this run. `min_free` is how many bytes must be free on the disk for a submit: 0 never
    checks, None is the usual floor.
    """

    most: int = MOST_AUTO
    downloads: int = 8
    submit_deadline: float = 60.0
    late_deadline: float = 300.0
    grace: float = 60.0
    begins_at: float | None = None
    min_free: int | None = None

    @property
    def finds_concurrency(self) -> bool:
        """Whether the run finds out how many requests keep a model's workers fed."""
        return self.concurrency == AUTO

    @property
    def limit(self) -> int:
        """How many requests may be in flight at once, of all models."""
        return self.most if self.concurrency == AUTO else self.concurrency

    def within(self, most: int) -> Self:
        """The policy with at most so many requests in flight."""
        if self.concurrency == AUTO:
            return replace(self, most=min(MOST_AUTO, most))
        return replace(self, concurrency=min(self.concurrency, most))

    @property
    def interval(self) -> float:
        """Seconds between two submits, of any model."""
        return _interval(self.rate)

    @property
    def resubmits(self) -> int:
        """How often an unknown outcome is submitted again without asking."""
        return MOST_RESUBMITS if self.on_unknown is OnUnknown.RESUBMIT else 0

    def limits_of(self, model: str) -> ModelLimits:
        own = self.models.get(model)
        if own is None:
            return ModelLimits(self.limit)
        return ModelLimits(own.concurrency or self.limit, _interval(own.rate))


def _interval(rate: Rate | None) -> float:
    return rate.interval if rate else 0.0
