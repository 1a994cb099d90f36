"""How a run stops: drained, aborted, or broken; what is on the wire is recorded all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from batchgen.engine.events import Draining, Event, JobMoved
from batchgen.engine.shielded_tasks import LAST_ANSWERS
from batchgen.errors import DiskFullError
from batchgen.runcomfy.outcomes import NoAnswer, NotSent, Throttled
from tests.engine.bad_weather import stormy, until_settled
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course, Delivery, Reply
from tests.engine.simulation import Process, World, one_model, with_habits, with_policy


def drain_at(seconds: float) -> Callable[[Process], Awaitable[None]]:
    async def script(process: Process) -> None:
        await asyncio.sleep(seconds)
        process.scheduler.drain()

    return script


def abort_at(seconds: float) -> Callable[[Process], Awaitable[None]]:
    async def script(_process: Process) -> None:
        (main,) = (task for task in asyncio.all_tasks() if task.get_name() == "main")
        await asyncio.sleep(seconds)
        main.cancel()

    return script


def aborted(world: World, seconds: float) -> None:
    with pytest.raises(asyncio.CancelledError):
        world.live(abort_at(seconds))


def states(world: World) -> Counter[str]:
    return Counter(world.states().values())


def test_a_drain_returns_at_once_and_leaves_requests_with_the_vendor(world: World) -> None:
    """Row 56."""
    with_policy(world, concurrency=8)
    one_model(world, 30)
    with_habits(world, course=lambda *_: Course(runs=500.0))
    end = world.live(drain_at(20.0))
    assert end.drained
    assert end.pause is None
    assert world.now < 21.0
    assert states(world) == {"running": 8, "pending": 22}
    assert world.lives[0].emitted(Draining) == [(20.0, Draining(8))]
    with_habits(world)
    world.live()
    judge(world)
    assert len(world.vendor.posts) == 30


def test_a_post_in_flight_is_recorded_by_a_drain(world: World) -> None:
    """Row 56."""
    with_policy(world, concurrency=4)
    one_model(world, 30)
    with_habits(world, reply=lambda *_: Reply(takes=5.0))
    world.live(drain_at(1.0))
    assert world.now == pytest.approx(5.0)
    assert states(world) == {"queued": 4, "pending": 26}


def test_a_drain_lets_the_download_at_hand_end_and_begins_no_other(world: World) -> None:
    """Row 57."""
    with_policy(world, downloads=2, concurrency=8)
    one_model(world, 8)
    with_habits(world, delivery=lambda _url: Delivery(takes=30.0))
    world.live(drain_at(20.0))
    assert 30.0 < world.now < 37.0
    assert states(world) == {"done": 2, "fetching": 6}
    assert len(world.lives[0].line.fetched) == 2


def test_a_drain_with_nothing_left_to_do_ends_like_any_other(world: World) -> None:
    """On Python 3.11 a cancellation would have been left behind."""
    with_policy(world, concurrency=1, downloads=1)
    one_model(world, 1)
    with_habits(world, delivery=lambda _url: Delivery(takes=30.0))
    end = world.live(drain_at(20.0))
    assert end.drained
    assert states(world) == {"done": 1}


def test_a_drain_gives_a_late_answer_a_last_chance(world: World) -> None:
    one_model(world, 1)
    with_habits(world, reply=lambda *_: Reply(takes=105.0))
    world.live(drain_at(100.0))
    assert states(world) == {"queued": 1}
    assert world.now == pytest.approx(105.0)


def test_an_abort_still_records_the_answers_in_flight(world: World) -> None:
    """Row 57."""
    with_policy(world, concurrency=4)
    one_model(world, 30)
    takes = {"a000": 3.0, "a001": 9.0, "a002": 100.0}
    with_habits(world, reply=lambda _model, job: Reply(takes=takes.get(job, 0.5)))
    aborted(world, 0.1)
    assert world.now == pytest.approx(0.1 + LAST_ANSWERS)
    assert world.states() | {"a000": "queued", "a001": "queued", "a003": "queued"} == world.states()
    assert world.states()["a002"] == "submitting"
    assert states(world)["pending"] == 26
    with_habits(world)
    world.live()
    judge(world)
    assert states(world) == {"done": 29, "unknown": 1}


@pytest.mark.parametrize("outcome", [NotSent("refused"), Throttled(9.0, "429")])
def test_an_abort_records_refusals_too(world: World, outcome: NotSent | Throttled) -> None:
    one_model(world, 8)
    with_habits(world, reply=lambda *_: Reply(outcome, takes=2.0, charged=False))
    aborted(world, 1.0)
    assert states(world) == {"pending": 8}


def test_a_full_disk_ends_the_run_and_keeps_a_receipt_of_every_answer(world: World) -> None:
    """Row 51."""
    with_policy(world, concurrency=4)
    one_model(world, 30)
    full = DiskFullError("the disk is full")
    takes = {"a000": 1.0, "a001": 5.0, "a002": 8.0, "a003": 9.0}
    with_habits(world, reply=lambda _model, job: Reply(takes=takes[job]))

    async def script(process: Process) -> None:
        await asyncio.sleep(0.5)
        process.store._writer._broken = full

    with pytest.raises(ExceptionGroup) as caught:
        world.live(script)
    assert caught.group_contains(DiskFullError)
    receipts = world.lives[0].recovery_log.entries
    assert [(one.job_id, one.attempt) for one in receipts] == [(job, 1) for job in sorted(takes)]
    assert {one.request_id for one in receipts} == set(world.vendor.ledger)
    assert len(world.vendor.posts) == 4


def test_an_answer_after_the_deadline_finds_a_failed_state_and_leaves_a_receipt(
    world: World,
) -> None:
    """Row 51, found by a simulated night: nobody was left to record what came so late."""
    (job,) = one_model(world, 1)
    with_habits(world, reply=lambda _model, _job: Reply(takes=61.5))
    full = DiskFullError("the disk is full")

    async def script(process: Process) -> None:
        await asyncio.sleep(30.0)
        process.store._writer._broken = full

    with pytest.raises(ExceptionGroup) as caught:
        world.live(script)
    assert caught.group_contains(DiskFullError)
    (receipt,) = world.lives[0].recovery_log.entries
    assert (receipt.job_id, receipt.request_id) == (job, *world.vendor.ledger)


class ListenerError(Exception):
    pass


@pytest.mark.parametrize("state", ["submitting", "queued", "running", "fetching", "done"])
def test_a_listener_that_fails_ends_the_run_and_loses_no_answer(world: World, state: str) -> None:
    with_policy(world, concurrency=6)
    one_model(world, 40)
    with_habits(world, reply=lambda _model, job: Reply(takes=1.0 + int(job[1:]) % 6))

    def on_event(event: Event) -> None:
        if isinstance(event, JobMoved) and event.state == state:
            raise ListenerError(state)

    world.on_event = on_event
    with pytest.raises(ExceptionGroup) as caught:
        world.live()
    assert caught.group_contains(ListenerError)
    assert "submitting" not in states(world)
    assert "unknown" not in states(world)
    recorded = world.query("SELECT count(*) FROM attempt WHERE request_id IS NOT NULL")
    assert recorded == [(len(world.vendor.ledger),)]
    world.on_event = lambda _event: None
    world.live()
    judge(world)
    assert states(world) == {"done": 40}


def test_an_outage_lets_requests_go_and_the_next_run_follows_them(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 12)

    def down(*_: object) -> NoAnswer | None:
        return NoAnswer("no route") if asyncio.get_running_loop().time() > 3 else None

    with_habits(
        world,
        course=lambda *_: Course(runs=50.0),
        result=down,
    )
    end = world.live()
    assert end.pause is not None
    assert end.pause.lets_go
    assert 900 < world.now < 1000
    with_habits(world)
    world.live()
    judge(world)
    assert states(world) == {"done": 12}
    assert len(world.vendor.posts) == 12


@pytest.mark.parametrize("seed", range(200, 203))
def test_a_stormy_run_that_is_stopped_again_and_again_keeps_every_promise(
    tmp_path: Path, seed: int
) -> None:
    """Rows 56, 57."""
    world = stormy(tmp_path, seed)
    dice = Random(-seed)
    for _ in range(4):
        moment = dice.uniform(0, 120)
        if dice.random() < 0.5:
            world.live(drain_at(moment))
        else:
            with suppress(asyncio.CancelledError):
                world.live(abort_at(moment))
    until_settled(world)
    judge(world)


def test_the_state_survives_as_an_ordinary_database(world: World) -> None:
    one_model(world, 5)
    world.live()
    assert world.query("PRAGMA integrity_check") == [("ok",)]
    assert world.query("PRAGMA foreign_key_check") == []
