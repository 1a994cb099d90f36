"""Renames of one folder share an fsync, and none of them is durable before it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from batchgen.downloads.part import FolderSync
from batchgen.errors import StorageError


class SlowDisk:
    """Each fsync waits to be let go; counts them."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def fsync(self, _descriptor: int) -> None:
        self.begun += 1
        self.started.release()
        assert self.gate.acquire(timeout=10)


async def test_calls_during_an_fsync_share_the_next_one(tmp_path: Path) -> None:
    disk = SlowDisk()
    folders = FolderSync(disk.fsync)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(folders.sync(tmp_path, tmp_path))
        await asyncio.to_thread(disk.started.acquire)
        late = [group.create_task(folders.sync(tmp_path, tmp_path)) for _ in range(20)]
        await asyncio.sleep(0)
        disk.gate.release()
        await first
        assert not any(task.done() for task in late), "the first fsync began before their renames"
        disk.gate.release()
    assert disk.begun == 2


async def test_one_after_another_each_gets_its_own(tmp_path: Path) -> None:
    calls: list[int] = []
    folders = FolderSync(calls.append)
    for _ in range(3):
        await folders.sync(tmp_path, tmp_path)
    assert len(calls) == 3


async def test_two_folders_do_not_share(tmp_path: Path) -> None:
    calls: list[int] = []
    folders = FolderSync(calls.append)
    (tmp_path / "a").mkdir()
    await asyncio.gather(
        folders.sync(tmp_path, tmp_path), folders.sync(tmp_path / "a", tmp_path / "a")
    )
    assert len(calls) == 2


async def test_a_failed_fsync_is_never_repeated_row_52(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    folders = FolderSync(fail)
    for _ in range(2):
        with pytest.raises(StorageError, match="Input/output error"):
            await folders.sync(tmp_path, tmp_path)
    assert len(calls) == 1
