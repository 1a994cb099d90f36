"""Blocking work in threads; and Ctrl-C, SIGTERM and SIGHUP (a closed terminal)."""

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
"""How long a run waits for downloads in progress; then submits in progress get another ten seconds
(engine/submitting.py)."""

TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
TERMINATION_SECONDS = 13.0
"""Seconds from such a signal to the end of the process, less than the 15 that are promised, because
a SIGKILL may follow. Optional work at the end of a run gets what is left."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; return only when it has ended, even after a cancellation.

    A thread cannot be cancelled. If its caller left at once, the thread would go on writing and
    renaming files that the next attempt works on too.
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
    # Retrieved, so that asyncio does not log it as never retrieved.
    future.exception()
    raise cancelled


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` in a daemon thread; a cancellation leaves it running.

    Not in the loop's pool: its threads are joined when the process ends, and one that hangs in a
    socket would block the exit forever. `work` must not leave anything important half done.
    """
    result: Future[T] = Future()
    # From here on it cannot be cancelled, so the thread can always set it.
    result.set_running_or_notify_cancel()

    def body() -> None:
        try:
            result.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised again in the awaiting task
            result.set_exception(exc)

    threading.Thread(target=body, name=name, daemon=True).start()
    return await asyncio.wrap_future(result)


@contextmanager
def on_signals(
    handler: Callable[[signal.Signals], object], *numbers: signal.Signals
) -> Iterator[None]:
    """While the block runs, call `handler` from the event loop for these signals."""
    loop = asyncio.get_running_loop()
    # What nohup ignores stays ignored.
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@dataclass(slots=True)
class Stop:
    """`received` is the first signal, `abort` the timer that it started."""

    received: signal.Signals | None = None
    abort: asyncio.TimerHandle | None = None


@contextmanager
def stop_signals(
    drain: Callable[[], object], abort: Callable[[], object], *, on: bool = True
) -> Iterator[Stop]:
    """While the block runs, the first signal drains the run; the second ends the process at once.

    `drain` asks the run to stop; `abort` cancels it if that takes too long. If not `on`, signals
    are left to the calling program.
    """
    loop = asyncio.get_running_loop()
    stop = Stop()

    def on_signal(number: signal.Signals) -> None:
        if stop.received is not None:
            # Safe at any moment: everything important is on the disk, as after a kill -9.
            sys.stderr.flush()
            os._exit(128 + number)
        stop.received = number
        stop.abort = loop.call_later(DRAIN_SECONDS[number], abort)
        drain()

    with on_signals(on_signal, *(DRAIN_SECONDS if on else ())):
        try:
            yield stop
        finally:
            if stop.abort is not None:
                stop.abort.cancel()


@contextmanager
def unwind_on_signals() -> Iterator[None]:
    """Unwind the block and exit on SIGTERM or SIGHUP, as on Ctrl-C.

    A second signal ends the process at once. Only the main thread receives signals.
    """
    is_main = threading.current_thread() is threading.main_thread()
    numbers = TERMINATION_SIGNALS if is_main else ()
    # What nohup ignores stays ignored.
    handled = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def restore() -> None:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)

    def end(number: int, _frame: FrameType | None) -> None:
        restore()
        raise SystemExit(128 + number)

    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
