"""The body of a submit on its way: in chunks if it is large, and when all of it is handed over."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from batchgen.runcomfy.client import Limits

CHUNK = 64 * 1024
"""Characters of a body that are encoded and sent at once: encoding them all would block the loop,
and take the memory of a second copy."""


class Upload:
    """`sent` is set just before the last chunk is handed to the connection.

    Until then the vendor cannot have the body, however the exchange ends. Later, it may.
    """

    def __init__(self, body: str, sent: asyncio.Event, limits: Limits) -> None:
        self.sent = sent
        self._body = body
        self._limits = limits
        self._is_large = len(body) > CHUNK
        self._watchdog = asyncio.timeout(None)

    def headers(self) -> Mapping[str, str]:
        # With its length, half a body cannot pass for a whole one.
        length = {"Content-Length": str(self._length())} if self._is_large else {}
        return {"Content-Type": "application/json", **length}

    def data(self) -> bytes | AsyncIterator[bytes]:
        if self._is_large:
            return self._chunks()
        self.sent.set()
        return self._body.encode()

    def timeout(self) -> aiohttp.ClientTimeout:
        """A large body may take any time, as long as there is progress: a slow line is no failure.

        aiohttp counts `sock_read` from the end of the body, and anew whenever something is read.
        """
        connect, submit = self._limits.connect, self._limits.submit
        if self._is_large:
            return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=submit)
        return aiohttp.ClientTimeout(total=submit, connect=connect)

    def progressing(self) -> AbstractAsyncContextManager[object]:
        """Raises TimeoutError if the upload comes to a standstill inside the block."""
        return self._watchdog if self._is_large else nullcontext()

    def answered(self) -> None:
        if self._is_large:
            self._watchdog.reschedule(None)

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), CHUNK):
            is_last = start + CHUNK >= len(self._body)
            if is_last:
                self.sent.set()
            patience = self._limits.submit if is_last else self._limits.stall
            self._watchdog.reschedule(asyncio.get_running_loop().time() + patience)
            yield self._body[start : start + CHUNK].encode()

    def _length(self) -> int:
        if self._body.isascii():
            return len(self._body)
        starts = range(0, len(self._body), CHUNK)
        return sum(len(self._body[start : start + CHUNK].encode()) for start in starts)
