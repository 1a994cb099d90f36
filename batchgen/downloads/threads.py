"""Blocking work that a cancellation waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread, and do not return before it has ended.

    A thread cannot be cancelled. Were its caller to leave at once, the thread would go on writing
    and renaming files that the next attempt believes to be its own.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is None:
        return future.result()
    # Asked for, so that the loop does not complain of an error that nobody fetched.
    future.exception()
    raise cancelled
