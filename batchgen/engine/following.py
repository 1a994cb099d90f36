"""One request, from accept to its end: asked when it is likely to have ended, and not more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, Noted
from batchgen.engine.expectations import Expectations
from batchgen.engine.polling import next_poll
from batchgen.engine.verdicts import (
    Deliver,
    End,
    KeepAsking,
    Look,
    RequestFacts,
    ResultVerdict,
    StopRun,
    after_result,
)
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Cancelled, CancelOutcome, ResultOutcome, Throttled
from batchgen.state.moves import Ending

if TYPE_CHECKING:
    from batchgen.engine.budget import Budget
    from batchgen.engine.control import Control
    from batchgen.engine.doors import Doors
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.trouble import Trouble
    from batchgen.state.records import LiveRequest

SEEN_GOING = frozenset({Look.WAITING, Look.RUNNING, Look.ODD_WORD})
MISSING_WAIT = 3.0
"""Seconds at most until a request that was not found is asked for once more."""


class FollowEnd(Enum):
    """Why a request is followed no longer."""

    DELIVERED = auto()
    PENDING_AGAIN = auto()
    OVER = auto()
    LET_GO = auto()


@dataclass(slots=True)
class _Watch:
    """What following one request remembers between two looks. `start`: the loop's time.

    `counts`: how it ends says something of this run, since this run has sent it.
    `going_until`: the age at which it was last seen not ended; None: the last look saw nothing.
    """

    request: LiveRequest
    start: float
    age_at_start: float
    state: JobState
    counts: bool
    going_until: float | None = 0.0
    missing_in_a_row: int = 0
    warned: bool = False

    def age(self) -> float:
        return self.age_at_start + asyncio.get_running_loop().time() - self.start


class Follower:
    """Follows requests to their end, each in its job's own task."""

    def __init__(
        self,
        doors: Doors,
        policy: EnginePolicy,
        control: Control,
        trouble: Trouble,
        budget: Budget,
    ) -> None:
        self._doors = doors
        self._policy = policy
        self._control = control
        self._trouble = trouble
        self._budget = budget
        self.expectations = Expectations()

    async def follow(self, request: LiveRequest, *, sent_now: bool) -> FollowEnd:
        """Ask until the request ends, its time is up, or the run lets go.

        `sent_now`: by this run, not by an earlier one.
        """
        now = asyncio.get_running_loop().time()
        # Between two runs only the wall clock tells; within one it must not: it may jump.
        elapsed = 0.0 if sent_now else max(0.0, self._doors.store.now() - request.accepted_at)
        watch = _Watch(request, now, elapsed, request.state, sent_now)
        # A request of an earlier run may have ended long ago: it is asked at once.
        wait = self._wait(watch) if elapsed < 1.0 else 0.0
        while not self._control.drain.requested:
            with self._control.drain.scope() as scope:
                await asyncio.sleep(wait)
                outcome = await self._doors.api.result(request.request_id)
            if scope.interrupted:
                break
            end = await self._act(watch, self._judge(watch, outcome))
            if end is not None:
                return end
            wait = self._wait(watch, outcome)
        return FollowEnd.LET_GO

    def _judge(self, watch: _Watch, outcome: ResultOutcome) -> ResultVerdict:
        request = watch.request
        return after_result(
            outcome,
            RequestFacts(
                watch.age(),
                self._policy.grace,
                watch.missing_in_a_row,
                request.failures,
                self._policy.retries,
            ),
        )

    def _wait(self, watch: _Watch, outcome: ResultOutcome | None = None) -> float:
        model = watch.request.model
        expected, proven = self.expectations.expected(model), self.expectations.proven(model)
        wait = next_poll(watch.age(), expected, self._doors.dice, proven=proven)
        if watch.missing_in_a_row:
            wait = min(wait, MISSING_WAIT)
        if isinstance(outcome, Throttled):
            return max(wait, outcome.retry_after or 0.0)
        return wait

    async def _act(self, watch: _Watch, verdict: ResultVerdict) -> FollowEnd | None:
        match verdict:
            case Deliver():
                self._trouble.contact()
                return await self._deliver(watch, verdict)
            case End(ending):
                self._trouble.contact()
                return await self._end(watch, ending)
            case StopRun(pause):
                self._control.pause(pause)
                return FollowEnd.LET_GO
            case KeepAsking():
                await self._note(watch, verdict)
                if watch.age() >= self._policy.timeout:
                    return await self._time_out(watch)
                return None

    async def _note(self, watch: _Watch, verdict: KeepAsking) -> None:
        look = verdict.look
        watch.missing_in_a_row = watch.missing_in_a_row + 1 if look is Look.NOT_THERE else 0
        watch.going_until = watch.age() if look in SEEN_GOING else None
        if look is Look.NO_CONTACT:
            self._trouble.no_contact(verdict.note)
            return
        self._trouble.contact()
        if look is Look.RUNNING and watch.state is JobState.QUEUED:
            await self._running(watch)
        elif look is Look.WAITING and watch.state is JobState.RUNNING:
            self._warn_once(watch, "the vendor says queued after running; ignored")
        elif look is Look.ODD_WORD:
            self._warn_once(watch, verdict.note)

    def _warn_once(self, watch: _Watch, text: str) -> None:
        if not watch.warned:
            watch.warned = True
            self._control.emit(Noted(text, watch.request.id))

    async def _running(self, watch: _Watch) -> None:
        if await self._doors.store.running(watch.request.seq):
            self._tell(watch, JobState.RUNNING)

    async def _deliver(self, watch: _Watch, delivery: Deliver) -> FollowEnd:
        request = watch.request
        if not await self._doors.store.delivered(
            request, delivery.urls, delivery.cost, delivery.raw
        ):
            self._budget.hold(request.seq)
            return FollowEnd.OVER
        self._budget.settle(request.seq, delivery.cost)
        if watch.counts:
            self._learn(watch)
            self._trouble.delivered()
        self._tell(watch, JobState.FETCHING, cost=delivery.cost)
        return FollowEnd.DELIVERED

    def _learn(self, watch: _Watch) -> None:
        """Nothing after a silence: it may have ended at any time of it."""
        if watch.going_until is not None:
            self.expectations.learn(watch.request.model, watch.going_until, watch.age())

    async def _end(self, watch: _Watch, ending: Ending) -> FollowEnd:
        request = watch.request
        if not await self._doors.store.ended(request, ending):
            self._budget.hold(request.seq)
            return FollowEnd.OVER
        cancelled_free = ending.state is JobState.CANCELLED and ending.cost is None
        self._budget.settle(request.seq, 0.0 if cancelled_free else ending.cost)
        self._tell(watch, ending.state, ending.code, ending.reason, ending.cost)
        if not ending.again or await self._doors.store.pending_job(request.seq) is None:
            if ending.state in {JobState.FAILED, JobState.LOST}:
                self._count_failure(watch, ending.code, ending.reason)
            return FollowEnd.OVER
        self._tell(watch, JobState.PENDING, "retry", "run.retries allows another attempt")
        return FollowEnd.PENDING_AGAIN

    async def _time_out(self, watch: _Watch) -> FollowEnd:
        """Too old. Cancelled while still in the queue it is free; otherwise it may yet deliver."""
        request = watch.request
        reason = f"not ended after {self._policy.timeout:g} s"
        cancelled = await self._doors.api.cancel(request.request_id) is CancelOutcome.CANCELLED
        # Only the result tells: the request may have won the race, and nothing is paid again
        # before it is certain that it has not.
        outcome = await self._doors.api.result(request.request_id)
        if cancelled and isinstance(outcome, Cancelled):
            again = request.failures < self._policy.retries
            words = f"{reason}; cancelled before it began"
            return await self._end(
                watch, Ending(JobState.FAILED, "timeout", words, cost=0.0, again=again)
            )
        last_look = self._judge(watch, outcome)
        if isinstance(last_look, Deliver | End):
            return await self._act(watch, last_look) or FollowEnd.OVER
        self._budget.hold(request.seq)
        words = f"{reason}; the next run asks for its result again, without paying again"
        if await self._doors.store.timed_out(request.seq, words):
            self._tell(watch, JobState.FAILED, "timeout", words)
            self._count_failure(watch, "timeout", words)
        return FollowEnd.OVER

    def _count_failure(self, watch: _Watch, code: str, reason: str) -> None:
        if watch.counts:
            self._trouble.failed(code, reason)

    def _tell(
        self,
        watch: _Watch,
        state: JobState,
        code: str | None = None,
        reason: str | None = None,
        cost: float | None = None,
    ) -> None:
        request = watch.request
        self._control.emit(
            JobMoved(
                request.id,
                request.model,
                watch.state,
                state,
                request.request_id,
                code,
                reason,
                cost,
            )
        )
        watch.state = state
