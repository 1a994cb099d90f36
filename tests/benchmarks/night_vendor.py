"""A vendor with a few workers for each model, on the loop's clock; it meters how they are used.

A submit arrives after `TRAVEL` seconds and is answered after `TRAVEL` more; a poll is answered
after `POLL` seconds with what is true then. Requests wait in one queue for each model, and their
positions count from 1. Results can be downloaded at once.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random

from batchgen.downloads.adopt import SourceGone
from batchgen.downloads.embedding import Provenance
from batchgen.downloads.outcomes import Fetched, VerifiedFile
from batchgen.jobs import Job, canonical_json
from batchgen.runcomfy.outcomes import (
    Accepted,
    CancelOutcome,
    Ended,
    Queued,
    Running,
    SubmitOutcome,
    Succeeded,
    Throttled,
)
from batchgen.runcomfy.upload import BeforeLast
from batchgen.storage.locations import Location

TRAVEL = 0.1
POLL = 0.1
KEEP_WARM = 30.0
"""Seconds that a worker with a cold start stays warm without work."""
SPREAD = 0.35
"""Sigma of the lognormal service times: one in twenty takes 1.8 times the median or longer."""


@dataclass(frozen=True, slots=True)
class Model:
    """`median` service time and `cold_start` in seconds; with one, its workers begin cold."""

    name: str
    jobs: int
    median: float
    workers: int
    cold_start: float = 0.0

    def durations(self, seed: int) -> list[float]:
        """The service time of each job: the same for every client."""
        dice = Random(f"{seed} {self.name}")
        return [self.median * dice.lognormvariate(0.0, SPREAD) for _ in range(self.jobs)]


@dataclass(frozen=True, slots=True)
class Limit:
    """A submit gets a 429 while `most` requests of the account are unfinished.

    `per_model`: of its model instead. From `falls_at` for `falls_for` seconds it is a quarter.
    """

    most: int
    retry_after: float | None = None
    falls_at: float = inf
    falls_for: float = 0.0
    per_model: bool = False

    def at(self, now: float) -> int:
        fallen = self.falls_at <= now < self.falls_at + self.falls_for
        return max(1, self.most // 4) if fallen else self.most

    def changes(self) -> tuple[float, ...]:
        return (self.falls_at, self.falls_at + self.falls_for) if self.falls_at < inf else ()


@dataclass(frozen=True, slots=True)
class Night:
    """What has to be made, and by whom.

    `is_chain`: each job of the second model needs one of the first, whose jobs are listed before
    it, those that are needed last.
    """

    models: tuple[Model, ...]
    limit: Limit | None = None
    is_chain: bool = False

    def jobs(self) -> Iterator[Job]:
        """In the manifest's order: each model's jobs are spread evenly over it, but for a chain."""
        places = [
            (index if self.is_chain else (number + 0.5) / model.jobs, index, number)
            for index, model in enumerate(self.models)
            for number in range(model.jobs)
        ]
        for _, index, number in sorted(places):
            name = self.models[index].name
            body = canonical_json({"number": number})
            needs = self._needs(number) if self.is_chain and index else ()
            yield Job(f"{name}-{number}", name, body, f"{name}-{number}", needs=needs)

    def _needs(self, number: int) -> tuple[str, ...]:
        return (f"{self.models[0].name}-{self.first_needed + number}",)

    @property
    def first_needed(self) -> int:
        """Of the jobs of the first model of a chain, the first that another one needs."""
        return self.models[0].jobs - self.models[1].jobs

    def usable(self, model: Model, now: float) -> int:
        """Workers of a model that the limit allows to be busy."""
        return min(model.workers, self.limit.at(now)) if self.limit else model.workers


@dataclass(slots=True)
class _Request:
    id: str
    side: _Side
    service: float
    started: bool = False
    ended_at: float = inf
    noticed: bool = False


@dataclass(slots=True)
class Usage:
    """Of one model, in seconds times workers, while some of its jobs were not accepted yet.

    `idle` has `late`: an ended request that nobody has noticed holds the place of the next, and
    `travelling`: a submit is on its way. `starved` is the longest time with nothing in flight.
    """

    usable: float = 0.0
    idle: float = 0.0
    late: float = 0.0
    travelling: float = 0.0
    starved: float = 0.0


@dataclass(slots=True)
class _Side:
    """One model. `warm` are its idle workers, by the time since when; the last one works next."""

    model: Model
    durations: list[float]
    warm: list[float]
    cold: int
    backlog: int
    queue: deque[_Request] = field(default_factory=deque)
    busy: int = 0
    warming: int = 0
    travelling: int = 0
    unnoticed: int = 0
    starved_since: float | None = 0.0
    usage: Usage = field(default_factory=Usage)

    @property
    def unfinished(self) -> int:
        return len(self.queue) + self.busy


@dataclass(slots=True)
class Counts:
    """What a client did. `delays` are the seconds from each end to the answer that showed it."""

    refusals: int = 0
    polls: int = 0
    polls_while_queued: int = 0
    delays: list[float] = field(default_factory=list)


class NightVendor:
    """The engine's ports `api` and `files`; make it inside the loop in which the night is."""

    def __init__(self, night: Night, seed: int) -> None:
        self.counts = Counts()
        self._night = night
        self._sides = {model.name: _side(model, seed) for model in night.models}
        self._requests: dict[str, _Request] = {}
        self._loop = asyncio.get_running_loop()
        self._metered = self._loop.time()
        for moment in night.limit.changes() if night.limit else ():
            self._loop.call_at(moment, self._meter)

    def usage(self) -> list[Usage]:
        self._meter()
        return [side.usage for side in self._sides.values()]

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        await before_last()
        side = self._sides[model]
        self._travels(side, 1)
        await asyncio.sleep(TRAVEL)
        self._travels(side, -1)
        refusal = self._refusal(side)
        request = None if refusal else self._accept(side, json.loads(body)["number"])
        await asyncio.sleep(TRAVEL)
        if request is None:
            assert refusal is not None
            return refusal
        return Accepted(request.id, "{}")

    async def result(self, request_id: str) -> Queued | Running | Succeeded:
        await asyncio.sleep(POLL)
        self.counts.polls += 1
        request = self._requests[request_id]
        if not request.started:
            self.counts.polls_while_queued += 1
            return Queued(request.side.queue.index(request) + 1)
        if request.ended_at == inf:
            return Running()
        if not request.noticed:
            self._notice(request)
        return Succeeded((f"https://cdn.test/{request_id}.png",), 0.05, "{}")

    async def status(self, request_id: str) -> Queued | Running | Ended:
        outcome = await self.result(request_id)
        return Ended() if isinstance(outcome, Succeeded) else outcome

    async def cancel(self, request_id: str) -> CancelOutcome:
        return CancelOutcome.NOT_CANCELLABLE

    async def fetch(
        self, url: str, name: str, _provenance: Provenance, *, request: str, is_new: bool
    ) -> Fetched:
        return Fetched(VerifiedFile(f"files/{name}.png", 9, "ab" * 32, "image/png", 8, 8, None, 1))

    async def adopt(self, source: Location, expected: VerifiedFile, name: str) -> SourceGone:
        return SourceGone("no other run is simulated")

    def _travels(self, side: _Side, by: int) -> None:
        self._meter()
        side.travelling += by

    def _refusal(self, side: _Side) -> Throttled | None:
        limit = self._night.limit
        if limit is None:
            return None
        sides = [side] if limit.per_model else self._sides.values()
        if sum(one.unfinished for one in sides) < limit.at(self._loop.time()):
            return None
        self.counts.refusals += 1
        return Throttled(limit.retry_after, "too many unfinished requests")

    def _accept(self, side: _Side, number: int) -> _Request:
        self._meter()
        request = _Request(f"r{len(self._requests)}", side, side.durations[number])
        self._requests[request.id] = request
        side.queue.append(request)
        side.backlog -= 1
        self._assign(side)
        return request

    def _assign(self, side: _Side) -> None:
        """Idle workers take what is queued; for the rest, cold ones are started."""
        now = self._loop.time()
        while side.model.cold_start and side.warm and side.warm[0] + KEEP_WARM <= now:
            side.warm.pop(0)
            side.cold += 1
        while side.queue and side.warm:
            side.warm.pop()
            request = side.queue.popleft()
            request.started = True
            side.busy += 1
            self._loop.call_later(request.service, self._end, request)
        while side.cold and side.warming < len(side.queue):
            side.cold -= 1
            side.warming += 1
            self._loop.call_later(side.model.cold_start, self._warmed, side)

    def _warmed(self, side: _Side) -> None:
        self._meter()
        side.warming -= 1
        side.warm.append(self._loop.time())
        self._assign(side)

    def _end(self, request: _Request) -> None:
        self._meter()
        side = request.side
        request.ended_at = self._loop.time()
        side.busy -= 1
        side.unnoticed += 1
        side.warm.append(request.ended_at)
        self._assign(side)

    def _notice(self, request: _Request) -> None:
        self._meter()
        request.noticed = True
        request.side.unnoticed -= 1
        self.counts.delays.append(self._loop.time() - request.ended_at)

    def _meter(self) -> None:
        """Count the time since the last change, before the next one."""
        now = self._loop.time()
        passed, since = now - self._metered, self._metered
        self._metered = now
        for side in self._sides.values():
            if side.backlog:
                _use(side, self._night.usable(side.model, since), passed)
            _starve(side, since, now)


def _side(model: Model, seed: int) -> _Side:
    cold = model.workers if model.cold_start else 0
    warm = [0.0] * (model.workers - cold)
    return _Side(model, model.durations(seed), warm, cold, model.jobs)


def _use(side: _Side, usable: int, passed: float) -> None:
    idle = max(0, usable - side.busy - side.warming)
    late = min(idle, side.unnoticed)
    usage = side.usage
    usage.usable += usable * passed
    usage.idle += idle * passed
    usage.late += late * passed
    usage.travelling += min(idle - late, side.travelling) * passed


def _starve(side: _Side, since: float, now: float) -> None:
    if not side.backlog or side.unfinished or side.travelling:
        side.starved_since = None
        return
    side.starved_since = since if side.starved_since is None else side.starved_since
    side.usage.starved = max(side.usage.starved, now - side.starved_since)
