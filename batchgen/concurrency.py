"""Blocking work in threads; and Ctrl-C, SIGTERM and SIGHUP (a closed terminal)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from types import FrameType

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

DRAIN_SECONDS = {signal.SIGINT: 25.0, signal.SIGTERM: 5.0, signal.SIGHUP: 5.0}
"""How long a run waits for downloads in progress; then submits in progress get another ten seconds
(engine/shielded_tasks.py)."""

TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
TERMINATION_SECONDS = 13.0
"""Seconds from such a signal to the end of the process, less than the 15 that are promised, because
a SIGKILL may follow. Optional work at the end of a run gets what is left."""


class Threads(Executor):
    """Up to `count` threads for the loop's `run_in_executor`, with one wake-up for many results.

    The standard pool wakes the loop once for each piece of work, and pays for a lock and a
    condition each time: a third of what a small download costs. `submit` is called in a loop, and
    its future is one of asyncio's, so it must be awaited there. The threads are daemons: they do
    not keep the process from ending.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self.forget_threads()

    def forget_threads(self) -> None:
        """For a forked process: neither the threads nor the holder of the lock are in it."""
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ended: dict[asyncio.AbstractEventLoop, list[_Ended]] = {}

    def submit(  # type: ignore[override]
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, future, partial(work, *args, **kwargs)))
        if len(self._threads) < self._count:
            self._start_thread()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as Executor has it
        """End the threads after the work that they have, and `wait` for it."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _start_thread(self) -> None:
        with self._lock:
            number = len(self._threads)
            if number < self._count:
                name = f"{self._name}_{number}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system allows no more threads: there are some
                    if not self._threads:
                        raise
                    return
                self._threads.append(thread)

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            loop, future, work = item
            try:
                value, error = work(), None
            except BaseException as exc:  # noqa: BLE001 - raised again in the awaiting task
                value, error = None, exc
            self._report(loop, (future, value, error))
            # A thread that waits for work must not keep the results of the last one.
            del item, loop, future, work, value, error

    def _report(self, loop: asyncio.AbstractEventLoop, ended: _Ended) -> None:
        with self._lock:
            batch = self._ended.get(loop)
            if batch is not None:
                # The loop has been woken, and has not looked yet.
                batch.append(ended)
                return
            self._ended[loop] = [ended]
        try:
            loop.call_soon_threadsafe(self._resolve, loop)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._ended.pop(loop, None)

    def _resolve(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            batch = self._ended.pop(loop)
        for future, value, error in batch:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(value)
            elif isinstance(error, StopIteration):
                # No future takes it, since it would end the coroutine that awaits.
                future.set_exception(RuntimeError("the work raised StopIteration"))
            else:
                future.set_exception(error)


_Work: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]"
_Ended: TypeAlias = "tuple[asyncio.Future[Any], Any, BaseException | None]"

_SHARED = Threads(min(32, (os.cpu_count() or 1) + 4), "work")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SHARED.forget_threads)


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; return only when it has ended, even after a cancellation.

    A thread cannot be cancelled. If its caller left at once, the thread would go on writing and
    renaming files that the next attempt works on too.
    """
    future = asyncio.get_running_loop().run_in_executor(_SHARED, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as exc:
        cancelled = exc
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({future})
    # Retrieved, so that asyncio does not log it as never retrieved.
    future.exception()
    raise cancelled


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`; on uvloop where the extra `fast` is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """None: asyncio's own."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


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


def map_in_threads(
    work: Callable[[T], R], items: Iterable[T], count: int, name: str
) -> Iterator[R]:
    """Yield `work(item)` for each item, in order, with `count` threads at once.

    Items are taken a little ahead, in the caller's thread. The threads are daemons: Ctrl-C does not
    wait for a server that does not answer.
    """
    queue: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    ahead: deque[Future[R]] = deque()
    threads = [
        threading.Thread(target=_serve_items, args=(work, queue), name=f"{name}_{n}", daemon=True)
        for n in range(count)
    ]
    try:
        for thread in threads:
            thread.start()
        for item in items:
            ahead.append(Future())
            queue.put((ahead[-1], item))
            if len(ahead) > 2 * count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
        for _ in threads:
            queue.put(None)


def _serve_items(work: Callable[[T], R], queue: SimpleQueue[tuple[Future[R], T] | None]) -> None:
    while (found := queue.get()) is not None:
        future, item = found
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(item))
        except BaseException as exc:  # noqa: BLE001 - raised again where the result is awaited
            future.set_exception(exc)


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
