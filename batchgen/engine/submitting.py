"""The wire: owner of the POSTs. However a run ends, an answer that is on its way is recorded.

One submit: intent, POST, answer. Each is durable before the next; nothing here is repeated.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from batchgen.engine.events import JobMoved, ModelRefused, Noted
from batchgen.engine.limits import claim_sending
from batchgen.engine.ports import Ports, Receipt
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.pauses import PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    NotSent,
    Refused,
    Scope,
    SubmitOutcome,
    Throttled,
    Unclear,
)
from batchgen.state.records import JobRow, LiveRequest

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType
    from typing import Any

    from batchgen.engine.budget import Budget
    from batchgen.engine.control import Control
    from batchgen.engine.health import Health, ModelLimits
    from batchgen.engine.limits import RateLimiter
    from batchgen.engine.policy import EnginePolicy


T = TypeVar("T")

LAST_ANSWERS = 10.0
"""Seconds that answers on the wire are still given when the run is torn down."""


class ShieldedTasks:
    """Like a TaskGroup, but one that fails does not end the others: each may bring a paid job's id.

    `closing` is set when the block is left, however it is left: nothing new is sent from then on.
    """

    def __init__(self) -> None:
        self.closing = False
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._failures: list[BaseException] = []

    def send(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Who waits for it may be cancelled at the same moment, and never ask what it raised."""
        del self._tasks[task]
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises an ExceptionGroup where a last answer could not be recorded."""
        self.closing = True
        failures = await self._last_answers()
        if failures:
            earlier = [error] if isinstance(error, Exception) else []
            raise ExceptionGroup("last answers could not be recorded", [*earlier, *failures])

    async def _last_answers(self) -> list[Exception]:
        tasks = tuple(self._tasks)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=LAST_ANSWERS)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [end for end in dict.fromkeys(self._failures) if isinstance(end, Exception)]


NO_ANSWER = "no answer to the submit in time; it may have been charged"


@dataclass(frozen=True, slots=True)
class Submitted:
    """The vendor has the request: it is to be followed."""

    request: LiveRequest


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was charged, and nothing is wrong with the job: it waits for another turn.

    `rests`: not at once, since what stands in its way may stand in its own way alone.
    """

    rests: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more to do for this job now: refused, unknown, or another hand has it."""


Submission = Submitted | Again | Over


@dataclass(slots=True)
class _Attempt:
    """One submit under way. `state` is where its job stands: an answer may come late.

    `body` is what is sent: the job's own, with the URLs of what other jobs made. `sent` numbers the
    submits of a run in the order in which they went out.
    """

    job: JobRow
    body: str
    number: int
    lane: ModelLimits
    price: float | None
    state: JobState = JobState.PENDING
    sent: int = 0


class Submitter:
    """Sends jobs. `wire` owns the exchanges, so that no end of a job's task can cut one off."""

    def __init__(
        self,
        ports: Ports,
        policy: EnginePolicy,
        control: Control,
        health: Health,
        budget: Budget,
        wire: ShieldedTasks,
        overall: RateLimiter,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._control = control
        self._budget = budget
        self._wire = wire
        self._overall = overall
        self._health = health
        self._sent = itertools.count(1)

    async def submit(
        self, job: JobRow, body: str, lane: ModelLimits, price: float | None
    ) -> Submission:
        """Carry a job from pending to an accepted request, as far as it goes.

        Holds a permit and a reserved price, both the caller's.
        """
        exchange = self._wire.send(self._exchange(job, body, lane, price), f"submit {job.id}")
        await asyncio.wait({exchange})
        return exchange.result()

    async def _exchange(
        self, job: JobRow, body: str, lane: ModelLimits, price: float | None
    ) -> Submission:
        sent = None if body == job.body else body
        number = await self._ports.store.begin_attempt(job, price, sent)
        lane.in_hand.discard(job.seq)
        if number is None:
            self._budget.release(job.seq)
            return Over()
        attempt = _Attempt(job, body, number, lane, price)
        self._tell(attempt, JobState.SUBMITTING)
        await self._keep_distance(lane)
        if self._wire.closing or not self._control.submitting:
            return await self._turn_back(attempt, "halted", "the run stopped before the POST")
        attempt.sent = next(self._sent)
        post = self._wire.send(self._ports.api.submit(job.model, body), f"POST {job.id}")
        await asyncio.wait({post}, timeout=self._policy.submit_deadline)
        if not post.done():
            await self._hold_unanswered(attempt, post)
            await self._wait_for_late_answer(post)
        if post.done():
            return await self._record(attempt, post.result())
        post.cancel()
        return await self._after_unknown(attempt)

    async def _hold_unanswered(self, attempt: _Attempt, post: asyncio.Task[SubmitOutcome]) -> None:
        try:
            await self._hold(attempt, Unclear(NO_ANSWER))
        except BatchgenError:
            # Nobody is left to record the answer, and it may bring the id of a paid request.
            await asyncio.wait({post}, timeout=LAST_ANSWERS)
            if post.done() and isinstance(accepted := post.result(), Accepted):
                self._keep_receipt(attempt, accepted.request_id)
            raise

    def _keep_receipt(self, attempt: _Attempt, request_id: str) -> None:
        self._ports.receipts.keep(Receipt(attempt.job.id, attempt.number, request_id))

    async def _keep_distance(self, lane: ModelLimits) -> None:
        now = asyncio.get_running_loop().time()
        wait = claim_sending((lane.limiter, self._overall), now) - now
        if wait > 0:
            # Whoever is stopped here has sent nothing, and is turned back by the caller.
            with self._control.drain.scope():
                await asyncio.sleep(wait)

    async def _wait_for_late_answer(self, post: asyncio.Task[SubmitOutcome]) -> None:
        with self._control.drain.scope() as scope:
            await asyncio.wait({post}, timeout=self._policy.late_deadline)
        if scope.interrupted:
            await asyncio.wait({post}, timeout=LAST_ANSWERS)

    async def _record(self, attempt: _Attempt, outcome: SubmitOutcome) -> Submission:
        self._note_contact(outcome, attempt)
        match outcome:
            case Accepted(request_id, raw):
                return await self._accepted(attempt, request_id, raw)
            case NotSent(reason):
                return await self._turn_back(attempt, "not_sent", reason)
            case Throttled(_, reason):
                return await self._turn_back(attempt, "throttled", reason)
            case Gateway(reason=reason):
                turned = await self._turn_back(attempt, "halted", reason)
                return Again(rests=True) if isinstance(turned, Again) else turned
            case Halted(cause, reason):
                self._control.pause(
                    pause_for(cause, reason=reason, lets_go=cause is PauseReason.TOKEN_REFUSED)
                )
                return await self._turn_back(attempt, "halted", reason)
            case Refused():
                return await self._refused(attempt, outcome)
            case Unclear():
                await self._hold(attempt, outcome)
                return await self._after_unknown(attempt)

    async def _accepted(self, attempt: _Attempt, request_id: str, raw: str) -> Submission:
        job, number = attempt.job, attempt.number
        try:
            acceptance = await self._ports.store.accepted(job.seq, number, request_id, raw)
        except BatchgenError:
            # The state failed at the worst moment: the request is paid, so its id goes elsewhere.
            self._keep_receipt(attempt, request_id)
            raise
        if acceptance.queued:
            self._tell(attempt, JobState.QUEUED, request_id=request_id)
            return Submitted(self._live(attempt, request_id))
        self._budget.hold(job.seq)
        if acceptance.twin is not None:
            words = f"request {request_id} was also given to {acceptance.twin}; held"
            self._tell(attempt, JobState.UNKNOWN, "duplicate_request", words)
            self._health.unknown()
        self._control.emit(Noted(f"request {request_id} is not followed", job.id))
        return Over()

    def _live(self, attempt: _Attempt, request_id: str) -> LiveRequest:
        job = attempt.job
        return LiveRequest(
            seq=job.seq,
            id=job.id,
            model=job.model,
            body=job.body,
            failures=job.failures,
            state=JobState.QUEUED,
            attempt=attempt.number,
            request_id=request_id,
            accepted_at=self._ports.store.now(),
            price=attempt.price,
        )

    async def _turn_back(self, attempt: _Attempt, outcome: str, reason: str) -> Submission:
        seq = attempt.job.seq
        if not await self._ports.store.turn_back(seq, attempt.number, outcome, reason):
            return Over()
        self._budget.release(seq)
        self._tell(attempt, JobState.PENDING, outcome, reason)
        return Again()

    async def _refused(self, attempt: _Attempt, refusal: Refused) -> Submission:
        store, job, lane = self._ports.store, attempt.job, attempt.lane
        if await store.refused(job.seq, attempt.number, refusal.code, refusal.reason):
            self._budget.release(job.seq)
            self._tell(attempt, JobState.FAILED, refusal.code, refusal.reason)
            self._health.failed(refusal.code, refusal.reason)
            if refusal.scope is Scope.JOB:
                self._health.refused(lane, attempt.sent, refusal.code, refusal.reason)
        if refusal.scope is Scope.MODEL and not lane.refused:
            lane.refused = True
            count = await store.refuse_model(job.model, refusal.code, refusal.reason)
            self._control.emit(ModelRefused(job.model, count, refusal.code, refusal.reason))
        return Over()

    async def _hold(self, attempt: _Attempt, unclear: Unclear) -> None:
        if await self._ports.store.unclear(
            attempt.job.seq, attempt.number, "no_answer", unclear.reason, unclear.raw
        ):
            self._tell(attempt, JobState.UNKNOWN, "no_answer", unclear.reason)
            self._health.unknown()

    async def _after_unknown(self, attempt: _Attempt) -> Submission:
        """A person decides; or `on_unknown: resubmit` does, and even then not often."""
        seq = attempt.job.seq
        self._budget.hold(seq)
        most = self._policy.resubmits
        if not most or await self._ports.store.resubmit_unknown(seq, most) is not None:
            return Over()
        self._tell(attempt, JobState.PENDING, "resubmitted", "on_unknown: resubmit")
        return Again()

    def _note_contact(self, outcome: SubmitOutcome, attempt: _Attempt) -> None:
        """What this answer says about the line and the vendor's patience."""
        lane = attempt.lane
        match outcome:
            case NotSent(reason):
                self._health.no_contact(reason)
            case Throttled(retry_after, reason):
                self._health.throttled(lane, retry_after, reason)
            case Gateway(status, reason):
                self._health.gateway(status, reason)
            case Accepted():
                self._health.accepted(lane, attempt.sent)
                lane.limiter.relax()
            case Refused() | Halted():
                self._health.contact()
            case Unclear():
                pass

    def _tell(
        self,
        attempt: _Attempt,
        state: JobState,
        code: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
    ) -> None:
        job = attempt.job
        self._control.emit(
            JobMoved(job.id, job.model, attempt.state, state, request_id, code, reason)
        )
        attempt.state = state
