"""The state of one request while it is followed: its age, and what the polls have shown so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from batchgen.engine.auto_concurrency import FIRST_LOOK, SPARES
from batchgen.engine.decisions import FILES_PATIENCE, Observation, RequestFacts, SetAside
from batchgen.engine.events import Noted
from batchgen.engine.polling import (
    LONGEST,
    LONGEST_FIRST,
    SHORTEST,
    next_poll,
    next_poll_for_files,
)
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Queued, Running, Throttled

if TYPE_CHECKING:
    from batchgen.engine.context import EngineContext
    from batchgen.engine.control import Control
    from batchgen.engine.decisions import KeepPolling, PollOutcome
    from batchgen.engine.limits import Expectations, Traffic
    from batchgen.engine.policy import EnginePolicy
    from batchgen.state.records import LiveRequest

UNENDED = frozenset({Observation.WAITING, Observation.RUNNING, Observation.UNKNOWN_STATE})
UNINFORMATIVE = frozenset(
    {
        Observation.NOT_READY,
        Observation.NOT_THERE,
        Observation.NO_CONTACT,
        Observation.WITHHELD,
    }
)
CERTAIN = 0.4
"""Share of a service time by which its start may be unknown: of the one that was measured. By the
usual one, a usual time that has become much too short would never be corrected."""
LIKELY = 0.9
"""Share of requests that still run: up to that age an end is not expected yet."""
SLIGHT = 0.05
"""Chance in the time of a poll: requests that were sent together are not polled together."""
STEP_TO_START = 0.7
"""Share of the time to the likely start after which to look whether it has come."""
LONGEST_QUEUED = 300.0
"""Before a request of which this run knows that others in the queue go before it: those show sooner
if something is not as it was."""
MISSING_WAIT = 3.0
"""Seconds at most until a request that was not found, or not shown, is polled once more."""


@dataclass(slots=True)
class FollowedRequest:
    """What following one request remembers between two polls. `start` is the loop's time.

    `sent_now`: this run has sent it, so its end counts for the run's health and expectations.
    `going_until`: the age at which it was last seen not ended; None: the last poll showed nothing.
    `empty_since`: the age at which it was first seen to have succeeded without files.
    `withheld_since`: the age at which its result was first refused after its end.
    `silence`: what the API said last, where that said nothing about the request.
    `in_traffic`: what it is called in the traffic of its model.
    `queued_at`: the age at which it was last seen in the vendor's queue. `work_from`: the age at
    which work on it began, or probably begins, and `start_unsure` by how many seconds that may be
    wrong; infinite: it is a guess.
    """

    request: LiveRequest
    start: float
    age_at_start: float
    state: JobState
    sent_now: bool
    going_until: float | None = 0.0
    missing_in_a_row: int = 0
    empty_since: float | None = None
    withheld_since: float | None = None
    silence: str = ""
    warned: bool = False
    in_traffic: float = 0.0
    polls: int = 0
    queued_at: float | None = None
    work_from: float = 0.0
    start_unsure: float = 0.0

    @classmethod
    def begin(cls, request: LiveRequest, now: float, *, sent_now: bool) -> FollowedRequest:
        """`now` is the wall clock's. Between two runs only that clock counts on.

        Within one run it must not be used, since it may jump.
        """
        age = 0.0 if sent_now else max(0.0, now - request.accepted_at)
        return cls(request, asyncio.get_running_loop().time(), age, request.state, sent_now)

    @property
    def job_id(self) -> str:
        return self.request.id

    @property
    def model(self) -> str:
        return self.request.model

    @property
    def request_id(self) -> str:
        return self.request.request_id

    def age(self) -> float:
        return self.age_at_start + asyncio.get_running_loop().time() - self.start

    def facts(self, policy: EnginePolicy) -> RequestFacts:
        request = self.request
        return RequestFacts(
            self.age(),
            policy.grace,
            self.missing_in_a_row,
            request.failures,
            policy.retries,
            self._seconds_since(self.empty_since),
            request.was_empty,
            request.again_asked,
            self._seconds_since(self.withheld_since),
        )

    def _seconds_since(self, age: float | None) -> float | None:
        return None if age is None else self.age() - age

    def note(self, decision: KeepPolling) -> None:
        """Remember what a poll showed."""
        observation = decision.observation
        not_there = observation is Observation.NOT_THERE
        self.missing_in_a_row = self.missing_in_a_row + 1 if not_there else 0
        if observation is not Observation.WITHHELD:
            self.withheld_since = None
        elif self.withheld_since is None:
            self.withheld_since = self.age()
        self.going_until = self.age() if observation in UNENDED else None
        self.silence = decision.note if observation in UNINFORMATIVE else ""
        if observation is Observation.NO_FILES and self.empty_since is None:
            self.empty_since = self.age()
        elif observation in UNENDED:
            self.empty_since = None

    def given_up_for_files(self) -> SetAside | None:
        """A success without files that says nothing any more must not hold its place forever."""
        if self.empty_since is None or self.age() - self.empty_since < FILES_PATIENCE:
            return None
        since = self.silence or "nothing"
        reason = f"the vendor reported success without files, and since then: {since}"
        reason += "; each run asks for its result again, without paying again"
        return SetAside("no_files", reason, None, reason)

    def wait(self, context: EngineContext, outcome: PollOutcome | None = None) -> float:
        """Seconds until the next poll, after a poll with this outcome."""
        asked_for = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
        if self.empty_since is not None:
            return max(next_poll_for_files(self.age() - self.empty_since), asked_for)
        wait = self._next_poll(context, outcome)
        if self.missing_in_a_row or self.withheld_since is not None:
            wait = min(wait, MISSING_WAIT)
        return max(wait, asked_for)

    def _next_poll(self, context: EngineContext, outcome: PollOutcome | None) -> float:
        expectations, now = context.expectations, asyncio.get_running_loop().time()
        traffic = expectations.traffic(self.model)
        if outcome is None:
            # It may have to wait in the vendor's queue, which makes its age misleading.
            self.work_from = traffic.queue_wait(traffic.auto.place(self.in_traffic))
            if self.work_from:
                self.queued_at, self.start_unsure = self.age(), inf
            if self.is_new and expectations.finds_concurrency and traffic.auto.looks_soon(now):
                return FIRST_LOOK
        else:
            self.polls += 1
            refused = isinstance(outcome, Throttled)
            expectations.poll_price.polled(now, refused=refused)
            self._observe(traffic, outcome, now)
        if not traffic.service.known:
            expected, proven = expectations.expected(self.model), expectations.proven(self.model)
            wait = next_poll(self.age(), expected, context.ports.dice, proven=proven)
            # As many have to end before it does as are ahead of it in the queue.
            place = outcome.position if isinstance(outcome, Queued) else None
            return wait if place is None else max(wait, min(LONGEST, place * wait))
        worked = self.age() - self.work_from
        to_start = max(0.0, -worked)
        jitter = context.ports.dice.uniform(1 - SLIGHT, 1 + SLIGHT)
        if self.start_unsure and to_start and traffic.wants_a_start:
            # One that is seen to start teaches how long the work takes.
            wait = max(CERTAIN / 2 * traffic.service.mean, STEP_TO_START * to_start)
            return min(LONGEST_FIRST, max(SHORTEST, wait * jitter))
        in_flight, spares = context.overall.in_flight, traffic.auto.spares
        if expectations.finds_concurrency:
            spares = min(spares, SPARES)  # Any more are there because too few workers were seen.
        price = expectations.poll_price.price(now, in_flight, spares) * traffic.service.mean
        is_due = traffic.service.running_after(worked) < LIKELY and spares <= SPARES
        longest = LONGEST if is_due else LONGEST_FIRST
        wait = to_start + traffic.service.wait(max(0.0, worked), price, longest)
        most = LONGEST_QUEUED if spares > SPARES and to_start else LONGEST_FIRST
        return min(most, max(SHORTEST, wait * jitter))

    @property
    def is_new(self) -> bool:
        """Whether it was sent just now, by this run."""
        return self.sent_now and self.age_at_start == 0.0

    @property
    def accepted_at(self) -> float:
        """The loop's time."""
        return self.start - self.age_at_start

    def _observe(self, traffic: Traffic, outcome: PollOutcome, now: float) -> None:
        """What a poll shows of the vendor's queue and its workers."""
        age = self.age()
        if isinstance(outcome, Queued):
            if outcome.position is not None:
                traffic.auto.queued(self.in_traffic, outcome.position, now)
            self.queued_at = age
            self.work_from = age + traffic.queue_wait(outcome.position or 1)
            self.start_unsure = inf
        elif isinstance(outcome, Running):
            if self.is_new:
                traffic.auto.at_work(self.in_traffic, age, now, is_first_look=self.polls == 1)
            if self.queued_at is not None:
                self._work_began(age)

    def _work_began(self, age: float) -> None:
        """Between the last time that it was seen in the queue and now."""
        assert self.queued_at is not None
        self.work_from = min(age, max(self.queued_at, self.work_from))
        self.start_unsure = age - self.queued_at
        self.queued_at = None

    def teach(self, expectations: Expectations) -> None:
        """It has its result. After a silence that says nothing: it may have ended at any time."""
        if self.going_until is None:
            return
        age = self.age()
        expectations.learn(self.model, self.going_until, age)
        traffic = expectations.traffic(self.model)
        if self.polls == 0 and self.is_new:
            now = asyncio.get_running_loop().time()
            traffic.auto.at_work(self.in_traffic, age, now, is_first_look=True)
        worked, total = self.going_until - self.work_from, age - self.work_from
        if self.start_unsure <= CERTAIN * total or not traffic.service.known:
            traffic.service.learn(max(0.0, worked), max(0.0, total))
            traffic.unsure_in_a_row = 0
        else:
            traffic.unsure_in_a_row += 1


