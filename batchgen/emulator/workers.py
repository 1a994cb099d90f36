"""Some workers for each model: each holds one request for its latency; the others wait in a queue.

A worker is a task that lives as long as there is something to do. Nothing waits by polling.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class WaitingLine:
    """Request ids in the order of arrival; any of them may leave early.

    `_numbers` stays sorted because numbers only grow, so a position is one bisection even among
    ten thousand.
    """

    _next: int = 0
    _numbers: list[int] = field(default_factory=list)
    _ids: dict[int, str] = field(default_factory=dict)
    _number_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self, request_id: str) -> None:
        self._numbers.append(self._next)
        self._ids[self._next] = request_id
        self._number_of[request_id] = self._next
        self._next += 1

    def next(self) -> str | None:
        if not self._numbers:
            return None
        request_id = self._ids[self._numbers[0]]
        self.leave(request_id)
        return request_id

    def leave(self, request_id: str) -> bool:
        number = self._number_of.pop(request_id, None)
        if number is None:
            return False
        del self._numbers[bisect_left(self._numbers, number)]
        del self._ids[number]
        return True

    def position(self, request_id: str) -> int | None:
        """1 is the next to be worked on; None where the request is not in this line."""
        number = self._number_of.get(request_id)
        return None if number is None else bisect_left(self._numbers, number) + 1


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an unfinished request stands: `position` in the queue, or None while worked on."""

    position: int | None

    @property
    def status(self) -> str:
        return "in_progress" if self.position is None else "in_queue"


@dataclass(slots=True)
class Bench:
    """One model's line, and how many of its workers are at work."""

    model_id: str
    latency: float
    line: WaitingLine
    busy: int = 0


class Workers:
    """`latency_of` gives the seconds of a model; `finish` is called when a request is done."""

    def __init__(
        self, count: int, latency_of: Callable[[str], float], finish: Callable[[str], None]
    ) -> None:
        self._count = count
        self._latency_of = latency_of
        self._finish = finish
        self._benches: dict[str, Bench] = {}
        self._model_of: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def unfinished(self) -> int:
        return len(self._model_of)

    def accept(self, request_id: str, model_id: str) -> None:
        bench = self._bench(model_id)
        self._model_of[request_id] = model_id
        bench.line.join(request_id)
        if bench.busy < self._count:
            self._start_worker(bench)

    def standing(self, request_id: str) -> Standing | None:
        """None for a request that is finished or was never accepted."""
        model_id = self._model_of.get(request_id)
        if model_id is None:
            return None
        return Standing(self._benches[model_id].line.position(request_id))

    def cancel(self, request_id: str) -> bool:
        """Take a request out of the queue; False where it is worked on or not there."""
        model_id = self._model_of.get(request_id)
        if model_id is None or not self._benches[model_id].line.leave(request_id):
            return False
        del self._model_of[request_id]
        return True

    async def aclose(self) -> None:
        """Stop the workers where they stand. Raises what a worker died of, if one did."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _bench(self, model_id: str) -> Bench:
        if model_id not in self._benches:
            latency = self._latency_of(model_id)
            self._benches[model_id] = Bench(model_id, latency, WaitingLine())
        return self._benches[model_id]

    def _start_worker(self, bench: Bench) -> None:
        # The request is taken here, not in the task: a free worker never leaves it in the queue.
        request_id = bench.line.next()
        if request_id is None:
            return
        bench.busy += 1
        work = self._work(bench, request_id)
        task = asyncio.create_task(work, name=f"emulator worker {bench.model_id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _work(self, bench: Bench, first: str) -> None:
        request_id: str | None = first
        while request_id is not None:
            await asyncio.sleep(bench.latency)
            self._finish(request_id)
            del self._model_of[request_id]
            request_id = bench.line.next()
        bench.busy -= 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        # One that died of a bug stays, for aclose to tell.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
