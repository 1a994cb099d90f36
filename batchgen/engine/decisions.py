"""What to do after an answer. Pure: facts in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from batchgen.jobs import JobState
from batchgen.pauses import Pause, PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Accepted,
    Cancelled,
    Ended,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    NotSent,
    Queued,
    Refused,
    ResultOutcome,
    Running,
    StatusOutcome,
    SubmitOutcome,
    Succeeded,
    Throttled,
    Unclear,
    UnrecognizedState,
)
from batchgen.runcomfy.response import HALTS
from batchgen.state.transitions import Ending

if TYPE_CHECKING:
    from batchgen.state.records import LiveRequest

MISSING_TWICE = 2
FILES_PATIENCE = 300.0
"""Seconds to wait for the files of a success that names none. They have been seen to come later;
a place is held meanwhile, so that a model which makes nothing is not paid for job after job."""


@dataclass(frozen=True, slots=True)
class TurnBack:
    """Nothing was charged, and nothing is wrong with the job: it is pending again.

    `later`: not at once, since what stopped it may stop this job alone.
    """

    code: str
    reason: str
    pause: Pause | None = None
    later: bool = False


UNANSWERED = Unclear("no answer to the submit in time; it may have been charged")

SubmitDecision: TypeAlias = Accepted | TurnBack | Refused | Unclear


def after_submit(outcome: SubmitOutcome) -> SubmitDecision:
    match outcome:
        case NotSent(reason):
            return TurnBack("not_sent", reason)
        case Throttled(_, reason):
            return TurnBack("throttled", reason)
        case Gateway(reason=reason):
            return TurnBack("halted", reason, later=True)
        case Halted(cause, reason):
            lets_go = cause is PauseReason.TOKEN_REFUSED
            return TurnBack("halted", reason, pause_for(cause, reason=reason, lets_go=lets_go))
        case Accepted() | Refused() | Unclear():
            return outcome


class Observation(Enum):
    """What one poll of a request showed, where it has not ended."""

    WAITING = auto()
    RUNNING = auto()
    UNKNOWN_STATE = auto()
    NO_CONTACT = auto()
    SLOW_DOWN = auto()
    NOT_THERE = auto()
    NOT_READY = auto()
    NO_FILES = auto()
    WITHHELD = auto()


@dataclass(frozen=True, slots=True)
class Withheld:
    """The request has ended, and its result is refused as to a bad token or an empty account."""

    cause: PauseReason
    reason: str


PollOutcome: TypeAlias = ResultOutcome | Withheld
"""What the result call says about a request, with the status call where that was needed."""


@dataclass(frozen=True, slots=True)
class KeepPolling:
    observation: Observation
    note: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    urls: tuple[str, ...]
    cost: float | None
    raw: str
    unknown_state: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """`pause`: what ended it is the account's trouble as well."""

    ending: Ending
    pause: Pause | None = None
    unknown_state: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """The run stops waiting, but files may still come: each later run asks once more."""

    code: str
    reason: str
    cost: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class StopRun:
    pause: Pause


