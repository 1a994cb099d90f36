"""One submit: intent, POST, answer. Each is durable before the next; nothing here is repeated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.doors import Doors, Receipt
from batchgen.engine.events import JobMoved, ModelRefused, Noted
from batchgen.engine.verdicts import pause_for
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Accepted,
    Halted,
    NotSent,
    PauseCause,
    Refused,
    Scope,
    SubmitOutcome,
    Throttled,
    Unclear,
)
from batchgen.state.records import LiveRequest, PendingJob

if TYPE_CHECKING:
    from batchgen.engine.budget import Budget
    from batchgen.engine.control import Control
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.trouble import Lane, Trouble

NO_ANSWER = "no answer to the submit in time; it may have been charged"


@dataclass(frozen=True, slots=True)
class Submitted:
    """The vendor has the request: it is to be followed."""

    request: LiveRequest


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was charged, and nothing is wrong with the job: it waits for another turn."""


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more to do for this job now: refused, unknown, or another hand has it."""


Submission = Submitted | Again | Over


class Submitter:
    """Sends jobs. `wire` owns the POSTs, so that no end of a job's task can cut one off."""

    def __init__(
        self,
        doors: Doors,
        policy: EnginePolicy,
        control: Control,
        trouble: Trouble,
        budget: Budget,
        wire: asyncio.TaskGroup,
    ) -> None:
        self._doors = doors
        self._policy = policy
        self._control = control
        self._budget = budget
        self._wire = wire
        self._trouble = trouble
        self._resubmits: dict[int, int] = {}
        self.posts: set[asyncio.Task[Submission]] = set()

    async def submit(self, job: PendingJob, lane: Lane, price: float | None) -> Submission:
        """Carry a job from pending to an accepted request, as far as it goes.

        Holds a permit and a reserved price, both the caller's.
        """
        number = await self._doors.store.begin_attempt(job, price)
        if number is None:
            self._budget.release(job.seq)
            return Over()
        self._tell(job, JobState.PENDING, JobState.SUBMITTING)
        if not self._control.submitting:
            return await self._turn_back(job, number, "halted", "the run stopped before the POST")
        post = self._wire.create_task(
            self._exchange(job, number, lane, price), name=f"submit {job.id}"
        )
        self.posts.add(post)
        post.add_done_callback(self.posts.discard)
        await asyncio.wait({post}, timeout=self._policy.submit_deadline)
        if post.done():
            return post.result()
        await self._hold(job, number, Unclear(NO_ANSWER))
        return await self._wait_for_late_answer(job, post)

    async def _wait_for_late_answer(
        self, job: PendingJob, post: asyncio.Task[Submission]
    ) -> Submission:
        with self._control.drain.scope() as scope:
            await asyncio.wait({post}, timeout=self._policy.late_deadline)
        if post.done():
            return post.result()
        if scope.interrupted:
            return Over()
        post.cancel()
        return await self._after_unknown(job)

    async def _exchange(
        self, job: PendingJob, number: int, lane: Lane, price: float | None
    ) -> Submission:
        outcome = await self._doors.api.submit(job.model, job.body)
        self._note_contact(outcome, lane)
        match outcome:
            case Accepted(request_id, raw):
                return await self._accepted(job, number, price, request_id, raw)
            case NotSent(reason):
                return await self._turn_back(job, number, "not_sent", reason)
            case Throttled(_, reason):
                return await self._turn_back(job, number, "throttled", reason)
            case Halted(cause, reason):
                self._control.pause(
                    pause_for(cause, reason, lets_go=cause is PauseCause.TOKEN_REFUSED)
                )
                return await self._turn_back(job, number, "halted", reason)
            case Refused():
                return await self._refused(job, number, lane, outcome)
            case Unclear():
                await self._hold(job, number, outcome)
                return await self._after_unknown(job)

    async def _accepted(
        self, job: PendingJob, number: int, price: float | None, request_id: str, raw: str
    ) -> Submission:
        try:
            acceptance = await self._doors.store.accepted(job.seq, number, request_id, raw)
        except BatchgenError:
            # The state failed at the worst moment: the request is paid, so its id goes elsewhere.
            self._doors.receipts.keep(Receipt(job.id, number, request_id))
            raise
        if acceptance.twin is not None:
            words = f"request {request_id} was also given to {acceptance.twin}; both are held"
            self._tell(job, JobState.SUBMITTING, JobState.UNKNOWN, "duplicate_request", words)
            self._trouble.unknown()
        if not acceptance.queued:
            self._control.emit(Noted(f"request {request_id} is not followed", job.id))
            return Over()
        request = LiveRequest(
            seq=job.seq,
            id=job.id,
            model=job.model,
            body=job.body,
            failures=job.failures,
            state=JobState.QUEUED,
            attempt=number,
            request_id=request_id,
            accepted_at=self._doors.store.now(),
            price=price,
        )
        self._control.emit(
            JobMoved(job.id, job.model, JobState.SUBMITTING, JobState.QUEUED, request_id)
        )
        return Submitted(request)

    async def _turn_back(
        self, job: PendingJob, number: int, outcome: str, reason: str
    ) -> Submission:
        moved = await self._doors.store.turn_back(job.seq, number, outcome, reason)
        self._budget.release(job.seq)
        if not moved:
            return Over()
        self._tell(job, JobState.SUBMITTING, JobState.PENDING, outcome, reason)
        return Again()

    async def _refused(
        self, job: PendingJob, number: int, lane: Lane, refusal: Refused
    ) -> Submission:
        await self._doors.store.refused(job.seq, number, refusal.code, refusal.reason)
        self._budget.release(job.seq)
        self._tell(job, JobState.SUBMITTING, JobState.FAILED, refusal.code, refusal.reason)
        if refusal.scope is Scope.MODEL and not lane.refused:
            lane.refused = True
            count = await self._doors.store.refuse_model(job.model, refusal.code, refusal.reason)
            self._control.emit(ModelRefused(job.model, count, refusal.code, refusal.reason))
        return Over()

    async def _hold(self, job: PendingJob, number: int, unclear: Unclear) -> None:
        if await self._doors.store.unclear(
            job.seq, number, "no_answer", unclear.reason, unclear.raw
        ):
            self._tell(job, JobState.SUBMITTING, JobState.UNKNOWN, "no_answer", unclear.reason)
            self._trouble.unknown()

    async def _after_unknown(self, job: PendingJob) -> Submission:
        """A person decides; or `on_unknown: resubmit` does, and even then not often."""
        used = self._resubmits.get(job.seq, 0)
        if used >= self._policy.resubmits:
            return Over()
        if await self._doors.store.resubmit_unknown(job.seq) is not None:
            return Over()
        self._resubmits[job.seq] = used + 1
        self._tell(job, JobState.UNKNOWN, JobState.PENDING, "resubmitted", "on_unknown: resubmit")
        return Again()

    def _note_contact(self, outcome: SubmitOutcome, lane: Lane) -> None:
        """What this answer says about the line and the vendor's patience."""
        match outcome:
            case NotSent(reason):
                self._trouble.no_contact(reason)
            case Throttled(retry_after, reason):
                self._trouble.throttled(lane, retry_after, reason)
            case Accepted():
                self._trouble.contact()
                lane.throttles.reset()
                lane.gate.relax()
            case Refused() | Halted():
                self._trouble.contact()
            case Unclear():
                pass

    def _tell(
        self,
        job: PendingJob,
        before: JobState,
        state: JobState,
        code: str | None = None,
        reason: str | None = None,
    ) -> None:
        self._control.emit(JobMoved(job.id, job.model, before, state, code=code, reason=reason))
