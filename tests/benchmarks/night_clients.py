"""Who works through a night: our engine, a plain client, and one that knows everything."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

from batchgen.engine.policy import EnginePolicy
from batchgen.engine.ports import Ports
from batchgen.engine.scheduler import Scheduler
from batchgen.jobs import Job
from batchgen.manifest.policy import SETTINGS, build_policy
from batchgen.runcomfy.outcomes import Accepted, Succeeded, Throttled
from batchgen.runcomfy.upload import at_once
from batchgen.state.database import open_for_writing
from batchgen.state.queries import Selection
from batchgen.state.store import Store
from batchgen.state.writer import Writer
from tests.benchmarks.night_vendor import TRAVEL, Counts, Limit, Model, Night, NightVendor, Usage
from tests.engine.simulation import EPOCH, OnePrice, RecoveryLog
from tests.engine.virtual_loop import InlineExecutor, virtually
from tests.state.state_world import State

LONGEST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """How many requests the user allows at once: in all, and of each model if that is set.

    `run` are more keys under `run:`, for the engine alone.
    """

    concurrency: int
    each: int | None = None
    run: Mapping[str, Any] = field(default_factory=dict)

    def policy(self, models: Iterable[str]) -> EnginePolicy:
        own = {name: {"concurrency": self.each} for name in models} if self.each else {}
        policy = build_policy({"concurrency": self.concurrency, "models": own, **self.run})
        return EnginePolicy(**{one.key: getattr(policy, one.key) for one in SETTINGS})


@dataclass(frozen=True, slots=True)
class Played:
    """A night that is over. `seconds`: until the client knew that everything was done."""

    seconds: float
    counts: Counts = field(default_factory=Counts)
    usage: tuple[Usage, ...] = ()


def play(night: Night, seed: int, client: Callable[[NightVendor], Awaitable[None]]) -> Played:
    async def from_dusk_till_dawn() -> Played:
        vendor = NightVendor(night, seed)
        await client(vendor)
        seconds = asyncio.get_running_loop().time()
        return Played(seconds, vendor.counts, tuple(vendor.usage()))

    return virtually(from_dusk_till_dawn())


def play_engine(night: Night, seed: int, asked: Asked, *, knows_limit: bool = False) -> Played:
    """The real engine on a real state. `knows_limit`: its concurrency is always the vendor's."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "state.db"
        with closing(open_for_writing(path)) as db:
            db.execute("PRAGMA synchronous = OFF")
            State(path, db).merge(night.jobs())
            writer = Writer(db, path, InlineExecutor(), gathering=0.0)

            async def run(vendor: NightVendor) -> None:
                now = asyncio.get_running_loop().time
                store = Store(writer, lambda: EPOCH + now())
                ports = Ports(vendor, store, vendor, OnePrice(), RecoveryLog(), Random(seed))
                names = [model.name for model in night.models]
                limit = night.limit if knows_limit else None
                policy = (Asked(limit.at(0.0)) if limit else asked).policy(names)
                scheduler = Scheduler(ports, policy, Selection(), lambda _event: None)
                if limit:
                    _follow(limit, scheduler, policy)
                end = await scheduler.run(names)
                assert end.pause is None, end.pause
                assert len(vendor.counts.delays) == sum(model.jobs for model in night.models)

            return play(night, seed, run)


def _follow(limit: Limit, scheduler: Scheduler, policy: EnginePolicy) -> None:
    """Set the engine's concurrency to the vendor's limit whenever that changes."""

    def retune() -> None:
        now = loop.time()
        scheduler.retune(replace(policy, concurrency=limit.at(now)), EPOCH + now)

    loop = asyncio.get_running_loop()
    for moment in limit.changes():
        loop.call_at(moment, retune)


