"""All polls share one brake: after a restart, under a 429, under errors, under silence."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from math import inf

import pytest

from batchgen.engine.events import PauseReason
from batchgen.engine.polling import CATCH_UP, MOST_AT_ONCE
from batchgen.jobs import JobState
from batchgen.manifest.units import Rate
from batchgen.runcomfy.outcomes import Gateway, NoAnswer, ResultOutcome, Throttled
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Request
from tests.engine.simulation import Process, World, one_model, with_habits, with_policy

ResultHabit = Callable[[Request], ResultOutcome | None]


MANY = 150
"""Requests in flight at once."""


def now() -> float:
    return asyncio.get_running_loop().time()


def between(start: float, end: float, outcome: ResultOutcome) -> ResultHabit:
    return lambda _request: outcome if start <= now() < end else None


def busy(world: World, count: int = MANY) -> None:
    with_policy(world, concurrency=count)
    one_model(world, count)


def a_second(asked: list[float]) -> Counter[int]:
    return Counter(int(at) for at in asked)


def test_the_first_polls_after_a_restart_are_spread(world: World) -> None:
    busy(world, 1000)
    with_habits(world, course=lambda *_: Course(runs=4000.0))
    world.crash(after=40.0)
    restarted, before = world.now, len(world.vendor.polls)

    async def stop(process: Process) -> None:
        await asyncio.sleep(60.0)
        process.scheduler.drain()

    world.live(stop)
    asked = [at - restarted for at in world.vendor.polls[before:]]
    first_polls = [
        min(at for at in request.polls if at > restarted) - restarted
        for request in world.vendor.ledger.values()
    ]
    assert len(first_polls) == 1000
    assert max(first_polls) < 15.0
    assert a_second(asked)[0] <= CATCH_UP + 10
    assert max(a_second(asked).values()) < 200


def test_few_requests_of_an_earlier_run_are_asked_at_once(world: World) -> None:
    busy(world, 8)
    with_habits(world, course=lambda *_: Course(runs=100.0))
    world.crash(after=60.0)
    restarted, before = world.now, len(world.vendor.polls)
    world.live()
    assert world.vendor.polls[before + 7] - restarted < 0.2
    judge(world)


@pytest.mark.parametrize(
    ("outcome", "most"),
    [
        (NoAnswer("HTTP 503"), 30),
        (Throttled(None, "429"), 30),
        (Throttled(0.0, "429"), 30),
        # Here `status` still answers.
        (Gateway(403, "a page"), 100),
    ],
)
def test_while_the_api_refuses_one_poll_goes_now_and_then(
    world: World, outcome: ResultOutcome, most: int
) -> None:
    busy(world)
    with_habits(world, course=lambda *_: Course(runs=900.0), result=between(100.0, 600.0, outcome))
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    during = [at for at in world.vendor.polls if 101.0 <= at < 600.0]
    assert 8 <= len(during) <= most
    after = a_second([at for at in world.vendor.polls if 600.0 <= at < 680.0])
    assert max(after.values()) < 2 * CATCH_UP


def test_a_vendor_that_stalls_is_not_asked_by_all_at_once(world: World) -> None:
    """Our client gives a poll up after 30 s."""
    busy(world)

    def stalls(_request: Request) -> bool:
        return 100.0 <= now() < 500.0

    with_habits(
        world,
        course=lambda *_: Course(runs=900.0),
        result_takes=lambda one: 30.0 if stalls(one) else 0.02,
        result=between(130.0, 530.0, NoAnswer("no answer in time")),
    )
    assert world.live().pause is None
    judge(world)
    during = [at for at in world.vendor.polls if 100.0 <= at < 500.0]
    assert len(during) <= MOST_AT_ONCE + 15


def test_a_retry_after_on_one_poll_holds_all_polls_and_submits(world: World) -> None:
    with_policy(world, concurrency=20, rate=Rate(1, 1.0))
    one_model(world, 60)
    told: list[float] = []

    def result(_request: Request) -> ResultOutcome | None:
        if told or now() < 30.0:
            return None
        told.append(now())
        return Throttled(40.0, "429")

    with_habits(world, course=lambda *_: Course(runs=10.0), result=result)
    assert world.live().pause is None
    judge(world)
    quiet = (told[0], told[0] + 40.0)
    assert [at for at in world.vendor.polls if quiet[0] < at < quiet[1]] == []
    sent = [at for at, _, _ in world.vendor.posts]
    assert [at for at in sent if quiet[0] + 0.1 < at < quiet[1]] == []
    assert max(sent) > quiet[1]


def test_one_lost_answer_among_many_slows_nothing(world: World) -> None:
    busy(world, 100)
    with_habits(
        world,
        course=lambda *_: Course(runs=100.0),
        result=lambda _request: NoAnswer("502") if len(world.vendor.polls) % 20 == 0 else None,
    )
    world.live()
    judge(world)
    assert world.now < 140.0


def test_a_request_that_is_never_answered_does_not_keep_others_from_being_asked(
    world: World,
) -> None:
    with_policy(world, concurrency=4, timeout=300.0)
    one_model(world, 40)
    with_habits(world, result=lambda one: NoAnswer("HTTP 500") if one.job == "a000" else None)
    world.live()
    states = world.states()
    assert states.pop("a000") == "failed"
    assert set(states.values()) == {"done"}
    done = [at for at, move in world.lives[0].moves(JobState.DONE)]
    assert max(done) < 200.0


def test_a_stop_is_not_held_up_by_polls_that_wait(world: World) -> None:
    busy(world)
    with_habits(
        world,
        course=lambda *_: Course(runs=900.0),
        result=between(100.0, inf, Throttled(250.0, "429")),
    )

    async def stop(process: Process) -> None:
        await asyncio.sleep(150.0)
        process.scheduler.drain()

    assert world.live(stop).drained
    assert world.now == pytest.approx(150.0)


def test_polls_that_are_refused_for_ever_pause_the_run_and_the_next_one_follows(
    world: World,
) -> None:
    busy(world, 20)
    with_policy(world, timeout=9000.0)
    with_habits(
        world,
        course=lambda *_: Course(runs=900.0),
        result=between(100.0, 5000.0, Throttled(20.0, "429")),
    )
    end = world.live()
    assert end.pause is not None
    assert (end.pause.reason, end.pause.lets_go) == (PauseReason.THROTTLED, True)
    assert 1000.0 <= world.now < 1100.0
    with_habits(world)
    world.live()
    judge(world)
    assert len(world.vendor.posts) == 20
    assert set(world.states().values()) == {"done"}


def test_many_quick_jobs_are_asked_for_as_fast_as_they_end(world: World) -> None:
    with_policy(world, concurrency=200)
    one_model(world, 400)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=0.2))
    world.live()
    judge(world)
    assert max(a_second(world.vendor.polls).values()) > 5 * CATCH_UP
