"""Work on many files, in as many processes as there are cores: decoders hold Python's lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from batchgen.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 2
"""Files handed to a process at once: enough to hide the way there, and no more, since what is begun
at a Ctrl-C is waited for."""
PAGE = 1024
"""Files that stand in the queue at once: of hundreds of thousands each would take its room."""


def in_processes(work: Callable[[T], R], files: Sequence[T], what: str) -> Iterator[R]:
    """Yield what `work` gives for each, in their order. `what` the processes do, for people.

    Raises what `work` raises, StorageError where a process dies.
    """
    if not files:
        return
    # Not forked: a fork copies the locks of threads that it does not copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(os.cpu_count() or 1, len(files)), mp_context=context, initializer=_leave_signals_alone
    )
    try:
        for at in range(0, len(files), PAGE):
            yield from pool.map(work, files[at : at + PAGE], chunksize=CHUNK)
    except BrokenProcessPool as exc:
        raise StorageError(
            f"a process that {what} was killed",
            next_step="see whether memory ran out; the same command goes on where it stopped",
        ) from exc
    finally:
        # After Ctrl-C nobody waits for thousands that were not begun.
        pool.shutdown(cancel_futures=True)


def _leave_signals_alone() -> None:
    """Ctrl-C reaches every process of the terminal: the one that owns these ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
