"""Many jobs: which starts next, what an earlier run left, and when everything has ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.engine.budget import Budget
from batchgen.engine.canary import Canary
from batchgen.engine.context import EngineContext
from batchgen.engine.control import Control
from batchgen.engine.downloads_pool import DownloadPool
from batchgen.engine.events import Draining, Listener, WaitingToStart
from batchgen.engine.fair_scheduling import Start, Wait, next_turn
from batchgen.engine.health import Health
from batchgen.engine.lifecycle import Lifecycle
from batchgen.engine.limits import Expectations, Permit, RateLimiter, take
from batchgen.engine.model_queues import ModelQueues
from batchgen.engine.paced_api import PacedApi
from batchgen.engine.reuse import Reuse
from batchgen.engine.settlement import settle_late_cost
from batchgen.engine.sharing import SharedLimits
from batchgen.engine.stop_conditions import StopConditions
from batchgen.pauses import Pause, PauseReason, pause_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from batchgen.engine.health import ModelHealth
    from batchgen.engine.model_queues import ModelQueue
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Ports
    from batchgen.state.queries import Selection
    from batchgen.state.records import JobRow, LiveRequest, Verified


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. If all work was done, there is no `pause`, and it was not `drained`."""

    pause: Pause | None
    drained: bool


class Scheduler:
    """Runs the due jobs of a state, and follows what is under way.

    Each job has one task from submit to result; downloads have a pool of their own.
    """

    def __init__(
        self, ports: Ports, policy: EnginePolicy, selection: Selection, listener: Listener
    ) -> None:
        control = Control(listener)
        overall = RateLimiter(policy.limit, policy.interval)
        self._api = PacedApi(ports.api, control, overall, ports.dice)
        ports = replace(ports, api=self._api)
        self._context = EngineContext(
            ports=ports,
            policy=policy,
            control=control,
            overall=overall,
            health=Health(control, overall, ports.dice, policy.halt),
            budget=Budget(policy.budget),
            expectations=Expectations(),
            downloads=DownloadPool(ports, control, self._on_done, self.reload_due_jobs),
            canary=Canary(policy.canary, ports.store, selection, control, self._rewind),
            reuse=Reuse(ports.store, ports.results, ports.inputs, control.emit),
            shared=SharedLimits(ports.account, overall, policy, control, ports.store),
        )
        self._control = control
        self._store = ports.store
        self._budget = self._context.budget
        self._canary = self._context.canary
        self._downloads = self._context.downloads
        self._shared = self._context.shared
        self._lifecycle = Lifecycle(self._context, self._queue)
        self._queues = ModelQueues(self._context, selection)
        self._begins_at = policy.begins_at
        self._reload = False
        self._more_expected = False
        self._active = 0
        self._costs_asked = 0
        self._last = -1
        self._working = False
        self._unaffordable: set[str] = set()
        self._stops: StopConditions
        self._jobs: asyncio.TaskGroup

    async def run(self, models: Iterable[str]) -> RunEnd:
        """Work until nothing is left to do, or a pause or a drain ends it.

        Raises the tree's errors, in an ExceptionGroup, if the state file fails.
        """
        context = self._context
        self._stops = StopConditions(context.ports, context.policy, context.health)
        await self._queues.open_all(models)
        await self._lifecycle.blocked.begin()
        self._budget.committed = (await self._store.money()).committed
        try:
            async with self._lifecycle.sending(), asyncio.TaskGroup() as self._jobs:
                await self._work()
        finally:
            self._lifecycle.unanswered.free_all()
            self._control.flush_events()
        return RunEnd(self._control.paused, self._control.drain.requested)

    def drain(self) -> None:
        """Stop submitting and polling; current downloads end, requests stay with the vendor."""
        if not self._control.drain.requested:
            self._control.drain.request()
            self._control.wake.set()
            self._control.emit(Draining(self._active))

    async def reconsider(self, seq: int) -> None:
        """A person decided about this job: it may be pending, or have a request to follow.

        Once the run is ending, the job is left to the next one.
        """
        self._lifecycle.unanswered.free(seq)
        if not self._working:
            return
        if job := await self._store.pending_job(seq):
            if not self._canary.holds_back(job):
                await self._queue(job)
        elif request := await self._store.live_request(seq):
            await self._start_following(request)
        # The jobs that need it may not be blocked any more, or may be submitted.
        await self.reload_due_jobs()

    async def reload_due_jobs(self) -> None:
        """Something outside this run made jobs due: read all of them again."""
        self._reload = True
        self._control.wake.set()

    def expect_more_jobs(self) -> None:
        """More jobs will be added: the run does not end for lack of work before `all_jobs_added`.

        Call `reload_due_jobs` after adding some.
        """
        self._more_expected = True

    def all_jobs_added(self) -> None:
        self._more_expected = False
        self._control.wake.set()

    def pause(self, pause: Pause) -> None:
        """Stop submitting, for a reason from outside; what is under way goes on."""
        self._control.pause(pause)

    def retune(self, policy: EnginePolicy, at: float) -> Pause | None:
        """Set other limits while the run goes on, decided `at` (epoch seconds).

        Only concurrency, rate, budget, stop_at, max_duration and the limits of models change.
        Nothing in flight is cancelled. Returns the pause that has ended the submits already.
        """
        if self._control.paused is not None:
            return self._control.paused
        self._context.overall.retune(policy.limit, policy.interval)
        self._queues.retune(policy)
        self._shared.declare(policy)
        self._budget.limit_to(policy.budget, self._context.ports.prices.price)
        self._unaffordable.clear()
        self._stops.retune(policy, at)
        self._control.wake.set()
        return None

    async def cancel(self, seq: int) -> None:
        """Ask the vendor to cancel a job's request; its result shows whether that worked."""
        await self._lifecycle.cancels.request(seq)

    async def _work(self) -> None:
        delivery = self._jobs.create_task(self._control.deliver_events(), name="events")
        pool = [
            self._jobs.create_task(self._downloads.work(), name=f"download {number}")
            for number in range(self._context.policy.downloads)
        ]
        self._working = True
        try:
            await self._resume_earlier()
            await self._shared.begin()
            sharing = self._jobs.create_task(self._shared.run(), name="shared limits")
            await self._dispatch()
            self._lifecycle.retries.cancel_all()
            await self._settle()
            sharing.cancel()
            await asyncio.wait({sharing})
        finally:
            self._working = False
            await self._shared.leave()
        if not self._control.drain.requested:
            for worker in pool:
                worker.cancel()
        await asyncio.wait(pool)
        delivery.cancel()

    async def _resume_earlier(self) -> None:
        """Take up what an earlier run left: requests to follow, results to download."""
        await self._canary.begin()
        for seq in await self._store.fetching():
            self._downloads.add(seq)
        requests = await self._store.live_requests()
        self._api.spread(len(requests))
        for request in requests:
            await self._start_following(request)
        await self._hold_unanswered()

    async def _hold_unanswered(self) -> None:
        now = self._store.now()
        for seq, model, sent_at in await self._store.unanswered(now - self._context.policy.timeout):
            queue = await self._queues.open(model)
            limiters = queue.health.limiter, self._context.overall
            self._lifecycle.unanswered.hold_earlier(seq, model, now - sent_at, limiters)

    async def _dispatch(self) -> None:
        while self._control.submitting:
            if self._reload:
                await self._reload_due_jobs()
            queues = self._queues.all()
            heads = [await queue.head(self._unaffordable) for queue in queues]
            if any(heads) and (until := self._stops.not_before()):
                self._announce_wait()
                await self._wait_for_change(until)
                continue
            if any(heads) and (pause := await self._stops.pause()):
                self._control.pause(pause)
                return
            now = asyncio.get_running_loop().time()
            turn = next_turn(heads, self._context.overall, now, self._last)
            if isinstance(turn, Start):
                self._last = turn.index
                await self._start(queues[turn.index], now)
            elif self._may_start(turn):
                await self._wait_for_change(self._stops.ask_again(turn.until))
            else:
                await self._pause_if_jobs_are_left()
                if not self._control.wake.is_set():
                    return

    def _announce_wait(self) -> None:
        begins_at, self._begins_at = self._begins_at, None
        if begins_at is not None:
            self._control.emit(WaitingToStart(begins_at))

    async def _reload_due_jobs(self) -> None:
        self._reload = False
        await self._canary.refresh()
        await self._queues.open_all()
        self._queues.rewind()
        await self._lifecycle.blocked.emit_changes()

    async def _pause_if_jobs_are_left(self) -> None:
        """Nothing can be submitted any more: if due jobs are left, say why."""
        if self._unaffordable:
            self._pause_for_money()
        await self._canary.pause_if_held()

    async def _start(self, queue: ModelQueue, now: float) -> None:
        if not queue:
            return  # Rewound since its head was read.
        job = queue.take()
        price = self._context.ports.prices.price(job.model, job.body)
        if not self._budget.reserve(job, price):
            # Others may be cheaper, and what is under way may cost less than was reserved.
            queue.give_back(job)
            self._control.wake.set()
            self._unaffordable.add(job.model)
            return
        permit = self._enter(queue.health, now)
        self._jobs.create_task(self._run(queue, job, price, permit), name=f"job {job.id}")

    async def _queue(self, job: JobRow) -> None:
        queue = await self._queues.open(job.model)
        queue.put_back(job)

    def _pause_for_money(self) -> None:
        assert self._budget.limit is not None, "without a budget everything is affordable"
        spent, limit = self._budget.committed, self._budget.limit
        self._control.pause(pause_for(PauseReason.BUDGET, limit=limit, spent=spent))

    async def _start_following(self, request: LiveRequest) -> None:
        """It takes a slot even if that exceeds the limit: the request exists already."""
        queue = await self._queues.open(request.model)
        price = self._context.ports.prices.price(request.model, request.body)
        self._budget.take_over(request, price)
        now = asyncio.get_running_loop().time()
        permit = self._enter(queue.health, now)
        permit.accept(now)
        self._jobs.create_task(self._resume(request, permit), name=f"request {request.request_id}")

    def _enter(self, model: ModelHealth, now: float) -> Permit:
        self._active += 1
        return take((model.limiter, self._context.overall), now)

    async def _run(
        self, queue: ModelQueue, job: JobRow, price: float | None, permit: Permit
    ) -> None:
        async with self._place(permit):
            await self._lifecycle.run(queue, job, price, permit)

    async def _resume(self, request: LiveRequest, permit: Permit) -> None:
        async with self._place(permit):
            await self._lifecycle.resume(request)

    async def _on_done(self, seq: int, verified: Verified) -> None:
        """Handle a job that is done, which may make others due."""
        await self._canary.on_outcome(seq)
        if verified.released:
            self._rewind()
        if verified.saved.cost is None:
            self._costs_asked += 1
            self._jobs.create_task(self._settle_cost(seq), name=f"cost of job {seq}")

    async def _settle_cost(self, seq: int) -> None:
        """Record the cost. If it is less than was reserved, another job may be affordable now."""
        try:
            await settle_late_cost(self._context, seq)
        finally:
            self._costs_asked -= 1
            self._unaffordable.clear()
            self._control.wake.set()

    def _rewind(self) -> None:
        self._queues.rewind()
        self._control.wake.set()

    @asynccontextmanager
    async def _place(self, permit: Permit) -> AsyncIterator[None]:
        """Hold a slot among the active jobs; at the end free it and the permit, and wake."""
        try:
            async with permit:
                yield
        finally:
            self._active -= 1
            if permit.is_accepted:
                self._queues.place_freed(asyncio.get_running_loop().time())
            self._unaffordable.clear()
            self._control.wake.set()

    async def _wait_for_change(self, until: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._control.wake.wait()
        self._control.wake.clear()

    def _may_start(self, turn: Wait) -> bool:
        """Whether a job may start later, without anything from outside this run."""
        expected = turn.until is not None or self._shared.lacking
        return self._busy or expected or self._control.wake.is_set()

    @property
    def _busy(self) -> bool:
        """Whether something under way may make more work, or more jobs are expected."""
        under_way = self._active > 0 or self._downloads.busy or bool(self._lifecycle.retries)
        return under_way or self._costs_asked > 0 or self._more_expected

    async def _settle(self) -> None:
        """Wait until no job is active and nothing is left to download.

        After a drain the pool itself waits for its current downloads.
        """
        while self._active or (self._downloads.busy and not self._control.drain.requested):
            await self._wait_for_change(None)
