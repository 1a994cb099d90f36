"""Whole runs in bad weather, from many seeds, judged by the vendor's ledger and the state."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from batchgen.engine.events import Event
from batchgen.engine.policy import EnginePolicy
from tests.engine.bad_weather import JOBS, stormy, until_settled
from tests.engine.judge import judge
from tests.engine.simulated_vendor import Habits
from tests.engine.simulation import MODELS, World


@pytest.mark.parametrize("seed", range(4))
def test_a_stormy_run_keeps_every_promise(tmp_path: Path, seed: int) -> None:
    """Rows 13, 15, 18, 19, 21, 23, 24, 30, 33, 34, 36, 37, 40."""
    world = stormy(tmp_path, seed)
    until_settled(world)
    judge(world)


@pytest.mark.parametrize("seed", range(100, 103))
def test_a_process_killed_at_any_moment_costs_only_what_was_in_flight(
    tmp_path: Path, seed: int
) -> None:
    """Row 58."""
    world = stormy(tmp_path, seed)
    dice = Random(-seed)
    for _ in range(3):
        on_wire = world.crash(after=dice.uniform(0, 200))
        interrupted = world.query("SELECT id FROM job WHERE state = 'submitting'")
        assert len(interrupted) <= on_wire
    until_settled(world)
    judge(world)


def test_one_seed_gives_one_run(tmp_path: Path) -> None:
    first, second = (story(tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert len(first) > 3 * JOBS


def story(folder: Path) -> list[tuple[float, Event]]:
    folder.mkdir()
    world = stormy(folder, 7)
    until_settled(world)
    return [line for process in world.lives for line in process.events]


def test_in_good_weather_no_slot_is_idle_while_work_waits(tmp_path: Path) -> None:
    """300 jobs of 5.1 s in 8 places: 191 s, and a tenth more for finding out that they ended."""
    world = World(tmp_path, EnginePolicy(concurrency=8))
    world.vendor.habits = Habits()
    world.add_jobs((MODELS[number % 3], f"job-{number:03}") for number in range(JOBS))
    world.live()
    judge(world)
    polls = [len(request.polls) for request in world.vendor.ledger.values()]
    assert world.now < 1.1 * 300 * 5.1 / 8
    assert sum(polls) / len(polls) < 4
