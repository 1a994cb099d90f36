"""What to do after an answer. Pure: facts in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import TypeAlias, TypeGuard

from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    HostNotAllowed,
    Interrupted,
    TooHeavy,
    TooLarge,
    UrlExpired,
)
from batchgen.jobs import JobState
from batchgen.pauses import Pause, PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Ended,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Queued,
    ResultOutcome,
    Running,
    StatusOutcome,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.state.transitions import Ending

MISSING_TWICE = 2
FILES_PATIENCE = 300.0
"""Seconds to look for the files of a success that names none. They have been seen to come later;
a place is held meanwhile, so that a model which makes nothing is not paid for job after job."""
FETCH_TRIES = 8
CORRUPT_TRIES = 3
FETCH_PATIENCE = 900.0
"""Seconds for which a file that cannot be fetched is tried again in the same run."""
ASKED_LATELY = 120.0
"""Seconds for which the URL that the vendor gave is the one of today."""


class Look(Enum):
    """What one look at a request showed, where it has not ended."""

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


Seen: TypeAlias = ResultOutcome | Withheld
"""What both calls say of a request."""


@dataclass(frozen=True, slots=True)
class KeepAsking:
    look: Look
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
    """Nobody waits any longer, but files may still come: each later run asks once more."""

    code: str
    reason: str
    cost: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class StopRun:
    pause: Pause


ResultVerdict: TypeAlias = KeepAsking | Deliver | End | SetAside | StopRun


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


ShortOfAnEnd: TypeAlias = NotReady | Missing | Gateway | Halted


def is_short_of_an_end(outcome: Seen) -> TypeGuard[ShortOfAnEnd]:
    """Whether `status` is to be asked as well: no refusal of the result call ends a request."""
    match outcome:
        case NotReady() | Missing() | Gateway():
            return True
        case Halted(cause):
            return cause in {PauseReason.TOKEN_REFUSED, PauseReason.NO_BALANCE}
        case _:
            return False


def together(result: ShortOfAnEnd, status: StatusOutcome) -> Seen:
    """What both calls say of a request, where the result call was short of an end.

    A request is missing, and a token refused, only where they agree; but once the request has
    ended, the status has no more to say of the token than that.
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


def after_result(outcome: Seen, facts: RequestFacts) -> ResultVerdict:
    """What the vendor's word on a request means for it (api-contract.md)."""
    match outcome:
        case Queued():
            return KeepAsking(Look.WAITING)
        case Running():
            return KeepAsking(Look.RUNNING)
        case UnrecognizedState(word):
            return KeepAsking(Look.UNKNOWN_STATE, word)
        case NoAnswer(reason) | Gateway(reason=reason):
            return KeepAsking(Look.NO_CONTACT, reason)
        case NotReady(reason):
            return KeepAsking(Look.NOT_READY, reason)
        case Throttled(reason=reason):
            return KeepAsking(Look.SLOW_DOWN, reason)
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


def _refused(outcome: Halted | Withheld, facts: RequestFacts) -> ResultVerdict:
    """One call alone may be mistaken for a moment, as where a new token is not yet known to all."""
    if isinstance(outcome, Withheld) and (facts.withheld_for or 0.0) < facts.grace:
        return KeepAsking(Look.WITHHELD, outcome.reason)
    return StopRun(pause_for(outcome.cause, reason=outcome.reason, lets_go=True))


def _missing(reason: str, facts: RequestFacts) -> ResultVerdict:
    """Just accepted, a request may not be known everywhere yet; once is no proof either."""
    if facts.age < facts.grace or facts.missing_in_a_row + 1 < MISSING_TWICE:
        return KeepAsking(Look.NOT_THERE, reason)
    words = f"the vendor no longer knows the request ({reason})"
    return End(_ending(facts, JobState.LOST, "not_found", words))


def _no_files(outcome: Succeeded, facts: RequestFacts) -> ResultVerdict:
    if not facts.was_empty and (facts.empty_for or 0.0) < FILES_PATIENCE:
        return KeepAsking(Look.NO_FILES, outcome.unknown_state)
    reason = "the vendor reports success, and names no file"
    if facts.again_asked:
        cost, raw = outcome.cost, outcome.raw
        return End(_ending(facts, JobState.FAILED, "no_files", reason, cost, raw))
    words = f"{reason}; each run asks for its result again, without paying again"
    return SetAside("no_files", words, outcome.cost, outcome.raw)


def _failed(outcome: Failed, facts: RequestFacts) -> End:
    """For lack of money it is nobody's failure: the job goes again once the account has some.

    An end that only an unknown word tells is not tried again unasked, since that pays.
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


@dataclass(frozen=True, slots=True)
class Keep:
    """The file is on the disk."""

    outcome: Fetched


@dataclass(frozen=True, slots=True)
class FetchAgain:
    """After a wait; `after` is what the server asked for at least, in seconds."""

    reason: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class RenewUrl:
    """The vendor is asked for the result again: a new URL comes with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not in this run. The job stays paid and fetching; the next run tries again."""

    code: str
    reason: str


FetchVerdict: TypeAlias = Keep | FetchAgain | RenewUrl | GiveUp


@dataclass(frozen=True, slots=True)
class FetchFacts:
    """What matters beside the outcome of a download.

    `tries` of this file in this run, this one counted. The others are seconds: `lasted` since the
    first of them ended, `down` since its host answers no more, `asked` since the vendor was asked
    for the URL of today.
    """

    tries: int
    lasted: float = 0.0
    down: float = 0.0
    asked: float = inf


def after_fetch(outcome: FetchOutcome, facts: FetchFacts) -> FetchVerdict:
    """What a download's outcome means. Nothing is given up before a new URL was asked for."""
    match outcome:
        case Fetched():
            return Keep(outcome)
        case HostNotAllowed(reason=reason):
            return GiveUp("host_not_allowed", reason)
        case TooLarge(size):
            return GiveUp("too_large", f"the file has {size} bytes or more, over the cap")
        case Corrupt(reason) | TooHeavy(reason):
            if facts.tries >= CORRUPT_TRIES:
                return GiveUp("corrupt" if isinstance(outcome, Corrupt) else "too_heavy", reason)
            is_last = facts.tries == CORRUPT_TRIES - 1
            return RenewUrl(reason) if is_last else FetchAgain(reason)
        case UrlExpired(reason=reason):
            if facts.tries >= FETCH_TRIES:
                return GiveUp("url_expired", reason)
            return RenewUrl(reason)
        case Interrupted():
            return _interrupted(outcome, facts)


def _interrupted(outcome: Interrupted, facts: FetchFacts) -> FetchVerdict:
    too_often = facts.tries >= FETCH_TRIES and facts.lasted >= FETCH_PATIENCE
    over = too_often or facts.down >= FETCH_PATIENCE
    if outcome.unreached and facts.asked == inf:
        return RenewUrl(outcome.reason)
    if over and facts.asked >= ASKED_LATELY:
        return RenewUrl(outcome.reason)
    if over:
        return GiveUp("unreachable", outcome.reason)
    return FetchAgain(outcome.reason, min(outcome.retry_after or 0.0, FETCH_PATIENCE))
