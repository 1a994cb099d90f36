"""Renames that end at the same time share one fsync of their folder.

A rename is durable only after an fsync of the folder that began after it. So whoever comes while
one is under way waits for the next, and the next serves all of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.downloads.part import sync_folder
from batchgen.downloads.threads import in_thread
from batchgen.errors import BatchgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(slots=True)
class _Folder:
    """How many fsyncs of one folder were begun, and how many of those have ended well."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    ended: int = 0
    failure: BatchgenError | None = None


class FolderSync:
    """`fsync` is the door to the disk, as in Part."""

    def __init__(self, fsync: Callable[[int], None]) -> None:
        self._fsync = fsync
        self._folders: dict[Path, _Folder] = {}

    async def sync(self, path: Path, root: Path) -> None:
        """Return once everything renamed in the folder `path` so far is durable.

        The first time that includes the entries of the folders from `root` down to it: the run
        that made them may have died before its fsync. Raises StorageError or DiskFullError; from
        then on for every caller, since a failed fsync must not be tried again.
        """
        folder = self._folders.setdefault(path, _Folder())
        wanted = folder.begun + 1
        async with folder.turn:
            if folder.failure is not None:
                raise folder.failure
            if folder.ended >= wanted:
                return
            folder.begun += 1
            try:
                await in_thread(partial(self._sync, path, root if folder.begun == 1 else path))
            except BatchgenError as exc:
                folder.failure = exc
                raise
            folder.ended = folder.begun

    def _sync(self, path: Path, root: Path) -> None:
        with disk_errors(path):
            while path != root:
                sync_folder(path, self._fsync)
                path = path.parent
            sync_folder(root, self._fsync)
