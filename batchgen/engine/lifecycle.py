"""The life of one job, from top to bottom: ready → submit → follow → hand over.

Its intent is durable before the POST, and its request id before it is followed
(`following.py`). Nothing is sent twice by itself.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from batchgen.engine.attempt import Attempt
from batchgen.engine.blocked_jobs import BlockedJobs
from batchgen.engine.cancels import Cancels
from batchgen.engine.decisions import UNANSWERED, TurnBack, after_submit
from batchgen.engine.events import ModelRefused, Noted
from batchgen.engine.following import Following
from batchgen.engine.handover import Handover
from batchgen.engine.input_resolver import InputResolver, NotNow, Readiness, Ready
from batchgen.engine.limits import claim_sending
from batchgen.engine.posts import (
    CUT_OFF,
    NOT_POSTED,
    LastChunk,
    is_uploaded,
    outcome_of,
    wait_for_late_answer,
)
from batchgen.engine.retry_timers import RetryTimers
from batchgen.engine.shielded_tasks import LAST_ANSWERS, ShieldedTasks
from batchgen.engine.unanswered import UnansweredPlaces
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Accepted, Refused, Scope, Unclear
from batchgen.runcomfy.upload import at_once
from batchgen.state.records import LiveRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from batchgen.engine.context import EngineContext
    from batchgen.engine.limits import Permit
    from batchgen.engine.model_queues import ModelQueue
    from batchgen.runcomfy.outcomes import SubmitOutcome
    from batchgen.state.records import JobRow


class Lifecycle:
    """Takes jobs through their life, each in a task and with a permit of the caller's.

    `requeue` takes a job that is pending again; its model may be another one by now.
    """

    def __init__(
        self, context: EngineContext, requeue: Callable[[JobRow], Awaitable[None]]
    ) -> None:
        self._context = context
        self._ports = context.ports
        self._store = context.ports.store
        self._policy = context.policy
        self._control = context.control
        self._health = context.health
        self._budget = context.budget
        self._requeue = requeue
        self._inputs = InputResolver(context)
        self._exchanges: ShieldedTasks
        self._sent = itertools.count(1)
        self._following = Following(context)
        self.retries = RetryTimers(context.ports.dice, context.control.wake.set)
        self.cancels = Cancels(context.ports, context.control)
        self.blocked = BlockedJobs(context.ports.store, context.control)
        self.unanswered = UnansweredPlaces(
            context.expectations, context.policy.timeout, context.control.wake.set
        )

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Jobs are run inside this block; answers that are on their way at its end are recorded."""
        async with ShieldedTasks() as self._exchanges:
            yield

    async def run(
        self, queue: ModelQueue, job: JobRow, price: float | None, permit: Permit
    ) -> None:
        """From due to handed over, as far as the job gets. The caller has reserved `price`."""
        readiness = await self._ready(job)
        if not (isinstance(readiness, Ready) and self._control.submitting):
            await self._put_off(queue, job, readiness)
            return
        # Its inputs may have been waited for, and a person may have set a lower rate meanwhile.
        permit.renew()
        submit = self._submit(
            Attempt(queue, job, readiness.body, price, permit, readiness.sendable)
        )
        del readiness  # A large text must not outlive its POST.
        outcome = await submit
        if outcome is Handover.RETRY_LATER and self._control.submitting:
            queue.in_hand.add(job.seq)
            self.retries.schedule(job.seq, partial(queue.give_back, job))
            return
        self.retries.forget(job.seq)
        if isinstance(outcome, LiveRequest):
            await self.cancels.submitted(outcome)
            outcome = await self._following.follow(outcome, sent_now=True)
        await self._hand_over(job.seq, outcome)

    async def resume(self, request: LiveRequest) -> None:
        """From where an earlier run, or a person's decision, left the request."""
        await self._hand_over(request.seq, await self._following.follow(request, sent_now=False))

    # Ready: every input is there and usable. Nothing is recorded or paid yet.

    async def _ready(self, job: JobRow) -> Readiness:
        """A job that was put off is retried only if it is still due."""
        if self.retries.is_retry(job.seq) and not await self._may_still_go(job):
            return NotNow()
        return await self._inputs.ready(job)

    async def _may_still_go(self, job: JobRow) -> bool:
        """A cancelled job, or one refused with its model, must not keep the run going."""
        still_due = await self._store.pending_job(job.seq) is not None
        return still_due and self._control.submitting

    async def _put_off(self, queue: ModelQueue, job: JobRow, readiness: Readiness) -> None:
        self._budget.release(job.seq)
        if isinstance(readiness, Ready):
            readiness.release()
        if isinstance(readiness, NotNow) and await self._may_still_go(job):
            # It stays in hand: nothing else may take it before it is retried.
            self.retries.schedule(job.seq, partial(queue.give_back, job))
            return
        queue.in_hand.discard(job.seq)
        self.retries.forget(job.seq)
        await self._hand_over(job.seq, Handover.OVER)

    # Submit: intent, POST, answer, each durable before the next.

    async def _submit(self, attempt: Attempt) -> LiveRequest | Handover:
        """In a task of its own: the end of the job's task must not cut an exchange off."""
        exchange = self._exchanges.start(self._exchange(attempt), f"submit {attempt.job_id}")
        exchange.add_done_callback(lambda _: attempt.release())
        await asyncio.wait({exchange})
        return exchange.result()

    async def _exchange(self, attempt: Attempt) -> LiveRequest | Handover:
        job, queue = attempt.job, attempt.queue
        changed_body = None if attempt.body == job.body else attempt.body
        is_large = attempt.is_large
        number = await self._store.begin_attempt(
            job, attempt.price, changed_body, uploading=is_large
        )
        queue.in_hand.discard(job.seq)
        if number is None:
            self._budget.release(job.seq)
            return Handover.OVER
        attempt.number = number
        self._control.emit_move(attempt, JobState.SUBMITTING)
        await self._keep_distance(attempt.permit)
        if self._exchanges.closing or not self._control.submitting:
            return await self._turn_back(attempt, NOT_POSTED)
        attempt.sent = next(self._sent)
        submit, handover = self._ports.api.submit, LastChunk(self._store, job.seq, number)
        before_last = handover.release if is_large else at_once
        post = self._exchanges.start(
            submit(job.model, attempt.take_text(), before_last), f"POST {job.id}"
        )
        if is_large and not await is_uploaded(post, handover.released, self._control.drain):
            return await self._turn_back(attempt, CUT_OFF)
        attempt.sent_at = asyncio.get_running_loop().time()
        await asyncio.wait({post}, timeout=self._policy.submit_deadline)
        if not post.done():
            await self._hold_unanswered(attempt, post)
            await wait_for_late_answer(post, self._control.drain, self._policy.late_deadline)
        if post.done():
            return await self._record(attempt, outcome_of(post))
        post.cancel()
        return await self._after_unknown(attempt)

    async def _keep_distance(self, permit: Permit) -> None:
        now = asyncio.get_running_loop().time()
        wait = claim_sending(permit, now) - now
        if wait > 0:
            # A job that is stopped here has sent nothing, and is turned back by the caller.
            with self._control.drain.scope():
                await asyncio.sleep(wait)

    async def _hold_unanswered(self, attempt: Attempt, post: asyncio.Task[SubmitOutcome]) -> None:
        try:
            await self._hold(attempt, UNANSWERED)
        except BatchgenError:
            # Nobody is left to record the answer, and it may bring the id of a paid request.
            await asyncio.wait({post}, timeout=LAST_ANSWERS)
            if post.done() and isinstance(accepted := post.result(), Accepted):
                self._ports.recovery_log.record(attempt.recovery_entry(accepted.request_id))
            raise

    async def _record(self, attempt: Attempt, outcome: SubmitOutcome) -> LiveRequest | Handover:
        if isinstance(outcome, Accepted):
            attempt.permit.accept(asyncio.get_running_loop().time())
        self._health.after_submit(attempt.queue.health, attempt.sent, outcome)
        self._control.wake.set()
        match after_submit(outcome):
            case Accepted() as answer:
                return await self._accepted(attempt, answer)
            case TurnBack() as turn_back:
                if turn_back.pause is not None:
                    self._control.pause(turn_back.pause)
                return await self._turn_back(attempt, turn_back)
            case Refused() as refusal:
                return await self._refused(attempt, refusal)
            case Unclear() as unclear:
                await self._hold(attempt, unclear)
                return await self._after_unknown(attempt)

    async def _accepted(self, attempt: Attempt, answer: Accepted) -> LiveRequest | Handover:
        request_id = answer.request_id
        seq = attempt.job.seq
        try:
            acceptance = await self._store.accepted(seq, attempt.number, request_id, answer.raw)
        except BatchgenError:
            # The state failed at the worst moment: the request is paid, so its id goes elsewhere.
            self._ports.recovery_log.record(attempt.recovery_entry(request_id))
            raise
        if acceptance.queued:
            attempt.request_id = request_id
            self._control.emit_move(attempt, JobState.QUEUED)
            return attempt.live_request(request_id, self._store.now())
        self._budget.hold(seq)
        if acceptance.twin is not None:
            reason = f"request {request_id} was also given to {acceptance.twin}; held"
            self._control.emit_move(attempt, JobState.UNKNOWN, "duplicate_request", reason)
            self._health.unknown()
        self._control.emit(Noted(f"request {request_id} is not followed", attempt.job_id))
        return Handover.OVER

    async def _turn_back(self, attempt: Attempt, why: TurnBack) -> Handover:
        """Nothing was charged: the job is pending again."""
        seq = attempt.job.seq
        if not await self._store.turn_back(seq, attempt.number, why.code, why.reason):
            return Handover.OVER
        self._budget.release(seq)
        self._control.emit_move(attempt, JobState.PENDING, why.code, why.reason)
        return Handover.RETRY_LATER if why.later else Handover.PENDING_AGAIN

    async def _refused(self, attempt: Attempt, refusal: Refused) -> Handover:
        job, model = attempt.job, attempt.queue.health
        if await self._store.refused(job.seq, attempt.number, refusal.code, refusal.reason):
            self._budget.release(job.seq)
            self._control.emit_move(attempt, JobState.FAILED, refusal.code, refusal.reason)
            self._health.failed(refusal.code, refusal.reason)
            if refusal.scope is Scope.JOB:
                self._health.refused(model, attempt.sent, refusal.code, refusal.reason)
        if refusal.scope is Scope.MODEL and not model.refused:
            model.refused = True
            count = await self._store.refuse_model(job.model, refusal.code, refusal.reason)
            self._control.emit(ModelRefused(job.model, count, refusal.code, refusal.reason))
        return Handover.OVER

    async def _hold(self, attempt: Attempt, unclear: Unclear) -> None:
        """Nobody knows whether it was charged, so it is not sent again by itself."""
        seq, reason = attempt.job.seq, unclear.reason
        if await self._store.unclear(seq, attempt.number, "no_answer", reason, unclear.raw):
            self._control.emit_move(attempt, JobState.UNKNOWN, "no_answer", reason)
            self._health.unknown()

    async def _after_unknown(self, attempt: Attempt) -> Handover:
        """A person decides, or `on_unknown: resubmit` does, a few times at most."""
        seq, most = attempt.job.seq, self._policy.resubmits
        self._budget.hold(seq)
        if seconds := self.unanswered.hold(attempt):
            text = f"its request may be running: it holds its place for {seconds:.0f} s at most"
            self._control.emit(Noted(text, attempt.job_id))
        if not most or await self._store.resubmit_unknown(seq, most) is not None:
            return Handover.OVER
        self._control.emit_move(attempt, JobState.PENDING, "resubmitted", "on_unknown: resubmit")
        return Handover.PENDING_AGAIN

    # Hand over: to the downloads, back to the queue, or to what waits for this job.

    async def _hand_over(self, seq: int, to: Handover) -> None:
        match to:
            case Handover.DOWNLOAD:
                self._context.downloads.add(seq)
            case Handover.PENDING_AGAIN | Handover.RETRY_LATER:
                if job := await self._store.pending_job(seq):
                    await self._requeue(job)
            case Handover.OVER:
                # Without a result: jobs that need it, or come after it, may have to wait.
                await self._context.canary.on_outcome(seq)
                await self.blocked.emit_changes()
