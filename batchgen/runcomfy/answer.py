"""An HTTP answer and what can be read from any of them: JSON, the vendor's code and words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batchgen.runcomfy.text import RAW_LIMIT, WORDS_LIMIT, plain_text

Fields: TypeAlias = Mapping[str, Any]
"""A JSON object as it came. It does not leave the functions that read answers."""

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that are read; an answer of the API has about 300."""

RESULT_LIMIT = 64 * 1024 * 1024
"""Of a result, which may hold its files as `data:` URIs."""

CODE_LIMIT = 64
_WORD_KEYS = ("error_message", "message", "msg", "error", "detail", "reason")
_ERROR_KEYS = frozenset({"error_code", "code", *_WORD_KEYS})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` are looked up in their usual spelling.

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

    def words(self, text: str, limit: int = WORDS_LIMIT) -> str:
        """Make the server's own text safe to show."""
        return plain_text(self.redact(text), limit)

    def raw(self) -> str:
        """Give the body's beginning, safe to store and show."""
        # More than can be kept, so that a token at the cut is seen whole and taken out.
        text = self.body[: RAW_LIMIT * 5].decode("utf-8", "replace")
        return self.words(text, RAW_LIMIT)

    def is_html(self) -> bool:
        return "html" in self.headers.get("Content-Type", "").lower() or (
            self.body[:64].lstrip()[:1] == b"<"
        )

    def trouble(self) -> str:
        """Why nothing can be made of the answer, in words."""
        return f"HTTP {self.status}: {self._trouble_with_body()}"

    def _trouble_with_body(self) -> str:
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
    """`code` as text, without those that mean success; `words` safe to show. Both may be empty."""

    code: str
    words: str

    def __bool__(self) -> bool:
        return bool(self.code or self.words)

    def reason(self, otherwise: str) -> str:
        return self.words or (f"error code {self.code}" if self.code else otherwise)


_NO_ERROR = VendorError("", "")


def vendor_error(answer: Answer, fields: Fields | None) -> VendorError:
    """Read what the body says of an error: beside `status`, or in an object under `error`."""
    if fields is None or _ERROR_KEYS.isdisjoint(fields):
        return _NO_ERROR
    nested = fields.get("error")
    inner: Fields = nested if isinstance(nested, dict) else {}
    codes = (fields.get("error_code"), fields.get("code"), inner.get("code"))
    code = next((text for value in codes if (text := _code_text(value))), "")
    words = next((text for key in _WORD_KEYS if (text := _sentence(fields.get(key)))), "")
    return VendorError(answer.words(code, CODE_LIMIT), answer.words(words))


def _code_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return "" if _means_success(text) else text


def _means_success(code: str) -> bool:
    """`code: 0` and `code: 200` are how many APIs say that all is well."""
    if code.lower() in {"", "0", "ok", "success", "none", "null"}:
        return True
    return http_class(code) in range(200, 300)


def http_class(code: str) -> int | None:
    """Find the HTTP status in a code: 422 → 422, 400001 → 400; None where it has none."""
    if not (code.isascii() and code.isdigit() and len(code) in {3, 6}):
        return None
    return int(code[:3])


def _sentence(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        texts = (value.get(key) for key in _WORD_KEYS)
        known = next((text for text in texts if isinstance(text, str) and text.strip()), None)
        return known or (_compact(value) if value else "")
    if isinstance(value, list):
        return "; ".join(_item_sentence(item) for item in value[:20])
    return ""


def _item_sentence(item: object) -> str:
    """One item of a list such as `detail: [{"loc": ["prompt"], "msg": "too long"}]`."""
    return item if isinstance(item, str) else _compact(item)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
