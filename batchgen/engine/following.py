"""A request is followed: polled until it ends, its time is up, or the run ends.

The URLs of its files are durable before they are downloaded. Nothing is paid for again before it is
certain that the request has no result.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.decisions import (
    Deliver,
    End,
    KeepPolling,
    Observation,
    ResultDecision,
    SetAside,
    StopRun,
    after_result,
    cancelled_in_time,
    timed_out,
    why_again,
)
from batchgen.engine.events import ConcurrencyFound
from batchgen.engine.followed_request import FollowedRequest, UnknownStates
from batchgen.engine.handover import Handover
from batchgen.engine.paced_api import poll
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Cancelled, CancelOutcome
from batchgen.state.meta import keep_found_concurrency

if TYPE_CHECKING:
    from batchgen.engine.context import EngineContext
    from batchgen.state.records import LiveRequest


class Following:
    """Follows requests of this run and of earlier ones, each in its job's task."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._ports = context.ports
        self._store = context.ports.store
        self._policy = context.policy
        self._control = context.control
        self._health = context.health
        self._budget = context.budget
        self._unknown_states = UnknownStates(context.control)

    async def follow(self, request: LiveRequest, *, sent_now: bool) -> Handover:
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
