"""Jobs that nobody could look at: they wait for another look, and hold no place meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.backoff import delay

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class Resting:
    """Else one dead server would be asked at every turn, before all the jobs that could go."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._tries: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def __bool__(self) -> bool:
        return bool(self._timers)

    def rest(self, seq: int, then: Callable[[], None]) -> None:
        """Call `then` after a while: longer each time, until `forget`."""
        tries = self._tries[seq] = self._tries.get(seq, 0) + 1

        def over() -> None:
            del self._timers[seq]
            then()

        wait = delay(tries, self._dice)
        self._timers[seq] = asyncio.get_running_loop().call_later(wait, over)

    def has_rested(self, seq: int) -> bool:
        """Since it was looked at the last time."""
        return seq in self._tries

    def forget(self, seq: int) -> None:
        """It was looked at with success, or will not be looked at again."""
        self._tries.pop(seq, None)

    def end(self) -> None:
        """Wake nobody any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._tries.clear()
