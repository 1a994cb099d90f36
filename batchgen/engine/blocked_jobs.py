"""Emits how many jobs are blocked whenever that changes: the state blocks them by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.engine.events import JobsBlocked
from batchgen.state.due import blocked_jobs

if TYPE_CHECKING:
    from batchgen.engine.control import Control
    from batchgen.state.store import Store


class BlockedJobs:
    """Remembers the counts by model that were emitted last, or that the run began with."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self._emitted: dict[str, int] = {}

    async def begin(self) -> None:
        self._emitted = await self._store.run(blocked_jobs)

    async def emit_changes(self) -> None:
        """Includes a zero for a model that had blocked jobs before."""
        now = await self._store.run(blocked_jobs)
        if now != self._emitted:
            gone = dict.fromkeys(self._emitted.keys() - now.keys(), 0)
            self._emitted = now
            self._control.emit(JobsBlocked({**now, **gone}))
