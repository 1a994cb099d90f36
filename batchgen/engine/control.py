"""Whether the run goes on, and who is told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from batchgen.engine.drain import Drain
from batchgen.engine.events import Event, Listener, Pause, Paused

if TYPE_CHECKING:
    from typing import Never


class Control:
    """Shared by all that carry out a run: pause, drain, and the listener's ear.

    `wake` tells the scheduler that something changed: a place became free, a job is pending
    again, the run shall stop.
    """

    def __init__(self, listener: Listener) -> None:
        self.wake = asyncio.Event()
        self.drain = Drain()
        self.paused: Pause | None = None
        self._listener = listener
        self._untold: deque[Event] = deque()
        self._news = asyncio.Event()
        self._listening = True

    @property
    def submitting(self) -> bool:
        """Whether new submits may go out."""
        return self.paused is None and not self.drain.requested

    def pause(self, pause: Pause) -> None:
        """Stop submitting. The first reason is the one that people are told."""
        if self.paused is None:
            self.paused = pause
            self.emit(Paused(pause))
        if pause.lets_go:
            self.drain.request()
        self.wake.set()

    def emit(self, event: Event) -> None:
        self._untold.append(event)
        self._news.set()

    async def keep_telling(self) -> Never:
        """Tell the listener from a task of its own, until cancelled.

        So a listener that fails ends the run, yet never comes between an answer and its record.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            self.tell()

    def tell(self) -> None:
        """What is not told yet. A listener that failed once is told no more."""
        while self._untold and self._listening:
            self._listening = False
            self._listener(self._untold.popleft())
            self._listening = True
