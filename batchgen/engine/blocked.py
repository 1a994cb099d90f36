"""Tells how many jobs are blocked, where that may have changed: the state blocks them by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.engine.events import JobsBlocked
from batchgen.state.questions import blocked_jobs

if TYPE_CHECKING:
    from batchgen.engine.control import Control
    from batchgen.state.store import Store


class BlockedJobs:
    """What the listener knows is what it was told last, or what the run began with."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self._told: dict[str, int] = {}

    async def begin(self) -> None:
        self._told = await self._store.run(blocked_jobs)

    async def tell(self) -> None:
        """Zero is said too, of a model that had blocked jobs before."""
        now = await self._store.run(blocked_jobs)
        if now != self._told:
            gone = dict.fromkeys(self._told.keys() - now.keys(), 0)
            self._told = now
            self._control.emit(JobsBlocked({**now, **gone}))
