"""How long requests are expected to take: learnt from polls, and soon corrected."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine import polling
from batchgen.engine.limits import Expectations
from batchgen.engine.polling import next_poll
from batchgen.runcomfy.outcomes import NoAnswer
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course
from tests.engine.simulation import T2I, World, one_model, with_habits, with_policy

QUICK = Course(queued=0.1, runs=0.1)


def lateness(expectations: Expectations, duration: float, dice: Random) -> float:
    """How late the end of one request is seen, in seconds; what is learnt from it is kept."""
    age = going_until = 0.0
    while age < duration:
        going_until = age
        expected, proven = expectations.expected(T2I), expectations.proven(T2I)
        age += next_poll(age, expected, dice, proven=proven)
    expectations.learn(T2I, going_until, age)
    return age - duration


def after(seconds: float, count: int) -> Expectations:
    """What is known once `count` requests took so many seconds."""
    expectations = Expectations()
    for _ in range(count):
        lateness(expectations, seconds, Random(count))
    return expectations


def test_nothing_is_expected_of_an_unknown_model() -> None:
    expectations = Expectations()
    assert expectations.expected(T2I) is None
    assert not expectations.proven(T2I)


def test_what_earlier_runs_learnt_counts_until_this_run_has_seen_an_end() -> None:
    expectations = Expectations()
    expectations.suppose(T2I, 60.0)
    assert expectations.expected(T2I) == 60.0
    assert not expectations.proven(T2I)
    expectations.learn(T2I, 9.0, 11.0)
    assert expectations.expected(T2I) == 10.0
    assert expectations.proven(T2I)


def test_an_expectation_that_this_run_has_not_proven_is_never_waited_for_long() -> None:
    assert next_poll(0.0, 60.0, Random(1), proven=False) == polling.LONGEST
    assert next_poll(0.0, 60.0, Random(1)) == pytest.approx(54.0)


def test_a_first_poll_that_comes_too_late_brings_the_next_one_forward_by_half() -> None:
    expectations = after(60.0, 8)
    polls = [54.0] * 5
    for poll in polls:
        expectations.learn(T2I, 0.0, poll)
    assert expectations.expected(T2I) == 27.0


def test_one_quick_request_among_slow_ones_does_not_cost_the_others_polls() -> None:
    expectations = after(60.0, 8)
    before = expectations.expected(T2I)
    expectations.learn(T2I, 0.0, 54.0)
    assert expectations.expected(T2I) == pytest.approx(before, rel=0.1)


def test_a_supposed_minute_is_unlearnt_within_a_few_quick_requests() -> None:
    expectations, dice = Expectations(), Random(1)
    expectations.suppose(T2I, 60.0)
    late = [lateness(expectations, 0.2, dice) for _ in range(16)]
    assert late[0] < 15.0
    assert max(late[1:]) < 7.0
    assert max(late[8:]) < 1.0
    assert sum(late) < 40.0


@given(st.floats(1.0, 3600.0), st.floats(0.2, 3600.0), st.integers(0, 20), st.booleans())
def test_any_change_of_the_duration_is_learnt(
    once: float, now: float, count: int, supposed: bool
) -> None:
    expectations = after(once, count)
    if supposed:
        expectations.suppose(T2I, once)
    dice = Random(count)
    last = [lateness(expectations, now, dice) for _ in range(60)][-1]
    assert last <= max(1.2 * polling.SHORTEST, 0.3 * now)
    assert last <= 1.1 * polling.LONGEST


def test_a_wrong_expectation_of_an_earlier_run_costs_half_a_minute_and_not_the_night(
    world: World,
) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 1)
    with_habits(world, course=lambda *_: Course(runs=60.0))
    world.live()
    assert world.query("SELECT ended_at - accepted_at > 55 FROM attempt") == [(1,)]
    one_model(world, 200)
    with_habits(world, course=lambda *_: QUICK)
    began = world.now
    world.live()
    judge(world)
    # Without it 200 jobs, four at a time, each with about half a second, take 30 s.
    assert world.now - began < 75.0


def test_an_outage_is_not_taken_for_the_duration_of_requests(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 100)
    with_habits(world, course=lambda *_: QUICK)
    world.crash(after=0.3)
    began = world.now = 600.0
    world.live()
    judge(world)
    assert world.now - began < 30.0


def test_a_silence_within_a_run_is_not_taken_for_a_duration(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 100)
    with_habits(
        world,
        course=lambda *_: QUICK,
        result=lambda request: NoAnswer("no route") if request.polls[-1] < 60.0 else None,
    )
    world.live()
    judge(world)
    assert world.now < 120.0
