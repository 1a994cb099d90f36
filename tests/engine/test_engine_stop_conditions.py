"""What ends the submits before the end: too many failures, the hour, a disk nearly full."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from batchgen.engine.events import Pause, Paused, PauseReason, WaitingToStart
from batchgen.engine.health import FailureBreaker
from batchgen.engine.ports import DiskUsage
from batchgen.engine.scheduler import RunEnd
from batchgen.engine.stop_conditions import (
    CHECK_CLOCK_EVERY,
    CHECK_DISK_EVERY,
    USUAL_FLOOR,
    pause_for_usage,
)
from batchgen.errors import DiskFullError, StorageError
from batchgen.jobs import JobState
from batchgen.manifest.units import Halt
from batchgen.pauses import AGAIN
from batchgen.runcomfy.outcomes import Refused, Scope
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Reply
from tests.engine.simulation import EPOCH, Process, World, one_model, with_habits, with_policy


def states(world: World) -> Counter[str]:
    return Counter(world.states().values())


def paused(end: RunEnd, reason: PauseReason) -> Pause:
    assert end.pause is not None
    assert end.pause.reason is reason
    assert AGAIN in end.pause.next_step
    assert not end.drained
    return end.pause


def failing(*jobs: str, end: JobState = JobState.FAILED) -> Callable[[str, str], Course]:
    return lambda _model, job: Course(end=end if job in jobs else JobState.DONE)


def at(seconds: float) -> datetime:
    """A moment of the wall clock, by the loop's time while nobody sets the clock."""
    return datetime.fromtimestamp(EPOCH + seconds, UTC)


# Failures


def test_a_share_of_failures_counts_once_enough_have_ended() -> None:
    breaker = FailureBreaker(Halt(percent=20.0, after=5))
    assert [breaker.fails("model_error", "no paint"), breaker.delivered()] == [False, False]
    assert [breaker.delivered(), breaker.delivered()] == [False, False]
    assert breaker.delivered()
    assert breaker.pause().sentence == (
        "1 of the 5 jobs that ended in this run failed, most often (1) with model_error: no paint"
    )


def test_a_number_of_failures_waits_for_nothing_else() -> None:
    breaker = FailureBreaker(Halt(count=2, after=1))
    assert [breaker.fails("a", "x"), breaker.delivered(), breaker.fails("b", "y")] == [
        False,
        False,
        True,
    ]


def test_the_sentence_names_the_commonest_cause() -> None:
    breaker = FailureBreaker(Halt(percent=50.0, after=25))
    for code in ("rare", "often", "often"):
        breaker.fails(code, f"reason of {code}")
    assert "most often (2) with often: reason of often" in breaker.pause().sentence


def test_too_many_failures_stop_the_submits_and_what_is_paid_comes_home(world: World) -> None:
    with_policy(world, concurrency=2, halt=Halt(percent=50.0, after=4))
    names = one_model(world, 30)
    with_habits(world, course=failing(names[1], names[3]))
    pause = paused(world.live(), PauseReason.FAILURES)
    assert pause.sentence.startswith("2 of the 4 jobs that ended in this run failed")
    assert "model_error: the model failed" in pause.sentence
    found = states(world)
    assert found["failed"] == 2
    assert found["done"] == len(world.vendor.posts) - 2 <= 4
    assert found["pending"] == 30 - len(world.vendor.posts)


def test_the_next_run_counts_anew_and_goes_on(world: World) -> None:
    with_policy(world, concurrency=1, halt=Halt(count=1, after=1))
    names = one_model(world, 6)
    with_habits(world, course=failing(names[0], names[3]))
    paused(world.live(), PauseReason.FAILURES)
    assert states(world) == {"failed": 1, "pending": 5}
    paused(world.live(), PauseReason.FAILURES)
    assert states(world) == {"failed": 2, "done": 2, "pending": 2}
    assert world.live().pause is None
    assert states(world) == {"failed": 2, "done": 4}
    judge(world)


def test_refusals_and_lost_requests_are_failures_too(world: World) -> None:
    with_policy(world, concurrency=1, halt=Halt(count=2, after=1))
    names = one_model(world, 5)
    refused = Refused(Scope.JOB, "bad_input", "no such picture")
    with_habits(
        world,
        reply=lambda _model, job: Reply(refused, charged=False) if job == names[0] else Reply(),
        course=failing(names[1], end=JobState.LOST),
    )
    paused(world.live(), PauseReason.FAILURES)
    assert states(world) == {"failed": 1, "lost": 1, "pending": 3}


