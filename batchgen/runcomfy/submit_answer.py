"""What the answer to a submit means. Where in doubt: `Unclear`, since a second try may cost."""

from __future__ import annotations

from urllib.parse import urlsplit

from batchgen.runcomfy.answer import Answer, VendorError, json_object, vendor_error
from batchgen.runcomfy.meaning import Meaning, meaning_of
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    PauseCause,
    Refused,
    Scope,
    SubmitOutcome,
    Throttled,
    Unclear,
)
from batchgen.runcomfy.request_id import usable_request_id
from batchgen.runcomfy.retry_after import retry_after

_SCOPES = {
    Meaning.WRONG_MODEL: Scope.MODEL,
    Meaning.FORBIDDEN: Scope.MODEL,
    Meaning.NOT_FOUND: Scope.MODEL,
    Meaning.BAD_INPUT: Scope.JOB,
    Meaning.NOT_COMPLETED: Scope.JOB,
    Meaning.UNKNOWN_CODE: Scope.JOB,
}
_CAUSES = {
    Meaning.TOKEN_REFUSED: PauseCause.TOKEN_REFUSED,
    Meaning.NO_BALANCE: PauseCause.NO_BALANCE,
}

_WHOEVER_SAYS_IT = frozenset({Meaning.THROTTLED, Meaning.NO_BALANCE})
"""429 and 402 mean one thing, in front of the API as well: wait, and pay the bill."""


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
    if answer.is_gateways and meaning not in _WHOEVER_SAYS_IT:
        return Gateway(answer.status, answer.trouble())
    reason = error.reason(f"HTTP {answer.status}, without a reason")
    if meaning is Meaning.THROTTLED:
        return Throttled(retry_after(answer.headers, answer.received_at), reason)
    if meaning is Meaning.REDIRECTED:
        return Halted(PauseCause.REDIRECTED, _redirection(answer))
    if meaning in _CAUSES:
        return Halted(_CAUSES[meaning], reason)
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
