"""How the engine works in a run: limits, deadlines and tries. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.manifest.units import Halt, Moment


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Of one model: requests in flight, and seconds between two submits."""

    limit: int
    interval: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """`timeout` is for one request, from accept to end.

    `submit_deadline` is how long an answer to a submit is waited for before the job is called
    unknown; `late_deadline` how much longer an answer that comes after all is still recorded.
    `grace` is how long the vendor may not know a request after its submit. `resubmits` is how often
    an unknown outcome is submitted again without asking, where the manifest allows it.
    `start_at` (epoch seconds) is before the first submit; `stop_at` (the wall clock's) and
    `max_duration`, from then on, end the submits and nothing else. `min_free` are
    the bytes that must be free on the disk for a submit: 0 never checks, None is the usual floor.
    `canary` is how many jobs of each sweep must be done before the others of it are submitted.
    """

    concurrency: int = 8
    interval: float = 0.0
    limits: Mapping[str, ModelLimits] = field(default_factory=dict)
    retries: int = 0
    resubmits: int = 0
    timeout: float = 3600.0
    budget: float | None = None
    downloads: int = 8
    submit_deadline: float = 60.0
    late_deadline: float = 300.0
    grace: float = 60.0
    halt: Halt | None = None
    start_at: float | None = None
    stop_at: Moment | None = None
    max_duration: float | None = None
    min_free: int | None = None
    canary: int = 0

    def limits_of(self, model: str) -> ModelLimits:
        return self.limits.get(model) or ModelLimits(self.concurrency)