def test_what_an_earlier_run_lost_does_not_halt_each_run_anew(world: World) -> None:
    with_policy(world, concurrency=1)
    names = one_model(world, 3)
    with_habits(world, course=failing(*names, end=JobState.LOST))
    world.live()
    assert states(world) == {"lost": 3}
    world.add_jobs([("vendor/edit", "later")])
    with_policy(world, halt=Halt(count=1, after=1))
    assert world.live().pause is None
    assert world.states()["later"] == "done"


def test_a_failure_that_is_tried_again_is_not_counted(world: World) -> None:
    with_policy(world, concurrency=1, retries=1, halt=Halt(count=1, after=1))
    one_model(world, 3)
    with_habits(
        world,
        course=lambda _model, job: Course(
            end=JobState.DONE if len(world.vendor.charges(job)) else JobState.FAILED
        ),
    )
    assert world.live().pause is None
    assert states(world) == {"done": 3}


def test_failures_of_the_last_jobs_stop_nothing(world: World) -> None:
    """The run is over: there is nothing to go on with."""
    with_policy(world, halt=Halt(count=1, after=1))
    names = one_model(world, 3)
    with_habits(world, course=failing(*names))
    assert world.live().pause is None
    assert states(world) == {"failed": 3}


# The hour


def test_after_the_longest_duration_nothing_is_sent_and_all_that_is_paid_comes_home(
    world: World,
) -> None:
    with_policy(world, concurrency=4, max_duration=5400.0)
    one_model(world, 100)
    with_habits(world, course=lambda *_: Course(runs=1000.0))
    pause = paused(world.live(), PauseReason.MAX_DURATION)
    assert pause.sentence == (
        "the run has lasted 1 h 30 min, as long as max_duration allows: nothing more is submitted"
    )
    assert max(when for when, _, _ in world.vendor.posts) < 5400.0
    assert world.now > 5400.0
    assert states(world) == {"done": 24, "pending": 76}
    with_policy(world, max_duration=None)
    world.live()
    assert states(world) == {"done": 100}
    assert len(world.vendor.posts) == 100
    judge(world)


def test_the_pause_comes_at_its_time_though_nothing_else_happens(world: World) -> None:
    with_policy(world, concurrency=1, max_duration=10.0)
    one_model(world, 2)
    with_habits(world, course=lambda *_: Course(runs=3000.0))
    world.live()
    ((moment, _),) = world.lives[0].emitted(Paused)
    assert moment == pytest.approx(10.0)


def test_a_run_that_sent_everything_in_time_is_not_paused(world: World) -> None:
    with_policy(world, concurrency=3, max_duration=10.0, stop_at=at(20.0))
    one_model(world, 3)
    with_habits(world, course=lambda *_: Course(runs=500.0))
    assert world.live().pause is None
    assert states(world) == {"done": 3}


def test_a_retry_after_the_hour_waits_for_the_next_run(world: World) -> None:
    with_policy(world, concurrency=1, max_duration=50.0, retries=1)
    names = one_model(world, 1)
    with_habits(world, course=lambda *_: Course(runs=100.0, end=JobState.FAILED))
    paused(world.live(), PauseReason.MAX_DURATION)
    assert world.states() == {names[0]: "pending"}
    assert len(world.vendor.posts) == 1


def test_a_time_to_stop_ends_the_submits(world: World) -> None:
    with_policy(world, concurrency=1, stop_at=at(60.0))
    one_model(world, 50)
    pause = paused(world.live(), PauseReason.STOP_AT)
    assert "2023-11-14 22:14:20+00:00" in pause.sentence
    assert "later date" in pause.next_step
    assert 50.0 < max(when for when, _, _ in world.vendor.posts) < 60.0
    assert states(world)["pending"] > 30


