"""The due jobs of one model, read from the state a page at a time: memory stays flat."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.engine.canary import Canary
    from batchgen.engine.trouble import Lane
    from batchgen.state.queries import DueKey, Selection
    from batchgen.state.records import PendingJob
    from batchgen.state.store import Store

PAGE = 200


class PendingQueue:
    """The higher priority first; among equals the jobs that came back, then the manifest's order.

    What was read is the state of a moment. So nothing is handed out while it is in hand (see
    `Lane.in_hand`), and after `rewind` all is read again: jobs became due behind the reader.
    """

    def __init__(self, lane: Lane, selection: Selection, store: Store, canary: Canary) -> None:
        self._lane = lane
        self._selection = selection
        self._store = store
        self._canary = canary
        self._page: deque[PendingJob] = deque()
        self._returned: dict[int, PendingJob] = {}
        self._order: list[DueKey] = []
        self._after: DueKey | None = None
        self._exhausted = False
        self._rewinds = 0

    def __bool__(self) -> bool:
        return bool(self._page or self._returned)

    @property
    def priority(self) -> int:
        """Of the next job. There must be one."""
        page = [self._page[0].priority] if self._page else []
        returned = [-self._order[0][0]] if self._order else []
        return max(page + returned)

    def take(self) -> PendingJob:
        """The next job: it is in hand now."""
        if self._order and (not self._page or -self._order[0][0] >= self._page[0].priority):
            _, seq = heappop(self._order)
            job = self._returned.pop(seq)
        else:
            job = self._page.popleft()
        self._lane.in_hand.add(job.seq)
        return job

    def put_back(self, job: PendingJob) -> None:
        """A job that is pending again. One that is here or in hand already is not queued twice."""
        seq = job.seq
        if seq in self._lane.in_hand or seq in self._returned or self._is_on_page(seq):
            return
        self._returned[seq] = job
        heappush(self._order, (-job.priority, seq))

    def rewind(self) -> None:
        """Read again from the start. What came back stays: it may be outside the selection."""
        self._page.clear()
        self._after = None
        self._exhausted = False
        self._rewinds += 1

    def clear(self) -> None:
        self._page.clear()
        self._returned.clear()
        self._order.clear()
        self._exhausted = True

    async def refill(self) -> None:
        """Read the next page where nothing is left of the last one."""
        while not (self._page or self._exhausted):
            rewinds = self._rewinds
            # Before the reading: a job whose intent is recorded meanwhile was still pending then.
            held = frozenset(self._lane.in_hand)
            first = await self._canary.first_jobs(self._lane.model)
            page = await self._read()
            # After the reading: it may be the first to see a sweep, and then all is read again.
            await self._canary.look()
            for job in first:
                if job.seq not in held:
                    self.put_back(job)
            if rewinds == self._rewinds:
                self._turn_to(page, held)

    async def _read(self) -> list[PendingJob]:
        model = self._lane.model
        closed = self._canary.closed(model)
        return await self._store.due_page(model, self._selection, self._after, PAGE, closed)

    def _turn_to(self, page: list[PendingJob], held: frozenset[int]) -> None:
        self._exhausted = len(page) < PAGE
        if page:
            self._after = (page[-1].priority, page[-1].seq)
        busy = held | self._lane.in_hand | self._returned.keys()
        self._page.extend(job for job in page if job.seq not in busy)

    def _is_on_page(self, seq: int) -> bool:
        return any(seq == job.seq for job in self._page)
