"""What to do after a download. Pure: facts in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    Interrupted,
    NotStored,
    TooHeavy,
    TooLarge,
    UrlExpired,
)

FETCH_TRIES = 8
CORRUPT_TRIES = 3
FETCH_PATIENCE = 900.0
"""Seconds for which a file that cannot be fetched is tried again in the same run."""
ASKED_LATELY = 120.0
"""Seconds for which a URL that the vendor gave counts as current."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The file is where results go, whole."""

    outcome: Fetched


@dataclass(frozen=True, slots=True)
class FetchAgain:
    """Try again after a wait; `after` is the least that the server asked for, in seconds."""

    reason: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class RenewUrl:
    """Ask the vendor for the result again, which brings a new URL."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not in this run. The job stays paid and fetching; the next run tries again."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopStoring:
    """The bucket takes nothing for too long: the run pauses, and the next one goes on."""

    reason: str


FetchDecision: TypeAlias = Keep | FetchAgain | RenewUrl | GiveUp | StopStoring


@dataclass(frozen=True, slots=True)
class FetchFacts:
    """What matters besides the outcome of a download.

    `tries` counts those of this file in this run, including this one. The others are seconds:
    `lasted` since the first try ended, `down` since its host, or the bucket, stopped answering,
    `asked` since the vendor was asked for the current URL.
    """

    tries: int
    lasted: float = 0.0
    down: float = 0.0
    asked: float = inf


def after_fetch(outcome: FetchOutcome, facts: FetchFacts) -> FetchDecision:
    """What a download's outcome means. Nothing is given up before a new URL was requested."""
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
        case NotStored(reason):
            over = facts.down >= FETCH_PATIENCE or _too_often(facts)
            return StopStoring(reason) if over else FetchAgain(reason)
        case Interrupted():
            return _interrupted(outcome, facts)


def _interrupted(outcome: Interrupted, facts: FetchFacts) -> FetchDecision:
    over = _too_often(facts) or facts.down >= FETCH_PATIENCE
    if outcome.unreached and facts.asked == inf:
        return RenewUrl(outcome.reason)
    if over and facts.asked >= ASKED_LATELY:
        return RenewUrl(outcome.reason)
    if over:
        return GiveUp("unreachable", outcome.reason)
    return FetchAgain(outcome.reason, min(outcome.retry_after or 0.0, FETCH_PATIENCE))


def _too_often(facts: FetchFacts) -> bool:
    return facts.tries >= FETCH_TRIES and facts.lasted >= FETCH_PATIENCE
