"""What an answer of the API means: one small class an outcome, no dict behind them.

`submit.py` and `result.py` decide which it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.pauses import PauseReason


class Scope(StrEnum):
    """How far a refusal reaches."""

    JOB = "job"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the request: it will be charged. `raw` is the answer's text, bounded."""

    request_id: str
    raw: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The vendor cannot have the request: DNS, refused, connect timeout, half of a large body."""

    reason: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """HTTP 429. `retry_after` in seconds, clamped; None where there is none."""

    retry_after: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor refused before doing anything: nothing is charged."""

    scope: Scope
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A 4xx whose body is not JSON: it comes from a proxy or firewall, not from the API.

    It proves nothing about the job or its model; a submit was not accepted.
    """

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing is wrong with the job, but no other submit would pass either."""

    cause: PauseReason
    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The request may or may not have been accepted and charged: that cannot be found out."""

    reason: str
    raw: str = ""


SubmitOutcome: TypeAlias = Accepted | NotSent | Throttled | Refused | Gateway | Halted | Unclear


@dataclass(frozen=True, slots=True)
class Queued:
    position: int | None


@dataclass(frozen=True, slots=True)
class Running:
    pass


@dataclass(frozen=True, slots=True)
class UnrecognizedState:
    """An undocumented state: not an end, so polling goes on."""

    state: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """`urls` in the vendor's order, without repeats; `cost` in USD.

    Without `urls` the files may still come: they have been seen to follow the state.
    `unknown_state` is an undocumented state; the rest of the answer shows that it is an
    end. `data` and `guessed` are as in `result.Output`.
    """

    urls: tuple[str, ...]
    cost: float | None
    raw: str
    unknown_state: str = ""
    data: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    guessed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """The vendor ended the request with an error.

    `unknown_state` is as in Succeeded. `no_balance`: for lack of money, so nothing is wrong with
    the job.
    """

    code: str
    reason: str
    cost: float | None
    raw: str
    unknown_state: str = ""
    no_balance: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    cost: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The status call says that the request has ended; only the result says how."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """The API refused the question. That is short of an end: a request goes on meanwhile."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A 404 of the API: unknown, deleted or expired, or not yet there just after the submit."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing usable came back; asking again is free."""

    reason: str


ResultOutcome: TypeAlias = (
    Queued
    | Running
    | UnrecognizedState
    | Succeeded
    | Failed
    | Cancelled
    | NotReady
    | Missing
    | Gateway
    | Throttled
    | Halted
    | NoAnswer
)

StatusOutcome: TypeAlias = (
    Queued
    | Running
    | UnrecognizedState
    | Ended
    | Failed
    | Cancelled
    | NotReady
    | Missing
    | Gateway
    | Throttled
    | Halted
    | NoAnswer
)


class CancelOutcome(StrEnum):
    """After `REQUESTED` and `UNANSWERED` only the result shows what became of the request."""

    CANCELLED = "cancelled"
    NOT_CANCELLABLE = "not_cancellable"
    REQUESTED = "requested"
    MISSING = "missing"
    UNANSWERED = "unanswered"