def test_a_time_of_day_is_the_next_one_to_come(world: World) -> None:
    hour = (at(0.0) + timedelta(minutes=10)).timetz()
    with_policy(world, concurrency=1, stop_at=hour)
    one_model(world, 150)
    pause = paused(world.live(), PauseReason.STOP_AT)
    assert pause.next_step == AGAIN
    last = max(when for when, _, _ in world.vendor.posts)
    assert 500.0 < last < 600.0
    # The same command, after that hour: the next one is tomorrow's.
    assert world.live().pause is None
    assert states(world) == {"done": 150}


def test_a_date_that_is_past_sends_nothing_and_fetches_what_is_paid(world: World) -> None:
    with_policy(world, concurrency=2, stop_at=at(-5.0))
    one_model(world, 3)
    paused(world.live(), PauseReason.STOP_AT)
    assert world.vendor.posts == []
    assert states(world) == {"pending": 3}


@pytest.mark.parametrize(("jump", "last"), [(3600.0, 30.0), (-600.0, 700.0)])
def test_a_clock_that_is_set_moves_the_time_to_stop_with_it(
    world: World, jump: float, last: float
) -> None:
    """Rows 60 and 61: to the loop, a machine that slept looks like a clock set forward."""
    world.wall_jump = lambda now: jump if now >= 30.0 else 0.0
    with_policy(world, concurrency=1, stop_at=at(100.0))
    one_model(world, 200)
    paused(world.live(), PauseReason.STOP_AT)
    found = max(when for when, _, _ in world.vendor.posts)
    assert last - 10.0 < found <= last


def test_a_clock_that_is_set_does_not_change_the_longest_duration(world: World) -> None:
    """Row 60."""
    world.wall_jump = lambda now: 1e6 if now >= 30.0 else 0.0
    with_policy(world, concurrency=1, max_duration=100.0)
    one_model(world, 100)
    paused(world.live(), PauseReason.MAX_DURATION)
    assert 90.0 < max(when for when, _, _ in world.vendor.posts) < 100.0


# The time to start


def test_nothing_is_submitted_before_the_time_to_start(world: World) -> None:
    with_policy(world, concurrency=4, begins_at=EPOCH + 7200.0)
    one_model(world, 20)
    assert world.live().pause is None
    judge(world)
    assert min(when for when, _, _ in world.vendor.posts) == pytest.approx(7200.0)
    assert world.lives[0].emitted(WaitingToStart) == [(0.0, WaitingToStart(EPOCH + 7200.0))]


def test_what_is_paid_is_followed_and_fetched_while_the_run_waits(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 10)
    with_habits(world, course=lambda *_: Course(runs=50.0))
    world.crash(after=10.0)
    with_policy(world, begins_at=EPOCH + 7200.0)
    assert world.live().pause is None
    judge(world)
    done = [moment for moment, _ in world.lives[1].moves(JobState.DONE)]
    assert len(done) == 10
    assert sum(moment < 200.0 for moment in done) == 4
    assert sum(moment > 7200.0 for moment in done) == 6


def test_a_run_that_has_nothing_to_submit_does_not_wait(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 4)
    with_habits(world, course=lambda *_: Course(runs=50.0))
    world.crash(after=10.0)
    with_policy(world, begins_at=EPOCH + 7200.0)
    assert world.live().pause is None
    assert world.now < 100.0
    assert world.lives[1].emitted(WaitingToStart) == []


def test_a_stop_ends_the_waiting_at_once(world: World) -> None:
    with_policy(world, begins_at=EPOCH + 7200.0)
    one_model(world, 4)

    async def stop(process: Process) -> None:
        await asyncio.sleep(100.0)
        process.scheduler.drain()

    assert world.live(stop).drained
    assert world.now == pytest.approx(100.0)
    assert world.vendor.posts == []


def test_the_times_to_stop_count_from_the_time_to_start(world: World) -> None:
    with_policy(world, concurrency=1, begins_at=EPOCH + 7200.0, max_duration=60.0)
    one_model(world, 100)
    paused(world.live(), PauseReason.MAX_DURATION)
    sent = [when for when, _, _ in world.vendor.posts]
    assert min(sent) == pytest.approx(7200.0)
    assert max(sent) == pytest.approx(7257.0, abs=5.0)


def test_a_time_of_day_to_stop_is_the_first_one_after_the_time_to_start(world: World) -> None:
    hour = (at(0.0) + timedelta(minutes=30)).timetz()
    with_policy(world, concurrency=1, begins_at=EPOCH + 3600.0, stop_at=hour)
    one_model(world, 4)
    assert world.live().pause is None
    assert states(world) == {"done": 4}


