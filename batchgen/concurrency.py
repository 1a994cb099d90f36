"""Blocking work that a cancellation waits for.

Blocking work that nobody has to wait for.

Ctrl-C, SIGTERM and a closed terminal: the first drains, the second leaves at once.

SIGTERM and a closed terminal end a command in order, as Ctrl-C does, and its processes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Generic, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType


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


DRAIN_SECONDS = {signal.SIGINT: 25.0, signal.SIGTERM: 5.0, signal.SIGHUP: 5.0}
"""How long downloads at hand are waited for; then answers on the wire have a last chance
of ten seconds (engine/wire.py)."""

LEAVE_SOON = frozenset({signal.SIGTERM, signal.SIGHUP})
LEAVE_WITHIN = 13.0
"""Seconds from one of these to the end of the process, less than the 15 that are promised: who
sends SIGTERM sends SIGKILL later. What is nice to have at the end of a run gets what is left."""


class StopSignals:
    """While the block lasts, signals drain the run; `received` is the one that came.

    `drain` asks the run to stop, `abort` tears it down when the drain takes too long. Not `on`, the
    signals are left to the program that called.
    """

    def __init__(
        self, drain: Callable[[], None], abort: Callable[[], object], *, on: bool = True
    ) -> None:
        self.received: signal.Signals | None = None
        self._drain = drain
        self._abort = abort
        # What nohup ignores stays ignored.
        heard = (one for one in DRAIN_SECONDS if signal.getsignal(one) is not signal.SIG_IGN)
        self._numbers = tuple(heard) if on else ()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in self._numbers:
            self._loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._numbers:
            self._loop.remove_signal_handler(number)
        if self._timer:
            self._timer.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        if self.received is not None:
            # Safe at any moment: all that matters is on the disk, as after a kill -9.
            sys.stderr.flush()
            os._exit(128 + number)
        self.received = number
        self._timer = self._loop.call_later(DRAIN_SECONDS[number], self._abort)
        self._drain()


P = ParamSpec("P")

HEARD = (signal.SIGTERM, signal.SIGHUP)


class _EndedError(BaseException):
    """As KeyboardInterrupt: nobody who handles errors must catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ends_in_order(command: Callable[P, int]) -> Callable[P, int]:
    """Unwind the command at the first such signal, and return the exit code that says so.

    The second one ends the process at once. Only the main thread hears signals.
    """

    @wraps(command)
    def heeding(*args: P.args, **kwargs: P.kwargs) -> int:
        if threading.current_thread() is not threading.main_thread():
            return command(*args, **kwargs)
        try:
            with ExitStack() as stack:
                for number in HEARD:
                    # What nohup ignores stays ignored.
                    if (before := signal.getsignal(number)) is signal.SIG_DFL:
                        stack.callback(signal.signal, number, before)
                        signal.signal(number, _end)
                return command(*args, **kwargs)
        except _EndedError as ended:
            return 128 + ended.number

    return heeding


def _end(number: int, _frame: FrameType | None) -> None:
    for one in HEARD:
        if signal.getsignal(one) is _end:
            signal.signal(one, signal.SIG_DFL)
    raise _EndedError(number)
