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
from batchgen.runcomfy.result import CANCELLED_WORDS, ENDED_WORDS, is_of_another, state_word

_SCOPES = {
    Meaning.WRONG_MODEL: Scope.MODEL,
    Meaning.FORBIDDEN: Scope.MODEL,
    Meaning.NOT_FOUND: Scope.MODEL,
    Meaning.BAD_INPUT: Scope.JOB,
    Meaning.NOT_COMPLETED: Scope.JOB,
    Meaning.UNKNOWN_CODE: Scope.JOB,
}

_FROM_ANY_SERVER = frozenset({Meaning.THROTTLED, Meaning.NO_BALANCE})
"""429 and 402 mean the same from a gateway in front of the API: wait, or pay the bill."""


def read_submit(answer: Answer) -> SubmitOutcome:
    """Judge a submit, by DESIGN.md's table.

    A body with both a request id and an error code is a refusal only where the code is one that
    api-contract.md's list explains, as itself or as an HTTP status: then the id is a mere trace id.
    With any other code it is `Unclear`.
    """
    fields = json_object(answer.body)
    error = vendor_error(answer, fields)
    request_id = usable_request_id(fields.get("request_id")) if fields else None
    meaning = meaning_of(answer.status, error.code)
    if meaning is Meaning.FINE and request_id is not None:
        return Accepted(request_id, answer.raw())
    if meaning in {Meaning.FINE, Meaning.SERVER_TROUBLE}:
        return Unclear(_doubt(answer, error), answer.raw())
    if meaning is Meaning.UNKNOWN_CODE and request_id is not None:
        doubt = f"both a request id and the unknown error code {error.code}"
        return Unclear(f"HTTP {answer.status}: {doubt}", answer.raw())
    return _refusal(answer, error, meaning)


def _refusal(answer: Answer, error: VendorError, meaning: Meaning) -> SubmitOutcome:
    if answer.is_gateways and meaning not in _FROM_ANY_SERVER:
        return Gateway(answer.status, answer.trouble())
    reason = error.reason(f"HTTP {answer.status}, without a reason")
    if meaning is Meaning.THROTTLED:
        return Throttled(answer.retry_after(), reason)
    if meaning is Meaning.REDIRECTED:
        return Halted(PauseReason.REDIRECTED, _redirection(answer))
    if meaning in HALTS:
        return Halted(HALTS[meaning], reason)
    return Refused(_SCOPES[meaning], error.code or str(answer.status), reason)


def _doubt(answer: Answer, error: VendorError) -> str:
    if error and not answer.broken:
        return f"HTTP {answer.status}: {error.reason('')}"
    if answer.is_success and json_object(answer.body) is not None:
        return f"HTTP {answer.status}: an answer without a usable request_id"
    return answer.trouble()


def _redirection(answer: Answer) -> str:
    return f"HTTP {answer.status}: the API points to {_host(answer)}; not followed"


def _host(answer: Answer) -> str:
    # Only the host is repeated: the rest of the address is the server's to fill.
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return answer.words(host, 100) if host else "another address"


_BY_WORD = {
    "cancelled": CancelOutcome.CANCELLED,
    "canceled": CancelOutcome.CANCELLED,
    "not_cancellable": CancelOutcome.NOT_CANCELLABLE,
    "cancellation_requested": CancelOutcome.REQUESTED,
}


def read_cancel(answer: Answer, request_id: str) -> CancelOutcome:
    """Judge a cancel; where the answer is unclear, or another request's, the result will tell."""
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
    return _by_words(fields)


def _by_words(fields: Fields) -> CancelOutcome:
    outcome = fields.get("outcome")
    if isinstance(outcome, str) and outcome.strip().lower() in _BY_WORD:
        return _BY_WORD[outcome.strip().lower()]
    word = state_word(fields)
    if word in CANCELLED_WORDS:
        return CancelOutcome.CANCELLED
    return CancelOutcome.NOT_CANCELLABLE if word in ENDED_WORDS else CancelOutcome.REQUESTED
