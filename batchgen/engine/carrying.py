"""Jobs that nobody could look at: they wait for another look, and hold no place meanwhile.

Tells how many jobs are blocked, where that may have changed: the state blocks them by itself.

One job's way from due to its result at the vendor: readied, submitted, followed, put back.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, JobsBlocked, Noted
from batchgen.engine.following import FollowEnd, Follower
from batchgen.engine.input_resolver import InputResolver, NotNow, Ready
from batchgen.engine.policy import delay
from batchgen.engine.submitting import Again, Over, ShieldedTasks, Submitted, Submitter
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Succeeded
from batchgen.state.costs import cost_owed, settle_cost
from batchgen.state.due import blocked_jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from random import Random

    from batchgen.engine.budget import Budget
    from batchgen.engine.canary import Canary
    from batchgen.engine.control import Control
    from batchgen.engine.downloads_pool import DownloadPool
    from batchgen.engine.health import Health
    from batchgen.engine.input_resolver import Readiness
    from batchgen.engine.limits import RateLimiter
    from batchgen.engine.model_queues import Track
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Ports
    from batchgen.runcomfy.outcomes import ResultOutcome
    from batchgen.state.records import JobRow, LiveRequest
    from batchgen.state.store import Store


class RetryTimers:
    """Else one dead server would be asked at every turn, before all the jobs that could go."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._tries: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def __bool__(self) -> bool:
        return bool(self._timers)

    def rest(self, seq: int, then: Callable[[], None]) -> None:
        """Call `then` after a while: longer each time, until `forget`."""
        tries = self._tries[seq] = self._tries.get(seq, 0) + 1

        def over() -> None:
            del self._timers[seq]
            then()

        wait = delay(tries, self._dice)
        self._timers[seq] = asyncio.get_running_loop().call_later(wait, over)

    def has_rested(self, seq: int) -> bool:
        """Since it was looked at the last time."""
        return seq in self._tries

    def forget(self, seq: int) -> None:
        """It was looked at with success, or will not be looked at again."""
        self._tries.pop(seq, None)

    def end(self) -> None:
        """Wake nobody any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._tries.clear()


class BlockedJobs:
    """What the listener knows is what it was told last, or what the run began with."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self._told: dict[str, int] = {}

    async def begin(self) -> None:
        self._told = await self._store.run(blocked_jobs)

    async def tell(self) -> None:
        """Zero is said too, of a model that had blocked jobs before."""
        now = await self._store.run(blocked_jobs)
        if now != self._told:
            gone = dict.fromkeys(self._told.keys() - now.keys(), 0)
            self._told = now
            self._control.emit(JobsBlocked({**now, **gone}))


