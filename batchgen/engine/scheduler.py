"""Many jobs: who starts next, what is taken up from an earlier run, and when all has ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.brakes import Brakes
from batchgen.engine.budget import Budget
from batchgen.engine.control import Control
from batchgen.engine.events import Draining, Listener, Noted, Pause, PauseReason
from batchgen.engine.fetching import Fetcher
from batchgen.engine.following import FollowEnd, Follower
from batchgen.engine.limits import Gate, Permit, take
from batchgen.engine.pending import PendingQueue
from batchgen.engine.submitting import Again, Submitted, Submitter
from batchgen.engine.trouble import Lane, Trouble
from batchgen.engine.turns import Start, next_turn
from batchgen.engine.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from batchgen.engine.doors import Doors
    from batchgen.engine.policy import EnginePolicy
    from batchgen.state.queries import Selection
    from batchgen.state.records import LiveRequest, PendingJob


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. Where all work was done there is no `pause`, and it was not `drained`."""

    pause: Pause | None
    drained: bool


@dataclass(frozen=True, slots=True)
class _Track:
    """A model's lane together with its pending jobs."""

    lane: Lane
    jobs: PendingQueue


class Scheduler:
    """Carries out the pending jobs of a state, and follows what is under way.

    Each job has one task from submit to result; downloads have a pool of their own.
    """

    def __init__(
        self, doors: Doors, policy: EnginePolicy, selection: Selection, listener: Listener
    ) -> None:
        self._doors = doors
        self._policy = policy
        self._selection = selection
        self._control = Control(listener)
        self._overall = Gate(policy.concurrency, policy.interval)
        self._trouble = Trouble(self._control, self._overall, doors.dice, policy.halt)
        self._budget = Budget(policy.budget)
        self._fetcher = Fetcher(doors, self._control)
        self._follower = Follower(doors, policy, self._control, self._trouble, self._budget)
        self._tracks: dict[str, _Track] = {}
        self._active = 0
        self._last = -1
        self._at_work = False
        self._cancels: set[int] = set()
        self._too_dear: set[str] = set()
        self._brakes: Brakes
        self._jobs: asyncio.TaskGroup
        self._submitter: Submitter

    async def run(self, models: Iterable[str]) -> RunEnd:
        """Work until nothing is left to do, or a pause or a drain ends it.

        Raises the tree's errors, in an ExceptionGroup, where the state file fails.
        """
        self._brakes = Brakes(self._doors, self._policy, self._trouble)
        for model in models:
            await self._open_track(model)
        self._budget.committed = (await self._doors.store.money()).committed
        try:
            async with self._open_wire(), asyncio.TaskGroup() as self._jobs:
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
        if job := await self._doors.store.pending_job(seq):
            (await self._open_track(job.model)).jobs.put_back(job)
            self._control.wake.set()
        elif request := await self._doors.store.live_request(seq):
            await self._start_following(request)

    async def cancel(self, seq: int) -> None:
        """Ask the vendor to cancel a request; what became of it shows in its result.

        A job that is being submitted has none yet: it is asked for as soon as it has.
        """
        if request := await self._doors.store.live_request(seq):
            await self._ask_to_cancel(request)
        else:
            self._cancels.add(seq)

    async def _ask_to_cancel(self, request: LiveRequest) -> None:
        self._cancels.discard(request.seq)
        outcome = await self._doors.api.cancel(request.request_id)
        self._control.emit(Noted(f"cancel asked for: {outcome.value}", request.id))

    @asynccontextmanager
    async def _open_wire(self) -> AsyncIterator[None]:
        async with Wire() as wire:
            self._submitter = Submitter(
                self._doors,
                self._policy,
                self._control,
                self._trouble,
                self._budget,
                wire,
                self._overall,
            )
            yield

    async def _work(self) -> None:
        teller = self._jobs.create_task(self._control.keep_telling(), name="events")
        pool = [
            self._jobs.create_task(self._fetcher.work(), name=f"download {number}")
            for number in range(self._policy.downloads)
        ]
        self._at_work = True
        try:
            await self._take_up()
            await self._dispatch()
            await self._settle()
        finally:
            self._at_work = False
        if not self._control.drain.requested:
            for worker in pool:
                worker.cancel()
        await asyncio.wait(pool)
        teller.cancel()

    async def _open_track(self, model: str) -> _Track:
        if model not in self._tracks:
            policy = self._policy.lane(model)
            lane = Lane(model, Gate(policy.limit, policy.interval))
            jobs = PendingQueue(model, self._selection, self._doors.store)
            self._tracks[model] = _Track(lane, jobs)
            if (seconds := await self._doors.store.expected_seconds(model)) is not None:
                self._follower.expectations.learn(model, seconds)
        return self._tracks[model]

    async def _take_up(self) -> None:
        """What an earlier run left: requests to follow, results to download."""
        for seq in await self._doors.store.fetching():
            self._fetcher.add(seq)
        for request in await self._doors.store.live_requests():
            await self._start_following(request)

    async def _dispatch(self) -> None:
        while self._control.submitting:
            tracks = tuple(self._tracks.values())
            gates = [await self._gate(track) for track in tracks]
            if any(gates) and (pause := await self._brakes.pause()):
                self._control.pause(pause)
                return
            now = asyncio.get_running_loop().time()
            turn = next_turn(gates, self._overall, now, self._last)
            if isinstance(turn, Start):
                self._last = turn.lane
                await self._start(tracks[turn.lane], now)
            elif self._busy or turn.until is not None:
                await self._wait_for_change(self._brakes.ask_again(turn.until))
            else:
                if self._too_dear:
                    self._pause_for_money()
                return

    async def _gate(self, track: _Track) -> Gate | None:
        """The gate of a model with work; None where it has none."""
        if track.lane.refused:
            track.jobs.clear()
        await track.jobs.refill()
        has_work = track.jobs and track.lane.model not in self._too_dear
        return track.lane.gate if has_work else None

    async def _start(self, track: _Track, now: float) -> None:
        job = track.jobs.take()
        price = self._doors.prices.price(job.model, job.body)
        if not self._budget.reserve(job.seq, price):
            # Others may be cheaper, and what is under way may cost less than was reserved.
            track.jobs.put_back(job)
            self._too_dear.add(job.model)
            return
        permit = self._enter(track.lane, now)
        self._jobs.create_task(self._carry(track, job, price, permit), name=f"job {job.id}")

    def _pause_for_money(self) -> None:
        spent, limit = self._budget.committed, self._budget.limit
        self._control.pause(
            Pause(
                PauseReason.BUDGET,
                f"the budget of {limit:.2f} USD is reached: {spent:.2f} spent or reserved,"
                " and no job left fits into the rest",
                "raise run.budget; the same command continues",
            )
        )

    async def _start_following(self, request: LiveRequest) -> None:
        """Takes its place even where that is over the limit: the request exists already."""
        track = await self._open_track(request.model)
        self._budget.take_over(request.seq, request.price)
        permit = self._enter(track.lane, asyncio.get_running_loop().time())
        self._jobs.create_task(
            self._carry_on(track, request, permit), name=f"request {request.request_id}"
        )

    def _enter(self, lane: Lane, now: float) -> Permit:
        self._active += 1
        return take((lane.gate, self._overall), now)

    async def _carry(
        self, track: _Track, job: PendingJob, price: float | None, permit: Permit
    ) -> None:
        async with self._place(permit):
            submission = await self._submitter.submit(job, track.lane, price)
            again = isinstance(submission, Again)
            if isinstance(submission, Submitted):
                if job.seq in self._cancels:
                    await self._ask_to_cancel(submission.request)
                again = await self._follow(submission.request, sent_now=True)
            if again:
                await self._requeue(track, job.seq)

    async def _carry_on(self, track: _Track, request: LiveRequest, permit: Permit) -> None:
        async with self._place(permit):
            if await self._follow(request, sent_now=False):
                await self._requeue(track, request.seq)

    async def _follow(self, request: LiveRequest, *, sent_now: bool) -> bool:
        """Follow a request to its end; True where its job is pending again."""
        end = await self._follower.follow(request, sent_now=sent_now)
        if end is FollowEnd.DELIVERED:
            self._fetcher.add(request.seq)
        return end is FollowEnd.PENDING_AGAIN

    async def _requeue(self, track: _Track, seq: int) -> None:
        if job := await self._doors.store.pending_job(seq):
            track.jobs.put_back(job)

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
        return self._active > 0 or self._fetcher.busy

    async def _settle(self) -> None:
        """Wait until no job is under way, and nothing is left to download.

        After a drain the downloads at hand are the pool's own end to wait for.
        """
        while self._active or (self._fetcher.busy and not self._control.drain.requested):
            await self._wait_for_change(None)
