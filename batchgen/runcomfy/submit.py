"""What the answer to a submit means. Where in doubt: `Unclear`, since a second try may cost.

What the answer to a cancel means.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from batchgen.pauses import PauseReason
from batchgen.runcomfy.base import usable_request_id
from batchgen.runcomfy.outcomes import (
    Accepted,
    CancelOutcome,
    Gateway,
    Halted,
    Refused,
    Scope,
    SubmitOutcome,
    Throttled,
    Unclear,
)
from batchgen.runcomfy.response import (
    HALTS,
    Answer,
    Fields,
    Meaning,
    VendorError,
    json_object,
    meaning_of,
    vendor_error,
)
from batchgen.runcomfy.result import CANCELLED_STATES, ENDED_STATES, is_of_another, state_of

_SCOPES = {
    Meaning.WRONG_MODEL: Scope.MODEL,
    Meaning.FORBIDDEN: Scope.MODEL,
    Meaning.NOT_FOUND: Scope.MODEL,
    Meaning.BAD_INPUT: Scope.JOB,
    Meaning.NOT_COMPLETED: Scope.JOB,
    Meaning.UNKNOWN_CODE: Scope.JOB,
}

_FROM_ANYONE = frozenset({Meaning.THROTTLED, Meaning.NO_BALANCE})
"""429 and 402 mean the same where a gateway sends them: wait, or top up the account."""


def read_submit(answer: Answer) -> SubmitOutcome:
    """What the answer to a submit means.

    A body with both a request id and an error code is a refusal only where the code is documented,
    as itself or as an HTTP status: then the id is a mere trace id. With any other code it is
    `Unclear`.
    """
    fields = json_object(answer.body)
    error = vendor_error(answer, fields)
    request_id = usable_request_id(fields.get("request_id")) if fields else None
    meaning = meaning_of(answer.status, error.code)
    if meaning is Meaning.FINE and request_id is not None:
        return Accepted(request_id, answer.raw())
    if meaning in {Meaning.FINE, Meaning.SERVER_TROUBLE}:
        return Unclear(_why_unclear(answer, error), answer.raw())
    if meaning is Meaning.UNKNOWN_CODE and request_id is not None:
        why = f"both a request id and the unknown error code {error.code}"
        return Unclear(f"HTTP {answer.status}: {why}", answer.raw())
    return _refusal(answer, error, meaning)


def _refusal(answer: Answer, error: VendorError, meaning: Meaning) -> SubmitOutcome:
    if answer.is_gateways and meaning not in _FROM_ANYONE:
        return Gateway(answer.status, answer.problem())
    reason = error.reason(f"HTTP {answer.status}, without a reason")
    if meaning is Meaning.THROTTLED:
        return Throttled(answer.retry_after(), reason)
    if meaning is Meaning.REDIRECTED:
        return Halted(PauseReason.REDIRECTED, _redirection(answer))
    if meaning in HALTS:
        return Halted(HALTS[meaning], reason)
    return Refused(_SCOPES[meaning], error.code or str(answer.status), reason)


def _why_unclear(answer: Answer, error: VendorError) -> str:
    if error and not answer.broken:
        return f"HTTP {answer.status}: {error.reason('')}"
    if answer.is_success and json_object(answer.body) is not None:
        return f"HTTP {answer.status}: an answer without a usable request_id"
    return answer.problem()


def _redirection(answer: Answer) -> str:
    return f"HTTP {answer.status}: the API points to {_host(answer)}; not followed"


def _host(answer: Answer) -> str:
    # Only the host is repeated: the server may put anything into the rest of the address.
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return answer.safe_text(host, 100) if host else "another address"


_CANCEL_OUTCOMES = {
    "cancelled": CancelOutcome.CANCELLED,
    "canceled": CancelOutcome.CANCELLED,
    "not_cancellable": CancelOutcome.NOT_CANCELLABLE,
    "cancellation_requested": CancelOutcome.REQUESTED,
}


def read_cancel(answer: Answer, request_id: str) -> CancelOutcome:
    """What the answer to a cancel means; where it is unclear, the result will show it."""
    fields = json_object(answer.body)
    if answer.is_gateways or is_of_another(fields, request_id):
        return CancelOutcome.UNANSWERED
    meaning = meaning_of(answer.status, vendor_error(answer, fields).code)
    if meaning is Meaning.NOT_FOUND:
        return CancelOutcome.MISSING
    if meaning is Meaning.BAD_INPUT:
        return CancelOutcome.NOT_CANCELLABLE
    if meaning is not Meaning.FINE or fields is None:
        return CancelOutcome.UNANSWERED
    return _by_state(fields)


def _by_state(fields: Fields) -> CancelOutcome:
    outcome = fields.get("outcome")
    if isinstance(outcome, str) and outcome.strip().lower() in _CANCEL_OUTCOMES:
        return _CANCEL_OUTCOMES[outcome.strip().lower()]
    word = state_of(fields)
    if word in CANCELLED_STATES:
        return CancelOutcome.CANCELLED
    return CancelOutcome.NOT_CANCELLABLE if word in ENDED_STATES else CancelOutcome.REQUESTED
