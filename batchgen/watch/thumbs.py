"""Previews, made when a page asks for them, where the report looks for them later."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from batchgen.errors import OutputError
from batchgen.report.folder import ReportFolder
from batchgen.report.thumbnails import Wanted, make_thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future


class Thumbs:
    """Each is made once, however many ask for it; those that nobody waits for any more are not."""

    def __init__(self, report: Path) -> None:
        self._folder = ReportFolder(report)
        self._is_there = asyncio.Lock()
        self._created = False
        self._aside: TemporaryDirectory[str] | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._hands = asyncio.Semaphore(_hands())
        self._making: dict[str, asyncio.Task[bool]] = {}
        self._asking: dict[str, int] = {}

    async def get(self, name: str, source: Path) -> Path | None:
        """Where the preview is; None where none can be made of the file."""
        await self._begin()
        target = self._folder.thumb(name)
        if await asyncio.to_thread(target.exists):
            return target
        task = self._making.get(name)
        if task is None:
            task = asyncio.create_task(self._make(name, source, target), name=f"preview {name}")
            self._making[name] = task
            task.add_done_callback(lambda _task: self._making.pop(name, None))
        self._asking[name] = self._asking.get(name, 0) + 1
        try:
            return target if await asyncio.shield(task) else None
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]

    async def aclose(self) -> None:
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
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
            wanted = Wanted(str(source), str(target))
            try:
                why = await asyncio.wrap_future(self._submit(wanted))
            except BrokenProcessPool:
                # A file of which a process dies has no preview; the others need a new pool.
                self._pool = None
                return False
            except OSError:
                # A report that is made meanwhile tidies up unfinished ones; or the disk is full.
                return await asyncio.to_thread(target.exists)
            return why is None

    def _submit(self, wanted: Wanted) -> Future[str | None]:
        if self._pool is None:
            # Not forked: a fork copies the locks of threads that it does not copy.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(_hands(), mp_context=context)
        with _without_ctrl_c():
            return self._pool.submit(make_thumbnail, wanted)


def _hands() -> int:
    return os.cpu_count() or 1


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes begun inside do not hear the terminal's Ctrl-C: their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
