"""An HTTP answer, and what can be read from any: JSON, the vendor's error and its meaning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeAlias

from batchgen.net import retry_after
from batchgen.pauses import PauseReason
from batchgen.text import RAW_LIMIT, TEXT_LIMIT, plain_text

Fields: TypeAlias = Mapping[str, Any]
"""A JSON object as received. It does not leave the functions that read answers."""

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that are read; an answer of the API has about 300."""

RESULT_LIMIT = 64 * 1024 * 1024
"""Of a result, which may hold its files as `data:` URIs."""

LONGEST_WAIT = 300.0
"""Seconds. A longer Retry-After is cut to this."""

CODE_LIMIT = 64
_TEXT_KEYS = (
    "error_message",
    "failure_reason",
    "message",
    "msg",
    "error",
    "detail",
    "reason",
)
_CODE_KEYS = ("error_code", "code")
_ERROR_KEYS = frozenset({*_CODE_KEYS, *_TEXT_KEYS})
_FAILURE_KEYS = ("error_message", "failure_reason", "error")
_NOT_A_PLACE = frozenset({"body", "query", "path"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` are found by their usual spelling.

    `received_at` is in seconds since the epoch. `broken` says why the body ended early, if it did.
    `redact` takes the token out of a text, since a server may repeat what it was sent.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float = 0.0
    broken: str = ""
    redact: Callable[[str], str] = field(default=str, repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110, section 15.3

    def safe_text(self, text: str, limit: int = TEXT_LIMIT) -> str:
        """Make the server's own text safe to show."""
        return plain_text(self.redact(text), limit)

    def raw(self) -> str:
        """Give the body's beginning, safe to store and show."""
        # More than can be kept, so that a token at the cut is seen whole and taken out.
        text = self.body[: RAW_LIMIT * 5].decode("utf-8", "replace")
        return self.safe_text(text, RAW_LIMIT)

    @property
    def is_gateways(self) -> bool:
        """Whether a 4xx is not the API's own, which answers with JSON objects."""
        refused = 400 <= self.status < 500  # noqa: PLR2004 - RFC 9110, section 15.5
        return refused and json_object(self.body) is None

    def retry_after(self) -> float | None:
        return retry_after(self.headers, longest=LONGEST_WAIT, now=self.received_at)

    def is_html(self) -> bool:
        return "html" in self.headers.get("Content-Type", "").lower() or (
            self.body[:64].lstrip()[:1] == b"<"
        )

    def problem(self) -> str:
        """Why the answer is of no use."""
        return f"HTTP {self.status}: {self._problem_with_body()}"

    def _problem_with_body(self) -> str:
        if self.broken:
            return f"the answer broke off: {self.broken}"
        if not self.body.strip():
            return "an empty answer"
        if self.is_html():
            return "an HTML page instead of JSON"
        if len(self.body) >= BODY_LIMIT:
            return f"an answer of more than {BODY_LIMIT} bytes"
        if json_object(self.body) is None:
            return "an answer that is not a JSON object"
        return "an answer without the expected keys"


def json_object(body: bytes) -> Fields | None:
    """Parse a JSON object; None for anything else, however broken, deep or huge."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        # ValueError: bad JSON or UTF-8, or an integer of more digits than Python converts.
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class VendorError:
    """`code` as text, without those that mean success; `text` safe to show. Both may be empty."""

    code: str
    text: str

    def __bool__(self) -> bool:
        return bool(self.code or self.text)

    def reason(self, otherwise: str) -> str:
        return self.text or (f"error code {self.code}" if self.code else otherwise)


_NO_ERROR = VendorError("", "")


def vendor_error(answer: Answer, fields: Fields | None) -> VendorError:
    """Read the error in the body: beside `status`, or in an object under such a key."""
    if fields is None or _ERROR_KEYS.isdisjoint(fields):
        return _NO_ERROR
    nested = [inner for key in _TEXT_KEYS if isinstance(inner := fields.get(key), dict)]
    codes = (where.get(key) for where in (fields, *nested) for key in _CODE_KEYS)
    code = next((text for value in codes if (text := _code_text(value))), "")
    return VendorError(answer.safe_text(code, CODE_LIMIT), answer.safe_text(_error_text(fields)))


def reports_failure(fields: Fields) -> bool:
    """Whether a body without a known state reports a failure.

    A `message` alone does not: it may be about progress.
    """
    has_code = any(_code_text(fields.get(key)) for key in _CODE_KEYS)
    return has_code or any(_text_of(fields.get(key)) for key in _FAILURE_KEYS)


def _error_text(fields: Fields) -> str:
    """The details of a refused input come first: the rest is mostly the same each time."""
    details = next((text for key in _TEXT_KEYS if (text := _details(fields.get(key)))), "")
    if not details:
        return next((text for key in _TEXT_KEYS if (text := _text_of(fields.get(key)))), "")
    others = (fields.get(key) for key in _TEXT_KEYS)
    more = next((one.strip() for one in others if isinstance(one, str) and not _details(one)), "")
    return f"{details} ({more})" if more else details


def _code_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return "" if _means_success(text) else text


def _means_success(code: str) -> bool:
    """Many APIs report success as `code: 0` or `code: 200`."""
    if code.lower() in {"", "0", "ok", "success", "none", "null"}:
        return True
    return http_class(code) in range(200, 300)


def http_class(code: str) -> int | None:
    """Find the HTTP status in a code: 422 → 422, 400001 → 400; None where it has none."""
    if not (code.isascii() and code.isdigit() and len(code) in {3, 6}):
        return None
    return int(code[:3])


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        texts = (value.get(key) for key in _TEXT_KEYS)
        known = next((text for text in texts if isinstance(text, str) and text.strip()), None)
        return known or (_compact(value) if value else "")
    if isinstance(value, list):
        return "; ".join(_item_text(item) for item in value[:20])
    return ""


def _item_text(item: object) -> str:
    return item if isinstance(item, str) else _detail(item) or _compact(item)


def _details(value: object) -> str:
    """`detail: [{"loc": ["body", "prompt"], "msg": "too long"}]` as text: "prompt: too long".

    The list may be under another key, or be JSON inside a string.
    """
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        value = _parsed(value)
    items = value if isinstance(value, list) else [value]
    found = [text for item in items[:20] if (text := _detail(item))]
    return "; ".join(found)


def _detail(item: object) -> str:
    if not (isinstance(item, dict) and isinstance(item.get("msg"), str) and "loc" in item):
        return ""
    loc = item["loc"] if isinstance(item["loc"], list) else [item["loc"]]
    place = _place(loc[1:] if loc[:1] and loc[0] in _NOT_A_PLACE else loc)
    text = item["msg"].strip()
    return f"{place}: {text}" if place else text


def _place(loc: list[object]) -> str:
    """`["image_urls", 0]` → `image_urls[0]`."""
    place = ""
    for step in loc[:8]:
        if isinstance(step, int) and not isinstance(step, bool):
            place += f"[{step}]"
        elif isinstance(step, str):
            place += f".{step}" if place else step
    return place


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class Meaning(StrEnum):
    FINE = "fine"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a name, not a secret
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


HALTS = {
    Meaning.TOKEN_REFUSED: PauseReason.TOKEN_REFUSED,
    Meaning.NO_BALANCE: PauseReason.NO_BALANCE,
}
"""What is wrong with the account, not with a job: no submit would pass."""


def meaning_of(status: int, code: str) -> Meaning:
    """Judge by the body's code first, by the HTTP status second.

    But 5xx and 408 stay what they are whatever the body says: a server in trouble does not prove
    that nothing was done, and a submit may have cost money. And any 4xx may have a code such as 402
    or 401001, which is about the account and not about the job.
    """
    by_status = _meaning_of_status(status)
    if by_status in {Meaning.SERVER_TROUBLE, Meaning.REDIRECTED}:
        return by_status
    if code in _BY_CODE:
        return _BY_CODE[code]
    coded = http_class(code)
    by_class = Meaning.UNKNOWN_CODE if coded is None else _meaning_of_status(coded)
    if by_class in HALTS:
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