class UnknownStates:
    """Reports what is odd about the vendor's words for the state of a request."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._reported: set[str] = set()

    def report(self, followed: FollowedRequest, state: str, what: str) -> None:
        """At once, and once for each word: a vendor that changes its words does so for all jobs."""
        if state and state not in self._reported:
            self._reported.add(state)
            text = f"the vendor calls the request of {followed.job_id} {state!r}, {what}"
            self._control.emit(Noted(text, followed.job_id, on_screen=True))

    def comment(self, followed: FollowedRequest, decision: KeepPolling, *, was_empty: bool) -> None:
        """On a poll that ended nothing. `was_empty`: it had succeeded without files before."""
        match decision.observation:
            case Observation.NO_FILES if not was_empty:
                self.report(followed, decision.note, "which ended it")
                text = "success without files yet; looking again"
                self._control.emit(Noted(text, followed.job_id))
            case Observation.WAITING if followed.state is JobState.RUNNING:
                self._warn_once(followed, "the vendor says queued after running; ignored")
            case Observation.UNKNOWN_STATE:
                self.report(followed, decision.note, "an unknown state: still asking")
                text = f"unknown state {decision.note!r} of the request; still asking"
                self._warn_once(followed, text)
            case _:
                pass

    def _warn_once(self, followed: FollowedRequest, text: str) -> None:
        if not followed.warned:
            followed.warned = True
            self._control.emit(Noted(text, followed.job_id))
