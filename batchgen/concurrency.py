"""Threads and signals: blocking work, and Ctrl-C, SIGTERM or a closed terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

T = TypeVar("T")

DRAIN_SECONDS = {signal.SIGINT: 25.0, signal.SIGTERM: 5.0, signal.SIGHUP: 5.0}
"""How long downloads in progress are waited for; then requests on their way have a last chance of
ten seconds (engine/submitting.py)."""

LEAVE_SOON = (signal.SIGTERM, signal.SIGHUP)
LEAVE_WITHIN = 13.0
"""Seconds from one of these to the end of the process, less than the 15 that are promised: then a
SIGKILL may follow. What is nice to have at the end of a run gets what is left."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread, and do not return before it has ended.

    A thread cannot be cancelled. If its caller left at once, the thread would go on writing and
    renaming files that the next attempt takes for its own.
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
    # Asked for, so that the loop does not report an error that nobody fetched.
    future.exception()
    raise cancelled


async def in_own_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` in a thread of its own; a cancellation leaves it behind.

    Not in the loop's pool: its threads are joined when the process ends, and one that hangs in a
    socket would hold it for ever. `work` must leave nothing half done that the program cares about.
    """
    result: Future[T] = Future()
    # From here on a cancellation does not touch it, so that the thread can always set it.
    result.set_running_or_notify_cancel()

    def body() -> None:
        try:
            result.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited
            result.set_exception(exc)

    threading.Thread(target=body, name=name, daemon=True).start()
    return await asyncio.wrap_future(result)


@contextmanager
def on_signals(
    heed: Callable[[signal.Signals], object], *numbers: signal.Signals
) -> Iterator[None]:
    """While the block lasts, the event loop hands these signals to `heed`."""
    loop = asyncio.get_running_loop()
    # What nohup ignores stays ignored.
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        loop.add_signal_handler(number, heed, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


@dataclass(slots=True)
class Stop:
    """`received` is the first signal that came, `abort` the timer that it set."""

    received: signal.Signals | None = None
    abort: asyncio.TimerHandle | None = None


@contextmanager
def stop_signals(
    drain: Callable[[], object], abort: Callable[[], object], *, on: bool = True
) -> Iterator[Stop]:
    """While the block lasts, the first signal stops the run in order, the second at once.

    `drain` asks the run to stop, `abort` tears it down when that takes too long. Not `on`: the
    signals are left to the program that called.
    """
    loop = asyncio.get_running_loop()
    stop = Stop()

    def heed(number: signal.Signals) -> None:
        if stop.received is not None:
            # Safe at any moment: all that matters is on the disk, as after a kill -9.
            sys.stderr.flush()
            os._exit(128 + number)
        stop.received = number
        stop.abort = loop.call_later(DRAIN_SECONDS[number], abort)
        drain()

    with on_signals(heed, *(DRAIN_SECONDS if on else ())):
        try:
            yield stop
        finally:
            if stop.abort is not None:
                stop.abort.cancel()


@contextmanager
def unwinding() -> Iterator[None]:
    """Unwind the block at SIGTERM or when the terminal is closed, as at Ctrl-C, and then exit.

    The second one ends the process at once. Only the main thread receives signals.
    """
    is_main = threading.current_thread() is threading.main_thread()
    numbers = LEAVE_SOON if is_main else ()
    # What nohup ignores stays ignored.
    heeded = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def restore() -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)

    def end(number: int, _frame: FrameType | None) -> None:
        restore()
        raise SystemExit(128 + number)

    for number in heeded:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
