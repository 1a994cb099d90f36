"""Hides the signed URLs that a submit sent: the vendor repeats its input, and a URL opens the file.

Only those of the user's bucket: URLs of results have signatures too, and need them.
"""

from __future__ import annotations

import re

HIDDEN = b"?[signature]"
_IN_URL = rb"""[^\s"'<>]"""
_KEY = rb"[0-9a-f]{64}\.[a-z0-9]+"
"""As uploads/bucket_sending.py names an object."""
_MARK = rb"(?:\?|\\u003[fF]|%3[fF])"
"""As it is, in JSON, and as a part of another URL."""


class HiddenUrls:
    """Known by the name of the bucket and the form of the key alone, not by what this run signed.

    A request that an earlier run submitted, from another address of the same bucket, or one that
    `batchgen repair` asks for, brings the URLs that were signed then.
    """

    def __init__(self) -> None:
        self._patterns: dict[str, re.Pattern[bytes]] = {}

    def add(self, bucket: str) -> None:
        """Hide the queries of URLs of our objects in this bucket."""
        if bucket not in self._patterns:
            name = re.escape(bucket.encode())
            self._patterns[bucket] = re.compile(
                rb"(" + name + _IN_URL + rb"*?" + _KEY + rb")" + _MARK + _IN_URL + rb"*"
            )

    def redact(self, answer: bytes) -> bytes:
        """Take the secrets out of a whole answer, before anything is read from it."""
        for pattern in self._patterns.values():
            answer = pattern.sub(rb"\1" + HIDDEN, answer)
        return answer
