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
        self._ahead: set[int] = set()
        self._exhausted = False

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def take(self) -> PendingJob:
        return self._jobs.popleft()

    def put_back(self, job: PendingJob) -> None:
        """A job that was here already is not queued twice, nor read from a later page again."""
        if any(job.seq == other.seq for other in self._jobs):
            return
        self._jobs.appendleft(job)
        if job.seq > self._after:
            self._ahead.add(job.seq)

    def clear(self) -> None:
        self._jobs.clear()
        self._exhausted = True

    async def refill(self) -> None:
        """Read the next page where nothing is left of the last one."""
        while not (self._jobs or self._exhausted):
            page = await self._store.pending_page(self.model, self._selection, self._after, PAGE)
            self._exhausted = len(page) < PAGE
            if page:
                self._after = page[-1].seq
            self._jobs.extend(job for job in page if job.seq not in self._ahead)
            self._ahead = {seq for seq in self._ahead if seq > self._after}
