"""Safeguards of limits that change while a run goes on, each switched off by its own function."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from batchgen.engine import limits, model_queues, scheduler

if TYPE_CHECKING:
    from batchgen.engine.limits import RateLimiter

from tests.simulation.mutating import Mutation, put


def a_lower_limit_is_not_taken_up() -> None:
    put(limits.RateLimiter, "retune", lambda *_: None)


def the_limits_of_models_are_not_taken_up() -> None:
    put(model_queues.ModelQueues, "retune", lambda *_: None)


def a_change_forgets_the_last_submit() -> None:
    """So a change allows a submit at once, however near the last one is."""
    retune = limits.RateLimiter.retune

    def forgetful(self: RateLimiter, limit: int, interval: float) -> None:
        retune(self, limit, interval)
        self.last_start = self.last_send = -inf

    put(limits.RateLimiter, "retune", forgetful)


def the_budget_is_not_taken_up() -> None:
    retune = scheduler.Scheduler.retune

    def without(self: Any, *args: Any) -> Any:
        before = self._budget.limit
        try:
            return retune(self, *args)
        finally:
            self._budget.limit = before

    put(scheduler.Scheduler, "retune", without)


MUTATIONS: tuple[Mutation, ...] = (
    a_lower_limit_is_not_taken_up,
    the_limits_of_models_are_not_taken_up,
    a_change_forgets_the_last_submit,
    the_budget_is_not_taken_up,
)
