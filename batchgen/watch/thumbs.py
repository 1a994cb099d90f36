"""The processes that make previews. Of a file at which one dies, no other file has to suffer.

Previews, made when a page asks for them, where the report looks for them later.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING

from batchgen.errors import OutputError, StorageError
from batchgen.processes import cores, new_pool, unheard
from batchgen.report.making import ReportFolder
from batchgen.report.thumbnails import Wanted, make_thumbnail

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.process import BaseProcess


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


class Thumbs:
    """Each is made once, however many ask for it; those that nobody waits for any more are not."""

    def __init__(self, report: Path) -> None:
        self._folder = ReportFolder(report)
        self._is_there = asyncio.Lock()
        self._created = False
        self._aside: TemporaryDirectory[str] | None = None
        self._workers = Workers()
        self._hands = asyncio.Semaphore(cores())
        self._making: dict[str, asyncio.Task[bool]] = {}
        self._asking: dict[str, int] = {}

    async def get(self, name: str, source: Path) -> Path | None:
        """Where the preview is; None where none can be made of the file.

        Raises StorageError where it may go better later.
        """
        await self._begin()
        target = self._folder.thumb(name)
        if await asyncio.to_thread(target.exists):
            return target
        task = self._making.get(name)
        if task is None:
            task = asyncio.create_task(self._make(name, source, target), name=f"preview {name}")
            self._making[name] = task
            task.add_done_callback(self._made)
        self._asking[name] = self._asking.get(name, 0) + 1
        try:
            return target if await asyncio.shield(task) else None
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]

    def _made(self, task: asyncio.Task[bool]) -> None:
        self._making = {name: one for name, one in self._making.items() if one is not task}
        if not task.cancelled():
            # Where nobody waits any more, nobody else asks for it.
            task.exception()

    async def aclose(self) -> None:
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._workers.aclose()
        if self._aside is not None:
            self._aside.cleanup()

    async def _begin(self) -> None:
        async with self._is_there:
            if not self._created:
                await asyncio.to_thread(self._create)
                self._created = True

    def _create(self) -> None:
        try:
            self._folder.create()
        except (OSError, OutputError):
            # A run that may only be looked at, or a folder of somebody else: the previews are kept
            # for as long as the page is served.
            self._aside = TemporaryDirectory(prefix="batchgen-watch-")
            self._folder = ReportFolder(Path(self._aside.name) / "report")
            self._folder.create()

    async def _make(self, name: str, source: Path, target: Path) -> bool:
        async with self._hands:
            if name not in self._asking:
                return False
            try:
                return await self._workers.make(Wanted(str(source), str(target))) is None
            except OSError as exc:
                # A report that is made meanwhile tidies up unfinished ones; or the disk is full.
                if await asyncio.to_thread(target.exists):
                    return True
                raise StorageError(
                    f"the preview cannot be written: {exc.strerror}", where=str(target)
                ) from exc
