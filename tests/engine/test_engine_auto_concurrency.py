"""`concurrency: auto`: as many requests as keep the vendor's workers fed, and two more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.auto_concurrency import (
    AUTO_START,
    MOST_AUTO,
    SPARES,
    WARM_UP,
    AutoConcurrency,
)
from batchgen.engine.events import ConcurrencyFound
from batchgen.jobs import JobState
from batchgen.manifest.policy import AUTO, ModelPolicy
from batchgen.runcomfy.outcomes import NotReady, ResultOutcome
from tests.benchmarks.night_clients import Asked, play_engine
from tests.benchmarks.night_vendor import Limit, Model, Night
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Request
from tests.engine.simulation import T2I, World, one_model, with_habits, with_policy


def filled(count: int) -> AutoConcurrency:
    auto = AutoConcurrency()
    for number in range(count):
        auto.begin(float(number))
    return auto


def test_what_is_ahead_in_the_queue_is_not_worked_on() -> None:
    auto = filled(10)
    auto.at_work(0.0, 2.0, 20.0, is_first_look=False)
    auto.queued(9.0, 3, 20.0 + WARM_UP)
    assert (auto.workers, auto.at_once) == (7, 7 + SPARES)
    assert auto.why == "the vendor works on 7, and 2 wait"


def test_while_workers_are_still_starting_their_number_says_nothing() -> None:
    auto = filled(10)
    auto.at_work(0.0, 2.0, 20.0, is_first_look=False)
    auto.queued(9.0, 9, 21.0)
    assert (auto.workers, auto.at_once) == (None, AUTO_START)


def test_where_everything_waits_more_is_sent_until_a_worker_starts() -> None:
    auto = filled(8)
    for now in (5.0, 6.0, 10.0, 15.0, 20.0, 25.0):
        auto.queued(7.0, 8, now)
    assert auto.at_once == MOST_AUTO
    auto.at_work(0.0, 30.0, 30.0, is_first_look=False)
    auto.queued(7.0, 4, 30.0 + WARM_UP)
    assert auto.at_once == 4 + SPARES


def test_where_nothing_waits_half_as_many_more_are_sent() -> None:
    auto = filled(7)
    auto.at_work(6.0, 1.0, 10.0, is_first_look=True)
    assert auto.at_once == 12
    auto.at_work(6.0, 1.0, 11.0, is_first_look=True)
    assert auto.at_once == 12, "only when as many are in flight as may be"


def test_a_first_look_comes_ever_more_seldom() -> None:
    auto, looks = filled(8), 0
    auto.at_work(0.0, 0.5, 0.5, is_first_look=False)
    for now in range(600):
        if auto.looks_soon(float(now)):
            looks += 1
            auto.queued(7.0, 1, float(now))
    assert 5 <= looks <= 15


def test_vendors_words_that_never_tell_leave_it_as_it_was() -> None:
    assert AutoConcurrency().at_once == AUTO_START
    assert "do not say yet" in AutoConcurrency().why


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("begin", "end", "queued", "running")),
        st.integers(0, 70),
        st.floats(0.0, 30.0),
    )
)


@given(STEPS, st.integers(1, MOST_AUTO))
def test_whatever_the_vendor_says_it_is_from_one_to_the_most(
    steps: list[tuple[str, int, float]], most: int
) -> None:
    auto, live, now = AutoConcurrency(at_once=1, most=most), list[float](), 0.0
    for step, number, passed in steps:
        now += passed
        if step == "begin":
            live.append(auto.begin(now))
        elif live and step == "end":
            auto.end(live.pop(number % len(live)))
        elif live and step == "queued":
            auto.queued(live[number % len(live)], number, now)
        elif live and step == "running":
            auto.at_work(live[number % len(live)], passed, now, is_first_look=number % 2 == 0)
        assert 1 <= auto.at_once <= most


@pytest.mark.parametrize("workers", [1, 3, 12, 30])
def test_a_night_finds_the_vendors_workers(workers: int) -> None:
    """And neither idles nor sends far too many."""
    night = Night((Model("usual", 40 * workers, 20.0, workers),))
    played = play_engine(night, 1, Asked(8, run={"concurrency": AUTO}))
    (usage,) = played.usage
    assert usage.idle / usage.usable < 0.06
    assert played.counts.polls / (40 * workers) < 8


def test_a_night_finds_a_limit_of_the_account_with_several_models() -> None:
    """None of them starves, though the others could take every place that is free."""
    models = tuple(Model(name, 60, seconds, 8) for name, seconds in (("a", 6.0), ("b", 60.0)))
    played = play_engine(Night(models, Limit(8)), 1, Asked(8, run={"concurrency": AUTO}))
    assert max(usage.starved for usage in played.usage) < 60.0


def test_the_ceiling_of_a_model_holds_with_auto(world: World) -> None:
    with_policy(world, concurrency=AUTO, models={T2I: ModelPolicy(3)})
    one_model(world, 60)
    assert world.live().pause is None
    judge(world)
    assert world.vendor.peak[T2I] == 3


def test_what_was_found_is_told_and_the_next_run_begins_with_it(world: World) -> None:
    with_policy(world, concurrency=AUTO)
    one_model(world, 200)
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=20.0))
    world.live()
    judge(world)
    found = [event for _, event in world.lives[0].emitted(ConcurrencyFound)]
    assert found[-1].model == T2I
    assert world.vendor.peak["all"] == MOST_AUTO
    assert found[-1].at_once > 50
    before = len(world.vendor.posts)
    world.add_jobs((T2I, f"b{number}") for number in range(100))
    began = world.now
    world.live()
    at_once = sum(at < began + 1.0 for at, _, _ in world.vendor.posts[before:])
    assert at_once >= found[-1].at_once


def test_a_vendor_that_never_says_queued_or_running_gets_eight(world: World) -> None:
    def result(request: Request) -> ResultOutcome | None:
        return NotReady("400005") if request.polls[-1] < request.ends else None

    with_policy(world, concurrency=AUTO)
    one_model(world, 60)
    with_habits(
        world,
        course=lambda *_: Course(queued=0.0, runs=20.0),
        result=result,
        status=lambda request: NotReady("?") if request.polls[-1] < request.ends else None,
    )
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {JobState.DONE}
    assert world.vendor.peak["all"] == AUTO_START
