"""The body of a submit on its way: in chunks if it is large, the last one only with permission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeAlias

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from batchgen.runcomfy.limits import Limits

CHUNK = 64 * 1024
"""Characters of a body that are encoded and sent at once: encoding them all would block the loop,
and take the memory of a second copy."""


BeforeLast: TypeAlias = Callable[[], Awaitable[None]]
"""Awaited before the last bytes of a body go out. If it raises, they never do."""


async def at_once() -> None:
    """Nothing has to be done before the last bytes go out."""


def goes_in_chunks(body: str) -> bool:
    return len(body) > CHUNK


class Upload:
    """`is_handed_over`: the last bytes may be on the connection.

    Until then the vendor cannot have the body, however the exchange ends. Later, it may.
    """

    def __init__(self, body: str, before_last: BeforeLast, limits: Limits) -> None:
        self.is_handed_over = False
        self._body = body
        self._before_last = before_last
        self._limits = limits
        self._is_large = goes_in_chunks(body)
        self._watchdog = asyncio.timeout(None)

    def headers(self) -> Mapping[str, str]:
        # With its length, half a body cannot pass for a whole one.
        length = {"Content-Length": str(self._length())} if self._is_large else {}
        return {"Content-Type": "application/json", **length}

    async def data(self) -> bytes | AsyncIterator[bytes]:
        if self._is_large:
            return self._chunks()
        await self._hand_over()
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

    def release(self) -> None:
        """Let go of the body. What is left of a broken exchange keeps this object for a while."""
        self._body = ""

    async def _chunks(self) -> AsyncIterator[bytes]:
        # Not asked again below: after a release no chunk but the last may count as the last.
        size = len(self._body)
        for start in range(0, size, CHUNK):
            is_last = start + CHUNK >= size
            patience = self._limits.submit if is_last else self._limits.stall
            self._watchdog.reschedule(asyncio.get_running_loop().time() + patience)
            if is_last:
                await self._hand_over()
            yield self._body[start : start + CHUNK].encode()

    async def _hand_over(self) -> None:
        await self._before_last()
        # Without an await from here to the connection: nothing may come between.
        self.is_handed_over = True

    def _length(self) -> int:
        if self._body.isascii():
            return len(self._body)
        starts = range(0, len(self._body), CHUNK)
        return sum(len(self._body[start : start + CHUNK].encode()) for start in starts)
