"""Many thumbnails, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from batchgen.errors import StorageError
from batchgen.report.thumbnails import make_thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchgen.report.thumbnails import Wanted

CHUNK = 8
"""Files handed to a process at once: enough to hide the way there, few enough to share evenly."""


def make_thumbnails(wanted: Sequence[Wanted]) -> Iterator[str | None]:
    """Yield, in their order, why each thumbnail could not be made, or None.

    Raises OSError where one cannot be written, StorageError where a process dies.
    """
    if not wanted:
        return
    # Not forked: a fork copies the locks of threads that it does not copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, len(wanted)), mp_context=context)
    try:
        yield from pool.map(make_thumbnail, wanted, chunksize=CHUNK)
    except BrokenProcessPool as exc:
        raise StorageError(
            "a process that makes thumbnails was killed",
            next_step="see whether memory ran out; the same command goes on where it stopped",
        ) from exc
    finally:
        # After Ctrl-C nobody waits for thousands that were not begun.
        pool.shutdown(cancel_futures=True)
