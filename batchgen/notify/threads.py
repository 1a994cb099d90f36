"""Blocking work that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` in a thread of its own; a cancellation leaves it behind.

    Not in the loop's pool: its threads are joined when the process ends, and one that hangs in a
    socket would hold it for ever. `work` must leave nothing half done that the program cares about.
    Raises what `work` raises.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def body() -> None:
        with _Handover(loop, answer) as handover:
            handover.result = (work(),)

    threading.Thread(target=body, name=name, daemon=True).start()
    return await answer


class _Handover(Generic[T]):
    """Brings the result of a block, or its error, into the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T]) -> None:
        self._loop = loop
        self._answer = answer
        self.result: tuple[T] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, error)
        return True

    def _settle(self, error: BaseException | None) -> None:
        if self._answer.done():
            return
        if self.result is None:
            self._answer.set_exception(error or RuntimeError("a thread gave nothing"))
        else:
            self._answer.set_result(self.result[0])
