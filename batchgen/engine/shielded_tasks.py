"""Tasks that go on when the run ends, so that answers on their way are recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType
    from typing import Any

T = TypeVar("T")

LAST_ANSWERS = 10.0
"""Seconds to wait for answers that are still on their way when the run is torn down."""


class ShieldedTasks:
    """Like a TaskGroup, but one that fails does not end the others: each may bring a paid job's id.

    `closing` is set when the block is left, for any reason: nothing new is sent from then on.
    """

    def __init__(self) -> None:
        self.closing = False
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._failures: list[BaseException] = []

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """The task that awaits it may be cancelled at the same moment and never see its failure."""
        del self._tasks[task]
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises an ExceptionGroup where a last answer could not be recorded."""
        self.closing = True
        failures = await self._last_answers()
        if failures:
            earlier = [error] if isinstance(error, Exception) else []
            raise ExceptionGroup("last answers could not be recorded", [*earlier, *failures])

    async def _last_answers(self) -> list[Exception]:
        tasks = tuple(self._tasks)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=LAST_ANSWERS)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [end for end in dict.fromkeys(self._failures) if isinstance(end, Exception)]
