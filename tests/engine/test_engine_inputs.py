"""Input images are probed before the submit: what is broken is never paid for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable

import pytest

from batchgen.engine.events import PauseReason
from batchgen.engine.ports import InputsBroken, InputsSound, InputsUnclear, InputVerdict
from batchgen.runcomfy.outcomes import Refused, Scope
from batchgen.state import manual_actions
from tests.engine.judge import judge
from tests.engine.simulated_inputs import SimulatedInputs
from tests.engine.simulated_vendor import PRICE, Reply
from tests.engine.simulation import EDIT, T2I, Process, World, one_model, with_habits, with_policy
from tests.engine.test_engine_stopping import drain_at


def of_job(name: str, verdict: InputVerdict) -> Callable[[str], InputVerdict]:
    return lambda body: verdict if f'"{name}"' in body else InputsSound()


def test_a_broken_input_fails_its_job_alone_and_is_not_sent(world: World) -> None:
    with_policy(world, budget=3.2 * PRICE)
    one_model(world, 4)
    world.inputs = SimulatedInputs(of_job("a001", InputsBroken("the picture is too large")))
    assert world.live().pause is None
    judge(world)
    assert Counter(world.states().values()) == {"done": 3, "failed": 1}
    assert world.error("a001") == "bad_input"
    assert "a001" not in {name for _, _, name in world.vendor.posts}


def test_every_input_is_checked_before_its_submit(world: World) -> None:
    one_model(world, 20)
    world.inputs = SimulatedInputs()
    world.live()
    judge(world)
    checked = {body: at for at, body in world.inputs.checked}
    assert len(checked) == 20
    assert all(checked[body] < at for at, _, body in world.vendor.bodies)


def test_one_dead_server_does_not_hold_up_the_jobs_that_do_not_need_it(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 100)
    world.inputs = SimulatedInputs(of_job("a000", InputsUnclear("host.test: timeout")))
    end = world.live()
    assert Counter(world.states().values()) == {"done": 99, "pending": 1}
    assert max(at for at, _, _ in world.vendor.posts) < 1.3 * 100 * 5.2 / 4
    assert len(world.inputs.checked) < 99 + 40
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNREACHABLE
    assert end.pause.sentence == "an input image cannot be reached (host.test: timeout)"
    assert world.query("SELECT count(*) FROM attempt WHERE job = 1") == [(0,)]
    world.inputs = None
    assert world.live().pause is None
    judge(world)


def test_with_the_network_down_nothing_is_sent_and_the_run_soon_pauses(world: World) -> None:
    one_model(world, 500)
    world.inputs = SimulatedInputs(lambda _body: InputsUnclear("no route"))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNREACHABLE
    assert world.now < 60.0
    assert world.vendor.posts == []
    assert world.query("SELECT DISTINCT state, attempts FROM job") == [("pending", 0)]
    assert len(world.inputs.checked) < 100


def unlist_the_first(db: sqlite3.Connection) -> None:
    db.execute("UPDATE job SET listed = 0 WHERE seq = 1")


@pytest.mark.parametrize("at", [45.0, 45.4, 47.0, 60.0])
@pytest.mark.parametrize("takes", [0.5, 20.0])
def test_a_job_that_is_cancelled_while_it_cannot_be_probed_ends_with_the_run(
    world: World, at: float, takes: float
) -> None:
    one_model(world, 3)
    world.inputs = SimulatedInputs(of_job("a000", InputsUnclear("host.test: timeout")), takes=takes)

    async def decide(process: Process) -> None:
        await asyncio.sleep(at)
        assert await process.store.run(manual_actions.cancel, 1)

    end = world.live(decide)
    judge(world)
    assert end.pause is None
    assert world.states() == {"a000": "cancelled", "a001": "done", "a002": "done"}
    assert world.now < at + 60.0 + takes
    assert max(asked for asked, _ in world.inputs.checked) < at + 0.01


def test_a_job_that_left_the_manifest_while_it_could_not_be_probed_is_let_go(
    world: World,
) -> None:
    one_model(world, 2)
    world.inputs = SimulatedInputs(of_job("a000", InputsUnclear("host.test: timeout")))

    async def decide(process: Process) -> None:
        await asyncio.sleep(45.0)
        await process.store.run(unlist_the_first)

    assert world.live(decide).pause is None
    assert world.states() == {"a000": "pending", "a001": "done"}
    assert world.now < 110.0


def test_a_job_whose_model_is_refused_while_it_cannot_be_probed_is_let_go(world: World) -> None:
    world.add_jobs([(T2I, "a000"), (EDIT, "b000"), (EDIT, "b001")])
    world.inputs = SimulatedInputs(of_job("b000", InputsUnclear("host.test: timeout")))
    refusal = Refused(Scope.MODEL, "403", "not for you")
    with_habits(
        world,
        reply=lambda model, _: (
            Reply(refusal, takes=25.0, charged=False) if model == EDIT else Reply()
        ),
    )
    world.live()
    assert world.states() == {"a000": "done", "b000": "failed", "b001": "failed"}
    assert world.now < 100.0


@pytest.mark.parametrize("takes", [30.0, 3000.0])
def test_a_drain_interrupts_a_probe_and_nothing_is_recorded(world: World, takes: float) -> None:
    one_model(world, 3)
    world.inputs = SimulatedInputs(takes=takes)
    end = world.live(drain_at(10.0))
    assert end.drained
    assert world.now == pytest.approx(10.0)
    assert world.query("SELECT DISTINCT state, attempts FROM job") == [("pending", 0)]
    world.inputs = None
    world.live()
    judge(world)
