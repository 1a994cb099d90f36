"""Signed URLs that a submit sent: the vendor repeats its input, and whoever reads one has the file.

Only URLs below known prefixes, our bucket's: those of results have signatures too, and need them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = b"?[signature]"
_SLASH = rb"(?:/|\\/|\\u002[fF])"
_MARK = rb"(?:\?|\\u003[fF])"
_END_OF_URL = rb"""[^\s"'<>]"""


class HiddenUrls:
    def __init__(self) -> None:
        self._patterns: dict[str, re.Pattern[bytes]] = {}

    def add(self, prefix: str) -> None:
        """Hide the queries of URLs that begin so."""
        if prefix not in self._patterns:
            self._patterns[prefix] = re.compile(b"|".join(_spellings(prefix)))

    def redact(self, answer: bytes) -> bytes:
        """Take the secrets out of a whole answer, before anything is read from it."""
        for pattern in self._patterns.values():
            answer = pattern.sub(_without_query, answer)
        return answer


def _spellings(prefix: str) -> Iterator[bytes]:
    """As it is, in JSON with escaped slashes, and as a part of another URL."""
    plain = _SLASH.join(re.escape(part.encode()) for part in prefix.split("/"))
    key = rb"[\w.~%-]*"
    yield b"(" + plain + key + b")" + _MARK + _END_OF_URL + b"*"
    inside = re.escape(quote(prefix, safe="").encode())
    yield b"(" + inside + key + b"%3[fF])" + _END_OF_URL + b"*"


def _without_query(found: re.Match[bytes]) -> bytes:
    return (found[1] or found[2].removesuffix(b"%3F").removesuffix(b"%3f")) + HIDDEN
