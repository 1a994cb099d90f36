"""The life of one job, from top to bottom: ready → submit → follow → hand over.

Its intent is durable before the POST, its request id before it is followed, and the URLs of its
files before they are downloaded. Nothing is sent twice by itself.
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
from batchgen.engine.decisions import (
    UNANSWERED,
    Deliver,
    End,
    KeepPolling,
    Observation,
    ResultDecision,
    SetAside,
    StopRun,
    TurnBack,
    after_result,
    after_submit,
    cancelled_in_time,
    timed_out,
    why_again,
)
from batchgen.engine.events import ConcurrencyFound, ModelRefused, Noted
from batchgen.engine.followed_request import FollowedRequest, UnknownStates
from batchgen.engine.handover import Handover
from batchgen.engine.input_resolver import InputResolver, NotNow, Readiness, Ready
from batchgen.engine.limits import claim_sending
from batchgen.engine.paced_api import poll
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
from batchgen.runcomfy.outcomes import (
    Accepted,
    Cancelled,
    CancelOutcome,
    Refused,
    Scope,
    Unclear,
)
from batchgen.runcomfy.upload import at_once
from batchgen.state.meta import keep_found_concurrency
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
        self._unknown_states = UnknownStates(context.control)
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
            outcome = await self._follow(outcome, sent_now=True)
        await self._hand_over(job.seq, outcome)

    async def resume(self, request: LiveRequest) -> None:
        """From where an earlier run, or a person's decision, left the request."""
        await self._hand_over(request.seq, await self._follow(request, sent_now=False))

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
            text = f"its request may be running: it holds its place for {seconds:.0f} s"
            self._control.emit(Noted(text, attempt.job_id))
        if not most or await self._store.resubmit_unknown(seq, most) is not None:
            return Handover.OVER
        self._control.emit_move(attempt, JobState.PENDING, "resubmitted", "on_unknown: resubmit")
        return Handover.PENDING_AGAIN

    # Follow: poll the request until it ends, its time is up, or the run ends.

    async def _follow(self, request: LiveRequest, *, sent_now: bool) -> Handover:
        """`sent_now`: by this run, not by an earlier one."""
        followed = FollowedRequest.begin(request, self._store.now(), sent_now=sent_now)
        traffic = self._context.expectations
        with traffic.in_flight(followed.model, followed.accepted_at) as followed.in_traffic:
            return await self._poll_until_ended(followed)

    async def _poll_until_ended(self, followed: FollowedRequest) -> Handover:
        # A request of an earlier run may have ended long ago: it is polled at once.
        wait = followed.wait(self._context) if followed.age_at_start < 1.0 else 0.0
        while not self._control.drain.requested:
            with self._control.drain.scope() as scope:
                await asyncio.sleep(wait)
                outcome = await poll(self._ports.api, followed.request_id)
            if scope.interrupted:
                break
            end = await self._act(followed, after_result(outcome, followed.facts(self._policy)))
            if end is not None:
                return end
            wait = followed.wait(self._context, outcome)
            await self._report_found(followed.model)
        return Handover.LET_GO

    async def _report_found(self, model: str) -> None:
        """More may start now; what was found is for people, and for the next run."""
        self._control.wake.set()
        auto = self._context.expectations.traffic(model).auto
        if self._context.expectations.finds_concurrency and auto.is_news(
            asyncio.get_running_loop().time()
        ):
            self._control.emit(ConcurrencyFound(model, auto.at_once, auto.why))
            await self._store.run(keep_found_concurrency, model, auto.at_once, auto.why)

    async def _act(self, followed: FollowedRequest, decision: ResultDecision) -> Handover | None:
        """Do what a poll calls for; None: poll again."""
        if isinstance(decision, Deliver | End | SetAside):
            self._health.contact()
        match decision:
            case Deliver():
                return await self._deliver(followed, decision)
            case End():
                return await self._end(followed, decision)
            case SetAside():
                return await self._set_aside(followed, decision)
            case StopRun(pause):
                self._control.pause(pause)
                return Handover.LET_GO
            case KeepPolling():
                return await self._keep_polling(followed, decision)

    async def _keep_polling(
        self, followed: FollowedRequest, decision: KeepPolling
    ) -> Handover | None:
        observation, was_empty = decision.observation, followed.empty_since is not None
        followed.note(decision)
        if observation is Observation.NO_CONTACT:
            self._health.no_contact(decision.note)
        else:
            self._health.contact()
            starts = observation is Observation.RUNNING and followed.state is JobState.QUEUED
            if starts and await self._store.running(followed.request.seq):
                self._control.emit_move(followed, JobState.RUNNING)
            self._unknown_states.comment(followed, decision, was_empty=was_empty)
        if followed.empty_since is not None:
            aside = followed.given_up_for_files()
            return None if aside is None else await self._set_aside(followed, aside)
        # As long as the API has not answered this run at all, the request's age says nothing.
        unreached = observation is Observation.NO_CONTACT and not self._health.reached
        is_too_old = followed.age() >= self._policy.timeout and not unreached
        return await self._time_out(followed) if is_too_old else None

    async def _deliver(self, followed: FollowedRequest, delivery: Deliver) -> Handover:
        request, unknown_state = followed.request, delivery.unknown_state
        self._unknown_states.report(followed, unknown_state, "and names files: it is done")
        job = await self._store.delivered(request, delivery.urls, delivery.cost, delivery.raw)
        if job is None:
            self._budget.hold(request.seq)
            return Handover.OVER
        self._context.downloads.keep_at_hand(job)
        self._budget.settle(request.seq, delivery.cost)
        if followed.sent_now:
            followed.teach(self._context.expectations)
            self._health.delivered()
        self._control.emit_move(followed, JobState.FETCHING, cost=delivery.cost)
        return Handover.DOWNLOAD

    async def _end(self, followed: FollowedRequest, end: End) -> Handover:
        """Without a result: failed, cancelled or lost; or pending again."""
        request, ending = followed.request, end.ending
        self._unknown_states.report(followed, end.unknown_state, "which ended it")
        if end.pause is not None:
            self._control.pause(end.pause)
        if not await self._store.ended(request, ending):
            self._budget.hold(request.seq)
            return Handover.OVER
        cancelled_free = ending.state is JobState.CANCELLED and ending.cost is None
        self._budget.settle(request.seq, 0.0 if cancelled_free else ending.cost)
        self._control.emit_move(followed, ending.state, ending.code, ending.reason, ending.cost)
        if ending.again and await self._store.pending_job(request.seq) is not None:
            self._control.emit_move(followed, JobState.PENDING, "retry", why_again(ending, request))
            return Handover.PENDING_AGAIN
        if followed.sent_now and ending.state in {JobState.FAILED, JobState.LOST}:
            self._health.failed(ending.code, ending.reason)
        return Handover.OVER

    async def _time_out(self, followed: FollowedRequest) -> Handover:
        """Too old. Cancelled while still in the queue it is free; otherwise it may yet deliver."""
        api, request_id = self._ports.api, followed.request_id
        cancelled = await api.cancel(request_id) is CancelOutcome.CANCELLED
        # Only the result counts: the request may have won the race, and nothing is paid for
        # again before it is certain that it has not.
        outcome, timeout = await poll(api, request_id), self._policy.timeout
        facts = followed.facts(self._policy)
        if cancelled and isinstance(outcome, Cancelled):
            return await self._end(followed, End(cancelled_in_time(outcome, facts, timeout)))
        decision = after_result(outcome, facts)
        if isinstance(decision, KeepPolling):
            return await self._set_aside(followed, timed_out(timeout, followed.silence))
        return await self._act(followed, decision) or Handover.OVER

    async def _set_aside(self, followed: FollowedRequest, aside: SetAside) -> Handover:
        """The request stays open in the state, and its cost or price counts as spent."""
        request, code, reason, cost = followed.request, aside.code, aside.reason, aside.cost
        self._budget.settle(request.seq, cost)
        if await self._store.set_aside(request, code, reason, cost, aside.raw):
            self._control.emit_move(followed, JobState.FAILED, code, reason, cost)
            if followed.sent_now:
                self._health.failed(code, reason)
        return Handover.OVER

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
