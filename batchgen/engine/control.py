"""Whether the run goes on: pause, drain, and the events for its listener.

A drain interrupts what can wait, such as sleeping and polling; recording and paying, never.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from batchgen.engine.events import Event, JobMoved, Listener, Pause, Paused

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Never

    from batchgen.jobs import JobState


class Drain:
    """A request to stop. `scope()` marks code that may be interrupted when it comes."""

    def __init__(self) -> None:
        self.requested = False
        # In the order of opening: a random order would make two equal runs differ.
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
            # Before Python 3.13, uncancel() does not take back a cancel() that is not delivered
            # yet: it would arrive after the scope. So the task is cancelled once it waits.
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


class Moving(Protocol):
    """A job on its way, with the state that was emitted last."""

    state: JobState

    @property
    def job_id(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def request_id(self) -> str | None: ...


class Control:
    """Shared by all parts of the engine.

    `wake` wakes the scheduler when something has changed: a slot is free, a job is pending again,
    the run is to stop.
    """

    def __init__(self, listener: Listener) -> None:
        self.wake = asyncio.Event()
        self.drain = Drain()
        self.paused: Pause | None = None
        self._listener = listener
        self._undelivered: deque[Event] = deque()
        self._news = asyncio.Event()
        self._listening = True

    @property
    def submitting(self) -> bool:
        """Whether new submits may go out."""
        return self.paused is None and not self.drain.requested

    def pause(self, pause: Pause) -> None:
        """Stop submitting. The first reason given is the one that is shown."""
        if self.paused is None:
            self.paused = pause
            self.emit(Paused(pause))
        if pause.lets_go:
            self.drain.request()
        self.wake.set()

    def emit(self, event: Event) -> None:
        self._undelivered.append(event)
        self._news.set()

    def emit_move(
        self,
        job: Moving,
        state: JobState,
        code: str | None = None,
        reason: str | None = None,
        cost: float | None = None,
    ) -> None:
        """Report that a job changed its state, which is on the disk already."""
        before, job.state = job.state, state
        self.emit(
            JobMoved(job.job_id, job.model, before, state, job.request_id, code, reason, cost)
        )

    async def deliver_events(self) -> Never:
        """Call the listener from a task of its own, until cancelled.

        So a listener that fails ends the run, but never comes between an answer and its record.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            self.flush_events()

    def flush_events(self) -> None:
        """Deliver the remaining events. A listener that has failed is not called again."""
        while self._undelivered and self._listening:
            self._listening = False
            self._listener(self._undelivered.popleft())
            self._listening = True
