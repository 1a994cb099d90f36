"""Previews, made when a page asks for them, where the report looks for them later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from batchgen.errors import OutputError, StorageError
from batchgen.processes import ProcessDiedError, ProcessPool, cores
from batchgen.report.folder import ReportFolder
from batchgen.report.thumbnails import ThumbnailTask, make_thumbnail

if TYPE_CHECKING:
    from batchgen.storage.locations import Location


class Previews:
    """Each is made once, however many ask for it, and not at all once nobody waits for it."""

    def __init__(self, report: Path) -> None:
        self._folder = ReportFolder(report)
        self._is_there = asyncio.Lock()
        self._created = False
        self._aside: TemporaryDirectory[str] | None = None
        self._processes = ProcessPool(cores())
        self._hands = asyncio.Semaphore(cores())
        self._making: dict[str, asyncio.Task[bool]] = {}
        self._asking: dict[str, int] = {}

    async def get(self, name: str, location: Location, path: str) -> Path | None:
        """The preview's path; None if none can be made of the file.

        Raises StorageError where it may go better later, and the bucket's errors.
        """
        await self._begin()
        target = self._folder.thumb(name)
        if await asyncio.to_thread(target.exists):
            return target
        task = self._making.get(name)
        if task is None:
            wanted = ThumbnailTask(location, path, str(target))
            task = asyncio.create_task(self._make(name, wanted, target), name=f"preview {name}")
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
        # Also one that hangs: its thread waits for it.
        await asyncio.to_thread(self._processes.close)
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

    async def _make(self, name: str, wanted: ThumbnailTask, target: Path) -> bool:
        async with self._hands:
            if name not in self._asking:
                return False
            try:
                return await asyncio.to_thread(self._processes.call, make_thumbnail, wanted) is None
            except ProcessDiedError:
                return False
            except OSError as exc:
                # A report that is made meanwhile tidies up unfinished ones; or the disk is full.
                if await asyncio.to_thread(target.exists):
                    return True
                raise StorageError(
                    f"the preview cannot be written: {exc.strerror}", where=str(target)
                ) from exc
