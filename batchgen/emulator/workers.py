"""Workers for each model: each holds one request for its latency; the others wait in a queue.

A worker is a task that ends when its queue is empty. Nothing polls.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(slots=True)
class RequestQueue:
    """Request ids in the order of arrival; any of them can be removed early.

    `_numbers` stays sorted because numbers only grow, so finding a position is one bisection even
    among ten thousand.
    """

    _next: int = 0
    _numbers: list[int] = field(default_factory=list)
    _ids: dict[int, str] = field(default_factory=dict)
    _number_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, request_id: str) -> None:
        self._numbers.append(self._next)
        self._ids[self._next] = request_id
        self._number_of[request_id] = self._next
        self._next += 1

    def pop(self) -> str | None:
        if not self._numbers:
            return None
        request_id = self._ids[self._numbers[0]]
        self.remove(request_id)
        return request_id

    def remove(self, request_id: str) -> bool:
        number = self._number_of.pop(request_id, None)
        if number is None:
            return False
        del self._numbers[bisect_left(self._numbers, number)]
        del self._ids[number]
        return True

    def position(self, request_id: str) -> int | None:
        """1 is the next to start; None if the request is not in this queue."""
        number = self._number_of.get(request_id)
        return None if number is None else bisect_left(self._numbers, number) + 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Of an unfinished request: its `position` in the queue, or None while it is in progress."""

    position: int | None

    @property
    def status(self) -> str:
        return "in_progress" if self.position is None else "in_queue"


@dataclass(slots=True)
class ModelWorkers:
    """One model's queue, and how many of its workers are busy."""

    model_id: str
    latency: float
    queue: RequestQueue
    busy: int = 0


async def always(_request_id: str) -> bool:
    return True


class Workers:
    """`latency_of` returns a model's seconds; `finish` is called when a request is done.

    `begin` is called when a request starts to run; where it returns False, the request has ended.
    """

    def __init__(
        self,
        count: int,
        latency_of: Callable[[str], float],
        finish: Callable[[str], None],
        begin: Callable[[str], Awaitable[bool]] = always,
    ) -> None:
        self._count = count
        self._begin = begin
        self._latency_of = latency_of
        self._finish = finish
        self._models: dict[str, ModelWorkers] = {}
        self._model_of: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def unfinished(self) -> int:
        return len(self._model_of)

    def accept(self, request_id: str, model_id: str) -> None:
        model = self._model_workers(model_id)
        self._model_of[request_id] = model_id
        model.queue.add(request_id)
        if model.busy < self._count:
            self._start_worker(model)

    def progress(self, request_id: str) -> Progress | None:
        """Return None for a request that is finished or was never accepted."""
        model_id = self._model_of.get(request_id)
        if model_id is None:
            return None
        return Progress(self._models[model_id].queue.position(request_id))

    def cancel(self, request_id: str) -> bool:
        """Take a request out of the queue; False if it is in progress or unknown."""
        model_id = self._model_of.get(request_id)
        if model_id is None or not self._models[model_id].queue.remove(request_id):
            return False
        del self._model_of[request_id]
        return True

    async def aclose(self) -> None:
        """Stop the workers at once. Raises the error of a worker that failed."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _model_workers(self, model_id: str) -> ModelWorkers:
        if model_id not in self._models:
            latency = self._latency_of(model_id)
            self._models[model_id] = ModelWorkers(model_id, latency, RequestQueue())
        return self._models[model_id]

    def _start_worker(self, model: ModelWorkers) -> None:
        # Taken here, not in the task, so that no request is queued while a worker is free.
        request_id = model.queue.pop()
        if request_id is None:
            return
        model.busy += 1
        work = self._work(model, request_id)
        task = asyncio.create_task(work, name=f"emulator worker {model.model_id}")
        self._tasks.add(task)
        task.add_done_callback(self._discard)

    async def _work(self, model: ModelWorkers, first: str) -> None:
        request_id: str | None = first
        while request_id is not None:
            if await self._begin(request_id):
                await asyncio.sleep(model.latency)
                self._finish(request_id)
            del self._model_of[request_id]
            request_id = model.queue.pop()
        model.busy -= 1

    def _discard(self, task: asyncio.Task[None]) -> None:
        # A worker that failed stays, so that aclose raises its error.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
