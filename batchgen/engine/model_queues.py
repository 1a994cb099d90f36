"""The due jobs of each model, read from the state a page at a time, so that memory stays flat."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from batchgen.engine.ceilings import Ramp
from batchgen.engine.fair_scheduling import Head
from batchgen.engine.health import ModelHealth
from batchgen.engine.limits import RateLimiter
from batchgen.state.meta import found_concurrency
from batchgen.state.queries import pending_models

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable

    from batchgen.engine.auto_concurrency import AutoConcurrency
    from batchgen.engine.canary import Canary
    from batchgen.engine.context import EngineContext
    from batchgen.engine.policy import EnginePolicy
    from batchgen.state.queries import DueKey, Selection
    from batchgen.state.records import JobRow
    from batchgen.state.store import Store

    Reused: TypeAlias = Callable[[list[JobRow]], Awaitable[list[int]]]
    """Gets due jobs; returns the numbers of those that took the result of another run."""

PAGE = 200
"""Jobs that are read at once."""


class ModelQueue:
    """The higher priority first, then what others need, see `state/due.py::due_page`.

    Among equals come the jobs that came back, then the manifest's order.

    What was read is the state of a moment. So no job is taken twice while it is in hand, and after
    `rewind` all is read again: jobs became due behind the reader. `in_hand` are the jobs that are
    worked at though the state says pending: until the intent to submit is recorded and no longer,
    since a late answer must not delay a person's decision.
    """

    def __init__(
        self,
        health: ModelHealth,
        selection: Selection,
        store: Store,
        canary: Canary,
        reused: Reused | None = None,
    ) -> None:
        self.health = health
        self._reused = reused
        self.in_hand: set[int] = set()
        self._selection = selection
        self._store = store
        self._canary = canary
        self._page: deque[JobRow] = deque()
        self._returned: dict[int, JobRow] = {}
        self._order: list[tuple[int, bool, int]] = []
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
        if self._order and (not self._page or self._order[0][:2] <= _place(self._page[0])[:2]):
            *_, seq = heappop(self._order)
            job = self._returned.pop(seq)
        else:
            job = self._page.popleft()
        self.in_hand.add(job.seq)
        return job

    def put_back(self, job: JobRow) -> None:
        """A job that is pending again. One that is here or in hand already is not queued twice."""
        seq = job.seq
        if seq in self.in_hand or seq in self._returned or self._is_on_page(seq):
            return
        self._returned[seq] = job
        heappush(self._order, _place(job))

    def give_back(self, job: JobRow) -> None:
        """A job in hand that could not be submitted."""
        self.in_hand.discard(job.seq)
        self.put_back(job)

    async def head(self, unaffordable: Container[str]) -> Head | None:
        """What would start next; None if there is no work, or none that can be paid for."""
        if self.health.refused:
            self.clear()
        await self.refill()
        if not self or self.health.name in unaffordable:
            return None
        return Head(self.health.limiter, self.priority)

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
            held = frozenset(self.in_hand)
            first = await self._canary.first_jobs(self.health.name)
            page = await self._read()
            # After the reading: it may be the first to see a sweep, and then all is read again.
            await self._canary.refresh()
            reused = await self._reuse([*first, *page], held)
            for job in first:
                if job.seq not in held | reused:
                    self.put_back(job)
            if rewinds == self._rewinds:
                self._turn_to(page, held | reused)

    async def _reuse(self, jobs: list[JobRow], held: frozenset[int]) -> frozenset[int]:
        if self._reused is None:
            return frozenset()
        busy = held | self.in_hand | self._returned.keys()
        return frozenset(await self._reused([job for job in jobs if job.seq not in busy]))

    async def _read(self) -> list[JobRow]:
        model = self.health.name
        closed = self._canary.closed(model)
        return await self._store.due_page(model, self._selection, self._after, PAGE, closed)

    def _turn_to(self, page: list[JobRow], held: frozenset[int]) -> None:
        self._exhausted = len(page) < PAGE
        if page:
            self._after = page[-1].due_key
        busy = held | self.in_hand | self._returned.keys()
        self._page.extend(job for job in page if job.seq not in busy)

    def _is_on_page(self, seq: int) -> bool:
        return any(seq == job.seq for job in self._page)


def _place(job: JobRow) -> tuple[int, bool, int]:
    """What goes first is the smallest."""
    priority, needed, seq = job.due_key
    return -priority, not needed, seq


class ModelQueues:
    """In the order in which they were opened, which decides among equal priorities."""

    def __init__(self, context: EngineContext, selection: Selection) -> None:
        self._context = context
        self._store = context.ports.store
        self._selection = selection
        self._policy = context.policy
        self._queues: dict[str, ModelQueue] = {}
        context.expectations.finds_concurrency = context.policy.finds_concurrency

    def all(self) -> tuple[ModelQueue, ...]:
        return tuple(self._queues.values())

    async def open(self, model: str) -> ModelQueue:
        if model not in self._queues:
            limits = self._policy.limits_of(model)
            limiter = RateLimiter(limits.limit, limits.interval, ramp=Ramp())
            found = await self._store.run(found_concurrency)
            self._context.expectations.traffic(model).auto.start_from(found.get(model))
            limiter.auto = self._auto(model)
            self._context.shared.add(model, limiter)
            health = ModelHealth(model, limiter)
            self._queues[model] = ModelQueue(
                health, self._selection, self._store, self._context.canary, self._reused
            )
            if (seconds := await self._store.expected_seconds(model)) is not None:
                self._context.expectations.suppose(model, seconds)
        return self._queues[model]

    async def open_all(self, models: Iterable[str] = ()) -> None:
        """These, and every model of a pending job: it may become due while the run goes on."""
        for model in models:
            await self.open(model)
        known = frozenset(self._queues)
        for model in await self._store.run(pending_models, None, known):
            await self.open(model)

    def retune(self, policy: EnginePolicy) -> None:
        """Set other limits, also of the models that are opened later."""
        self._policy = policy
        self._context.expectations.finds_concurrency = policy.finds_concurrency
        for model, queue in self._queues.items():
            limits = policy.limits_of(model)
            queue.health.limiter.retune(limits.limit, limits.interval)
            queue.health.limiter.auto = self._auto(model)

    def _auto(self, model: str) -> AutoConcurrency | None:
        if not self._policy.finds_concurrency:
            return None
        return self._context.expectations.traffic(model).auto

    async def _reused(self, jobs: list[JobRow]) -> list[int]:
        reused = await self._context.reuse.begin(jobs)
        for seq in reused:
            self._context.downloads.add(seq)
        return reused

    def place_freed(self, now: float) -> None:
        """A request has ended, of whichever model."""
        for queue in self._queues.values():
            queue.health.limiter.place_freed(now)

    def rewind(self) -> None:
        """Jobs became due behind the readers."""
        for queue in self._queues.values():
            queue.rewind()
