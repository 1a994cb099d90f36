"""What an error of the vendor means: api-contract.md's list of codes, as a table."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus

from batchgen.runcomfy.answer import http_class


class Meaning(StrEnum):
    FINE = "fine"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a word, not a secret
    NO_BALANCE = "no_balance"
    FORBIDDEN = "forbidden"
    WRONG_MODEL = "wrong_model"
    NOT_FOUND = "not_found"
    NOT_COMPLETED = "not_completed"
    THROTTLED = "throttled"
    BAD_INPUT = "bad_input"
    REDIRECTED = "redirected"
    SERVER_TROUBLE = "server_trouble"
    UNKNOWN_CODE = "unknown_code"


_BY_CODE = {
    "400001": Meaning.WRONG_MODEL,
    "400002": Meaning.NO_BALANCE,
    "400004": Meaning.TOKEN_REFUSED,
    "400005": Meaning.NOT_COMPLETED,
    "10001": Meaning.NO_BALANCE,
    "403001": Meaning.FORBIDDEN,
    "404001": Meaning.NOT_FOUND,
    "InvalidResourceIdentifier": Meaning.WRONG_MODEL,
    "InsufficientResources": Meaning.NO_BALANCE,
    "InsufficientFunds": Meaning.NO_BALANCE,
    "UserAccountError": Meaning.TOKEN_REFUSED,
    "PermissionDeniedError": Meaning.FORBIDDEN,
    "ResourceNotFound": Meaning.NOT_FOUND,
}

_BY_STATUS = {
    401: Meaning.TOKEN_REFUSED,
    402: Meaning.NO_BALANCE,
    403: Meaning.FORBIDDEN,
    404: Meaning.NOT_FOUND,
    408: Meaning.SERVER_TROUBLE,
    429: Meaning.THROTTLED,
}


_ACCOUNT = frozenset({Meaning.TOKEN_REFUSED, Meaning.NO_BALANCE})


def meaning_of(status: int, code: str) -> Meaning:
    """Judge by the body's code first, by the HTTP status second.

    But 5xx and 408 stay what they are whatever the body says: a server in trouble is no witness
    that nothing was done, and on a submit money hangs on it. And a 4xx of any kind may carry a code
    such as 402 or 401001, which is about the account and not about the job.
    """
    by_status = _meaning_of_status(status)
    if by_status in {Meaning.SERVER_TROUBLE, Meaning.REDIRECTED}:
        return by_status
    if code in _BY_CODE:
        return _BY_CODE[code]
    coded = http_class(code)
    by_class = Meaning.UNKNOWN_CODE if coded is None else _meaning_of_status(coded)
    if by_class in _ACCOUNT:
        return by_class
    if by_status is not Meaning.FINE or not code:
        return by_status
    return Meaning.UNKNOWN_CODE if by_class is Meaning.REDIRECTED else by_class


def is_no_balance(code: str) -> bool:
    """Whether the error of a request, which the vendor took, is about money alone."""
    return meaning_of(HTTPStatus.OK, code) is Meaning.NO_BALANCE


def _meaning_of_status(status: int) -> Meaning:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    match status // 100:
        case 2:
            return Meaning.FINE
        case 3:
            return Meaning.REDIRECTED
        case 4:
            return Meaning.BAD_INPUT
        case _:
            return Meaning.SERVER_TROUBLE
