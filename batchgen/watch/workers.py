"""The processes that make previews. Of a file at which one dies, no other file has to suffer."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from time import monotonic
from typing import TYPE_CHECKING

from batchgen.downloads.processes import cores, new_pool, unheard
from batchgen.report.thumbnails import make_thumbnail

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.process import BaseProcess

    from batchgen.report.thumbnails import Wanted

GRACE = 1.0
"""Seconds in which what is at hand may be finished at the end: nobody waits for it any more."""
DIED = "a process died of it"


class Workers:
    """One pool for all, and for each file at which that broke one of its own."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._alone = asyncio.Lock()
        self._deadly: set[str] = set()
        self._all: set[ProcessPoolExecutor] = set()
        self._strangers = set(multiprocessing.active_children())

    async def make(self, wanted: Wanted) -> str | None:
        """Give None, or else why there is no preview. Raises OSError where it cannot be written."""
        if wanted.source not in self._deadly:
            try:
                return await self._together(wanted)
            except BrokenProcessPool:
                # Whose file it was, nobody says: each goes once more, where it harms no other.
                pass
        async with self._alone:
            return await self._by_itself(wanted)

    async def aclose(self) -> None:
        """End them all, also one that hangs."""
        for pool in self._all:
            pool.shutdown(wait=False, cancel_futures=True)
        ours = set(multiprocessing.active_children()) - self._strangers
        await asyncio.to_thread(_end, ours)
        for pool in self._all:
            await asyncio.to_thread(pool.shutdown)

    async def _together(self, wanted: Wanted) -> str | None:
        mine = self._pool = self._pool or self._begun(cores())
        try:
            return await self._given(mine, wanted)
        except BrokenProcessPool:
            # Another one may have met it before, and begun a new one.
            if self._pool is mine:
                self._pool = None
            self._leave(mine)
            raise

    async def _by_itself(self, wanted: Wanted) -> str | None:
        mine = self._begun(1)
        try:
            return await self._given(mine, wanted)
        except BrokenProcessPool:
            self._deadly.add(wanted.source)
            return DIED
        finally:
            self._leave(mine)

    def _begun(self, count: int) -> ProcessPoolExecutor:
        pool = new_pool(count)
        self._all.add(pool)
        return pool

    def _leave(self, pool: ProcessPoolExecutor) -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        self._all.discard(pool)

    async def _given(self, pool: ProcessPoolExecutor, wanted: Wanted) -> str | None:
        with unheard():
            future = pool.submit(make_thumbnail, wanted)
        return await asyncio.wrap_future(future)


def _end(children: Collection[BaseProcess]) -> None:
    """Blocks. Looks at what the system says of them: their pools wait for them at the same time."""
    until = monotonic() + GRACE
    left = list(children)
    while left and (patience := until - monotonic()) > 0:
        ended = wait([child.sentinel for child in left], patience)
        left = [child for child in left if child.sentinel not in ended]
    for child in left:
        child.kill()
