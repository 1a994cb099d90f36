"""Limits that change while a run goes on, on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.limits import LEAD, RateLimiter, claim_sending, take
from batchgen.jobs import JobState
from batchgen.manifest.policy import ModelPolicy
from batchgen.manifest.units import Rate
from batchgen.pauses import AGAIN, PauseReason
from tests.engine.bad_weather import stormy, until_settled
from tests.engine.judge import ROUNDING, apart, judge
from tests.engine.simulated_vendor import PRICE, Course
from tests.engine.simulation import (
    EPOCH,
    I2V,
    T2I,
    OnePrice,
    Process,
    World,
    one_model,
    with_habits,
    with_policy,
)

# One limiter


def test_a_lower_limit_lets_nothing_start_before_enough_has_ended() -> None:
    limiter = RateLimiter(8)
    for _ in range(8):
        limiter.enter(0.0)
    limiter.retune(2, 0.0)
    for _ in range(6):
        assert limiter.opens_at(1.0) is None
        limiter.leave()
    assert limiter.opens_at(1.0) is None
    limiter.leave()
    assert limiter.opens_at(1.0) == 1.0


def test_what_a_429_has_taught_survives_every_change_of_the_limit() -> None:
    limiter = RateLimiter(16)
    for _ in range(4):
        limiter.enter(0.0)
        limiter.accept(0.0)
    limiter.refuse(0.0, 0.0)
    for limit, ceiling in ((64, 4.0), (2, 2.0), (16, 4.0)):
        limiter.retune(limit, 0.0)
        assert limiter.ceiling == ceiling
    limiter.found.accepted(4, 30.0)
    assert limiter.ceiling == 5.0


def test_without_a_429_a_higher_limit_counts_at_once() -> None:
    limiter = RateLimiter(4)
    limiter.accept(0.0)
    limiter.retune(32, 0.0)
    assert limiter.ceiling == 32


@pytest.mark.parametrize(("before", "after"), [(60.0, 1.0), (1.0, 60.0), (0.0, 5.0), (5.0, 0.0)])
def test_the_new_distance_counts_from_the_last_submit(before: float, after: float) -> None:
    limiter = RateLimiter(8, before)
    claim_sending(take((limiter,), 10.0), 10.0)
    limiter.retune(8, after)
    assert limiter.opens_at(10.0) == 10.0 + after


def test_jobs_that_become_ready_after_a_lower_rate_keep_its_distance() -> None:
    limiter = RateLimiter(8, 0.2)
    first, second = (take((limiter,), at) for at in (0.0, 0.2))
    limiter.retune(8, 0.5)
    for permit in (first, second):
        permit.renew()
    assert [claim_sending(permit, 50.0) for permit in (first, second)] == [50.0, 50.5]


def test_what_has_started_is_sent_at_the_distance_of_its_start() -> None:
    """Else it would wait for the new one with its intent on the disk."""
    limiter = RateLimiter(8, 1.0)
    first, second = take((limiter,), 10.0), take((limiter,), 11.0)
    limiter.retune(8, 3600.0)
    assert [claim_sending(first, 11.2), claim_sending(second, 11.2)] == [11.2, 12.2]
    assert limiter.opens_at(12.2) == pytest.approx(12.2 - LEAD + 3600.0)


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.sampled_from((0.0, 0.5, 2.0, 7.0)))))
def test_no_change_of_the_rate_makes_a_burst(changes: list[tuple[float, float]]) -> None:
    limiter, now = RateLimiter(1000, 2.0), 0.0
    starts: list[tuple[float, float]] = []
    for wait, interval in changes:
        end = now + wait
        while len(starts) < 200 and (start := limiter.opens_at(now) or now) <= end:
            now = start
            claim_sending(take((limiter,), now), now)
            starts.append((now, limiter.interval))
        now = max(now, end)
        limiter.retune(1000, interval)
    for (earlier, _), (later, interval) in pairwise(starts):
        assert later - earlier >= interval - LEAD


# A whole run


def tuning(*changes: tuple[float, dict[str, Any]]) -> Callable[[Process], Awaitable[None]]:
    """At these times of the loop, set these keys of the policy."""

    async def script(process: Process) -> None:
        policy = process.scheduler._context.policy
        for after, values in changes:
            await asyncio.sleep(after - asyncio.get_running_loop().time())
            policy = replace(policy, **values)
            process.scheduler.retune(policy, EPOCH + asyncio.get_running_loop().time())

    return script


def submits(world: World) -> list[float]:
    return [at for at, _, _ in world.vendor.posts]


def test_a_higher_concurrency_starts_more_at_once(world: World) -> None:
    with_policy(world, concurrency=2)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=100.0))
    one_model(world, 40)
    world.live(tuning((10.0, {"concurrency": 20})))
    assert [sum(at < until for at in submits(world)) for until in (9.9, 11.0)] == [2, 20]
    assert world.vendor.peak["all"] == 20


def test_a_lower_concurrency_cancels_nothing_and_starts_nothing(world: World) -> None:
    with_policy(world, concurrency=8)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=100.0))
    one_model(world, 12)
    end = world.live(tuning((10.0, {"concurrency": 1})))
    assert end.pause is None
    assert set(world.states().values()) == {"done"}
    late = sorted(at for at in submits(world) if at > 10.0)
    assert len(late) == 4
    assert min(late) > 100.0
    apart(late, 100.0)


def test_a_models_own_limit_changes_alone(world: World) -> None:
    with_policy(world, concurrency=50, models={I2V: ModelPolicy(1)})
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=50.0))
    world.add_jobs((model, f"{model[-5:]}{n}") for model in (T2I, I2V) for n in range(10))
    world.live(tuning((10.0, {"models": {I2V: ModelPolicy(4)}})))
    assert (world.vendor.peak[I2V], world.vendor.peak[T2I]) == (4, 10)


def test_the_rate_changes_from_the_next_submit(world: World) -> None:
    with_policy(world, rate=Rate(60, 60.0))
    one_model(world, 40)
    slow, fast = {"rate": Rate(6, 60.0)}, {"rate": Rate(2, 1.0)}
    world.live(tuning((10.5, slow), (65.0, fast)))
    times = submits(world)
    apart([at for at in times if at < 10.5], 1.0)
    slowly = [at for at in times if 10.0 <= at < 65.0]
    assert len(slowly) in {6, 7}
    apart(slowly, 10.0)
    apart([at for at in times if at >= 65.0], 0.5)
    assert max(times) < 82.0


def test_without_a_rate_the_rest_goes_at_once(world: World) -> None:
    with_policy(world, rate=Rate(1, 3600.0), concurrency=30)
    one_model(world, 20)
    world.live(tuning((30.0, {"rate": None})))
    assert [at for at in submits(world) if at > 31.0] == []


def test_more_money_in_time_goes_on_with_the_same_run(world: World) -> None:
    with_policy(world, budget=PRICE * 4, concurrency=8)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=60.0))
    one_model(world, 8)
    assert world.live(tuning((30.0, {"budget": PRICE * 8}))).pause is None
    assert sum(29.9 < at < 31.0 for at in submits(world)) == 4
    judge_but_limits(world)


def test_less_money_than_is_spent_pauses_with_the_budgets_sentence(world: World) -> None:
    with_policy(world, budget=PRICE * 100, concurrency=2)
    one_model(world, 40)
    end = world.live(tuning((20.0, {"budget": PRICE})))
    assert end.pause is not None
    assert end.pause.reason is PauseReason.BUDGET
    assert end.pause.sentence.startswith(f"no job left fits into the budget of {PRICE:.2f} USD")
    assert [at for at in submits(world) if at > 20.0] == []


def test_a_budget_that_comes_later_counts_what_is_in_flight(world: World) -> None:
    world.price = None
    with_policy(world, concurrency=5)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=100.0))
    one_model(world, 40)

    async def person(process: Process) -> None:
        await asyncio.sleep(20.0)
        prices = process.scheduler._context.ports.prices
        assert isinstance(prices, OnePrice)
        prices.usd = PRICE
        policy = replace(process.scheduler._context.policy, concurrency=20, budget=7 * PRICE)
        process.scheduler.retune(policy, EPOCH + 20.0)

    end = world.live(person)
    assert end.pause is not None
    assert end.pause.reason is PauseReason.BUDGET
    assert len(submits(world)) == 7


def test_a_stop_in_the_past_pauses_at_once_and_names_no_other_date(world: World) -> None:
    one_model(world, 200)
    past = datetime.fromtimestamp(EPOCH - 1, UTC)
    end = world.live(tuning((20.0, {"stop_at": past})))
    assert end.pause is not None
    assert (end.pause.reason, end.pause.next_step) == (PauseReason.STOP_AT, AGAIN)
    assert [at for at in submits(world) if at > 20.0] == []
    assert set(world.states().values()) == {"done", "pending"}


def test_a_lifted_stop_lets_the_run_go_on_and_a_shorter_duration_ends_it(world: World) -> None:
    with_policy(world, max_duration=50.0, concurrency=1)
    one_model(world, 100)
    end = world.live(tuning((40.0, {"max_duration": None}), (80.0, {"max_duration": 60.0})))
    assert end.pause is not None
    assert end.pause.reason is PauseReason.MAX_DURATION
    assert 70.0 < max(submits(world)) <= 80.0


def test_a_time_of_day_counts_from_the_decision(world: World) -> None:
    """It may have passed when the run takes it up: it means today's, not tomorrow's."""
    one_model(world, 200)

    async def late(process: Process) -> None:
        await asyncio.sleep(30.0)
        stop = datetime.fromtimestamp(EPOCH + 29.0, UTC).timetz()
        policy = replace(process.scheduler._context.policy, stop_at=stop)
        assert process.scheduler.retune(policy, EPOCH + 28.5) is None

    end = world.live(late)
    assert end.pause is not None
    assert end.pause.reason is PauseReason.STOP_AT
    assert max(submits(world)) <= 30.0


def test_after_a_pause_nothing_can_be_changed_any_more(world: World) -> None:
    with_policy(world, max_duration=10.0)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=100.0))
    one_model(world, 20)
    answers: list[Any] = []

    async def late(process: Process) -> None:
        await asyncio.sleep(50.0)
        answers.append(process.scheduler.retune(process.scheduler._context.policy, EPOCH))

    end = world.live(late)
    assert answers == [end.pause]


# In bad weather


@pytest.mark.parametrize("seed", range(200, 206))
def test_no_limit_is_exceeded_whatever_changes_in_a_stormy_run(tmp_path: Path, seed: int) -> None:
    world, dice = stormy(tmp_path, seed), Random(-seed)
    known = world.policy
    book: list[tuple[float, Any]] = [(0.0, known)]

    async def person(process: Process) -> None:
        policy = known
        book.append((asyncio.get_running_loop().time(), policy))
        while True:
            await asyncio.sleep(dice.uniform(1.0, 40.0))
            limits = ModelPolicy(dice.choice((None, 1, 9)), dice.choice((None, Rate(1, 1.0))))
            change: dict[str, Any] = dice.choice(
                (
                    {"concurrency": dice.choice((1, 3, 12, 40))},
                    {"rate": dice.choice((None, Rate(1, 1.0), Rate(8, 1.0)))},
                    {"models": {**policy.models, dice.choice((T2I, I2V)): limits}},
                )
            )
            policy = replace(policy, **change)
            if process.scheduler.retune(policy, EPOCH) is None:
                book.append((asyncio.get_running_loop().time(), policy))

    for _ in range(60):
        if world.live(person).pause is None and not _left(world):
            break
    until_settled(world)
    _limits_are_kept(world, book)
    judge_but_limits(world)


def _left(world: World) -> bool:
    return "pending" in world.states().values()


PREPARED_WITHIN = 1.0


def _limits_are_kept(world: World, book: list[tuple[float, Any]]) -> None:
    """At each submit, by what was in force then; what had started already may go out after."""
    book = [*book, (world.lives[-1].events[0][0], world.policy)]
    for process in world.lives:
        before: dict[str, float] = {}
        for at, model in process.line.posted:
            earlier = [one for since, one in book if since <= at - PREPARED_WITHIN][-1:]
            around = [one for since, one in book if at - PREPARED_WITHIN < since <= at]
            policies = earlier + around
            gap = min(one.interval for one in policies)
            assert at - before.get("all", -inf) >= gap - ROUNDING
            gap = min(one.limits_of(model).interval for one in policies)
            assert at - before.get(model, -inf) >= gap - ROUNDING
            before["all"] = before[model] = at
    for at, model, busy in world.vendor.busy:
        policies = [one for since, one in book if since <= at - PREPARED_WITHIN][-1:]
        policies += [one for since, one in book if at - PREPARED_WITHIN < since <= at]
        assert busy["all"] <= max(one.concurrency for one in policies)
        assert busy[model] <= max(one.limits_of(model).limit for one in policies)


def judge_but_limits(world: World) -> None:
    """Every promise but those of limits, which did not stay what the world's policy says."""
    world.policy = replace(world.policy, concurrency=10_000, rate=None, models={})
    judge(world)
    assert JobState.PENDING not in world.states().values()