ResultDecision: TypeAlias = KeepPolling | Deliver | End | SetAside | StopRun


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What matters beside the answer. `age` in seconds since the vendor accepted the request.

    `empty_for`: seconds since it was first seen to have succeeded without files, None before;
    `withheld_for`: since its result was first refused after its end.
    `was_empty`: an earlier run has waited for them in vain. `again_asked`: a person wants another
    submit, should this request have ended without files.
    """

    age: float
    grace: float
    missing_in_a_row: int
    failures: int
    retries: int
    empty_for: float | None = None
    was_empty: bool = False
    again_asked: bool = False
    withheld_for: float | None = None


Inconclusive: TypeAlias = NotReady | Missing | Gateway | Halted


def is_inconclusive(outcome: PollOutcome) -> TypeGuard[Inconclusive]:
    """Whether to ask for the status as well: no refusal of the result call ends a request."""
    match outcome:
        case NotReady() | Missing() | Gateway():
            return True
        case Halted(cause):
            return cause in HALTS.values()
        case _:
            return False


def combined(result: Inconclusive, status: StatusOutcome) -> PollOutcome:
    """What both calls say about a request, where the result call was inconclusive.

    A request is missing, and a token refused, only where they agree; but once the request has
    ended, the status says no more about the token than that.
    """
    match status:
        case Queued() | Running() | UnrecognizedState() | Failed() | Cancelled() | Throttled():
            return status
        case Missing() if isinstance(result, Missing):
            return status
        case Halted() if isinstance(result, Halted):
            return status
        case Ended() if isinstance(result, Halted):
            return Withheld(result.cause, result.reason)
        case Gateway() | NoAnswer() if isinstance(result, Gateway | Halted):
            return NoAnswer(result.reason)
        case _:
            return NotReady(result.reason)


def after_result(outcome: PollOutcome, facts: RequestFacts) -> ResultDecision:
    """What the vendor says about a request, and what to do about it."""
    match outcome:
        case Queued():
            return KeepPolling(Observation.WAITING)
        case Running():
            return KeepPolling(Observation.RUNNING)
        case UnrecognizedState(state):
            return KeepPolling(Observation.UNKNOWN_STATE, state)
        case NoAnswer(reason) | Gateway(reason=reason):
            return KeepPolling(Observation.NO_CONTACT, reason)
        case NotReady(reason):
            return KeepPolling(Observation.NOT_READY, reason)
        case Throttled(reason=reason):
            return KeepPolling(Observation.SLOW_DOWN, reason)
        case Halted() | Withheld():
            return _refused(outcome, facts)
        case Missing(reason):
            return _missing(reason, facts)
        case Cancelled(cost, raw):
            reason = "the request was cancelled"
            return End(_ending(facts, JobState.CANCELLED, "cancelled", reason, cost, raw))
        case Failed():
            return _failed(outcome, facts)
        case Succeeded(urls, cost, raw, unknown_state):
            return Deliver(urls, cost, raw, unknown_state) if urls else _no_files(outcome, facts)


def _ending(
    facts: RequestFacts,
    state: JobState,
    code: str,
    reason: str,
    cost: float | None = None,
    raw: str = "",
) -> Ending:
    return Ending(state, code, reason, cost, raw, again=facts.again_asked)


def _refused(outcome: Halted | Withheld, facts: RequestFacts) -> ResultDecision:
    """One call alone may be mistaken for a moment, as where a new token is not known everywhere."""
    if isinstance(outcome, Withheld) and (facts.withheld_for or 0.0) < facts.grace:
        return KeepPolling(Observation.WITHHELD, outcome.reason)
    return StopRun(pause_for(outcome.cause, reason=outcome.reason, lets_go=True))


def _missing(reason: str, facts: RequestFacts) -> ResultDecision:
    """Just accepted, a request may not be known everywhere yet; once is no proof either."""
    if facts.age < facts.grace or facts.missing_in_a_row + 1 < MISSING_TWICE:
        return KeepPolling(Observation.NOT_THERE, reason)
    unknown = f"the vendor no longer knows the request ({reason})"
    return End(_ending(facts, JobState.LOST, "not_found", unknown))


def _no_files(outcome: Succeeded, facts: RequestFacts) -> ResultDecision:
    if not facts.was_empty and (facts.empty_for or 0.0) < FILES_PATIENCE:
        return KeepPolling(Observation.NO_FILES, outcome.unknown_state)
    reason = "the vendor reports success, and names no file"
    if facts.again_asked:
        cost, raw = outcome.cost, outcome.raw
        return End(_ending(facts, JobState.FAILED, "no_files", reason, cost, raw))
    reason += "; each run asks for its result again, without paying again"
    return SetAside("no_files", reason, outcome.cost, outcome.raw)


def _failed(outcome: Failed, facts: RequestFacts) -> End:
    """For lack of money it is no failure: the job is submitted again once the account has some.

    An end that only an unknown word announces is not tried again unasked, since that pays.
    """
    ending = _ending(
        facts, JobState.FAILED, outcome.code, outcome.reason, outcome.cost, outcome.raw
    )
    if outcome.no_balance:
        pause = pause_for(PauseReason.NO_BALANCE, reason=outcome.reason)
        if outcome.cost:
            return End(ending, pause)
        return End(replace(ending, cost=0.0, again=True, blameless=True), pause)
    allowed = facts.failures < facts.retries and not outcome.unknown_state
    return End(replace(ending, again=ending.again or allowed), unknown_state=outcome.unknown_state)


def cancelled_in_time(outcome: Cancelled, facts: RequestFacts, timeout: float) -> Ending:
    """A request that was too old, and cancelled before it began."""
    reason = f"{_too_old(timeout)}; cancelled before it began"
    again = facts.again_asked or facts.failures < facts.retries
    return Ending(JobState.FAILED, "timeout", reason, outcome.cost or 0.0, again=again)


def timed_out(timeout: float, silence: str) -> SetAside:
    """A request that is too old and may yet deliver. `silence`: what the API says instead."""
    reason = _too_old(timeout)
    if silence:
        reason = f"{reason}; all that the vendor says of it: {silence}"
    reason += "; the next run asks for its result again, without paying again"
    return SetAside("timeout", reason, None, "")


def _too_old(timeout: float) -> str:
    return f"not ended after {timeout:g} s"


def why_again(ending: Ending, request: LiveRequest) -> str:
    if ending.blameless:
        return "it is submitted again once the account has the money"
    return "asked for by hand" if request.again_asked else "run.retries allows another attempt"
