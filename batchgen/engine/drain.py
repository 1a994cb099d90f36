"""Let go of what can wait: sleeping and asking are given up, recording and paying never."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Drain:
    """A request to stop. `scope()` marks code that may be left at once when it comes."""

    def __init__(self) -> None:
        self.requested = False
        # In the order of their coming: chance would make two equal runs differ.
        self._scopes: dict[DrainScope, None] = {}

    def request(self) -> None:
        self.requested = True
        for scope in tuple(self._scopes):
            scope.interrupt()

    def scope(self) -> DrainScope:
        return DrainScope(self, self._scopes)


class DrainScope:
    """`with drain.scope() as scope:` ends early when a stop is requested; see `interrupted`.

    Works as asyncio.timeout does: the task is cancelled, and the cancellation is taken back at
    the end of the scope, unless someone else cancelled the task as well.
    """

    def __init__(self, drain: Drain, scopes: dict[DrainScope, None]) -> None:
        self.interrupted = False
        self._drain = drain
        self._scopes = scopes
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._later: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "a drain scope is used inside a task"
        self._cancelling = self._task.cancelling()
        self._scopes[self] = None
        if self._drain.requested:
            self.interrupt()
        return self

    def interrupt(self) -> None:
        if self._task is not asyncio.current_task():
            self._cancel()
        elif self._later is None:
            # Before Python 3.13 uncancel() does not take back a cancel() that was not delivered
            # yet: it would strike after the scope. So the task is cancelled once it waits.
            self._later = asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        assert self._task is not None
        if not self.interrupted:
            self.interrupted = True
            self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._task is not None
        self._scopes.pop(self, None)
        if self._later is not None:
            self._later.cancel()
        if not self.interrupted:
            return False
        ours_alone = self._task.uncancel() <= self._cancelling
        return ours_alone and kind is asyncio.CancelledError
