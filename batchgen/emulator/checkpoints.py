"""Keeps the write-ahead log short, off the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.emulator.store import Store

COMMITS_BETWEEN = 1000


class Checkpoints:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._commits = 0
        self._due = asyncio.Event()

    def committed(self) -> None:
        self._commits += 1
        if self._commits % COMMITS_BETWEEN == 0:
            self._due.set()

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.to_thread(self._store.checkpoint)
