"""One request, from accept to its end: asked when it is likely to have ended, and not more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from batchgen.engine.decisions import (
    FILES_PATIENCE,
    Deliver,
    End,
    KeepAsking,
    Look,
    RequestFacts,
    ResultVerdict,
    Seen,
    SetAside,
    StopRun,
    after_result,
    is_short_of_an_end,
    together,
)
from batchgen.engine.events import JobMoved, Noted
from batchgen.engine.limits import Expectations
from batchgen.engine.polling import next_look_for_files, next_poll
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Cancelled,
    CancelOutcome,
    Failed,
    Succeeded,
    Throttled,
)
from batchgen.state.transitions import Ending

if TYPE_CHECKING:
    from batchgen.engine.budget import Budget
    from batchgen.engine.control import Control
    from batchgen.engine.health import Health
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Ports
    from batchgen.state.records import LiveRequest

SEEN_GOING = frozenset({Look.WAITING, Look.RUNNING, Look.UNKNOWN_STATE})
TELLS_NOTHING = frozenset({Look.NOT_READY, Look.NOT_THERE, Look.NO_CONTACT, Look.WITHHELD})
MISSING_WAIT = 3.0
"""Seconds at most until a request that was not found, or not shown, is asked for once more."""


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
    `empty_since`: the age at which it was first seen to have succeeded without files.
    `withheld_since`: the age at which its result was first refused after its end.
    `silence`: what the API said last, where that told nothing of the request.
    """

    request: LiveRequest
    start: float
    age_at_start: float
    state: JobState
    counts: bool
    going_until: float | None = 0.0
    missing_in_a_row: int = 0
    empty_since: float | None = None
    withheld_since: float | None = None
    silence: str = ""
    warned: bool = False

    def age(self) -> float:
        return self.age_at_start + asyncio.get_running_loop().time() - self.start


