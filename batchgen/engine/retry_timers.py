"""Jobs that could not be submitted for now: they are retried later, and hold no place meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.backoff import delay

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class RetryTimers:
    """One timer a job. Without them a dead server would be asked before every job that could go.

    `on_retry` is called after each retry.
    """

    def __init__(self, dice: Random, on_retry: Callable[[], object]) -> None:
        self._dice = dice
        self._on_retry = on_retry
        self._tries: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def __bool__(self) -> bool:
        return bool(self._timers)

    def schedule(self, seq: int, retry: Callable[[], object]) -> None:
        """Call `retry` after a delay that grows each time, until `forget`."""
        tries = self._tries[seq] = self._tries.get(seq, 0) + 1

        def fire() -> None:
            del self._timers[seq]
            retry()
            self._on_retry()

        wait = delay(tries, self._dice)
        self._timers[seq] = asyncio.get_running_loop().call_later(wait, fire)

    def is_retry(self, seq: int) -> bool:
        """Whether the job was put off before, and not forgotten since."""
        return seq in self._tries

    def forget(self, seq: int) -> None:
        """The job went on, or will not be retried."""
        self._tries.pop(seq, None)

    def cancel_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._tries.clear()
