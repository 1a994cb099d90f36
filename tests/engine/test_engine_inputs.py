"""Input images are looked at before the submit: what is broken is never paid for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from batchgen.engine.doors import InputsBroken, InputsSound, InputsUnclear, InputVerdict
from batchgen.engine.events import PauseReason
from tests.engine.judge import judge
from tests.engine.simulated_inputs import SimulatedInputs
from tests.engine.simulated_vendor import PRICE
from tests.engine.simulation import one_model, with_policy
from tests.engine.test_engine_stopping import drain_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.simulation import World


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


@pytest.mark.parametrize("takes", [30.0, 3000.0])
def test_a_drain_interrupts_a_look_and_nothing_is_recorded(world: World, takes: float) -> None:
    one_model(world, 3)
    world.inputs = SimulatedInputs(takes=takes)
    end = world.live(drain_at(10.0))
    assert end.drained
    assert world.now == pytest.approx(10.0)
    assert world.query("SELECT DISTINCT state, attempts FROM job") == [("pending", 0)]
    world.inputs = None
    world.live()
    judge(world)
