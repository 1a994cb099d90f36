"""The pending jobs of one model, read from the state a page at a time: memory stays flat."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.state.queries import Selection
    from batchgen.state.records import PendingJob
    from batchgen.state.store import Store

PAGE = 200


class PendingQueue:
    """First the jobs that came back, then the next ones of the manifest."""

    def __init__(self, model: str, selection: Selection, store: Store) -> None:
        self.model = model
        self._selection = selection
        self._store = store
        self._jobs: deque[PendingJob] = deque()
        self._after = 0
        self._exhausted = False

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def take(self) -> PendingJob:
        return self._jobs.popleft()

    def put_back(self, job: PendingJob) -> None:
        self._jobs.appendleft(job)

    def clear(self) -> None:
        self._jobs.clear()
        self._exhausted = True

    async def refill(self) -> None:
        """Read the next page where nothing is left of the last one."""
        if self._jobs or self._exhausted:
            return
        page = await self._store.pending_page(self.model, self._selection, self._after, PAGE)
        self._jobs.extend(page)
        self._exhausted = len(page) < PAGE
        if page:
            self._after = page[-1].seq
