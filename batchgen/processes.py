"""Work on many files, in as many processes as there are cores: decoders hold Python's lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from batchgen.errors import OutputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


T = TypeVar("T")
R = TypeVar("R")

CHUNK = 2
"""Files handed to a process at once: enough to hide the way there, and no more, since what is begun
at a Ctrl-C is waited for."""
PAGE = 1024
"""Files that stand in the queue at once: of hundreds of thousands each would take its room."""


def in_processes(
    work: Callable[[T], R], files: Sequence[T], what: str, lost: Callable[[T], R]
) -> Iterator[R]:
    """Yield what `work` gives for each, in their order. `what` the processes do, for people.

    Of a file at which a process dies even alone, such as one that memory is too small for, what
    `lost` gives: the same command would die there for ever. Raises what `work` raises,
    StorageError where processes die without a file.
    """
    done = 0
    count = min(cores(), len(files))
    while done < len(files):
        try:
            for result in _together(work, files[done:], count):
                done += 1
                yield result
        except BrokenProcessPool:
            # Whose file it was, nobody says: those at hand go one by one.
            suspects = files[done : done + count * CHUNK]
            for result in _one_by_one(work, suspects, what, lost):
                done += 1
                yield result


def cores() -> int:
    """Those that this process may use: a container or taskset leaves it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _together(work: Callable[[T], R], files: Sequence[T], count: int) -> Iterator[R]:
    with _pool(count) as pool:
        for at in range(0, len(files), PAGE):
            with unheard():
                results = pool.map(work, files[at : at + PAGE], chunksize=CHUNK)
            yield from results


def _one_by_one(
    work: Callable[[T], R], files: Sequence[T], what: str, lost: Callable[[T], R]
) -> Iterator[R]:
    at = 0
    while at < len(files):
        with _pool(1) as pool:
            _see_it_live(pool, what)
            try:
                while at < len(files):
                    result = pool.submit(work, files[at]).result()
                    at += 1
                    yield result
            except BrokenProcessPool:
                at += 1
                yield lost(files[at - 1])


def _see_it_live(pool: ProcessPoolExecutor, what: str) -> None:
    """Before it is given a file: else each file would be blamed for what kills every process."""
    try:
        with unheard():
            living = pool.submit(os.getpid)
        living.result()
    except BrokenProcessPool as exc:
        raise StorageError(
            f"a process that {what} was killed, and so is every other one",
            next_step="see whether memory ran out; the same command goes on where it stopped",
        ) from exc


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    pool = new_pool(count)
    try:
        yield pool
    finally:
        # After Ctrl-C nobody waits for thousands that were not begun.
        pool.shutdown(cancel_futures=True)


def new_pool(count: int) -> ProcessPoolExecutor:
    """One whose processes end with this one; give it work inside `unheard`.

    Raises OutputError where the system has no semaphores for them.
    """
    # Not forked: a fork copies the locks of threads that it does not copy.
    context = multiprocessing.get_context("spawn")
    try:
        return ProcessPoolExecutor(count, mp_context=context, initializer=_belong_to_owner)
    except (OSError, ImportError, NotImplementedError) as exc:
        raise OutputError(
            f"no processes can be started to work on files: the system gives no semaphores ({exc})",
            where="/dev/shm",  # noqa: S108 - where Linux keeps them
            next_step="make it a folder that you can write to, with mode 1777; a container may need"
            " a tmpfs there",
        ) from exc


@contextmanager
def unheard() -> Iterator[None]:
    """A Ctrl-C waits while children are started: they inherit that until they know what to do.

    The tracker of their resources is started before, since its start unblocks signals.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _interrupt_waits():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupt_waits() -> Iterator[None]:
    """No KeyboardInterrupt between the start of a child and the words that it waits for.

    The mask does not prevent it: another thread hears the signal, and Python raises in this one.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _belong_to_owner() -> None:
    """End with the owner, however it ends: a SIGKILL tells nobody.

    Ctrl-C reaches every process of the terminal, and the owner ends these. Not so SIGTERM: by that
    the pool itself ends those that are left when one was killed.
    """
    be_the_first_to_go()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_owner, name="end with owner", daemon=True).start()


def _end_with_owner() -> None:
    owner = multiprocessing.parent_process()
    if owner is not None:
        wait([owner.sentinel])
        os._exit(1)


def be_the_first_to_go() -> None:
    """Where memory runs out, the kernel shall end this process and not the run."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    except OSError:
        return  # No Linux, or not allowed: the kernel chooses.
