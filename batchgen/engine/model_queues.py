"""Which model starts its next job. Among equal priorities models take turns: none starves.

The due jobs of one model, read from the state a page at a time: memory stays flat.

The models of a run: each with its lane and its due jobs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from batchgen.engine.health import ModelLimits
from batchgen.engine.limits import RateLimiter
from batchgen.state.queries import pending_models

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from batchgen.engine.canary import Canary
    from batchgen.engine.limits import Expectations
    from batchgen.engine.policy import EnginePolicy
    from batchgen.state.queries import DueKey, Selection
    from batchgen.state.records import JobRow
    from batchgen.state.store import Store


@dataclass(frozen=True, slots=True)
class Head:
    """The next job of a model: its priority, and the gate that it has to pass."""

    limiter: RateLimiter
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """The lane with this index may start a job now."""

    lane: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody may start before the loop's time `until`; None: before something ends."""

    until: float | None


Turn: TypeAlias = Start | Wait


def next_turn(lanes: Sequence[Head | None], overall: RateLimiter, now: float, last: int) -> Turn:
    """The open lane of the highest priority; among equals the first after `last`.

    `lanes` are the heads of all models in a fixed order, None for a model without work; `last` is
    the one that started last. Each waits for its own opening only: a place is never kept free for
    a job of higher priority whose own gate is shut.
    """
    if not any(lanes) or (general := overall.opening(now)) is None:
        return Wait(None)
    earliest: float | None = None
    best: tuple[int, Start] | None = None
    for step in range(1, len(lanes) + 1):
        index = (last + step) % len(lanes)
        head = lanes[index]
        opening = head.limiter.opening(now) if head else None
        if head is None or opening is None:
            continue
        opening = max(opening, general)
        if opening > now:
            earliest = opening if earliest is None else min(earliest, opening)
        elif best is None or head.priority > best[0]:
            best = head.priority, Start(index)
    return best[1] if best else Wait(earliest)


PAGE = 200


class PendingQueue:
    """The higher priority first; among equals the jobs that came back, then the manifest's order.

    What was read is the state of a moment. So nothing is handed out while it is in hand (see
    `ModelLimits.in_hand`), and after `rewind` all is read again: jobs became due behind the reader.
    """

    def __init__(
        self, lane: ModelLimits, selection: Selection, store: Store, canary: Canary
    ) -> None:
        self._lane = lane
        self._selection = selection
        self._store = store
        self._canary = canary
        self._page: deque[JobRow] = deque()
        self._returned: dict[int, JobRow] = {}
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

    def take(self) -> JobRow:
        """The next job: it is in hand now."""
        if self._order and (not self._page or -self._order[0][0] >= self._page[0].priority):
            _, seq = heappop(self._order)
            job = self._returned.pop(seq)
        else:
            job = self._page.popleft()
        self._lane.in_hand.add(job.seq)
        return job

    def put_back(self, job: JobRow) -> None:
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

    async def _read(self) -> list[JobRow]:
        model = self._lane.model
        closed = self._canary.closed(model)
        return await self._store.due_page(model, self._selection, self._after, PAGE, closed)

    def _turn_to(self, page: list[JobRow], held: frozenset[int]) -> None:
        self._exhausted = len(page) < PAGE
        if page:
            self._after = (page[-1].priority, page[-1].seq)
        busy = held | self._lane.in_hand | self._returned.keys()
        self._page.extend(job for job in page if job.seq not in busy)

    def _is_on_page(self, seq: int) -> bool:
        return any(seq == job.seq for job in self._page)


@dataclass(frozen=True, slots=True)
class Track:
    """A model's lane together with its due jobs."""

    lane: ModelLimits
    jobs: PendingQueue

    async def head(self, too_dear: Container[str]) -> Head | None:
        """What would start next; None where there is no work, or none that can be paid."""
        if self.lane.refused:
            self.jobs.clear()
        await self.jobs.refill()
        if not self.jobs or self.lane.model in too_dear:
            return None
        return Head(self.lane.limiter, self.jobs.priority)


class ModelQueues:
    """In the order in which they were opened, which decides among equal priorities."""

    def __init__(
        self,
        store: Store,
        policy: EnginePolicy,
        selection: Selection,
        canary: Canary,
        expectations: Expectations,
    ) -> None:
        self._store = store
        self._policy = policy
        self._selection = selection
        self._canary = canary
        self._expectations = expectations
        self._queues: dict[str, Track] = {}

    def all(self) -> tuple[Track, ...]:
        return tuple(self._queues.values())

    async def open(self, model: str) -> Track:
        if model not in self._queues:
            policy = self._policy.lane(model)
            lane = ModelLimits(model, RateLimiter(policy.limit, policy.interval))
            jobs = PendingQueue(lane, self._selection, self._store, self._canary)
            self._queues[model] = Track(lane, jobs)
            if (seconds := await self._store.expected_seconds(model)) is not None:
                self._expectations.suppose(model, seconds)
        return self._queues[model]

    async def open_all(self, models: Iterable[str] = ()) -> None:
        """These, and every model of a pending job: it may become due while the run goes on."""
        for model in (*models, *await self._store.run(pending_models)):
            await self.open(model)

    def rewind(self) -> None:
        """Jobs became due behind the readers."""
        for track in self._queues.values():
            track.jobs.rewind()