@pytest.mark.parametrize(("jump", "first"), [(3600.0, 3600.0), (-1800.0, 9000.0)])
def test_a_clock_that_is_set_moves_the_time_to_start_with_it(
    world: World, jump: float, first: float
) -> None:
    """Rows 60 and 61: to the loop, a machine that slept looks like a clock set forward."""
    world.wall_jump = lambda now: jump if now >= 600.0 else 0.0
    with_policy(world, begins_at=EPOCH + 7200.0)
    one_model(world, 4)
    world.live()
    begun = min(when for when, _, _ in world.vendor.posts)
    assert first <= begun <= first + CHECK_CLOCK_EVERY


# The disk


def test_a_disk_that_is_nearly_full_at_the_start_gets_nothing(world: World) -> None:
    """Row 50."""
    world.disk.left = lambda: 3 * 1024**2
    with_policy(world, min_free=10**9)
    one_model(world, 5)
    pause = paused(world.live(), PauseReason.DISK_NEARLY_FULL)
    assert pause.sentence == (
        "the disk is nearly full: 3.0 MiB are free, but at least 953.7 MiB must be:"
        " nothing more is submitted"
    )
    assert pause.next_step.startswith("make room, or set output.min_free")
    assert pause.where == "files"
    assert world.vendor.posts == []


def test_a_disk_that_fills_stops_the_submits_and_the_downloads_go_on(world: World) -> None:
    """Row 50."""
    world.disk.left = lambda: 10**9 if asyncio.get_running_loop().time() < 35.0 else 10**6
    with_policy(world, concurrency=2)
    one_model(world, 60)
    paused(world.live(), PauseReason.DISK_NEARLY_FULL)
    assert 35.0 - 5.0 < max(when for when, _, _ in world.vendor.posts) < 35.0 + CHECK_DISK_EVERY
    assert states(world) == {
        "done": len(world.vendor.posts),
        "pending": 60 - len(world.vendor.posts),
    }
    world.disk.left = lambda: 10**9
    world.live()
    assert states(world) == {"done": 60}
    judge(world)


def test_the_disk_is_checked_now_and_then_not_at_each_submit(world: World) -> None:
    one_model(world, 200)
    world.live()
    checks = world.disk.checks
    gaps = [later - earlier for earlier, later in pairwise(checks)]
    assert len(gaps) > 3
    assert min(gaps) >= CHECK_DISK_EVERY


def test_a_floor_of_zero_is_never_checked(world: World) -> None:
    world.disk.left = lambda: 0
    with_policy(world, min_free=0)
    one_model(world, 5)
    assert world.live().pause is None
    assert world.disk.checks == []


def test_a_full_disk_without_a_job_to_send_is_no_reason_to_pause(world: World) -> None:
    with_policy(world, concurrency=1)
    one_model(world, 1)
    world.disk.left = lambda: 0 if world.vendor.posts else 10**12
    assert world.live().pause is None


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        (DiskFullError("no space", where="out", next_step="make room"), "make room"),
        (StorageError("it broke", where="out"), f"check the disk, then {AGAIN}"),
    ],
)
def test_a_disk_that_cannot_be_checked_pauses_the_run(
    world: World, error: StorageError, next_step: str
) -> None:
    def left() -> int:
        raise error

    world.disk.left = left
    one_model(world, 3)
    end = world.live()
    assert end.pause is not None
    assert (end.pause.reason, end.pause.where) == (PauseReason.DISK, "out")
    assert end.pause.next_step == next_step
    assert world.vendor.posts == []


@pytest.mark.parametrize(
    ("free", "total", "min_free", "stops"),
    [
        (USUAL_FLOOR, 10**12, None, False),
        (USUAL_FLOOR - 1, 10**12, None, True),
        (10**6, 10**8, None, False),
        (10**6 - 1, 10**8, None, True),
        (10**6, 10**8, 10**7, True),
        (10**9, 10**12, 10**9, False),
    ],
)
def test_a_small_disk_need_not_keep_as_much_free_as_a_large_one(
    free: int, total: int, min_free: int | None, stops: bool
) -> None:
    assert (pause_for_usage(DiskUsage(free, total, "x"), min_free) is not None) is stops
