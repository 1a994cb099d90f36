"""A vendor in bad weather: everything that can go wrong does, by the dice of a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random

from batchgen.downloads.outcomes import Corrupt, Interrupted, UrlExpired
from batchgen.engine.policy import EnginePolicy
from batchgen.jobs import JobState
from batchgen.manifest.policy import ModelPolicy, OnUnknown
from batchgen.manifest.units import Rate
from batchgen.pauses import PauseReason
from batchgen.runcomfy import outcomes
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    Missing,
    NotReady,
    NotSent,
    Refused,
    ResultOutcome,
    Scope,
    StatusOutcome,
    Throttled,
    Unclear,
    UnrecognizedState,
)
from tests.engine.simulated_vendor import Course, Delivery, Habits, Reply, Request, Vendor
from tests.engine.simulation import EDIT, I2V, MODELS, T2I, World


@dataclass(slots=True)
class Weather:
    dice: Random
    vendor: Vendor
    burst: int = field(default=0)

    def habits(self) -> Habits:
        return Habits(self.reply, self.course, self.result, self.status, self.delivery)

    def reply(self, _model: str, _job: str) -> Reply:
        takes = self.dice.uniform(0.05, 1.5)
        if self.burst:
            self.burst -= 1
            return Reply(Throttled(self.dice.choice((None, 0.0, 2.0)), "slow"), takes, False)
        kind = self.dice.random()
        if kind > 0.08:
            return Reply(None, takes)
        return self.dice.choice(self._bad(takes))

    def _bad(self, takes: float) -> tuple[Reply, ...]:
        self.burst = self.dice.choice((0, 0, 0, 4))
        earlier = self.dice.choice(tuple(self.vendor.ledger) or ("none",))
        twin = Accepted(earlier, "{}") if self.vendor.ledger else NotSent("refused")
        return (
            Reply(NotSent("connection refused"), takes, charged=False),
            Reply(Unclear("reset"), takes, charged=True),
            Reply(Unclear("reset"), takes, charged=False),
            Reply(None, self.dice.uniform(61.0, 500.0)),
            Reply(None, inf),
            Reply(Halted(PauseReason.NO_BALANCE, "no balance"), takes, charged=False),
            Reply(Refused(Scope.JOB, "422", "no"), takes, charged=False),
            Reply(Gateway(403, "HTTP 403: an HTML page instead of JSON"), takes, charged=False),
            Reply(twin, takes, charged=False),
        )

    def course(self, _model: str, _job: str) -> Course:
        ends = (JobState.DONE,) * 16 + (JobState.FAILED, JobState.CANCELLED, JobState.LOST)
        return Course(
            queued=self.dice.uniform(0, 5),
            runs=self.dice.choice((1.0, 3.0, 8.0, 8.0, 8.0, 2000.0))
            if self.dice.random() < 0.1
            else self.dice.uniform(2, 12),
            end=self.dice.choice(ends),
            files=self.dice.choice((1, 1, 1, 1, 2, 3, 0)),
            files_after=self.dice.choice((0.0, 0.0, 0.0, 0.0, 20.0, 1000.0)),
            cost_after=self.dice.choice((0, 0, 1, 3)),
            hidden=self.dice.choice((0.0, 0.0, 0.0, 3.0)),
        )

    def result(self, _request: Request) -> ResultOutcome | None:
        kind = self.dice.random()
        if kind < 0.02:
            return outcomes.NoAnswer("502")
        if kind < 0.03:
            return Throttled(2.0, "slow")
        if kind < 0.04:
            return UnrecognizedState("dreaming")
        if kind < 0.08:
            return self.dice.choice(
                (
                    NotReady("400005"),
                    Missing("404"),
                    Gateway(409, "HTML"),
                    Halted(PauseReason.TOKEN_REFUSED, "401"),
                )
            )
        return None

    def status(self, _request: Request) -> StatusOutcome | None:
        return Gateway(403, "HTML") if self.dice.random() < 0.3 else None

    def delivery(self, url: str) -> Delivery:
        takes, kind = self.dice.uniform(0.1, 20.0), self.dice.random()
        if kind < 0.05:
            return Delivery(Interrupted("reset"), takes)
        if kind < 0.08:
            self.vendor.renewed[url.split("/")[4]] += 1
            return Delivery(UrlExpired(403, "expired"), takes)
        return Delivery(Corrupt("half a picture") if kind < 0.1 else None, takes)


JOBS = 300
LIVES = 60
"""More than any seed needs: each life ends at the latest with its next pause."""


def stormy(folder: Path, seed: int) -> World:
    dice = Random(seed)
    policy = EnginePolicy(
        concurrency=dice.choice((1, 4, 8, 24)),
        rate=dice.choice((None, Rate(5, 1.0))),
        models={T2I: ModelPolicy(4, Rate(2, 1.0)), EDIT: ModelPolicy(24), I2V: ModelPolicy(2)},
        retries=dice.choice((0, 2)),
        on_unknown=dice.choice((OnUnknown.HOLD, OnUnknown.HOLD, OnUnknown.RESUBMIT)),
        timeout=dice.choice((120.0, 3600.0)),
        budget=dice.choice((None, 1000.0)),
        downloads=dice.choice((1, 8)),
    )
    world = World(folder, policy, seed=seed)
    world.add_jobs((MODELS[number % 3], f"job-{number:03}") for number in range(JOBS))
    world.vendor.habits = Weather(dice, world.vendor).habits()
    return world


def until_settled(world: World, lives: int = LIVES) -> None:
    for _ in range(lives):
        if world.live().pause is None and not unsettled(world):
            return
    raise AssertionError(f"not settled after {lives} lives")


def unsettled(world: World) -> bool:
    return bool(
        world.query(
            "SELECT 1 FROM job WHERE state IN ('queued', 'running', 'fetching')"
            " OR (state = 'pending' AND waiting = 0)"
        )
    )