class Lifecycle:
    """Carries jobs, each in a task and with a permit of the caller's.

    `queue` takes a job that is pending again: its model may be another one by now.
    """

    def __init__(
        self,
        ports: Ports,
        policy: EnginePolicy,
        control: Control,
        health: Health,
        budget: Budget,
        downloads: DownloadPool,
        canary: Canary,
        queue: Callable[[JobRow], Awaitable[None]],
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._control = control
        self._health = health
        self._budget = budget
        self._downloads = downloads
        self._canary = canary
        self._queue = queue
        self._inputs = InputResolver(ports, control, health)
        self._follower = Follower(ports, policy, control, health, budget)
        self._cancels: set[int] = set()
        self._submitter: Submitter
        self.expectations = self._follower.expectations
        self.retries = RetryTimers(ports.dice)
        self.blocked = BlockedJobs(ports.store, control)

    @asynccontextmanager
    async def open_wire(self, overall: RateLimiter) -> AsyncIterator[None]:
        """Jobs are carried inside this block; what is on its way at its end is recorded."""
        async with ShieldedTasks() as wire:
            self._submitter = Submitter(
                self._ports,
                self._policy,
                self._control,
                self._health,
                self._budget,
                wire,
                overall,
            )
            yield

    async def carry(self, track: Track, job: JobRow, price: float | None) -> None:
        """From due to its end, as far as it goes. `price` is reserved by the caller."""
        readiness = await self._readied(job)
        if isinstance(readiness, Ready) and self._control.submitting:
            await self._send(track, job, readiness.body, price)
            return
        self._budget.release(job.seq)
        if isinstance(readiness, NotNow) and await self._may_go_later(job):
            # It stays in hand: nobody else shall take it before it was looked at again.
            self.retries.rest(job.seq, lambda: self.put_back(track, job))
            return
        track.lane.in_hand.discard(job.seq)
        self.retries.forget(job.seq)
        await self._over(job.seq)

    async def _readied(self, job: JobRow) -> Readiness:
        """A job that rested meanwhile is looked at again only if it is still due."""
        if self.retries.has_rested(job.seq) and not await self._may_go_later(job):
            return NotNow()
        return await self._inputs.ready(job)

    async def _may_go_later(self, job: JobRow) -> bool:
        """A cancelled job, or one refused with its model, must not keep the run going."""
        still_due = await self._ports.store.pending_job(job.seq) is not None
        return still_due and self._control.submitting

    async def carry_on(self, request: LiveRequest) -> None:
        """From where an earlier run, or a person's word, left it."""
        await self._follow(request, sent_now=False)

    def put_back(self, track: Track, job: JobRow) -> None:
        """A job in hand that could not go."""
        track.lane.in_hand.discard(job.seq)
        track.jobs.put_back(job)
        self._control.wake.set()

    async def ask_cost(self, seq: int) -> None:
        """A result may come without its cost, which follows: asked once more, for free.

        The job is done whatever comes of it; without an answer its price counts as spent.
        """
        owed = await self._ports.store.run(cost_owed, seq)
        outcome: ResultOutcome | None = None
        if owed is None:
            return
        with self._control.drain.scope():
            outcome = await self._ports.api.result(owed.request_id)
        if not isinstance(outcome, Succeeded) or outcome.cost is None:
            return
        if await self._ports.store.run(settle_cost, owed, outcome.cost):
            self._budget.correct(owed.price, outcome.cost)
            self._control.emit(
                JobMoved(
                    owed.job_id,
                    owed.model,
                    JobState.DONE,
                    JobState.DONE,
                    owed.request_id,
                    "cost",
                    "the cost came after the result",
                    outcome.cost,
                )
            )

    async def cancel(self, seq: int) -> None:
        """Ask the vendor to cancel a request; what became of it shows in its result.

        A job that is being submitted has none yet: it is asked for as soon as it has.
        """
        if request := await self._ports.store.live_request(seq):
            await self._ask_to_cancel(request)
        else:
            self._cancels.add(seq)

    async def _ask_to_cancel(self, request: LiveRequest) -> None:
        self._cancels.discard(request.seq)
        outcome = await self._ports.api.cancel(request.request_id)
        self._control.emit(Noted(f"cancel asked for: {outcome.value}", request.id))

    async def _send(self, track: Track, job: JobRow, body: str, price: float | None) -> None:
        submission = await self._submitter.submit(job, body, track.lane, price)
        if submission == Again(rests=True) and self._control.submitting:
            track.lane.in_hand.add(job.seq)
            self.retries.rest(job.seq, lambda: self.put_back(track, job))
            return
        self.retries.forget(job.seq)
        match submission:
            case Submitted(request):
                if job.seq in self._cancels:
                    await self._ask_to_cancel(request)
                await self._follow(request, sent_now=True)
            case Again():
                await self._requeue(job.seq)
            case Over():
                await self._over(job.seq)

    async def _follow(self, request: LiveRequest, *, sent_now: bool) -> None:
        match await self._follower.follow(request, sent_now=sent_now):
            case FollowEnd.DELIVERED:
                self._downloads.add(request.seq)
            case FollowEnd.PENDING_AGAIN:
                await self._requeue(request.seq)
            case FollowEnd.OVER:
                await self._over(request.seq)
            case FollowEnd.LET_GO:
                pass

    async def _requeue(self, seq: int) -> None:
        if job := await self._ports.store.pending_job(seq):
            await self._queue(job)

    async def _over(self, seq: int) -> None:
        """No result came of it: those that need it, or come after it, may have to wait."""
        await self._canary.heard_of(seq)
        await self.blocked.tell()
