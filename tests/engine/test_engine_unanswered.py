"""A request whose submit got no answer may be running: it holds its place."""

from __future__ import annotations

import asyncio
from itertools import chain
from math import inf
from typing import Any

from batchgen.engine.limits import AGES, ENOUGH_AGES, SURELY, Expectations
from batchgen.manifest.policy import OnUnknown
from batchgen.runcomfy.outcomes import Unclear
from batchgen.state import manual_actions
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Reply
from tests.engine.simulation import T2I, Process, World, one_model, with_habits, with_policy

LOST = Reply(Unclear("reset by peer"))


def most_at_work(world: World) -> int:
    """Whether the run knows of them or not."""
    ledger = world.vendor.ledger.values()
    moments = chain.from_iterable((one.accepted_at, one.ends) for one in ledger)
    return max(sum(one.accepted_at <= at < one.ends for one in ledger) for at in moments)


def test_with_unanswered_requests_no_more_are_in_flight_than_allowed(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 30)
    with_habits(
        world,
        reply=lambda _model, job: LOST if job in {"a001", "a005", "a012"} else Reply(),
        course=lambda *_: Course(queued=0.0, runs=60.0),
    )
    assert world.live().pause is None
    judge(world)
    assert most_at_work(world) == 4


def one_lost(world: World, jobs: int, lost: str, runs: float) -> None:
    """Two places, and one answer is lost."""
    with_policy(world, concurrency=2, timeout=500.0)
    one_model(world, jobs)
    with_habits(
        world,
        reply=lambda _model, job: LOST if job == lost else Reply(),
        course=lambda *_: Course(queued=0.0, runs=runs),
    )


def at_once(world: World, at: float) -> int:
    """Requests of the run that were on the way at that time, without the lost one."""
    ledger = [one for one in world.vendor.ledger.values() if one.known]
    return sum(one.accepted_at <= at < one.ends for one in ledger)


def test_the_place_is_free_once_the_request_is_too_old_to_run(world: World) -> None:
    """Too few have ended to know how long it can take, so only the timeout is certain."""
    one_lost(world, 14, "a000", 100.0)
    assert world.live().pause is None
    assert [at_once(world, at) for at in (50.0, 250.0, 450.0)] == [1, 1, 1]
    assert at_once(world, 560.0) == 2


def test_the_place_is_free_once_no_request_has_ever_taken_so_long(world: World) -> None:
    one_lost(world, 40, "a020", 20.0)
    assert world.live().pause is None
    (lost,) = [at for at, _, job in world.vendor.posts if job == "a020"]
    assert at_once(world, lost + 10.0) == 1
    assert at_once(world, lost + 50.0) == 1
    assert at_once(world, lost + 110.0) == 2


def test_the_last_place_is_never_held(world: World) -> None:
    with_policy(world, concurrency=1)
    one_model(world, 4)
    with_habits(world, reply=lambda _model, job: LOST if job == "a000" else Reply())
    assert world.live().pause is None
    judge(world)
    assert world.now < 60.0


def test_a_run_does_not_wait_at_its_end_for_places_that_are_held(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 4)
    with_habits(world, reply=lambda _model, job: LOST if job == "a003" else Reply())
    assert world.live().pause is None
    judge(world)
    assert world.now < 60.0


def test_a_persons_decision_frees_the_place(world: World) -> None:
    one_lost(world, 14, "a000", 60.0)

    async def decide(process: Process) -> None:
        await asyncio.sleep(100.0)
        await process.scheduler.reconsider(1)

    assert world.live(decide).pause is None
    assert at_once(world, 99.0) == 1
    assert at_once(world, 103.0) == 2


def killed_while_submitting(world: World, concurrency: int, lost: int, **more: Any) -> None:
    """The last run has sent some requests that got no answer, and the next one begins at once."""
    with_policy(world, concurrency=concurrency, **more)
    names = one_model(world, 40)
    with_habits(
        world,
        reply=lambda _model, job: Reply(takes=inf) if job in names[:lost] else Reply(),
        course=lambda *_: Course(queued=0.0, runs=20.0),
    )
    assert world.crash(10.0) == lost


def test_what_a_killed_run_has_sent_holds_its_place_in_the_next_one(world: World) -> None:
    killed_while_submitting(world, 4, 2)
    assert world.live().pause is None
    judge(world)
    assert most_at_work(world) == 4
    assert at_once(world, 15.0) == 2
    assert at_once(world, world.now - 25.0) == 4


def test_at_most_half_of_the_places_are_held_for_a_killed_run(world: World) -> None:
    killed_while_submitting(world, 4, 4)
    assert world.live().pause is None
    judge(world)
    assert at_once(world, 15.0) == 2


def test_the_only_place_is_not_held_for_a_killed_run(world: World) -> None:
    killed_while_submitting(world, 1, 1)
    assert world.live().pause is None
    judge(world)
    assert at_once(world, 15.0) == 1


def test_what_was_sent_longer_ago_than_the_timeout_holds_no_place(world: World) -> None:
    killed_while_submitting(world, 4, 2, timeout=100.0)
    world.now += 100.0
    assert world.live().pause is None
    assert at_once(world, 115.0) == 4


def test_what_is_sent_again_after_a_kill_still_counts(world: World) -> None:
    killed_while_submitting(world, 4, 2, on_unknown=OnUnknown.RESUBMIT)
    names = ("a000", "a001")
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=20.0))
    assert world.live().pause is None
    assert [world.states()[name] for name in names] == ["done", "done"]
    assert at_once(world, 15.0) == 2


def test_a_persons_decision_frees_the_place_of_a_killed_run(world: World) -> None:
    killed_while_submitting(world, 4, 2)

    async def decide(process: Process) -> None:
        await asyncio.sleep(8.0)
        assert await process.store.run(manual_actions.write_off, 1, process.store.now()) is None
        await process.scheduler.reconsider(1)

    assert world.live(decide).pause is None
    assert [at_once(world, at) for at in (15.0, 25.0)] == [2, 3]


def test_how_long_a_request_can_take_is_known_after_some_have_ended() -> None:
    expectations = Expectations()
    for age in range(1, ENOUGH_AGES):
        expectations.learn(T2I, 0.0, float(age))
        assert expectations.surely_over(T2I) is None
    expectations.learn(T2I, 0.0, 50.0)
    assert expectations.surely_over(T2I) == SURELY * 50.0
    for _ in range(AGES):
        expectations.learn(T2I, 0.0, 2.0)
    assert expectations.surely_over(T2I) == SURELY * 2.0