class Follower:
    """Follows requests to their end, each in its job's own task."""

    def __init__(
        self,
        ports: Ports,
        policy: EnginePolicy,
        control: Control,
        health: Health,
        budget: Budget,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._control = control
        self._health = health
        self._budget = budget
        self._unknown_states: set[str] = set()
        self.expectations = Expectations()

    async def follow(self, request: LiveRequest, *, sent_now: bool) -> FollowEnd:
        """Ask until the request ends, its time is up, or the run lets go.

        `sent_now`: by this run, not by an earlier one.
        """
        now = asyncio.get_running_loop().time()
        # Between two runs only the wall clock tells; within one it must not: it may jump.
        elapsed = 0.0 if sent_now else max(0.0, self._ports.store.now() - request.accepted_at)
        watch = _Watch(request, now, elapsed, request.state, sent_now)
        # A request of an earlier run may have ended long ago: it is asked at once.
        wait = self._wait(watch) if elapsed < 1.0 else 0.0
        while not self._control.drain.requested:
            with self._control.drain.scope() as scope:
                await asyncio.sleep(wait)
                outcome = await self._look(request.request_id)
            if scope.interrupted:
                break
            end = await self._act(watch, self._judge(watch, outcome))
            if end is not None:
                return end
            wait = self._wait(watch, outcome)
        return FollowEnd.LET_GO

    async def _look(self, request_id: str) -> Seen:
        """Ask the result, and where that is short of an end, the status.

        Where the status tells a bad end the result is asked once more: it may have come meanwhile,
        with the vendor's reason, the cost, or files after all.
        """
        result = await self._ports.api.result(request_id)
        if not is_short_of_an_end(result):
            return result
        both = together(result, await self._ports.api.status(request_id))
        if not isinstance(both, Failed | Cancelled):
            return both
        result = await self._ports.api.result(request_id)
        return result if isinstance(result, Succeeded | Failed | Cancelled) else both

    def _judge(self, watch: _Watch, outcome: Seen) -> ResultVerdict:
        request = watch.request
        return after_result(
            outcome,
            RequestFacts(
                watch.age(),
                self._policy.grace,
                watch.missing_in_a_row,
                request.failures,
                self._policy.retries,
                None if watch.empty_since is None else watch.age() - watch.empty_since,
                request.was_empty,
                request.again_asked,
                None if watch.withheld_since is None else watch.age() - watch.withheld_since,
            ),
        )

    def _wait(self, watch: _Watch, outcome: Seen | None = None) -> float:
        if watch.empty_since is not None:
            wait = next_look_for_files(watch.age() - watch.empty_since)
            return max(wait, outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else wait
        model = watch.request.model
        expected, proven = self.expectations.expected(model), self.expectations.proven(model)
        wait = next_poll(watch.age(), expected, self._ports.dice, proven=proven)
        if watch.missing_in_a_row or watch.withheld_since is not None:
            wait = min(wait, MISSING_WAIT)
        if isinstance(outcome, Throttled):
            return max(wait, outcome.retry_after or 0.0)
        return wait

    async def _act(self, watch: _Watch, verdict: ResultVerdict) -> FollowEnd | None:
        match verdict:
            case Deliver():
                self._health.contact()
                return await self._deliver(watch, verdict)
            case End(ending, pause, unknown_state):
                self._health.contact()
                self._report_unknown_state(watch, unknown_state, "which ended it")
                if pause is not None:
                    self._control.pause(pause)
                return await self._end(watch, ending)
            case SetAside():
                self._health.contact()
                return await self._set_aside(watch, verdict)
            case StopRun(pause):
                self._control.pause(pause)
                return FollowEnd.LET_GO
            case KeepAsking():
                await self._note(watch, verdict)
                if watch.empty_since is not None:
                    return await self._stop_waiting_for_files(watch)
                return await self._time_out(watch) if self._is_too_old(watch, verdict) else None

    def _is_too_old(self, watch: _Watch, verdict: KeepAsking) -> bool:
        """Not as long as nobody has answered this run at all: that says nothing of the request."""
        unreached = verdict.look is Look.NO_CONTACT and not self._health.reached
        return watch.age() >= self._policy.timeout and not unreached

    async def _stop_waiting_for_files(self, watch: _Watch) -> FollowEnd | None:
        """A success without files that tells nothing any more must not hold its place for ever."""
        if watch.age() - (watch.empty_since or 0.0) < FILES_PATIENCE:
            return None
        words = f"success was told without files, and since then: {watch.silence or 'nothing'}"
        words += "; each run asks for its result again, without paying again"
        return await self._set_aside(watch, SetAside("no_files", words, None, words))

    async def _note(self, watch: _Watch, verdict: KeepAsking) -> None:
        look = verdict.look
        watch.missing_in_a_row = watch.missing_in_a_row + 1 if look is Look.NOT_THERE else 0
        if look is not Look.WITHHELD:
            watch.withheld_since = None
        elif watch.withheld_since is None:
            watch.withheld_since = watch.age()
        watch.going_until = watch.age() if look in SEEN_GOING else None
        watch.silence = verdict.note if look in TELLS_NOTHING else ""
        if look is Look.NO_CONTACT:
            self._health.no_contact(verdict.note)
            return
        self._health.contact()
        if look is Look.NO_FILES:
            self._wait_for_files(watch, verdict.note)
        elif look in SEEN_GOING:
            watch.empty_since = None
        if look is Look.RUNNING and watch.state is JobState.QUEUED:
            await self._running(watch)
        elif look is Look.WAITING and watch.state is JobState.RUNNING:
            self._warn_once(watch, "the vendor says queued after running; ignored")
        elif look is Look.UNKNOWN_STATE:
            words = "an unknown word of state: still asking"
            self._report_unknown_state(watch, verdict.note, words)
            self._warn_once(watch, f"unknown state {verdict.note!r} of the request; still asking")

    def _wait_for_files(self, watch: _Watch, unknown_state: str) -> None:
        if watch.empty_since is None:
            watch.empty_since = watch.age()
            self._report_unknown_state(watch, unknown_state, "which ended it")
            self._control.emit(Noted("success without files yet; looking again", watch.request.id))

    def _report_unknown_state(self, watch: _Watch, word: str, what: str) -> None:
        """At once, and once for each word: a vendor that changes its words does so for all jobs."""
        if word and word not in self._unknown_states:
            self._unknown_states.add(word)
            text = f"the vendor calls the request of {watch.request.id} {word!r}, {what}"
            self._control.emit(Noted(text, watch.request.id, on_screen=True))

    def _warn_once(self, watch: _Watch, text: str) -> None:
        if not watch.warned:
            watch.warned = True
            self._control.emit(Noted(text, watch.request.id))

    async def _running(self, watch: _Watch) -> None:
        if await self._ports.store.running(watch.request.seq):
            self._tell(watch, JobState.RUNNING)

    async def _deliver(self, watch: _Watch, delivery: Deliver) -> FollowEnd:
        request = watch.request
        self._report_unknown_state(watch, delivery.unknown_state, "and names files: it is done")
        if not await self._ports.store.delivered(
            request, delivery.urls, delivery.cost, delivery.raw
        ):
            self._budget.hold(request.seq)
            return FollowEnd.OVER
        self._budget.settle(request.seq, delivery.cost)
        if watch.counts:
            self._learn(watch)
            self._health.delivered()
        self._tell(watch, JobState.FETCHING, cost=delivery.cost)
        return FollowEnd.DELIVERED

    def _learn(self, watch: _Watch) -> None:
        """Nothing after a silence: it may have ended at any time of it."""
        if watch.going_until is not None:
            self.expectations.learn(watch.request.model, watch.going_until, watch.age())

    async def _end(self, watch: _Watch, ending: Ending) -> FollowEnd:
        request = watch.request
        if not await self._ports.store.ended(request, ending):
            self._budget.hold(request.seq)
            return FollowEnd.OVER
        cancelled_free = ending.state is JobState.CANCELLED and ending.cost is None
        self._budget.settle(request.seq, 0.0 if cancelled_free else ending.cost)
        self._tell(watch, ending.state, ending.code, ending.reason, ending.cost)
        if not ending.again or await self._ports.store.pending_job(request.seq) is None:
            if ending.state in {JobState.FAILED, JobState.LOST}:
                self._count_failure(watch, ending.code, ending.reason)
            return FollowEnd.OVER
        self._tell(watch, JobState.PENDING, "retry", _why_again(ending, request))
        return FollowEnd.PENDING_AGAIN

    async def _time_out(self, watch: _Watch) -> FollowEnd:
        """Too old. Cancelled while still in the queue it is free; otherwise it may yet deliver."""
        request = watch.request
        reason = f"not ended after {self._policy.timeout:g} s"
        cancelled = await self._ports.api.cancel(request.request_id) is CancelOutcome.CANCELLED
        # Only the result tells: the request may have won the race, and nothing is paid again
        # before it is certain that it has not.
        outcome = await self._look(request.request_id)
        if cancelled and isinstance(outcome, Cancelled):
            again = request.again_asked or request.failures < self._policy.retries
            words = f"{reason}; cancelled before it began"
            ending = Ending(JobState.FAILED, "timeout", words, outcome.cost or 0.0, again=again)
            return await self._end(watch, ending)
        last_look = self._judge(watch, outcome)
        if isinstance(last_look, Deliver | End | SetAside | StopRun):
            return await self._act(watch, last_look) or FollowEnd.OVER
        if watch.silence:
            reason = f"{reason}, and all that is said of it is: {watch.silence}"
        words = f"{reason}; the next run asks for its result again, without paying again"
        return await self._set_aside(watch, SetAside("timeout", words, None, ""))

    async def _set_aside(self, watch: _Watch, aside: SetAside) -> FollowEnd:
        """The request stays open in the state, and its cost or price counts as spent."""
        request = watch.request
        self._budget.settle(request.seq, aside.cost)
        if await self._ports.store.set_aside(
            request, aside.code, aside.reason, aside.cost, aside.raw
        ):
            self._tell(watch, JobState.FAILED, aside.code, aside.reason, aside.cost)
            self._count_failure(watch, aside.code, aside.reason)
        return FollowEnd.OVER

    def _count_failure(self, watch: _Watch, code: str, reason: str) -> None:
        if watch.counts:
            self._health.failed(code, reason)

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


def _why_again(ending: Ending, request: LiveRequest) -> str:
    if ending.blameless:
        return "it is submitted again once the account has the money"
    return "asked for by hand" if request.again_asked else "run.retries allows another attempt"
