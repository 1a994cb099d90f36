"""What to do after an answer. Pure: facts in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import TypeAlias

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
from batchgen.engine.events import Pause, PauseReason
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Failed,
    Halted,
    Missing,
    NoAnswer,
    PauseCause,
    Queued,
    Refused,
    ResultOutcome,
    Running,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.state.moves import Ending

MISSING_TWICE = 2
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
    ODD_WORD = auto()
    NO_CONTACT = auto()
    SLOW_DOWN = auto()
    NOT_THERE = auto()


@dataclass(frozen=True, slots=True)
class KeepAsking:
    look: Look
    note: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    urls: tuple[str, ...]
    cost: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class End:
    ending: Ending


@dataclass(frozen=True, slots=True)
class StopRun:
    pause: Pause


ResultVerdict: TypeAlias = KeepAsking | Deliver | End | StopRun


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What matters beside the answer. `age` in seconds since the vendor accepted the request."""

    age: float
    grace: float
    missing_in_a_row: int
    failures: int
    retries: int


def after_result(outcome: ResultOutcome, facts: RequestFacts) -> ResultVerdict:
    """What an answer of the result call means for a request (api-contract.md)."""
    match outcome:
        case Queued():
            return KeepAsking(Look.WAITING)
        case Running():
            return KeepAsking(Look.RUNNING)
        case UnrecognizedState(word):
            return KeepAsking(Look.ODD_WORD, f"unknown state {word!r} of the request; still asking")
        case NoAnswer(reason):
            return KeepAsking(Look.NO_CONTACT, reason)
        case Throttled(reason=reason):
            return KeepAsking(Look.SLOW_DOWN, reason)
        case Halted(cause, reason):
            return StopRun(pause_for(cause, reason, lets_go=True))
        case Missing(reason):
            return _missing(reason, facts)
        case Refused(code=code, reason=reason):
            return End(Ending(JobState.LOST, code, reason))
        case Cancelled(cost, raw):
            reason = "the request was cancelled"
            return End(Ending(JobState.CANCELLED, "cancelled", reason, cost, raw))
        case Failed():
            return End(_failed(outcome, facts))
        case Succeeded(urls, cost, raw):
            if urls:
                return Deliver(urls, cost, raw)
            reason = "the vendor reports success, and names no file"
            return End(Ending(JobState.FAILED, "no_files", reason, cost, raw))


def _missing(reason: str, facts: RequestFacts) -> ResultVerdict:
    """Just accepted, a request may not be known everywhere yet; once is no proof either."""
    if facts.age < facts.grace or facts.missing_in_a_row + 1 < MISSING_TWICE:
        return KeepAsking(Look.NOT_THERE, reason)
    words = f"the vendor no longer knows the request ({reason})"
    return End(Ending(JobState.LOST, "not_found", words))


def _failed(outcome: Failed, facts: RequestFacts) -> Ending:
    return Ending(
        JobState.FAILED,
        outcome.code,
        outcome.reason,
        outcome.cost,
        outcome.raw,
        again=facts.failures < facts.retries,
    )


_PAUSES = {
    PauseCause.TOKEN_REFUSED: (
        PauseReason.TOKEN_REFUSED,
        "the API refused the token",
        "set a valid RUNCOMFY_TOKEN; the same command continues, also with another token",
    ),
    PauseCause.NO_BALANCE: (
        PauseReason.NO_BALANCE,
        "the account's balance does not suffice",
        "top the account up; the same command continues",
    ),
    PauseCause.REDIRECTED: (
        PauseReason.REDIRECTED,
        "the API sends submits elsewhere, and batchgen does not follow",
        "check RUNCOMFY_MODEL_API_BASE; the same command continues",
    ),
    PauseCause.BAD_CERTIFICATE: (
        PauseReason.BAD_CERTIFICATE,
        "the API's certificate is not valid",
        "check the clock and the network of this machine; the same command continues",
    ),
}


def pause_for(cause: PauseCause, reason: str, *, lets_go: bool = False) -> Pause:
    """`lets_go`: where asking fails for the same cause, requests cannot be followed either."""
    why, sentence, next_step = _PAUSES[cause]
    return Pause(why, f"{sentence} ({reason})", next_step, lets_go)


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
