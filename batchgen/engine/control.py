"""Whether the run goes on, and who is told."""

from __future__ import annotations

import asyncio

from batchgen.engine.drain import Drain
from batchgen.engine.events import Listener, Pause, Paused


class Control:
    """Shared by all that carry out a run: pause, drain, and the listeners' ears.

    `wake` tells the scheduler that something changed: a place became free, a job is pending
    again, the run shall stop.
    """

    def __init__(self, listener: Listener) -> None:
        self.emit: Listener = listener
        self.wake = asyncio.Event()
        self.drain = Drain()
        self.paused: Pause | None = None

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
