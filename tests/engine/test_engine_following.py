"""Requests in flight: time-outs, retries, odd answers, cancels, and those of an earlier run."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from batchgen.engine.events import Noted
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Missing,
    NoAnswer,
    Queued,
    ResultOutcome,
    Running,
    Throttled,
    UnrecognizedState,
)
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Request
from tests.engine.simulation import one_model, with_habits, with_policy

if TYPE_CHECKING:
    from tests.engine.simulation import Process, World


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failed_request_is_paid_again_exactly_as_often_as_allowed(
    world: World, retries: int
) -> None:
    """Row 29."""
    with_policy(world, retries=retries)
    one_model(world, 5)
    with_habits(world, course=lambda *_: Course(end=JobState.FAILED))
    world.live()
    world.live()
    judge(world)
    assert Counter(job for _, _, job in world.vendor.posts) == dict.fromkeys(
        world.states(), 1 + retries
    )
    assert set(world.states().values()) == {"failed"}


def test_a_request_that_waits_too_long_is_cancelled_for_free_and_tried_again(world: World) -> None:
    with_policy(world, timeout=100.0, retries=1)
    one_model(world, 1)
    with_habits(world, course=lambda *_: Course(queued=1000.0))
    world.live()
    judge(world)
    assert len(world.vendor.ledger) == 2
    assert all(request.cancelled_at < 250 for request in world.vendor.ledger.values())
    assert world.query("SELECT outcome, cost FROM attempt") == [("failed", 0.0)] * 2
    assert world.error("a000") == "timeout"


def test_a_request_that_runs_too_long_is_asked_again_by_the_next_run_without_paying(
    world: World,
) -> None:
    with_policy(world, timeout=100.0, retries=3)
    one_model(world, 1)
    with_habits(world, course=lambda *_: Course(runs=400.0))
    world.live()
    assert 100 < world.now < 130
    assert world.states() == {"a000": "failed"}
    assert world.query("SELECT outcome FROM attempt") == [(None,)]
    world.now = 500.0
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 1


def test_a_request_that_ends_just_before_its_time_is_up_is_kept(world: World) -> None:
    """Row 38."""
    with_policy(world, timeout=100.0)
    one_model(world, 1)

    def look(request: Request) -> ResultOutcome | None:
        asked_to_cancel = request.left
        return None if asked_to_cancel else Running()

    with_habits(world, course=lambda *_: Course(runs=50.0), look=look)
    world.live()
    assert world.states() == {"a000": "done"}


def test_requests_of_an_earlier_run_are_asked_at_once_and_hold_their_places(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 12)
    with_habits(world, course=lambda *_: Course(runs=100.0))
    world.crash(after=30.0)
    began = world.now = 70.0
    world.live()
    judge(world)
    earlier = list(world.vendor.ledger.values())[:4]
    for request in earlier:
        assert min(at for at in request.looks if at > began) < began + 0.1
    assert [at for at, _, _ in world.vendor.posts][4] >= 100.0
    assert world.vendor.peak["all"] == 4


def test_a_request_that_is_not_there_yet_is_given_its_time(world: World) -> None:
    """Row 34."""
    one_model(world, 3)
    with_habits(world, course=lambda *_: Course(runs=60.0, hidden=40.0))
    world.live()
    assert set(world.states().values()) == {"done"}


def test_a_request_that_vanished_is_lost_and_stays_counted_as_spent(world: World) -> None:
    """Row 35."""
    with_policy(world, retries=5)
    one_model(world, 1)
    with_habits(world, look=lambda _request: Missing("404"))
    world.live()
    assert world.states() == {"a000": "lost"}
    assert len(world.vendor.posts) == 1
    assert world.now > 60


def test_odd_answers_are_no_end_and_are_noted_once(world: World) -> None:
    """Rows 32, 33."""
    one_model(world, 1)
    answers: list[ResultOutcome] = [
        Running(),
        Queued(4),
        UnrecognizedState("dreaming"),
        NoAnswer("502"),
        Queued(-1),
    ]

    def look(request: Request) -> ResultOutcome | None:
        return answers[len(request.looks) - 1] if len(request.looks) <= len(answers) else None

    with_habits(world, look=look, course=lambda *_: Course(runs=20.0))
    world.live()
    assert world.states() == {"a000": "done"}
    notes = [note.text for _, note in world.lives[0].told(Noted)]
    assert notes == ["the vendor says queued after running; ignored"]


def test_a_throttled_question_waits_as_told(world: World) -> None:
    one_model(world, 1)
    with_habits(
        world,
        look=lambda request: Throttled(40.0, "429") if len(request.looks) == 1 else None,
    )
    world.live()
    (request,) = world.vendor.ledger.values()
    assert request.looks[1] - request.looks[0] >= 40.0
    assert world.states() == {"a000": "done"}


def test_a_live_request_is_cancelled_on_demand(world: World) -> None:
    one_model(world, 2)
    with_habits(world, course=lambda _model, job: Course(queued=500.0 if job == "a000" else 1.0))

    async def decide(process: Process) -> None:
        await asyncio.sleep(10.0)
        await process.scheduler.cancel(1)

    world.live(decide)
    judge(world)
    assert world.states() == {"a000": "cancelled", "a001": "done"}
    assert Noted("cancel asked for: cancelled", "a000") in [
        note for _, note in world.lives[0].told(Noted)
    ]


def test_a_cancel_that_comes_too_late_changes_nothing(world: World) -> None:
    """Row 38."""
    one_model(world, 1)

    async def decide(process: Process) -> None:
        await asyncio.sleep(2.0)
        await process.scheduler.cancel(1)

    world.live(decide)
    assert world.states() == {"a000": "done"}


def test_known_durations_save_polls(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 40)
    with_habits(world, course=lambda *_: Course(runs=90.0))
    world.live()
    looks = [len(request.looks) for request in world.vendor.ledger.values()]
    assert sum(looks[:2]) > sum(looks[-2:])
    assert max(looks[4:]) <= 5
