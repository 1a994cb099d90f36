"""Jobs that are added while the run goes on: none is missed, and no rule is passed by."""

from __future__ import annotations

import asyncio

import pytest

from batchgen.engine.events import Pause, PauseReason
from batchgen.jobs import Job
from batchgen.references import reference_url
from batchgen.state.appending import append_jobs
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Course
from tests.engine.simulation import EDIT, T2I, Process, World, job, with_habits, with_policy


def sweep(name: str, model: str, count: int) -> list[Job]:
    return [job(model, f"{name}-{number:03}", sweep=name) for number in range(count)]


async def feed(process: Process, pages: list[list[Job]], every: float) -> None:
    process.scheduler.expect_more_jobs()
    for page in pages:
        await asyncio.sleep(every)
        assert await process.store.run(append_jobs, page) == []
        await process.scheduler.reload_due_jobs()
    process.scheduler.all_jobs_added()


@pytest.mark.parametrize("every", [0.3, 60.0])
def test_the_run_goes_on_until_the_last_job_is_there(world: World, every: float) -> None:
    """Also where nothing is under way meanwhile, and where a model comes late."""
    world.add([job(T2I, "first")])
    late = job(EDIT, "late", reference_url("first", "image", 0), needs=("first",))
    pages = [sweep("a", T2I, 30), sweep("b", EDIT, 30), [late]]
    end = world.live(lambda process: feed(process, pages, every))
    assert end.pause is None
    judge(world)
    assert len(world.states()) == 62
    assert set(world.states().values()) == {"done"}
    assert world.now > 3 * every


def test_a_sweep_that_is_added_has_its_canary(world: World) -> None:
    with_policy(world, canary=1, concurrency=4)
    world.add(sweep("a", T2I, 300))
    with_habits(world, course=lambda *_: Course(queued=0.0, runs=3.0))
    pages = [sweep(f"b{number}", T2I, 5) for number in range(20)]
    assert world.live(lambda process: feed(process, pages, 7.7)).pause is None
    judge(world)
    assert len(world.states()) == 400
    assert set(world.states().values()) == {"done"}


def test_a_sweep_has_its_canary_though_a_page_has_it_before_it_is_announced(world: World) -> None:
    with_policy(world, canary=1, concurrency=4)
    world.add(sweep("a", T2I, 300))
    with_habits(world, course=lambda _model, one: Course(runs=60.0 if one[0] == "b" else 3.0))

    async def add(process: Process) -> None:
        await asyncio.sleep(20.0)
        assert await process.store.run(append_jobs, sweep("b", T2I, 20)) == []

    assert world.live(add).pause is None
    judge(world)
    assert len(world.states()) == 320
    assert set(world.states().values()) == {"done"}


def test_a_pause_from_outside_ends_the_submits_and_waits_for_nothing_to_come(world: World) -> None:
    world.add(sweep("a", T2I, 20))
    why = Pause(PauseReason.MANIFEST, "a row is wrong", "mend it")

    async def stop(process: Process) -> None:
        process.scheduler.expect_more_jobs()
        await asyncio.sleep(3.0)
        process.scheduler.pause(why)

    assert world.live(stop).pause == why
    assert max(at for at, _, _ in world.vendor.posts) <= 3.0
    assert set(world.states().values()) == {"done", "pending"}
