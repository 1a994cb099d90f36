"""An event loop whose clock jumps to the next timer when nothing is ready: a night in a second."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from batchgen.errors import BatchgenError

T = TypeVar("T")
P = ParamSpec("P")

A_YEAR = 365 * 86400.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """`start` is what its clock shows first, in seconds."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now

    def _write_to_self(self) -> None:
        """Nobody sleeps in a select here, so nobody needs to be woken."""


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing will ever happen"
        self._loop.now += timeout
        assert self._loop.now < A_YEAR, "this never ends"
        return []


def virtually(work: Coroutine[Any, Any, T], start: float = 0.0) -> T:
    """Run a coroutine to its end on a virtual clock."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(work)


class InlineExecutor(Executor):
    """Does the work at once, in the loop: no thread, so no chance in the order of things."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except BatchgenError as exc:
            future.set_exception(exc)
        return future
