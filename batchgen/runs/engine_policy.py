"""The manifest's policy and the command's options → how the engine shall work. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.engine.policy import EnginePolicy, LanePolicy
from batchgen.manifest import OnUnknown

if TYPE_CHECKING:
    from batchgen.manifest import Policy, Rate
    from batchgen.runs.options import RunOptions

MOST_RESUBMITS = 3
"""`on_unknown: resubmit` pays for a lost answer again, but not without end."""


def engine_policy(policy: Policy, options: RunOptions) -> EnginePolicy:
    """A flag of the command line wins over the manifest."""
    concurrency = options.concurrency or policy.concurrency
    return EnginePolicy(
        concurrency=concurrency,
        interval=_interval(options.rate or policy.rate),
        lanes={
            model: LanePolicy(limits.concurrency or concurrency, _interval(limits.rate))
            for model, limits in policy.models.items()
        },
        retries=policy.retries,
        resubmits=MOST_RESUBMITS if policy.on_unknown is OnUnknown.RESUBMIT else 0,
        timeout=policy.timeout,
        budget=budget_of(policy, options),
        halt=policy.halt,
        stop_at=options.stop_at or policy.stop_at,
        max_duration=options.max_duration or policy.max_duration,
        canary=policy.canary,
    )


def budget_of(policy: Policy, options: RunOptions) -> float | None:
    return policy.budget if options.budget is None else options.budget


def _interval(rate: Rate | None) -> float:
    return rate.interval if rate else 0.0
