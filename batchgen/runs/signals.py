"""Ctrl-C, SIGTERM and a closed terminal: the first drains, the second leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

DRAIN_SECONDS = {signal.SIGINT: 25.0, signal.SIGTERM: 5.0, signal.SIGHUP: 5.0}
"""How long downloads at hand are waited for; then answers on the wire have a last chance
of ten seconds (engine/wire.py)."""

LEAVE_SOON = frozenset({signal.SIGTERM, signal.SIGHUP})
LEAVE_WITHIN = 13.0
"""Seconds from one of these to the end of the process, less than the 15 that are promised: who
sends SIGTERM sends SIGKILL later. What is nice to have at the end of a run gets what is left."""


class StopSignals:
    """While the block lasts, signals drain the run; `received` is the one that came.

    `drain` asks the run to stop, `abort` tears it down when the drain takes too long. Not `on`, the
    signals are left to the program that called.
    """

    def __init__(
        self, drain: Callable[[], None], abort: Callable[[], object], *, on: bool = True
    ) -> None:
        self.received: signal.Signals | None = None
        self._drain = drain
        self._abort = abort
        # What nohup ignores stays ignored.
        heard = (one for one in DRAIN_SECONDS if signal.getsignal(one) is not signal.SIG_IGN)
        self._numbers = tuple(heard) if on else ()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in self._numbers:
            self._loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._numbers:
            self._loop.remove_signal_handler(number)
        if self._timer:
            self._timer.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        if self.received is not None:
            # Safe at any moment: all that matters is on the disk, as after a kill -9.
            sys.stderr.flush()
            os._exit(128 + number)
        self.received = number
        self._timer = self._loop.call_later(DRAIN_SECONDS[number], self._abort)
        self._drain()
