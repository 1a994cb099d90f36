"""Chains with gates in bad weather, from many seeds: each job is paid once, and in its turn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from batchgen.engine.policy import EnginePolicy
from batchgen.references import reference_url
from tests.engine.bad_weather import stormy_chains, until_settled
from tests.engine.judge import judge
from tests.engine.simulation import EDIT, I2V, T2I, World, job

LIVES = 250
"""A canary that fails ends a life, and every job may be one."""


def gated(world: World) -> list[str]:
    """Jobs that are done and wait for a person's word."""
    rows = world.query("SELECT id FROM job WHERE gate = 1 AND approved = 0 AND state = 'done'")
    return [one for (one,) in rows]


@pytest.mark.parametrize("seed", range(200, 203))
def test_chains_in_a_storm_keep_every_promise(tmp_path: Path, seed: int) -> None:
    world = stormy_chains(tmp_path, seed)
    until_settled(world, LIVES)
    judge(world)
    half = gated(world)[::2]
    world.approve(*half)
    until_settled(world, LIVES)
    judge(world)
    waiting = {one for one, state in world.states().items() if state == "pending"}
    assert all(one.startswith(("edit", "clip")) for one in waiting)


@pytest.mark.parametrize("seed", range(300, 302))
def test_chains_go_on_after_a_kill_at_any_moment(tmp_path: Path, seed: int) -> None:
    world = stormy_chains(tmp_path, seed)
    dice = Random(-seed)
    for _ in range(4):
        world.crash(after=dice.uniform(0, 120))
        world.approve(*gated(world)[:5])
    until_settled(world, LIVES)
    judge(world)


def test_of_twenty_stills_the_five_that_are_approved_go_on(tmp_path: Path) -> None:
    """Still, edit, clip; killed in the middle; each charged once."""
    world = World(tmp_path, EnginePolicy(concurrency=8))
    numbers = range(20)
    world.add(
        [
            *(job(T2I, f"still-{n}", gate=True) for n in numbers),
            *(job(EDIT, f"edit-{n}", first(f"still-{n}"), needs=(f"still-{n}",)) for n in numbers),
            *(job(I2V, f"clip-{n}", first(f"edit-{n}"), needs=(f"edit-{n}",)) for n in numbers),
        ]
    )
    assert world.crash(after=9.0) == 0
    assert world.live().pause is None
    assert len(world.vendor.ledger) == 20
    world.approve(*(f"still-{n}" for n in (1, 3, 5, 7, 11)))
    world.crash(after=8.0)
    assert world.live().pause is None
    judge(world)
    assert Counter(world.states().values()) == {"done": 30, "pending": 30}
    assert len(world.vendor.ledger) == 30
    assert len({request.job for request in world.vendor.ledger.values()}) == 30


def first(name: str) -> str:
    return reference_url(name, "image", 0)
