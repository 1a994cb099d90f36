"""Safeguards of limits, tuned or not, each switched off by its own function."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from batchgen.engine import lifecycle, limits, model_queues, scheduler, unanswered

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


def an_unanswered_request_gives_its_place_away() -> None:
    put(unanswered.UnansweredPlaces, "hold", lambda *_: 0.0)


def places_are_not_counted() -> None:
    def opens_at(self: RateLimiter, now: float) -> float:
        return max(now, self.next_start, self.shut_until)

    put(limits.RateLimiter, "opens_at", opens_at)


def the_rate_is_not_kept() -> None:
    put(limits.RateLimiter, "next_start", property(lambda _self: -inf))
    put(lifecycle, "claim_sending", lambda _permit, now: now)


MUTATIONS: tuple[Mutation, ...] = (
    a_lower_limit_is_not_taken_up,
    the_limits_of_models_are_not_taken_up,
    a_change_forgets_the_last_submit,
    the_budget_is_not_taken_up,
    an_unanswered_request_gives_its_place_away,
    places_are_not_counted,
    the_rate_is_not_kept,
)
