"""Many jobs: who starts next, what is taken up from an earlier run, and when all has ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.engine.budget import Budget
from batchgen.engine.canary import Canary
from batchgen.engine.carrying import Lifecycle
from batchgen.engine.control import Control
from batchgen.engine.downloads_pool import DownloadPool
from batchgen.engine.events import Draining, Listener, WaitingToStart
from batchgen.engine.health import Health, ModelLimits
from batchgen.engine.limits import Permit, RateLimiter, take
from batchgen.engine.model_queues import ModelQueues, Start, Track, next_turn
from batchgen.engine.polling import PacedApi
from batchgen.engine.stop_conditions import StopConditions
from batchgen.pauses import Pause, PauseReason, pause_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Ports
    from batchgen.state.queries import Selection
    from batchgen.state.records import JobRow, LiveRequest, Verified


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. Where all work was done there is no `pause`, and it was not `drained`."""

    pause: Pause | None
    drained: bool


class Scheduler:
    """Carries out the due jobs of a state, and follows what is under way.

    Each job has one task from submit to result; downloads have a pool of their own.
    """

    def __init__(
        self, ports: Ports, policy: EnginePolicy, selection: Selection, listener: Listener
    ) -> None:
        self._policy = policy
        self._control = Control(listener)
        self._overall = RateLimiter(policy.concurrency, policy.interval)
        self._api = PacedApi(ports.api, self._control, self._overall, ports.dice)
        self._ports = ports = replace(ports, api=self._api)
        self._health = Health(self._control, self._overall, ports.dice, policy.halt)
        self._budget = Budget(policy.budget)
        self._downloads = DownloadPool(ports, self._control, self._done)
        self._canary = Canary(policy.canary, ports.store, selection, self._control, self._rewind)
        self._lifecycle = Lifecycle(
            ports,
            policy,
            self._control,
            self._health,
            self._budget,
            self._downloads,
            self._canary,
            self._queue,
        )
        self._queues = ModelQueues(
            ports.store, policy, selection, self._canary, self._lifecycle.expectations
        )
        self._start_at = policy.start_at
        self._released = False
        self._more_to_come = False
        self._active = 0
        self._costs_asked = 0
        self._last = -1
        self._at_work = False
        self._too_dear: set[str] = set()
        self._stops: StopConditions
        self._jobs: asyncio.TaskGroup

    async def run(self, models: Iterable[str]) -> RunEnd:
        """Work until nothing is left to do, or a pause or a drain ends it.

        Raises the tree's errors, in an ExceptionGroup, where the state file fails.
        """
        self._stops = StopConditions(self._ports, self._policy, self._health)
        await self._queues.open_all(models)
        await self._lifecycle.blocked.begin()
        self._budget.committed = (await self._ports.store.money()).committed
        try:
            async with self._lifecycle.open_wire(self._overall), asyncio.TaskGroup() as self._jobs:
                await self._work()
        finally:
            self._control.tell()
        return RunEnd(self._control.paused, self._control.drain.requested)

    def drain(self) -> None:
        """Submit and ask no more; downloads at hand end, requests stay with the vendor."""
        if not self._control.drain.requested:
            self._control.drain.request()
            self._control.wake.set()
            self._control.emit(Draining(self._active))

    async def look_again(self, seq: int) -> None:
        """A person decided about this job: it may be pending, or have a request to follow.

        Once the run is ending, that is left to the next one.
        """
        if not self._at_work:
            return
        if job := await self._ports.store.pending_job(seq):
            if not self._canary.holds_back(job):
                await self._queue(job)
        elif request := await self._ports.store.live_request(seq):
            await self._start_following(request)
        # With it the jobs that need it are blocked no more, or may be submitted.
        await self.look_for_released()

    async def look_for_released(self) -> None:
        """Jobs became due by something that this run did not do: look at all of them again."""
        self._released = True
        self._control.wake.set()

    def more_to_come(self) -> None:
        """Jobs will be added: the run does not end for want of work before `all_is_there`.

        Whoever adds some calls `look_for_released`.
        """
        self._more_to_come = True

    def all_is_there(self) -> None:
        self._more_to_come = False
        self._control.wake.set()

    def pause(self, pause: Pause) -> None:
        """Submit no more, for a reason from outside; what is under way is carried on."""
        self._control.pause(pause)

    async def cancel(self, seq: int) -> None:
        """Ask the vendor to cancel a request; what became of it shows in its result.

        A job that is being submitted has none yet: it is asked for as soon as it has.
        """
        await self._lifecycle.cancel(seq)

    async def _work(self) -> None:
        teller = self._jobs.create_task(self._control.deliver_events(), name="events")
        pool = [
            self._jobs.create_task(self._downloads.work(), name=f"download {number}")
            for number in range(self._policy.downloads)
        ]
        self._at_work = True
        try:
            await self._take_up()
            await self._dispatch()
            self._lifecycle.retries.end()
            await self._settle()
        finally:
            self._at_work = False
        if not self._control.drain.requested:
            for worker in pool:
                worker.cancel()
        await asyncio.wait(pool)
        teller.cancel()

    async def _take_up(self) -> None:
        """What an earlier run left: requests to follow, results to download."""
        await self._canary.take_up()
        for seq in await self._ports.store.fetching():
            self._downloads.add(seq)
        requests = await self._ports.store.live_requests()
        self._api.spread(len(requests))
        for request in requests:
            await self._start_following(request)

    async def _dispatch(self) -> None:
        while self._control.submitting:
            if self._released:
                await self._look_at_released()
            tracks = self._queues.all()
            heads = [await track.head(self._too_dear) for track in tracks]
            if any(heads) and (until := self._stops.not_before()):
                self._say_that_it_waits()
                await self._wait_for_change(until)
                continue
            if any(heads) and (pause := await self._stops.pause()):
                self._control.pause(pause)
                return
            now = asyncio.get_running_loop().time()
            turn = next_turn(heads, self._overall, now, self._last)
            if isinstance(turn, Start):
                self._last = turn.lane
                await self._start(tracks[turn.lane], now)
            elif self._busy or turn.until is not None or self._control.wake.is_set():
                await self._wait_for_change(self._stops.ask_again(turn.until))
            else:
                await self._pause_for_rest()
                if not self._control.wake.is_set():
                    return

    def _say_that_it_waits(self) -> None:
        start_at, self._start_at = self._start_at, None
        if start_at is not None:
            self._control.emit(WaitingToStart(start_at))

    async def _look_at_released(self) -> None:
        self._released = False
        await self._canary.look()
        await self._queues.open_all()
        self._queues.rewind()
        await self._lifecycle.blocked.tell()

    async def _pause_for_rest(self) -> None:
        """Nothing can go any more: where due jobs are left, say why."""
        if self._too_dear:
            self._pause_for_money()
        await self._canary.pause_for_rest()

    async def _start(self, track: Track, now: float) -> None:
        if not track.jobs:
            return  # Rewound since its head was seen.
        job = track.jobs.take()
        price = self._ports.prices.price(job.model, job.body)
        if not self._budget.reserve(job.seq, price):
            # Others may be cheaper, and what is under way may cost less than was reserved.
            self._lifecycle.put_back(track, job)
            self._too_dear.add(job.model)
            return
        permit = self._enter(track.lane, now)
        self._jobs.create_task(self._carry(track, job, price, permit), name=f"job {job.id}")

    async def _queue(self, job: JobRow) -> None:
        track = await self._queues.open(job.model)
        track.jobs.put_back(job)

    def _pause_for_money(self) -> None:
        assert self._budget.limit is not None, "without a budget nothing is too dear"
        spent, limit = self._budget.committed, self._budget.limit
        self._control.pause(pause_for(PauseReason.BUDGET, limit=limit, spent=spent))

    async def _start_following(self, request: LiveRequest) -> None:
        """Takes its place even where that is over the limit: the request exists already."""
        track = await self._queues.open(request.model)
        self._budget.take_over(request.seq, request.price)
        permit = self._enter(track.lane, asyncio.get_running_loop().time())
        self._jobs.create_task(
            self._carry_on(request, permit), name=f"request {request.request_id}"
        )

    def _enter(self, lane: ModelLimits, now: float) -> Permit:
        self._active += 1
        return take((lane.limiter, self._overall), now)

    async def _carry(self, track: Track, job: JobRow, price: float | None, permit: Permit) -> None:
        async with self._place(permit):
            await self._lifecycle.carry(track, job, price)

    async def _carry_on(self, request: LiveRequest, permit: Permit) -> None:
        async with self._place(permit):
            await self._lifecycle.carry_on(request)

    async def _done(self, seq: int, verified: Verified) -> None:
        """A job is done, and others may have become due by that."""
        await self._canary.heard_of(seq)
        if verified.released:
            self._rewind()
        if verified.saved.cost is None:
            self._costs_asked += 1
            self._jobs.create_task(self._ask_cost(seq), name=f"cost of job {seq}")

    async def _ask_cost(self, seq: int) -> None:
        """What it cost less than was reserved may pay for a job that was too dear."""
        try:
            await self._lifecycle.ask_cost(seq)
        finally:
            self._costs_asked -= 1
            self._too_dear.clear()
            self._control.wake.set()

    def _rewind(self) -> None:
        self._queues.rewind()
        self._control.wake.set()

    @asynccontextmanager
    async def _place(self, permit: Permit) -> AsyncIterator[None]:
        """A place among those at work, given back with the permit; the scheduler hears of it."""
        try:
            async with permit:
                yield
        finally:
            self._active -= 1
            self._too_dear.clear()
            self._control.wake.set()

    async def _wait_for_change(self, until: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._control.wake.wait()
        self._control.wake.clear()

    @property
    def _busy(self) -> bool:
        """Whether something is under way that may make work: a person may look again meanwhile."""
        under_way = self._active > 0 or self._downloads.busy or bool(self._lifecycle.retries)
        return under_way or self._costs_asked > 0 or self._more_to_come

    async def _settle(self) -> None:
        """Wait until no job is under way, and nothing is left to download.

        After a drain the downloads at hand are the pool's own end to wait for.
        """
        while self._active or (self._downloads.busy and not self._control.drain.requested):
            await self._wait_for_change(None)