def play_plain(night: Night, seed: int, asked: Asked, every: float) -> Played:
    """A loop in each place: submit, poll every so many seconds, take the next job.

    After a 429 it waits as asked, or 1, 2, 4, … seconds.
    """

    async def run(vendor: NightVendor) -> None:
        jobs, done = list(night.jobs()), defaultdict[str, asyncio.Event](asyncio.Event)
        lists = [[job for job in jobs if job.model == model.name] for model in night.models]
        async with asyncio.TaskGroup() as group:
            for waiting in lists if asked.each else [jobs]:
                shared = iter(waiting)
                for _ in range(asked.each or asked.concurrency):
                    group.create_task(_one_after_another(vendor, shared, every, done))

    return play(night, seed, run)


async def _one_after_another(
    vendor: NightVendor, jobs: Iterable[Job], every: float, done: Mapping[str, asyncio.Event]
) -> None:
    for job in jobs:
        for needed in job.needs:
            await done[needed].wait()
        request_id = await _submit(vendor, job)
        while True:
            await asyncio.sleep(every)
            if isinstance(await vendor.result(request_id), Succeeded):
                done[job.id].set()
                break


async def _submit(vendor: NightVendor, job: Job) -> str:
    backoff = 1.0
    while isinstance(outcome := await vendor.submit(job.model, job.body, at_once), Throttled):
        await asyncio.sleep(outcome.retry_after or backoff)
        backoff = min(LONGEST_BACKOFF, 2 * backoff)
    assert isinstance(outcome, Accepted)
    return outcome.request_id


def clairvoyant(night: Night, seed: int) -> float:
    """Seconds of a client that knows the workers, the limit at each moment, and each end before.

    Whatever the user's concurrency: it sends each request so that it arrives when a worker becomes
    free, takes each model's jobs in the manifest's order (so it is list scheduling with as many
    workers as the limit allows) but those first that others need, and sees each end at once. All
    cold workers start when the first requests arrive. The schedule can be reached. Only another
    order of the jobs can shorten it, by less than the last service time: so a client that mixes
    them up may come out a little below 1. Where a limit holds several models together, the model
    with the most work left for each of its workers goes first.
    """
    sides, needing = _planned(night, seed)
    now = TRAVEL
    running: list[tuple[float, int, int]] = []
    changes = [moment for moment in night.limit.changes() if moment > now] if night.limit else []
    while running or any(side.left for side in sides):
        while (index := _next(night, sides, len(running), now)) is not None:
            seconds, number = sides[index].start()
            heappush(running, (now + seconds, index, number))
        if changes and (not running or changes[0] < running[0][0]):
            now = changes.pop(0)
        else:
            now, index, number = heappop(running)
            sides[index].busy -= 1
            if index == 0 and number in needing:
                sides[1].left.append(needing[number])
    return now


def _planned(night: Night, seed: int) -> tuple[list[_Planned], dict[int, tuple[float, int]]]:
    """The models; of a chain, the second one's jobs by the number of the one that each needs."""
    sides = []
    for model in night.models:
        durations = model.durations(seed)
        sides.append(_Planned(model, deque(zip(durations, range(model.jobs), strict=True))))
    if not night.is_chain:
        return sides, {}
    first, second = sides
    first.left.rotate(-night.first_needed)
    needing = {night.first_needed + number: one for number, one in enumerate(second.left)}
    second.left.clear()
    return sides, needing


@dataclass(slots=True)
class _Planned:
    """A model of the clairvoyant. `left`: the duration and number of each job that may start."""

    model: Model
    left: deque[tuple[float, int]]
    busy: int = 0
    begun: int = 0

    def start(self) -> tuple[float, int]:
        cold = self.model.cold_start if self.begun < self.model.workers else 0.0
        self.busy += 1
        self.begun += 1
        seconds, number = self.left.popleft()
        return cold + seconds, number


def _next(night: Night, sides: list[_Planned], in_flight: int, now: float) -> int | None:
    limit = night.limit
    if limit is not None and not limit.per_model and in_flight >= limit.at(now):
        return None
    free = [
        (sum(seconds for seconds, _ in side.left) / side.model.workers, -index)
        for index, side in enumerate(sides)
        if side.left and side.busy < night.usable(side.model, now)
    ]
    return -max(free)[1] if free else None
